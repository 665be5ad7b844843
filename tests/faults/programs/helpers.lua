--- Functions that the Lua text of a random program calls.
local ffi = require 'ffi'
local arrays = require 'tests.support.arrays'
local tk = require 'tinykg'
local feed = require 'tinykg.data.loader'
local random = require 'tests.faults.programs.random'

local H = {}

--- Writes n numbers of [low, high] into `out`: multiples of 2^-20, which floats hold exactly.
function H.fill(out, n, seed, low, high)
  local generator = random.new(seed)
  for i = 0, n - 1 do
    out[i] = math.floor((low + (high - low) * generator:unit()) * 1048576 + 0.5) / 1048576
  end
end

--- A tensor of such numbers.
function H.numbers(seed, low, high, shape)
  local t = tk.zeros(shape)
  local n = t:count()
  local values = ffi.new('float[?]', math.max(n, 1))
  H.fill(values, n, seed, low, high)
  return t:write(values, 0, n)
end

--- Makes a sampler of `count` items that a user does not have; `lists` are the items of each user.
function H.sampler(lists, items, count, by)
  local csr = arrays.csr(lists)
  local data = {users = #lists, items = items, known = function() return csr end}
  return feed.sampler(data, count, by)
end

--- Heads, relations, tails and negatives of sampled triples.
function H.triples(graph, n, by)
  local batch = graph:sample_triples(n, by)
  return batch.heads, batch.relations, batch.tails, batch.negatives
end

--- Sets how a value is saved, unless it is an input.
function H.keep(x, rule)
  if not x.kept then x:saved_as(rule) end
end

--- A layer whose weight and bias are constants.
function H.layer_norm(d, eps)
  local layer = tk.nn.LayerNorm(d, {eps = eps})
  layer.weight, layer.bias = tk.ones(d), tk.zeros(d)
  return layer
end

-- ---- ops with a gradient of their own ----

H.swish = tk.custom{
  name = 'swish',
  forward = function(ctx, x)
    ctx.x, ctx.s = x, x:sigmoid()
    return x * ctx.s
  end,
  backward = function(ctx, dy) return dy * (ctx.s + ctx.x * ctx.s * (1 - ctx.s)) end,
}

--- Two inputs, a number, values shared by both gradients.
H.mixed = tk.custom{
  name = 'mixed',
  forward = function(ctx, x, y, c)
    ctx.x, ctx.t = x, y:tanh()
    ctx.c = c
    return x * ctx.t * c
  end,
  backward = function(ctx, dy)
    local scaled = dy * ctx.c
    return scaled * ctx.t, scaled * ctx.x * (1 - ctx.t:square())
  end,
}

--- A straight-through estimator: the gradient passes the clamp, times 0.75.
H.straight = tk.custom{
  name = 'straight',
  forward = function(_, x) return x:clamp(-0.5, 0.5) end,
  backward = function(_, dy) return dy * 0.75 end,
}

--- A planted fault, for the tests of this harness: the derivative of tanh is wrong.
H.wrong = tk.custom{
  name = 'wrong',
  forward = function(ctx, x)
    ctx.y = x:tanh()
    return ctx.y
  end,
  backward = function(ctx, dy) return dy * (1 - ctx.y) end,
}

return H
