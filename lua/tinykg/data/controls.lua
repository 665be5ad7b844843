--- Controls of the question whether the graph helps: the same data set without its triples, or with
-- triples that say nothing. Entities and relations stay, so a model has the same parameters.

local arrays = require 'tinykg.engine.arrays'

local controls = {}

local STREAM = 0x4B475348

local function none(graph)
  graph.n = 0
  return 'kg=none: its %d triples are left out'
end

-- A random order of all tails: each head keeps its relations, each entity its number of triples.
local function shuffled(graph, seed)
  local order = arrays.permutation(graph.n, seed, 0, STREAM)
  local tails = arrays.ints(graph.n)
  for i = 0, graph.n - 1 do tails[i] = graph.tails[order[i]] end
  arrays.free(order)
  graph.tails = tails
  graph.n = arrays.unique_triples(graph.n, graph.heads, graph.relations, tails, graph.weights)
  return 'kg=shuffled: the tails of its %d triples are shuffled'
end

controls.kinds = { none = none, shuffled = shuffled, given = function() end }

--- Applies option kg to raw.graph, and says so in the warnings, which a run prints.
---@param raw table what a format's load returned ---@param kind string 'given', 'none', 'shuffled'
---@param seed number
function controls.apply(raw, kind, seed)
  local n = raw.graph.n
  local text = n > 0 and controls.kinds[kind](raw.graph, seed)
  if text then raw.warnings[#raw.warnings + 1] = text:format(n) end
end

return controls
