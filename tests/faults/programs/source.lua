--- A program's Lua text: what is run, and what a report shows.
local source = {}

local function shape_text(shape) return '{' .. table.concat(shape, ', ') .. '}' end

local function leaf_text(node)
  local numbers = ('H.numbers(%d, %g, %g, %s)'):format(node.seed, node.low, node.high,
                                                       shape_text(node.shape))
  return node.parameter and 'tk.parameter(' .. numbers .. ')' or numbers
end

local function named(text) return (text:gsub('@(%d+)', 'c%1')) end

local function expression(node)
  return named(node.code:gsub('%$(%d+)', function(k) return 'x' .. node.args[tonumber(k)] end))
end

--- Constants that some node or draw names, in order.
local function used_constants(p)
  local used = {}
  local function note(text)
    for k in text:gmatch '@(%d+)' do
      k = tonumber(k)
      if not used[k] then
        used[k] = true
        note(p.constants[k])
      end
    end
  end
  for _, node in ipairs(p.nodes) do if node.code then note(node.code) end end
  for _, draw in ipairs(p.prologue) do note(draw.code) end
  return used
end

local function preamble(p, add)
  local used = used_constants(p)
  for k, text in ipairs(p.constants) do
    if used[k] then add('local c%d = %s', k, named(text)) end
  end
  for i, node in ipairs(p.nodes) do
    if node.op == 'leaf' then add('local x%d = %s', i, leaf_text(node)) end
  end
  for k, output in ipairs(p.outputs) do
    add('local k%d = H.numbers(%d, -1, 1, %s)', k, output.seed, shape_text(output.shape))
  end
end

local function body(p, add)
  local results = {}
  for _, draw in ipairs(p.prologue) do
    add('  local %s = %s', table.concat(draw.names, ', '), named(draw.code))
    for _, name in ipairs(draw.names) do results[#results + 1] = name end
  end
  for i, node in ipairs(p.nodes) do
    if node.op ~= 'leaf' then
      local text = expression(node)
      if node.bits then text = ('tk.bits(%d, function() return %s end)'):format(node.bits, text) end
      add('  local x%d = %s', i, text)
      if node.rule then add("  H.keep(x%d, '%s')", i, node.rule) end
    end
  end
  local terms = {}
  for k, output in ipairs(p.outputs) do
    terms[k] = ('(x%d * k%d):sum()'):format(output.node, k)
    if output.returned then results[#results + 1] = 'x' .. output.node end
  end
  add('  return %s', table.concat({table.concat(terms, ' + '), unpack(results)}, ', '))
end

local function parameters(p)
  local list = {}
  for i, node in ipairs(p.nodes) do
    if node.op == 'leaf' and node.parameter then list[#list + 1] = 'x' .. i end
  end
  return '{' .. table.concat(list, ', ') .. '}'
end

local function collect(write)
  local lines = {}
  write(function(text, ...)
    lines[#lines + 1] = select('#', ...) > 0 and text:format(...) or text
  end)
  return table.concat(lines, '\n') .. '\n'
end

--- The text of a function that makes leaves and returns the step's function and the parameters.
function source.of(p)
  return collect(function(add)
    add 'local tk, H = ...'
    preamble(p, add)
    add 'local function f()'
    body(p, add)
    add 'end'
    add('return f, %s', parameters(p))
  end)
end

--- A whole program to paste: `options` is the text of the step's options.
function source.to_paste(p, options)
  return collect(function(add)
    add("-- In the root of the sources: ./tinykg this.lua")
    add "local tk = require 'tinykg'"
    add "local H = require 'tests.faults.programs.helpers'"
    add('tk.seed(%d)', p.draw_seed)
    preamble(p, add)
    add('local step = tk.step(function()')
    body(p, add)
    add('end, %s)', options)
    add 'print(step())'
    add('for i, w in ipairs(%s) do print(i, w.grad) end', parameters(p))
  end)
end

--- The text of the draws alone.
function source.of_prologue(p)
  return source.of{nodes = {{op = 'leaf', shape = {1}, seed = 1, low = 0, high = 1,
                             parameter = true}},
                   outputs = {{node = 1, seed = 1, shape = {1}}}, constants = p.constants,
                   prologue = p.prologue}
end

return source
