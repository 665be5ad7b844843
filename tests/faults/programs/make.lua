--- A random program, whole: nodes, draws, outputs.
local engine = require 'tests.faults.programs.engine'
local forms = require 'tests.faults.programs.forms_graph'
local generator = require 'tests.faults.programs.generator'
local ops = require 'tests.support.reference_graph'

--- Whether gradients of the chosen outputs reach a parameter.
local function reaches_parameter(p)
  local reaches = {}
  for i, node in ipairs(p.nodes) do
    reaches[i] = node.op == 'leaf' and node.parameter
    local passed = node.op == 'leaf' and 0 or ops[node.op].passes or #node.args
    for k = 1, passed do reaches[i] = reaches[i] or reaches[node.args[k]] end
  end
  for _, output in ipairs(p.outputs) do if reaches[output.node] then return true end end
  return false
end

--- A parameter itself in the loss: there must be one.
local function add_parameter(g)
  for i, node in ipairs(g.p.nodes) do
    if node.op == 'leaf' and node.parameter then
      table.insert(g.p.outputs, {node = i, seed = i, shape = g:shape(i), returned = false})
      return
    end
  end
  g.p.outputs = {}
end

local function output_of(g, i)
  return {node = i, seed = g.r:from(1, 99999), shape = g:shape(i), returned = g.r:one_in(2)}
end

local function choose_outputs(g)
  local p, r = g.p, g.r
  local made = {}
  for i, node in ipairs(p.nodes) do if node.op ~= 'leaf' then made[#made + 1] = i end end
  local chosen = {}
  for k = 1, math.min(#made, r:from(1, 3)) do
    local i = k == 1 and made[#made] or r:of(made)
    if not chosen[i] then
      chosen[i] = true
      p.outputs[#p.outputs + 1] = output_of(g, i)
    end
  end
end

local TABLES = {{64, 64}, {130, 33}, {4200, 1}, {17, 257}, {600, 7}}

--- A parameter of 4,096 elements or more and rows of it: what Adam keeps in 8 bits.
local function add_table(g)
  local most = g.most
  g.most = 5000
  local at = g:leaf(g.r:of(TABLES))
  g.p.nodes[at].parameter, g.most = true, most
  local n = g.r:from(1, 9)
  local ids, text = g:ids({n}, g:shape(at)[1])
  return g:add('gather', {at}, ('$1:gather(%s)'):format(text), {ids = ids, shape = {n}})
end

--- The program of a seed, and what was wrong with what it drew, if anything.
---@param options? {big: boolean, draws: boolean, table: boolean, form: table} form: one that begins
return function(seed, options)
  options = options or {}
  local g = generator.new(seed, options)
  local wrong
  if options.draws then
    for _ = 1, g.r:from(1, 2) do wrong = wrong or forms.draw(g, engine.drawn) end
  end
  local rows = options.table and add_table(g)
  for _ = 1, g.r:from(1, 3) do g:leaf({g:new_rows(), g:new_cols()}) end
  local wanted, tries, steps = g.r:from(2, options.big and 7 or 11), 0, 0
  while steps < wanted and tries < 60 do
    tries = tries + 1
    local form = options.form and steps == 0 and options.form or forms.choose(g.r)
    local ok, at = pcall(form.make, g)
    if not ok and at ~= generator.MISSING then error(at, 0) end
    if ok and at then steps = steps + 1 end
  end
  choose_outputs(g)
  if rows then table.insert(g.p.outputs, output_of(g, rows)) end
  if g.r:one_in(8) or not reaches_parameter(g.p) then add_parameter(g) end
  if #g.p.outputs == 0 then return nil end
  return g.p, wrong
end
