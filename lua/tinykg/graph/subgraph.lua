--- Weights of a random part of a graph of interactions, normalised by the degrees in that part, for
--- models that compare two views of one graph (SGL: Wu et al., SIGIR 2021, section 3.1).
local arrays = require 'tinykg.engine.arrays'
local ops = require 'tinykg.engine.ops'
local packed = require 'tinykg.graph.packed'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'

--- The number of the interaction that each edge stands for, int32 [edges]: interaction k is the
--- k-th of the users' edges, which follow the items'. Made once.
local function interaction_of(graph)
  local shared = graph.shared
  if not shared.interaction_of then
    local offsets, tails = packed.read(graph, 'offsets'), packed.read(graph, 'tails')
    local half, numbers = graph.edges / 2, arrays.ints(graph.edges)
    for p = half, graph.edges - 1 do
      local item = tails[p] -- users ascend, and so do an item's tails: its next edge is the reverse
      numbers[p], numbers[offsets[item]] = p - half, p - half
      offsets[item] = offsets[item] + 1
    end
    shared.interaction_of = tensor.constant(tensor.I32, {graph.edges}, numbers)
    arrays.free(offsets, tails, numbers)
  end
  return shared.interaction_of
end

--- Ones [n] with `count` zeros at places drawn without replacement.
local function mask(n, count)
  if count == 0 then return ops.full(1, n) end
  local a = tensor.attribute()
  a.i[0], a.i[2] = count, n
  local drawn = tensor.record('sample', a)
  return (1 - ops.full(1, count, 1):scatter_add(drawn, n)):reshape(n)
end

local left = {}

--- Whether an edge stays, if a share p of the interactions goes.
function left.edges(graph, p)
  local n = graph.edges / 2
  return mask(n, n - math.floor(n * (1 - p))):gather(interaction_of(graph))
end

--- Whether an edge stays, if a share p of the users and of the items goes with all their edges.
function left.nodes(graph, p)
  local items, users = graph.first_user, graph.nodes - graph.first_user
  local stay = ops.cat{mask(items, math.floor(items * p)), mask(users, math.floor(users * p))}
  return stay:gather(graph:heads()) * stay:gather(graph:tails())
end

local function check(graph, p, what)
  local fits = graph.first_user and graph.of == 'interactions' and graph.train
    and graph.edges == 2 * graph.train.n
  if not fits then
    runtime.fail('subgraph_weights: of tk.graph(data, {of = \'interactions\', merged = true, ' ..
                 'undirected = true})')
  end
  if not left[what] then
    runtime.fail("subgraph_weights: '%s' is not edges or nodes", tostring(what))
  end
  if not (p >= 0 and p < 1) then
    runtime.fail('subgraph_weights: a share of %s, expected 0 up to 1', tostring(p))
  end
end

---@return Tensor [edges]
return function(graph, p, what, before)
  check(graph, p, what)
  local stays = left[what](graph, p)
  local degree = graph:weighted(stays):aggregate(ops.full(1, graph.nodes, 1))
  local root = (1 / degree:clamp(1):sqrt()):reshape(graph.nodes)
  local weights = (stays * root:gather(graph:heads()) * root:gather(graph:tails())):keep()
  if before then before:free() end
  return weights
end
