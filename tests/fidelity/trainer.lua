--- tinykg's side of the comparison with the published programs; lockstep.py and curves.py run it.
--   tinykg tests/fidelity/trainer.lua lockstep MODEL DATA OUT SEED STEPS [option=value ...]
--   tinykg tests/fidelity/trainer.lua data     MODEL DATA OUT
--   tinykg tests/fidelity/trainer.lua curve    MODEL DATA OUT SEED EPOCHS [option=value ...]
-- DATA is a folder, or `demo` for the generated data set.
--
-- lockstep writes to OUT what the other side needs to make the same steps:
--   start.safetensors    p.NAME: parameters, c.NAME: what the model drew once (neighbours, ...)
--   batches.safetensors  STEP.PART.FIELD: what each step was given, ids and drawn ids alike
--   trainer.json         options, counts, losses: of each step, by part
-- data writes the rows of the split and the triples (data.safetensors, data.json); curve a line an
-- epoch, loss and metrics of `valid` (curve-SEED.json).
--
-- models/NAME.lua says what is special about a model; each field may be left out:
--   recipe     name of the recipe's file, else NAME
--   lockstep   options of the lock-step, beside `common`
--   curve      options of the curves, beside `common`
--   common     options of both
--   task       'ranking' for data with labels that are to be ranked
--   constants  fun(model, data): tensors by name that the model drew once
--   parts      fun(model, data, o, interactions): what alternates in a step, a list of {name,
--              loss = fun(model, batch), draw = fun(): batch, optimizer}; interactions(data, o) is
--              a draw. Without it there is one part, `loss`, over interactions
local tk = require 'tinykg'
local atomic = require 'tinykg.base.atomic_file'
local feed = require 'tinykg.data.loader'
local json = require 'tinykg.base.json'
local train = require 'tinykg.train'

local home = os.getenv('TINYKG_HOME') or '.'

local function adapter(name)
  local path = ('%s/tests/fidelity/models/%s.lua'):format(home, name)
  local chunk, message = loadfile(path)
  if not chunk then error(message, 0) end
  local a = chunk()
  a.recipe = dofile(('%s/recipes/%s.lua'):format(home, a.recipe or name))
  return a
end

local function data_of(a, dir, out)
  if dir == 'demo' then
    dir = out .. '/demo'
    require('tinykg.data.demo').write(dir, {users = 60, items = 40})
  end
  return tk.data.load(dir, {seed = 0, task = a.task})
end

--- Options of a mode: the adapter's, then those of the command line.
local function options_of(a, mode, given)
  local o = {}
  for _, list in ipairs{a.common or {}, a[mode] or {}, given} do
    for key, value in pairs(list) do o[key] = value end
  end
  return a.recipe:complete(o)
end

local function counts_of(data)
  return {users = data.users, items = data.items, entities = data.entities,
          relations = data.relations, train = data.train.n, task = data.task}
end

local function save_json(path, value)
  assert(atomic.write(path, json.encode(value, {indent = 2}) .. '\n'))
end

-- ---- lock-step ----

--- Batches of interactions, epoch after epoch, with negatives where the data has no labels.
local function interactions(data, o)
  local sampler = data.task ~= 'ctr' and feed.sampler(data, o.negatives) or nil
  local epoch, next_batch = 0, function() end
  return function()
    local batch = next_batch()
    if not batch then
      epoch = epoch + 1
      next_batch = feed.batches(data.train, {size = o.batch_size, seed = tk.seed(), epoch = epoch,
                                             drop_last = o.drop_last, draw = o.draw},
                                sampler)
      batch = next_batch()
    end
    return {users = batch.users, items = batch.items, labels = batch.labels,
            negatives = batch.negatives}
  end
end

local function default_parts(model, data, o, draws)
  return {{name = 'loss', loss = model.loss, draw = draws(data, o)}}
end

local function lockstep(a, data, out, o, steps)
  local model = train.build(a.recipe, data, o)
  local start, batches, losses = {}, {}, {}
  for _, p in ipairs(model:named_parameters()) do start['p.' .. p.name] = p.tensor end
  local constants = a.constants and a.constants(model, data) or {}
  for name, t in pairs(constants) do start['c.' .. name] = t end
  tk.save(out .. '/start.safetensors', start)
  local parts = (a.parts or default_parts)(model, data, o, interactions)
  for _, part in ipairs(parts) do
    part.step = tk.step(function(batch) return part.loss(model, batch) end,
                        {optimizer = part.optimizer or a.recipe.optimizer(o)})
  end
  for k = 1, steps do
    losses[k] = {}
    for _, part in ipairs(parts) do
      local batch = part.draw()
      for field, t in pairs(batch) do
        if tk.is_tensor(t) then batches[('%d.%s.%s'):format(k, part.name, field)] = t:clone() end
      end
      losses[k][part.name] = part.step(batch)
    end
  end
  tk.save(out .. '/batches.safetensors', batches)
  save_json(out .. '/trainer.json', {options = o, counts = counts_of(data), losses = losses})
end

-- ---- curves ----

local function write_data(data, out)
  local all = {}
  for _, part in ipairs{'train', 'valid', 'test'} do
    local rows = data[part]
    if rows and rows.n > 0 then
      all[part .. '.users'] = tk.ids(rows.users, rows.n)
      all[part .. '.items'] = tk.ids(rows.items, rows.n)
      if rows.labels and data.task == 'ctr' then
        local labels = {}
        for i = 0, rows.n - 1 do labels[i + 1] = rows.labels[i] end
        all[part .. '.labels'] = tk.tensor(labels)
      end
    end
  end
  local g = data.graph
  for _, column in ipairs{'heads', 'relations', 'tails'} do
    all['graph.' .. column] = tk.ids(g[column], g.n)
  end
  tk.save(out .. '/data.safetensors', all)
  save_json(out .. '/data.json', counts_of(data))
end

local function curve(a, data, out, o, seed)
  local list = {}
  train.run(a.recipe, data, o, {bits = 32, quiet = true, on_epoch = function(record)
    list[#list + 1] = {epoch = record.epoch, loss = record.loss, losses = record.losses,
                       valid = record.valid}
  end})
  save_json(('%s/curve-%d.json'):format(out, seed), {options = o, epochs = list})
end

-- ---- the command line ----

local function main(mode, name, dir, out, seed, count, ...)
  if not (out and (mode == 'data' or count)) then
    error('usage: trainer.lua lockstep|data|curve MODEL DATA OUT [SEED COUNT [option=value]]', 0)
  end
  assert(atomic.mkdirs(out))
  local a, given = adapter(name), {}
  for _, word in ipairs{...} do
    local key, value = word:match('^([%w_]+)=(.*)$')
    given[key] = value
  end
  local data = data_of(a, dir, out)
  if mode == 'data' then return write_data(data, out) end
  tk.seed(tonumber(seed))
  if mode == 'lockstep' then
    return lockstep(a, data, out, options_of(a, mode, given), tonumber(count))
  end
  given.epochs, given.patience = tonumber(count), 0
  curve(a, data, out, options_of(a, mode, given), tonumber(seed))
end

main(unpack(arg))
