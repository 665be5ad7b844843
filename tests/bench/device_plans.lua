--- The arena of a recipe's steps on the CPU and on the GPU (emulated: nothing runs on it), and the
--- bytes that a step moves there against those that no plan of its ops does without:
---   tinykg tests/bench/device_plans.lua DIR RECIPE [BITS [KEY=VALUE ...]]
local phases = require 'tinykg.train.phases'
local recipe_file = require 'tinykg.train.recipe_file'
local runtime = require 'tinykg.engine.runtime'
local tk = require 'tinykg'
local train = require 'tinykg.train'
local C = require 'tinykg.engine.lib'

local folder, name, bits = arg[1], arg[2], tonumber(arg[3] or 2)
local options = {}
for k = 4, #arg do
  local key, value = arg[k]:match '^(.-)=(.*)$'
  options[assert(key, arg[k] .. ': expected KEY=VALUE')] = value
end

--- Plans a step of each phase: {name, arena, traffic} of each.
local function planned(device)
  tk.device(device)
  local data = tk.data.load(folder, {seed = 0})
  C.tkg_engine_set_plan_only(runtime.engine, 1)
  local recipe = recipe_file.load('recipes/' .. name .. '.lua')
  local o = recipe:complete(options)
  local model = train.build(recipe, data, o)
  local list, made = {}, phases.of(recipe, model, data, o, {bits = bits})
  phases.begin(model, made, 1)
  for _, phase in ipairs(made) do
    phase:plan()
    list[#list + 1] = {name = phase.name, arena = phase.step:figure('arena_bytes'),
                       traffic = phase.step:traffic()}
  end
  return list
end

local cpu, gpu = planned('cpu'), planned('emu')
for k, plan in ipairs(gpu) do
  local t = plan.traffic
  print(('| %s%s %s | %.3f | %.3f | %.2f | %.1f | %.1f | %.2f | %d |'):format(
    name, #arg > 3 and ' ' .. table.concat(arg, ' ', 4) or '', plan.name, cpu[k].arena / 2 ^ 20,
    plan.arena / 2 ^ 20, plan.arena / cpu[k].arena, t.bytes / 1e6, t.compulsory / 1e6,
    t.bytes / t.compulsory, t.launches))
end
