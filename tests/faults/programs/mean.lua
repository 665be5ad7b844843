--- Gradients at few bits: right on average. The mean of 64 of them, with other noise each, lies
--- within five standard errors of the exact gradient.
--
-- Compared are the elements and two sums with random signs of each parameter's gradient. What lies
-- outside is looked at once more with 1,024 other gradients: chance does not last, a bias does.
local ffi = require 'ffi'
local tk = require 'tinykg'
local compare = require 'tests.faults.programs.compare'
local engine = require 'tests.faults.programs.engine'
local random = require 'tests.faults.programs.random'

local mean = {}

mean.FIRST, mean.SECOND, mean.ERRORS = 64, 1024, 5

--- Places of the numbers that are compared: elements of each gradient, then two sums of each.
local function layout(gradients)
  local first, total = {}, 0
  for k, g in ipairs(gradients) do
    first[k] = total
    total = total + (g and g.n + 2 or 0)
  end
  return first, total
end

--- Numbers of one set of gradients into x.
local function numbers(gradients, first, signs, x)
  for k, g in ipairs(gradients) do
    if g then
      local at, one, two = first[k], 0, 0
      for i = 0, g.n - 1 do
        x[at + i] = g.v[i]
        one, two = one + g.v[i] * signs[at + i], two + g.v[i] * signs[at + i + 1]
      end
      x[at + g.n], x[at + g.n + 1] = one, two
    end
  end
end

local function read(parameters)
  local list = {}
  for k, w in ipairs(parameters) do
    if w.grad then
      local v, n = w.grad:values()
      list[k] = {v = v, n = n}
    else
      list[k] = false
    end
  end
  return list
end

local function varies(squares, total)
  for i = 0, total - 1 do if squares[i] > 0 then return true end end
  return false
end

local EARLY = 8 -- steps after which all gradients being the same says that nothing is noisy

--- Means and standard errors over `count` steps with the given options, over fewer if nothing
--- varies; and whether anything does.
local function sample(f, parameters, options, count, first, total, signs)
  local step = tk.step(f, options)
  local x, sum = ffi.new('double[?]', total + 1), ffi.new('double[?]', total + 1)
  local squares, center = ffi.new('double[?]', total + 1), ffi.new('double[?]', total + 1)
  for n = 1, count do
    step()
    numbers(read(parameters), first, signs, x)
    if n == 1 then ffi.copy(center, x, 8 * total) end
    for i = 0, total - 1 do
      local d = x[i] - center[i] -- from the first: no small difference of large squares
      sum[i], squares[i] = sum[i] + d, squares[i] + d * d
    end
    if n == EARLY and not varies(squares, total) then return x, squares, false end
  end
  for i = 0, total - 1 do
    local d = sum[i] / count
    squares[i] = math.sqrt(math.max(0, squares[i] / count - d * d) / (count - 1))
    sum[i] = center[i] + d
  end
  return sum, squares, true
end

--- Beside standard errors, as a part of a gradient's largest element: float32's rounding; for
--- stochastic rounding what a code that was never drawn among `count` may weigh.
local function allowed(options, count)
  return options.rounding == 'stochastic' and 8 / count or 2e-5
end

--- Places of the numbers outside of five standard errors and what is allowed beside them.
local function outside(average, errors, exact, total, beside)
  local list = {}
  for i = 0, total - 1 do
    local off = math.abs(average[i] - exact[i])
    if off > mean.ERRORS * errors[i] + beside[i] or off ~= off then list[#list + 1] = i end
  end
  return list
end

local function signs_of(seed, total)
  local signs, r = ffi.new('double[?]', total + 2), random.new(seed)
  for i = 0, total do signs[i] = r:one_in(2) and 1 or -1 end
  return signs
end

--- What is allowed beside standard errors for each number: `part` of the gradient's largest (for
--- its sums, of all of it), and twice the gradient's tolerance.
local function allowances(gradients, first, total, part, tolerances)
  local most = ffi.new('double[?]', total + 1)
  for k, g in ipairs(gradients) do
    local largest, all, n = 0, 0, g and g.n or 0
    for i = 0, n - 1 do
      largest, all = math.max(largest, math.abs(g.v[i])), all + math.abs(g.v[i])
    end
    local more = tolerances and 2 * tolerances[k] or 0
    for i = 0, n - 1 do most[first[k] + i] = part * largest + more end
    if g then
      most[first[k] + n], most[first[k] + n + 1] = part * all + n * more, part * all + n * more
    end
  end
  return most
end

--- What is wrong with the gradients of a loaded program at few bits, or nil; and whether some were
--- noisy at all.
---@param options table of the step
function mean.check(load, p, options)
  engine.begin(p, {})
  local f, parameters = load()
  tk.step(f)()
  local gradients = read(parameters)
  local first, total = layout(gradients)
  local exact, signs = ffi.new('double[?]', total + 1), signs_of(p.seed, total)
  numbers(gradients, first, signs, exact)
  local beside = allowances(gradients, first, total, allowed(options, mean.FIRST))
  local average, errors, noisy = sample(f, parameters, options, mean.FIRST, first, total, signs)
  local suspects = outside(average, errors, exact, total, beside)
  if #suspects == 0 then return nil, noisy end
  beside = allowances(gradients, first, total, allowed(options, mean.SECOND),
                      compare.gradient_tolerances(compare.reference(p)))
  average, errors = sample(f, parameters, options, mean.SECOND, first, total, signs)
  local still = {}
  for _, i in ipairs(outside(average, errors, exact, total, beside)) do still[i] = true end
  for _, i in ipairs(suspects) do
    if still[i] then
      return ('gradient %d is %.6g on average, %.6g exactly: %.1f standard errors'):format(
        i, average[i], exact[i], math.abs(average[i] - exact[i]) / errors[i]), noisy
    end
  end
  return nil, noisy
end

return mean
