-- Every op of the table: values against a double-precision reference, gradients against finite
-- differences of that reference, each with every instruction set of the machine, in memory full of
-- NaN, and bit by bit the same with 1, 2 and 4 threads. An op without a case fails the last test.
local ffi = require 'ffi'
local tk = require 'tinykg'
local C = require 'tinykg.engine.lib'
local graphs = require 'tests.support.graphs'
local reference = require 'tests.support.reference_ops'
local engine = require 'tests.support.tensors'
local CASES = require 'tests.support.op_cases'


local to_tensor, flat, bytes_of = engine.of, engine.flat, engine.bytes
local checked = os.getenv 'TINYKG_CHECK' -- under a checker: the small cases only

-- ---- the inputs of a case ----

local KINDS = {
  plain = function(x) return x end,
  positive = function(x) return math.abs(x) + 0.25 end,
  high = function(x) return math.abs(x) + 4.25 end,
  apart = function(x) return x < 0 and x - 0.25 or x + 0.25 end,
  within = function(x) return x * 0.49 end,
  dropped = function(x) return x < 0 and 0 or x end,
}

local function generate(case, random)
  local inputs = {}
  for k, spec in ipairs(case) do
    inputs[k] = reference.array(spec.shape, function(i)
      if spec.given then return spec.given[i] end
      if spec.rows then return math.floor(random() * spec.rows) end
      return KINDS[spec.kind]((2 * math.floor(random() * 4096) + 1) / 2048 - 2)
    end)
    inputs[k].ids, inputs[k].graph = not spec.kind, spec.given and spec.given.graph
  end
  return inputs
end

--- What these record has no gradient, and says so; and what has no floats that could have one, or
--- is a comparison.
local NO_GRADIENT = {}
local NO_FLOATS = {full = true, argmax = true, aggregate_argmax = true, inverse_index = true,
                   first_index = true, triples = true, neighborhood = true, merge_index = true,
                   top_k = true, greater = true, greater_equal = true, equal = true,
                   not_equal = true}
for _, op in ipairs(require 'tests.support.op_table') do
  NO_GRADIENT[op.name] = op.vjp == 'none' and CASES[op.name] and not NO_FLOATS[op.name] or nil
end

-- ---- running a case ----

local function record(op, case, tensors)
  -- its gradient is that of the row, which includes its norm
  if op == 'normalize' then
    tensors = {tensors[1], engine.record('row_norm', case, tensors)}
  end
  return engine.record(op, case, tensors)
end

local function to_array(t)
  local out = flat(t)
  out.shape = t:size()
  return out
end

-- In few long rows: a GPU's tiles have 16 rows.
local nothing = {}
for k, cols in ipairs {50, 500, 5000} do nothing[k] = tk.full(0 / 0, 60, cols) end

--- Fills the memory of steps with NaN, so that what an op leaves unwritten or reads too much shows:
--- its beginning, ten times what a result and its inputs take, or 1.2 MB.
---@param result table ---@param inputs table[] arrays or tensors, as the result
local function poison(result, inputs)
  local count, k = 64, 1
  for _, x in ipairs {result, unpack(inputs)} do count = count + (x.count and x:count() or #x) end
  while k < #nothing and nothing[k]:count() < 10 * count do k = k + 1 end
  tk.no_grad(function() return nothing[k] * nothing[k] + nothing[k] end)
end

local guard = tk.full(7, 16)

--- A copy in the memory of steps, with NaN around it.
local function in_step(t)
  if t:dtype() == 'f32' then return t * 1 end
  return t:rank() == 0 and t or t:narrow(1, 1, t:size(1))
end

--- The result, of `want`'s size, between two values that must stay as they are.
local function guarded(op, case, tensors, want)
  poison(want, tensors)
  local before, out, after = tk.no_grad(function()
    local left, copies = guard * 1, {}
    for k, t in ipairs(tensors) do copies[k] = in_step(t) end
    local result = record(op, case, copies)
    return left, result, guard * 1
  end)
  assert(bytes_of(before) == bytes_of(guard) and bytes_of(after) == bytes_of(guard),
         op .. ' wrote outside its result')
  return out
end

--- Gradients of sum(output * weights).
local function gradients(op, case, inputs, weights)
  poison(weights, inputs)
  local parameters, list = {}, {}
  for k, x in ipairs(inputs) do
    parameters[k] = x.ids and to_tensor(x) or tk.parameter(to_tensor(x))
  end
  local loss = (record(op, case, parameters) * weights):sum()
  loss:backward()
  for k, p in ipairs(parameters) do list[k] = not inputs[k].ids and p.grad or false end
  return list
end

-- ---- comparing ----

local function describe_case(op, case)
  local shapes = {}
  for k, spec in ipairs(case) do shapes[k] = '[' .. table.concat(spec.shape, ',') .. ']' end
  return op .. ' ' .. table.concat(shapes, ' ') ..
    (case.i and ' i = ' .. table.concat(case.i, ',') or '')
end

--- False for NaN.
local function at_most(error, limit) return error <= limit end

local function compare(got, want, what)
  assert.same(want.shape, got.shape, what)
  local most = 0
  for i = 1, #want do most = math.max(most, math.abs(want[i])) end
  for i = 1, #want do
    if not at_most(math.abs(got[i] - want[i]), 2e-6 * (most + 1) + 1e-5 * math.abs(want[i])) then
      error(('%s: element %d is %.9g, expected %.9g'):format(what, i, got[i], want[i]), 0)
    end
  end
end

--- Directions to try: everything at once, and single elements where that is cheap.
local function directions(x, random)
  local list = {reference.array(x.shape, function() return random() - 0.5 end)}
  if #x > 2500 then return list end
  for _ = 1, math.min(#x, 8) do
    local one = reference.array(x.shape)
    one[math.floor(random() * #x) + 1] = 1
    list[#list + 1] = one
  end
  return list
end

--- For each input, pairs of a direction and the derivative along it.
local function expected_slopes(op, case, inputs, weights, random)
  local function f(changed)
    local out, sum = reference.ops[op](changed, case), 0
    for i = 1, #out do sum = sum + out[i] * weights[i] end
    return sum
  end
  local slopes = {}
  for k, x in ipairs(inputs) do
    slopes[k] = {}
    for _, direction in ipairs(x.ids and {} or directions(x, random)) do
      table.insert(slopes[k], {direction, reference.along(f, inputs, k, direction)})
    end
  end
  return slopes
end

local function compare_slopes(gradient, slopes, what)
  for _, pair in ipairs(slopes) do
    local sum, scale = 0, 1
    for i = 1, #gradient do
      local term = gradient[i] * pair[1][i]
      sum, scale = sum + term, scale + math.abs(term)
    end
    if not at_most(math.abs(sum - pair[2]), 5e-6 * scale) then
      error(('%s: slope %.9g, expected %.9g'):format(what, sum, pair[2]), 0)
    end
  end
end

-- ---- the walk ----

local isas = {}
for _, name in ipairs {'sse2', 'avx2', 'avx512', 'neon'} do
  if C.tkg_set_isa(name) == 0 then isas[#isas + 1] = name end
end
C.tkg_set_isa(nil)
if checked then isas = {isas[#isas]} end
local thread_counts = {1, 2, 4}
if tk.device() ~= 'cpu' then isas, thread_counts = {isas[#isas]}, {1, 1} end -- twice: the same bits

local function differentiable(op, inputs)
  local floats = not NO_GRADIENT[op] and not NO_FLOATS[op]
  if not floats then return false end
  local graph = inputs[1].graph
  if graph then return math.floor(graph.layout / graphs.ONE_WAY) % 2 == 0 end
  return not inputs[1].ids
end

local function check_case(op, case, seed)
  local random, what = reference.random(seed), describe_case(op, case)
  local inputs = generate(case, random)
  local want = reference.ops[op](inputs, case)
  local weights = reference.array(want.shape, function()
    return reference.f32(random() - 0.5)
  end)
  local slopes = differentiable(op, inputs) and
    expected_slopes(op, case, inputs, weights, random)
  local tensors, weight = {}, to_tensor(weights)
  for k, x in ipairs(inputs) do tensors[k] = to_tensor(x) end

  for _, isa in ipairs(isas) do
    local seen
    C.tkg_set_isa(isa)
    for _, threads in ipairs(thread_counts) do
      tk.threads(threads)
      local here = ('%s (%s, %d threads)'):format(what, isa, threads)
      local bytes = {bytes_of(guarded(op, case, tensors, want)),
                     bytes_of(record(op, case, tensors))}
      assert(bytes[1] == bytes[2], here .. ': depends on where it lies')
      local grads = slopes and gradients(op, case, inputs, weight) or {}
      for _, g in ipairs(grads) do bytes[#bytes + 1] = g and bytes_of(g) or '' end
      if not seen then
        compare(to_array(record(op, case, tensors)), want, here)
        for k, g in ipairs(grads) do
          if g then
            assert.same(inputs[k].shape, g:size(), here)
            compare_slopes(to_array(g), slopes[k], here .. ', gradient ' .. k)
          end
        end
      end
      seen = seen or table.concat(bytes)
      assert(seen == table.concat(bytes), here .. ': other bits than with one thread')
    end
  end
end

--- Of an op's name alone, so that another op changes no case.
local function seed_of(op)
  local seed = 0
  for i = 1, #op do seed = (seed * 31 + op:byte(i)) % 1000003 end
  return 1000 * seed
end

describe('op', function()
  after_each(function()
    C.tkg_set_isa(nil)
    tk.threads(0)
  end)

  local names = {}
  for op in pairs(CASES) do names[#names + 1] = op end
  table.sort(names)
  for _, op in ipairs(names) do
    it(op, function()
      for k, case in ipairs(CASES[op]) do
        local large = case[1] and reference.count(case[1].shape) > 50000
        if not (checked and large) then check_case(op, case, seed_of(op) + k) end
      end
    end)
  end

  it('without a gradient says so', function()
    for op in pairs(NO_GRADIENT) do
      local case = CASES[op][3]
      local inputs = generate(case, reference.random(1))
      local weights = to_tensor(reference.ops[op](inputs, case))
      local ok, message = pcall(gradients, op, case, inputs, weights)
      assert.is_false(ok, op)
      assert.truthy(message:find('backward: ' .. op .. ' has no gradient', 1, true), message)
    end
  end)

  it('has a case, or a spec that names it', function()
    local elsewhere = {
      leaf = 'ops_memory_spec', encode = 'ops_memory_spec', decode = 'ops_memory_spec',
      sign_mask = 'ops_memory_spec', dropout = 'ops_sampling_spec',
      random = 'ops_random_spec',
      sample = 'ops_sampling_spec', sample_neighbors = 'ops_sampling_spec',
      sample_negatives = 'ops_sampling_spec', sample_tails = 'ops_sampling_spec',
      detach = 'ops_custom_spec', upstream = 'ops_custom_spec', custom_vjp = 'ops_custom_spec',
      sgd = 'ops_training_spec', adam = 'ops_training_spec', adagrad = 'ops_training_spec',
      exchange = 'spread_spec', adam_blocks = 'ops_adam8_spec', widen = 'parameter_bits_spec',
    }
    for op = 0, C.tkg_op_count() - 1 do
      local name = ffi.string(C.tkg_op_name(op))
      local spec = elsewhere[name]
      local file = spec and io.open('tests/spec/engine/' .. spec .. '.lua')
      local text = file and file:read '*a' or ''
      if file then file:close() end
      assert.truthy(CASES[name] or text:find("it%('[^']*%f[%w_]" .. name .. '%f[^%w_]'),
                    name .. ' has no case in op_cases.lua')
    end
  end)
end)
