--- Random programs as data: a list of nodes, their values and gradients in double precision.
--
-- A node is {op, args, a, code}: args are numbers of earlier nodes, a what the op's reference is
-- told, code the Lua expression, in which $k stands for argument k and @k for constant k. A leaf is
-- {op = 'leaf', shape, seed, low, high, parameter}. `outputs` says what the loss adds up, with
-- coefficients by seed, and what the function returns.
local arrays = require 'tests.support.arrays'
local helpers = require 'tests.faults.programs.helpers'
local ops = require 'tests.support.reference_graph'
local random = require 'tests.faults.programs.random'

local program = {}

-- What a rounded operation may be off by in the perturbed evaluation: 32 times what it is in float.
local DELTA = 2 ^ -19

local function leaf_value(node)
  local value = arrays.new(node.shape)
  helpers.fill(value.v, value.n, node.seed, node.low, node.high)
  return value
end

--- `rough` is the size of terms that cancelled inside of an op, if they did.
local function perturb(v, n, generator, rough)
  rough = rough or 0
  for i = 0, n - 1 do
    v[i] = v[i] + (math.abs(v[i]) + rough) * DELTA * (2 * generator:unit() - 1)
  end
end

--- The value of one node, the earlier ones being known. With a generator it is off by a little.
function program.value(node, values, generator)
  local value, op
  if node.op == 'leaf' then
    value = leaf_value(node)
  else
    local x = {}
    for k, i in ipairs(node.args) do x[k] = values[i] end
    op = ops[node.op]
    value = op.forward(node.a, x)
  end
  if generator and not (op and op.exact) then
    perturb(value.v, value.n, generator, value.rough)
  end
  return value
end

--- Numbers the streams of what is drawn, in the order of recording.
function program.number_streams(p)
  local stream = p.drawn_streams or 0
  for _, node in ipairs(p.nodes) do
    if node.op ~= 'leaf' and ops[node.op].draws then
      node.a.stream, node.a.seed, stream = stream, p.draw_seed, stream + 1
    end
  end
  return stream
end

function program.draws(p) return #p.prologue > 0 or program.number_streams(p) > 0 end

--- Whether gradients have noise whatever the step's bits are.
function program.is_noisy(p)
  for _, node in ipairs(p.nodes) do
    if node.bits and node.bits < 32 then return true end
  end
  return false
end

local function coefficients(output, n)
  local v = arrays.doubles(n + 1)
  helpers.fill(v, n, output.seed, -1, 1)
  return v
end

local function add_loss(p, values)
  local loss, size = 0, 0
  for _, output in ipairs(p.outputs) do
    local value = values[output.node]
    local by = coefficients(output, value.n)
    for i = 0, value.n - 1 do
      loss, size = loss + value.v[i] * by[i], size + math.abs(value.v[i] * by[i])
      value.g[i] = value.g[i] + by[i]
    end
  end
  return loss, size
end

--- Adds what node i brings to the gradients of its inputs; with a generator each part of it is off
--- by a little, so that parts that cancel leave what they leave in float32.
local function pass_back(node, value, values, generator)
  local x = {}
  for k, j in ipairs(node.args) do
    local input = values[j]
    x[k] = generator and {shape = input.shape, n = input.n, v = input.v,
                          g = arrays.doubles(input.n + 1)} or input
  end
  ops[node.op].backward(node.a, value, x)
  for k, j in ipairs(generator and node.args or {}) do
    local part, sum = x[k].g, values[j].g
    perturb(part, x[k].n, generator, x[k].rough_g) -- the same of terms of a gradient
    for i = 0, x[k].n - 1 do sum[i] = sum[i] + part[i] end
  end
end

--- Everything in double precision: values with gradients .g of the loss, the loss, and the sum of
--- its terms' sizes. With a seed all is off by roundings drawn from it.
function program.evaluate(p, seed)
  program.number_streams(p)
  local generator, values = seed and random.new(seed), {}
  for i, node in ipairs(p.nodes) do
    values[i] = program.value(node, values, generator)
    values[i].g = arrays.doubles(values[i].n + 1)
  end
  local loss, size = add_loss(p, values)
  for i = #p.nodes, 1, -1 do
    local node = p.nodes[i]
    if node.op ~= 'leaf' then pass_back(node, values[i], values, generator) end
  end
  return values, loss, size
end

--- Whether a node's value y (x: perturbed) is fit to compare with: finite, of ordinary size, not
--- made of roundings.
function program.is_sound(y, x)
  local most, off = arrays.largest(y), 0
  if most >= 1e3 or most ~= most or (most > 0 and most < 1e-3) then return false end
  for i = 0, y.n - 1 do off = math.max(off, math.abs(y.v[i] - x.v[i])) end
  return off <= 2e-4 * most
end

--- Whether rounding decides nothing at this node.
function program.is_away_from_kinks(node, values, others)
  local margin = node.op ~= 'leaf' and ops[node.op].margin
  if not margin then return true end
  local x, y = {}, {}
  for k, i in ipairs(node.args) do x[k], y[k] = values[i], others[i] end
  return margin(node.a, x, y)
end

--- Evaluates a program made by hand or by the minimiser: whether each node is sound.
function program.is_valid(p)
  program.number_streams(p)
  local generator, values, others = random.new(p.seed), {}, {}
  for i, node in ipairs(p.nodes) do
    if not program.is_away_from_kinks(node, values, others) then return false end
    values[i] = program.value(node, values)
    others[i] = program.value(node, others, generator)
    if not program.is_sound(values[i], others[i]) then return false end
  end
  return true
end

return program
