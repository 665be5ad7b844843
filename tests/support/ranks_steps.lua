--- A program that specs start on several ranks: takes one step of each of some small networks, over
--- tables of as many columns as its argument says, and prints losses and sums of the gradients'
--- bits. What it prints does not depend on the number of ranks. A step sends as many bytes as its
--- plan says.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local runtime = require 'tinykg.engine.runtime'
local tk = require 'tinykg'
package.path = './?.lua;' .. package.path

local ROWS, RELATIONS, BATCH = 5000, 3, 4096
local d = tonumber(arg and arg[1]) or 16

local draws = require 'tests.support.draws'(7)

local function table_of(rows) return tk.parameter(tk.xavier(rows, d)) end

tk.seed(3)
local heads, tails = draws(30000, ROWS), draws(30000, ROWS)
for i = 1, 2000 do tails[i] = 5 end -- a hub
local g = tk.graph{head = heads, relation = draws(30000, RELATIONS), tail = tails, nodes = ROWS,
                   relations = RELATIONS, inverse = true}
local p = {x = table_of(ROWS), y = table_of(ROWS), square = table_of(d), intents = table_of(4),
           relations = table_of(2 * RELATIONS),
           projections = tk.parameter(tk.xavier(2 * RELATIONS, d, d, 'torch')),
           bias = tk.parameter(tk.zeros(d))}
local one, other = tk.ids(draws(BATCH, ROWS)), tk.ids(draws(BATCH, ROWS))
local by = tk.ids(draws(BATCH, 2 * RELATIONS))
local sampled = tk.ids(draws(4 * BATCH, ROWS)):reshape(-1)

local attention = tk.attention.new(g)

local function bpr(a, b) return (a:gather(one) * b:gather(other)):sum(2):softplus():mean() end
local function layer(x) return (x:matmul(p.square) + p.bias):leaky_relu() end

local networks = {
  {'product', function() return layer(p.x):square():mean() end},
  {'dropout', function() return bpr(layer(p.x):dropout(.3):normalize(), p.y) end},
  {'rows', function() return (p.x:rows(1, 2500) * g:aggregate(p.x):rows(1, 2500)):sum() end},
  {'sum', function() return bpr(g:aggregate(p.x) + p.x, p.y) end},
  {'two sums', function() return bpr(layer(g:aggregate(layer(g:aggregate(p.x)))), p.y) end},
  {'bi-interaction', function()
    local y = g:aggregate(p.x, {recompute = true})
    return bpr((layer(p.x + y) + layer(p.x * y)):dropout(.1):normalize(), p.x)
  end},
  {'rows of layers', function()
    local function bi(x)
      local y = g:aggregate(x, {recompute = true})
      return layer(x + y) + layer(x * y)
    end
    local x = bi(p.x)
    return bpr(tk.cat({x, bi(x)}, 2), tk.cat({p.y, p.y}, 2))
  end},
  {'relations', function()
    local left = g:dropout(.5)
    local y = left:aggregate(p.x, {relation = p.relations, reduce = 'mean'}):normalize()
    y = y + left:aggregate(y, {relation = p.relations, reduce = 'mean'}):normalize()
    return bpr(y, p.x)
  end},
  {'intents', function()
    local beta = p.x:matmul(p.intents, {transpose_b = true}):softmax()
    return bpr((g:aggregate(p.y) * (beta:matmul(p.intents) + 1)):normalize(), p.y)
  end},
  {'triples', function()
    local h = tk.grouped_matmul(p.x:gather(one), p.projections, by)
    local t = tk.grouped_matmul(p.x:gather(other), p.projections, by)
    return (h + p.relations:gather(by) - t):square():sum(2):softplus():mean()
  end},
  {'neighbours', function()
    local weights = (p.y:gather(one):matmul(p.intents, {transpose_b = true})):softmax()
    local rows = p.x:gather(sampled):reshape(-1, d)
    return tk.neighbor_sum(weights, rows):matmul(p.square):tanh():square():mean()
  end},
  {'attention', function()
    local scores = attention:scores(p.x, p.projections, p.relations)
    return bpr(g:aggregate(p.x, {weight = g:softmax(scores)}), p.y)
  end},
  {'columns', function() return tk.cat({p.x, layer(p.y)}, 2):gather(one):square():mean() end},
}

--- A sum of the bits of a tensor's numbers, which notes their places.
local function bits(t)
  local values, n = t:values()
  local words, sum = ffi.cast('uint32_t *', values), 0
  for i = 0, n - 1 do sum = (sum * 31 + words[i]) % 4294967291 end
  return sum
end

local function sent()
  return C.tkg_collective_bytes(runtime.engine, 'all_to_all')
    + C.tkg_collective_bytes(runtime.engine, 'all_gather')
    + C.tkg_collective_bytes(runtime.engine, 'all_reduce')
end

for _, width in ipairs{32, 2} do
  for _, network in ipairs(networks) do
    local step = tk.step(network[2], {bits = width})
    local before = sent()
    local out = {('%s, %d bits, %d columns: %.9g'):format(network[1], width, d, step())}
    local planned = step:figure('exchanged_bytes')
    assert(sent() - before == planned, ('%s: %.0f bytes are sent, %.0f planned'):format(network[1],
      sent() - before, planned))
    for _, name in ipairs{'x', 'y', 'square', 'intents', 'relations', 'projections', 'bias'} do
      local gradient = p[name].grad
      if gradient then out[#out + 1] = ('%s %.0f'):format(name, bits(gradient)) end
      p[name].grad = nil
    end
    if tk.rank() == 0 then print(table.concat(out, '  ')) end
  end
end
