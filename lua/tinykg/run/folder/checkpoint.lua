--- Checkpoints: the whole state of a run in one file, so that it can go on bit for bit.
--
-- Random numbers, the order of batches and learning rates are functions of seed, epoch and step, so
-- a few counters beside the tensors suffice. last.safetensors holds
--   model.NAME            parameters
--   held.PATH             tensors that the model has made since it was built (KGAT's attention)
--   optimizer.K.NAME.S    state S of a parameter in the K-th optimizer
--   average.NAME          of a parameter, with the option ema
--   sum.PHASE.NAME        of a parameter's gradients, with the option accumulate
-- and, as metadata, `state`: counters, metrics and times, as JSON. last-1.safetensors is the
-- checkpoint before; it is read only on demand.
local lfs = require 'lfs'
local tables = require 'tinykg.base.tables'
local C = require 'tinykg.engine.lib'
local folder = require 'tinykg.run.folder'
local format = require 'tinykg.base.format'
local json = require 'tinykg.base.json'
local must = require 'tinykg.base.must'
local parameters = require 'tinykg.run.folder.parameters'
local ranks = require 'tinykg.engine.ranks'
local runtime = require 'tinykg.engine.runtime'
local schema = require 'tinykg.run.folder.schema'
local step = require 'tinykg.engine.step'
local store = require 'tinykg.store'
local tensor = require 'tinykg.engine.tensor'

local checkpoint = {}

local FORMAT = 'tinykg checkpoint 1'

-- ---- tensors and scalars of a model that are no parameters ----

--- A key as a part of a path; paths have dots between keys.
local function part_of(key) return (tostring(key):gsub('[%%.]', {['%'] = '%25', ['.'] = '%2e'})) end

local function is_scalar(value)
  local kind = type(value)
  return kind == 'number' or kind == 'boolean' or kind == 'string'
end

--- Whether a value is a graph, a constant whose own fields are not visited.
local function is_graph(value) return rawget(value, 'packed') and rawget(value, 'counts') end

--- Calls visit(path, value) for each tensor, graph and scalar within a model.
local function visit_all(container, prefix, visit, seen)
  seen[container] = true
  for _, key in ipairs(tables.sorted_keys(container)) do
    local value, path = container[key], prefix .. part_of(key)
    if tensor.is(value) or is_scalar(value) or type(value) == 'table' and is_graph(value) then
      visit(path, value)
    elseif type(value) == 'table' and not seen[value] then
      visit_all(value, path .. '.', visit, seen)
    end
  end
end

local function version_of(t) return tensor.is(t) and t.kept and C.tkg_tensor_version(t.kept) end

--- Notes what a model holds, for comparison by `write`. Keeps nothing alive.
---@param model Module just built
---@return table baseline
function checkpoint.baseline(model)
  local baseline = {objects = setmetatable({}, {__mode = 'v'}), versions = {}, scalars = {}}
  visit_all(model, '', function(path, value)
    if is_scalar(value) then baseline.scalars[path] = value
    else baseline.objects[path], baseline.versions[path] = value, version_of(value) end
  end, {})
  return baseline
end

local function is_parameter(t) return C.tkg_tensor_is_parameter(t.kept) ~= 0 end

--- The table and the key of a path; nil where there is no such table, unless `make` makes it.
local function place_of(model, path, make)
  local container, key = nil, nil
  for part in path:gmatch('[^.]+') do
    local inner = container and rawget(container, key) or not container and model or nil
    if type(inner) ~= 'table' then
      if not make then return nil end
      inner = {}
      container[key] = inner
    end
    part = part:gsub('%%(%x%x)', function(code) return string.char(tonumber(code, 16)) end)
    container, key = inner, rawget(inner, part) == nil and tonumber(part) or part
  end
  return container, key
end

--- NaN and infinities, which JSON lacks, are written as a list of their name.
local function packed(x) return type(x) == 'number' and x - x ~= 0 and {tostring(x)} or x end
local function unpacked(x) return type(x) == 'table' and tonumber(x[1]) or x end

--- Compares a model with its baseline.
---@return table<string, Tensor> tensors new ones by path ---@return table<string, any> scalars
---@return string[] gone paths that the model no longer has
---@return string? graph the path of a new graph
local function held_since(model, baseline)
  local tensors, scalars, gone, found, graph = {}, {}, {}, {}, nil
  visit_all(model, '', function(path, value)
    found[path] = true
    if is_scalar(value) then
      if value ~= baseline.scalars[path] then scalars[path] = packed(value) end
      return
    end
    local same = value == baseline.objects[path] and version_of(value) == baseline.versions[path]
    if same or not tensor.is(value) then
      graph = graph or not same and path or nil
    elseif value.kept and not is_parameter(value) then
      tensors[path] = value
    end
  end, {})
  for _, list in ipairs{baseline.scalars, baseline.versions} do
    for path in pairs(list) do
      local container, key = place_of(model, path)
      local elsewhere = container and rawget(container, key) ~= nil -- reached by another path
      if not found[path] and not elsewhere then gone[#gone + 1] = path end
    end
  end
  return tensors, scalars, gone, graph
end

--- Restores in a model what held_since found.
local function hold(model, tensors, scalars, gone)
  local function put(path, value)
    local container, key = place_of(model, path, value ~= nil)
    if container then container[key] = value end
  end
  for _, path in ipairs(gone) do put(path, nil) end
  for path, t in pairs(tensors) do put(path, t) end
  for path, value in pairs(scalars) do put(path, unpacked(value)) end
end

-- ---- optimizers ----

--- The distinct optimizers of a run's phases.
local function optimizers_of(run)
  return tables.unique(tables.map(run.phases, function(phase) return phase.optimizer end))
end

--- Calls visit(name, tensor) for each parameter, for the optimizer states of those for which
--- has_state(optimizer, parameter, prefix of the states' names) is true, and for the averages.
local function each_tensor(run, has_state, visit)
  for _, p in ipairs(run.model:named_parameters()) do
    visit('model.' .. p.name, p.tensor)
    for k, optimizer in ipairs(optimizers_of(run)) do
      local prefix = ('optimizer.%d.%s.'):format(k, p.name)
      for slot, t in ipairs(has_state(optimizer, p.tensor, prefix)
                            and optimizer:state(p.tensor) or {}) do
        visit(prefix .. slot, t)
      end
    end
  end
  for _, pair in ipairs(run.average and run.average.pairs or {}) do
    visit('average.' .. pair.name, pair.average)
  end
  for _, phase in ipairs(run.phases) do
    for _, entry in ipairs(phase.accumulator and phase.accumulator.sums or {}) do
      visit(('sum.%s.%s'):format(phase.name, entry.name), entry.sum)
    end
  end
end

-- ---- writing ----

local function state_of(run, scalars, gone)
  local steps = tables.map(run.phases, function(phase) return phase.step.number end)
  local times = tables.map(run.phases, function(phase) return phase:median() end)
  local updates = tables.map(optimizers_of(run), function(optimizer) return optimizer.t end)
  return {at = run.at, best = run.best, steps = steps, times = times, updates = updates,
          memory = run:memory(), held = scalars, gone = json.array(gone),
          epoch_times = json.array(run.epoch_times), eval_times = json.array(run.eval_times)}
end

--- Renames a new checkpoint to last.safetensors and the old one to last-1.safetensors. With hard
--- links, last.safetensors is there and whole at each moment.
local function rotate(path, written)
  local last, older = path .. '/last.safetensors', path .. '/last-1.safetensors'
  local beside = older .. '.tmp.0'
  os.remove(beside)
  if lfs.link(last, beside) then os.rename(beside, older) else os.rename(last, older) end
  os.remove(beside) -- a rename leaves it if both names are of one file
  must(os.rename(written, last))
end

--- Writes a checkpoint, whole or not at all. Graphs are not saved: a model that makes one before
--- each epoch has checkpoints between epochs only.
---@param path string the run's folder ---@param run Run ---@param baseline table from
---  checkpoint.baseline
---@return boolean written
function checkpoint.write(path, run, baseline)
  local tensors, scalars, gone, graph = held_since(run.model, baseline)
  if graph and run.at.phase > 0 then return false end
  local all = {}
  for name, t in pairs(tensors) do all['held.' .. name] = t end
  each_tensor(run, function(optimizer, t) return optimizer:knows(t) end,
              function(name, t) all[name] = t end)
  local written = path .. '/' .. folder.NEXT
  must(store.write(written, all, {
    format = FORMAT, recipe = run.recipe.name, state = json.encode(state_of(run, scalars, gone))},
    {links = false}))
  ranks.only_first(rotate, path, written)
  return true
end

-- ---- reading ----

local function held_in(all)
  local tensors = {}
  for name, t in pairs(all) do
    local path = name:match('^held%.(.*)')
    if path then tensors[path] = t else t:free() end
  end
  return tensors
end

--- Reads a checkpoint; nil and one line when it is damaged or is no checkpoint.
---@param file string ---@param phases? integer expected number ---@param optimizers? integer
---@return table<string, Tensor>? tensors ---@return table|string state or the message
---@return boolean? checked whether it has checksums
function checkpoint.load(file, phases, optimizers)
  local all, metadata, checked = store.read(file)
  if not all then return nil, metadata end
  local state, why = nil, 'not a checkpoint of this version of tinykg'
  if metadata.format == FORMAT then
    state, why = json.decode(metadata.state, 'its state')
    why = state == nil and why or schema.mismatch(state, schema.state(phases, optimizers), 'state')
  end
  if not why then return all, state, checked end
  for _, t in pairs(all) do t:free() end
  return nil, ('%s: %s'):format(file, why)
end

local function restore(run, file, all, state)
  each_tensor(run, function(_, _, prefix) return all[prefix .. '1'] end,
              function(name, t) parameters.copy(file, name, all[name], t) end)
  hold(run.model, held_in(all), state.held, state.gone or {})
  for i, phase in ipairs(run.phases) do
    phase.step.number = state.steps[i]
    phase.times[1] = state.times[i] > 0 and state.times[i] or nil -- the median so far
  end
  for i, optimizer in ipairs(optimizers_of(run)) do optimizer.t = state.updates[i] end
  step.draws(state.at.draws)
  run.at, run.best, run.peaks, run.resumed = state.at, state.best, state.memory, true
  run.epoch_times, run.eval_times = state.epoch_times, state.eval_times
  C.tkg_memory_reset_peak(runtime.engine) -- the copies in memory are no part of training
end

--- Advice on a checkpoint that cannot be read: how to go on from the one before, if that is whole.
local function advice(path)
  local all = checkpoint.load(path .. '/last-1.safetensors')
  if not all then return ' (there is no older one that is whole: --force begins anew)' end
  for _, t in pairs(all) do t:free() end
  return (' (the one before it is whole: tinykg run --resume --from last-1 --out %s)'):format(
    format.quoted(path))
end

--- The tensors that rank 0 has read, on all ranks. ---@param all table<string, Tensor>? rank 0's
local function shared(all)
  if ranks.size() == 1 then return all end
  local list = ranks.of_first(function()
    return tables.map(tables.sorted_keys(all), function(name)
      return {name = name, dtype = all[name]:dtype(), size = all[name]:size()}
    end)
  end)
  all = all or {}
  for _, t in ipairs(list) do
    all[t.name] = all[t.name]
      or tensor.create(t.dtype == 'i32' and tensor.I32 or tensor.F32, t.size)
    ranks.share(all[t.name])
  end
  return all
end

--- Restores the state of a checkpoint in a run that has just been made (train.new). Raises one line
--- when it cannot be read.
---@param path string the run's folder ---@param run Run ---@param from? 'last'|'last-1'
function checkpoint.read(path, run, from)
  local file, all = ('%s/%s.safetensors'):format(path, from or 'last'), nil
  local state = ranks.of_first(function()
    local tensors, found = checkpoint.load(file, #run.phases, #optimizers_of(run))
    if not tensors then error(found .. (from == 'last-1' and '' or advice(path)), 0) end
    all = tensors
    return found
  end)
  restore(run, file, shared(all), state)
end

--- Makes the checkpoint that a run goes on from the last one. ---@param from 'last'|'last-1'
function checkpoint.take(path, from)
  if from ~= 'last-1' or not ranks.is_first() then return end
  must(os.rename(path .. '/last-1.safetensors', path .. '/last.safetensors'))
end

return checkpoint
