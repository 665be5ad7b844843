--- Plans for a data set that is not there, of which only the sizes are known: what runs of two
--- generated sets with the same proportions take, drawn out in a straight line. All that grows
--- does so with the nodes and edges; a batch, weights and blocks stay as they are.
local data = require 'tinykg.data'
local inputs = require 'tinykg.bench.inputs'
local memory_plan = require 'tinykg.train.memory.plan'
local options = require 'tinykg.cli.options'
local power_law = require 'tinykg.bench.power_law'
local tables = require 'tinykg.base.tables'

local on_paper = {}

local NAMES = {'users', 'items', 'entities', 'relations', 'interactions', 'triples'}
local MOST = 1e12
-- Nodes of the two sets. Rows are dealt to ranks in 64 parts of a multiple of 1,024: equal ones.
local NODES = {2 ^ 17, 2 ^ 18}

---@class PaperSizes
---@field users integer ---@field items integer ---@field entities integer items are the first
---@field relations integer ---@field interactions integer ---@field triples integer

--- The sizes of --sizes. ---@param list string[] 'users=1000000', ... ---@return PaperSizes
function on_paper.sizes(list)
  local sizes = options.pairs(list, '--sizes')
  for key, text in pairs(sizes) do
    if not tables.any(NAMES, function(name) return name == key end) then
      options.usage('--sizes: %s is not one of %s', key, table.concat(NAMES, ', '))
    end
    local number = tonumber(text)
    sizes[key] = number and options.whole(('%.0f'):format(number), '--sizes ' .. key, 1, MOST)
      or options.usage("--sizes: %s: '%s' is not a number", key, text)
  end
  for _, name in ipairs{'users', 'items', 'interactions'} do
    if not sizes[name] then options.usage('--sizes: %s=N is missing', name) end
  end
  sizes.entities = math.max(sizes.entities or 0, sizes.items)
  sizes.relations = sizes.relations or 1
  sizes.triples = math.max(sizes.triples or 0, sizes.entities)
  return sizes
end

--- A generated set with the proportions of `sizes` and `share` of their nodes and edges.
local function generated(sizes, share, folder)
  local o = {seed = 1, relations = sizes.relations}
  for _, name in ipairs(NAMES) do
    if name ~= 'relations' then o[name] = math.max(1, math.floor(share * sizes[name] + 0.5)) end
  end
  o.entities = math.max(o.entities, o.items)
  o.triples = math.max(o.triples, o.entities)
  local dir = ('%s/%.0f'):format(folder, o.entities)
  power_law.write_kgat(dir, o)
  return data.load(dir, {seed = 0, cache = 'off'})
end

--- What b is `by` times further from it than it is from a, in all numbers of two plans alike.
local function further(a, b, by)
  if type(b) == 'number' and type(a) == 'number' then
    return a == b and b or math.max(0, math.floor(b + (b - a) * by + 0.5))
  end
  if type(b) ~= 'table' or type(a) ~= 'table' then return b end
  local out = setmetatable({}, getmetatable(b))
  for key, value in pairs(b) do out[key] = further(a[key], value, by) end
  return out
end

--- Plans a recipe at some widths. ---@param recipe Recipe ---@param o table its options
---@param s table settings, as of memory_plan.of ---@param widths? integer[]
---@return table<integer, WidthPlan> by bits
function on_paper.plan(recipe, o, s, widths)
  local nodes, plans, out = s.sizes.users + s.sizes.entities, {}, {}
  inputs.with_folder(function(folder)
    for k, some in ipairs(NODES) do
      plans[k] = memory_plan.of(recipe, generated(s.sizes, some / nodes, folder), o, s, widths)
    end
  end)
  local by = (nodes - NODES[2]) / (NODES[2] - NODES[1])
  for bits, width in pairs(plans[2]) do
    local plan = further(plans[1][bits], width, by)
    plan.memory.peak = math.max(plan.memory.peak, plan.step.peak, plan.evaluation.peak)
    out[bits] = plan
  end
  return out
end

--- 'users=25000000, items=...' ---@param sizes PaperSizes
function on_paper.text(sizes)
  return table.concat(tables.map(NAMES, function(name)
    return ('%s %.0f'):format(name, sizes[name])
  end), ', ')
end

return on_paper
