--- Time of a step and memory of a run as data and models grow: against edges, nodes, width, layers,
--- batch and threads, each alone, on generated graphs with a power law of degrees.
local lfs = require 'lfs'
local C = require 'tinykg.engine.lib'
local atomic_file = require 'tinykg.base.atomic_file'
local format = require 'tinykg.base.format'
local json = require 'tinykg.base.json'
local must = require 'tinykg.base.must'
local power_law = require 'tinykg.bench.power_law'
local recipe_file = require 'tinykg.train.recipe_file'
local runtime = require 'tinykg.engine.runtime'
local step_timer = require 'tinykg.bench.step_timer'
local tables = require 'tinykg.base.tables'
local tk = require 'tinykg'

local COLUMNS = {{'model', 'model'}, {'bits', 'bits', '%d'}, {'axis', 'against'},
  {'at', 'at', '%.0f'}, {'edges', 'edges', '%.0f'}, {'nodes', 'nodes', '%.0f'},
  {'ms', 'min ms', '%.1f'}, {'bytes', 'bytes at most', '%.0f'}}

local BASE = {edges = 1e6, nodes = 1e5, width = 64, layers = 3, batch = 1024, threads = 1}
local AXES = {
  {name = 'edges', at = {1e5, 3e5, 1e6, 3e6, 1e7}},
  {name = 'nodes', at = {1e4, 3e4, 1e5, 3e5, 1e6}},
  {name = 'width', at = {16, 32, 64, 128}},
  {name = 'layers', at = {1, 2, 3, 4}},
  {name = 'batch', at = {256, 1024, 4096, 16384}},
  {name = 'threads', at = {1, 2, 4, 8, 16}},
}
local SMALLER = {edges = 100, nodes = 100, batch = 16} -- times, with --quick
local QUICK_POINTS, QUICK_SECONDS = 2, 0.02 -- of an axis; of a point
local ON_PAPER = 10 -- times the most edges that are run
local BITS = {32, 2}

--- Recipes, and their options for a point.
local MODELS = {
  {recipe = 'lightgcn', options = function(p) return {layers = tostring(p.layers)} end},
  {recipe = 'kgat', options = function(p)
    local widths = {}
    for k = 1, p.layers do widths[k] = p.width end
    return {layers = table.concat(widths, ',')}
  end},
}

-- ---- points ----

--- A generated set of so many nodes and edges: for LightGCN all edges are interactions, for KGAT
--- half of them are triples.
local function data_of(model, p, folder)
  local with_graph = model.recipe == 'kgat'
  local users = math.floor(p.nodes / 2)
  local items = math.floor(p.nodes * (with_graph and 0.2 or 0.5))
  local entities = with_graph and math.floor(p.nodes / 2) or items
  local dir = ('%s/growth-%s-%.0f-%.0f'):format(folder, model.recipe, p.edges, p.nodes)
  power_law.write_kgat(dir, {
    users = users, items = items, entities = entities, relations = 10, seed = 1,
    interactions = with_graph and p.edges / 2 or p.edges,
    triples = with_graph and math.max(entities, p.edges / 2) or entities})
  local data = tk.data.load(dir, {seed = 0})
  for _, name in ipairs{'train.txt', 'test.txt', 'kg_final.txt'} do
    os.remove(dir .. '/' .. name)
  end
  lfs.rmdir(dir)
  return data, data.train.n + (with_graph and data.graph.n or 0),
    data.users + (with_graph and data.entities or data.items)
end

--- The first phase's step of a model at a width of saved values: {ms, bytes at most}.
local function measure_step(model, p, data, bits, seconds)
  local options = tables.merged({dim = tostring(p.width), batch_size = tostring(p.batch)},
                                model.options(p))
  local path = recipe_file.along('recipes/' .. model.recipe .. '.lua')
  runtime.collect(true)
  C.tkg_engine_trim(runtime.engine)
  C.tkg_memory_reset_peak(runtime.engine)
  local run = step_timer.trainer(path, options, data, bits)
  step_timer.time_phase({run}, 1, {seconds = seconds})
  return run.name, run.min, C.tkg_memory_peak(runtime.engine, -1)
end

--- The points of an axis: BASE with one value changed.
local function points_of(axis, o)
  local list = {}
  for i, at in ipairs(axis.at) do
    if o.quick and i > QUICK_POINTS then break end
    local p = tables.merged(BASE, {[axis.name] = at})
    for name, by in pairs(o.quick and SMALLER or {}) do p[name] = p[name] / by end
    if p.threads <= o.cores then list[#list + 1] = p end
  end
  return list
end

local function measure_point(model, axis, p, o, records)
  local data, edges, nodes = data_of(model, p, o.folder)
  tk.threads(p.threads)
  for _, bits in ipairs(BITS) do
    local name, ms, bytes = measure_step(model, p, data, bits,
                                         o.quick and QUICK_SECONDS or o.seconds)
    records[#records + 1] = {
      model = name, bits = bits, axis = axis.name, edges = edges, nodes = nodes, ms = ms,
      bytes = bytes,
      at = axis.name == 'edges' and edges or axis.name == 'nodes' and nodes or p[axis.name]}
  end
end

-- ---- beyond what is run ----

--- What the last two points of a line give ten times further on: both figures grow by a constant
--- and an amount per edge.
local function on_paper(records)
  local last, before = {}, {}
  for _, r in ipairs(records) do
    local key = r.model .. r.bits
    if r.axis == 'edges' then before[key], last[key] = last[key], r end
  end
  for _, key in ipairs(tables.sorted_keys(last)) do
    local a, b = before[key], last[key]
    local at = ON_PAPER * b.at
    local function further(name)
      local each = math.max(0, (b[name] - a[name]) / (b.at - a.at))
      return b[name] + each * (at - b.at)
    end
    records[#records + 1] = tables.merged(b, {at = at, edges = at, ms = further 'ms',
                                              bytes = further 'bytes', paper = true})
  end
end

---@param o table {quick, seconds, folder, out}
---@param out tinykg.BenchOutput
return function(o, out)
  local threads, records = tk.threads(), {}
  tk.threads(0)
  o.cores = tk.threads()
  for _, model in ipairs(MODELS) do
    for _, axis in ipairs(AXES) do
      for _, p in ipairs(points_of(axis, o)) do
        out:doing(('%s, %s %.0f'):format(model.recipe, axis.name, p[axis.name]))
        measure_point(model, axis, p, o, records)
      end
    end
  end
  tk.threads(threads)
  on_paper(records)
  out:heading('growth of steps and of memory; without its axis: %s, %s, width %d, %s, batch %d, %s',
    format.count(BASE.edges, 'edge'), format.count(BASE.nodes, 'node'), BASE.width,
    format.count(BASE.layers, 'layer'), BASE.batch, format.count(BASE.threads, 'thread'))
  out:table('growth', COLUMNS, records)
  if not o.out then return end
  must(atomic_file.mkdirs(o.out))
  must(atomic_file.write(o.out .. '/growth.json', json.encode(records, {indent = 1}) .. '\n'))
  require('tinykg.bench.growth.page').write(o.out, records)
end
