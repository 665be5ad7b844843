--- Values that steps save for backward, for specs: random matrices, and a step's saved values.
local assert = require 'luassert'
local tk = require 'tinykg'
local reference = require 'tests.support.reference_ops'
local tensors = require 'tests.support.tensors'

local drawn = tensors.drawn_from(reference.random(11))
local saved = {data = drawn.noise, parameter = drawn.parameter}

function saved.planned(fn, options) return tk.step(fn, options):plan() end

--- Returns the saved values of an op, of one rule if it is given.
function saved.rows_of(step, op, rule)
  local list = {}
  for _, row in ipairs(step:kept()) do
    if row.op == op and (not rule or row.rule == rule) then list[#list + 1] = row end
  end
  return list
end

--- Returns the only one of them. Fails if there are none or more.
function saved.only(step, op, rule)
  local list = saved.rows_of(step, op, rule)
  assert.equal(1, #list, op .. ' ' .. (rule or '') .. ' in\n' .. step:report())
  return list[1]
end

--- Runs a step once. Returns the gradients as one list, parameter by parameter.
function saved.gradients(step, parameters)
  step()
  local all = {}
  for _, p in ipairs(parameters) do
    for _, v in ipairs(tensors.flat(p.grad)) do all[#all + 1] = v end
  end
  return all
end

return saved
