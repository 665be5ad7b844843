--- A failing program made small: fewer outputs, values replaced by leaves, ops left out, as long as
--- the program still fails in the same way.
local arrays = require 'tests.support.arrays'
local program = require 'tests.faults.programs.program'

local MOST_TRIES = 300

local function shallow(t)
  local out = {}
  for k, v in pairs(t) do out[k] = v end
  return out
end

--- Attributes without what was remembered of shapes and draws.
local function fresh(a)
  local out = shallow(a)
  out.maps, out.from, out.mask, out.share, out.shares, out.run = nil, nil, nil, nil, nil, nil
  return out
end

local function copy(p)
  local q = shallow(p)
  q.nodes, q.outputs = {}, {}
  for i, node in ipairs(p.nodes) do
    q.nodes[i] = shallow(node)
    if node.a then q.nodes[i].a = fresh(node.a) end
    if node.args then q.nodes[i].args = {unpack(node.args)} end
  end
  for k, output in ipairs(p.outputs) do q.outputs[k] = shallow(output) end
  return q
end

--- Only what the outputs need, numbered anew.
local function pruned(p)
  local needed, renumber, q = {}, {}, copy(p)
  for _, output in ipairs(p.outputs) do needed[output.node] = true end
  for i = #p.nodes, 1, -1 do
    for _, k in ipairs(needed[i] and p.nodes[i].args or {}) do needed[k] = true end
  end
  q.nodes = {}
  for i, node in ipairs(copy(p).nodes) do
    if needed[i] then
      q.nodes[#q.nodes + 1] = node
      renumber[i] = #q.nodes
      for k, arg in ipairs(node.args or {}) do node.args[k] = renumber[arg] end
    end
  end
  for _, output in ipairs(q.outputs) do output.node = renumber[output.node] end
  local text = ''
  for _, node in ipairs(q.nodes) do text = text .. (node.code or '') end
  if #q.prologue > 0 and not text:find 'd%d+_' then q.prologue, q.drawn_streams = {}, 0 end
  return q
end

-- ---- ways to make it smaller: each an iterator of candidates ----

local function fewer_outputs(p, try)
  for k = #p.outputs, 1, -1 do
    if #p.outputs > 1 then
      local q = copy(p)
      table.remove(q.outputs, k)
      if try(q) then return true end
    end
    if p.outputs[k].returned then
      local q = copy(p)
      q.outputs[k].returned = false
      if try(q) then return true end
    end
  end
end

local function leaves_for_values(p, try)
  local values = program.evaluate(p)
  for i = #p.nodes, 1, -1 do
    if p.nodes[i].op ~= 'leaf' then
      for low = -1, 0 do
        local q = copy(p)
        q.nodes[i] = {op = 'leaf', shape = values[i].shape, seed = i, low = low, high = 1,
                      parameter = true}
        if try(q) then return true end
      end
    end
  end
end

local function ops_left_out(p, try)
  local values = program.evaluate(p)
  for i = #p.nodes, 1, -1 do
    for _, arg in ipairs(p.nodes[i].args or {}) do
      if arrays.same_shape(values[arg].shape, values[i].shape) then
        local q = copy(p)
        for _, node in ipairs(q.nodes) do
          for k, of in ipairs(node.args or {}) do if of == i then node.args[k] = arg end end
        end
        for _, output in ipairs(q.outputs) do if output.node == i then output.node = arg end end
        if try(q) then return true end
      end
    end
  end
end

local function fewer_marks(p, try)
  for i, node in ipairs(p.nodes) do
    for _, field in ipairs{'rule', 'bits'} do
      if node[field] then
        local q = copy(p)
        q.nodes[i][field] = nil
        if try(q) then return true end
      end
    end
  end
end

--- The smallest program found that fails. fails(p) says what is wrong, or nil.
return function(p, fails)
  local best, tries, wrong = p, 0, nil
  local function try(q)
    if tries >= MOST_TRIES then return false end
    tries = tries + 1
    local ok, good = pcall(function()
      q = pruned(q)
      return program.is_valid(q) and fails(q)
    end)
    if ok and good then best, wrong = q, good end
    return ok and good
  end
  if not try(p) then return p, nil end
  repeat
    local smaller = fewer_outputs(best, try) or leaves_for_values(best, try)
      or ops_left_out(best, try) or fewer_marks(best, try)
  until not smaller
  return best, wrong
end
