--- Two updates of an optimizer beside the papers' formulas in double precision, given the engine's
--- own gradients (which are checked by themselves).
local bit = require 'bit'
local ffi = require 'ffi'
local tk = require 'tinykg'
local arrays = require 'tests.support.arrays'
local engine = require 'tests.faults.programs.engine'

local updates = {}

local RATE, EPS, BETA1, BETA2 = 0.05, 1e-8, 0.9, 0.999

local KINDS = {
  {name = 'sgd', options = {lr = RATE}},
  {name = 'sgd with momentum', options = {lr = RATE, momentum = 0.5, weight_decay = 0.125}},
  {name = 'adam', options = {lr = RATE}},
  {name = 'adam with weight decay', options = {lr = RATE, weight_decay = 0.25}},
  {name = 'adagrad', options = {lr = RATE, weight_decay = 0.125}},
  {name = 'adagrad, plain', options = {lr = RATE}},
  -- Everything reads the widened copy, not only what cannot read the table itself.
  {name = 'adam of 16 bits', options = {lr = RATE}, halves = true, fuse = false},
}
updates.KINDS = KINDS
updates.IN_8_BITS = {name = 'adam in 8 bits', options = {lr = RATE, bits = 8}}
updates.ROWWISE = {name = 'adam row-wise',
                   options = {lr = RATE, rowwise = true, weight_decay = 0.25}}

local function optimizer_of(kind) return tk.optim[kind.name:match '%a+'](kind.options) end

--- One update of p[n] by gradient g; s is the state, t the number of the update from 1.
local RULES = {}

function RULES.sgd(p, g, n, s, _, o)
  for i = 0, n - 1 do
    local d = g[i] + (o.weight_decay or 0) * p[i]
    s.m[i] = (o.momentum or 0) * s.m[i] + d
    p[i] = p[i] - o.lr * s.m[i]
  end
end

function RULES.adam(p, g, n, s, t, o)
  for i = 0, n - 1 do
    local d = g[i] + (o.weight_decay or 0) * p[i]
    s.m[i] = BETA1 * s.m[i] + (1 - BETA1) * d
    s.v[i] = BETA2 * s.v[i] + (1 - BETA2) * d * d
    p[i] = p[i] - o.lr * s.m[i] / (1 - BETA1 ^ t) / (math.sqrt(s.v[i] / (1 - BETA2 ^ t)) + EPS)
  end
end

--- Adam with one v per row of s.cols elements, in the row's first place.
function RULES.rowwise(p, g, n, s, t, o)
  for first = 0, n - 1, s.cols do
    local square, d = 0, {}
    for i = first, first + s.cols - 1 do
      d[i] = g[i] + (o.weight_decay or 0) * p[i]
      square = square + d[i] ^ 2 / s.cols
    end
    s.v[first] = BETA2 * s.v[first] + (1 - BETA2) * square
    local root = math.sqrt(s.v[first] / (1 - BETA2 ^ t)) + EPS
    for i = first, first + s.cols - 1 do
      s.m[i] = BETA1 * s.m[i] + (1 - BETA1) * d[i]
      p[i] = p[i] - o.lr * s.m[i] / (1 - BETA1 ^ t) / root
    end
  end
end

function RULES.adagrad(p, g, n, s, _, o)
  for i = 0, n - 1 do
    local d = g[i] + (o.weight_decay or 0) * p[i]
    s.v[i] = s.v[i] + d * d
    p[i] = p[i] - o.lr * d / (math.sqrt(s.v[i]) + 1e-10)
  end
end

-- ---- 8 bits: what a state says (kernels/shared/moments.h) ----

local function F(q)
  local octave = math.floor(q / 16)
  return 2 ^ octave * (1 + (q - 16 * octave) / 16)
end

--- Reads codes into s.m and s.v; the text of what is further from s than a code's step, or nil.
local function read_codes(opt, w, s, n)
  local codes, scales = unpack(opt:state(w))
  local words, factors = codes:values(), scales:values()
  local cols = w:size(-1)
  local length, wrong = cols >= 32 and cols <= 256 and cols or 64, nil
  for i = 0, n - 1 do
    local word, b = bit.rshift(words[math.floor(i / 2)], i % 2 * 16), math.floor(i / length)
    local size, sign = bit.band(word, 127), bit.band(bit.rshift(word, 7), 1)
    local second = bit.arshift(bit.lshift(word, 16), 24)
    local top_m, top_v = factors[2 * b], factors[2 * b + 1]
    local m, v = (1 - 2 * sign) * (F(size) - 1) * top_m, F(second) * top_v
    if math.abs(m - s.m[i]) > 1.01 * (F(size + 1) - F(size - 1)) * top_m + 1e-12 or
       math.abs(v - s.v[i]) > 1.01 * (F(second + 1) - F(second - 1)) * top_v + F(-128) * top_v then
      wrong = wrong or ('element %d: moments %.6g and %.6g are kept as %.6g and %.6g'):format(
        i, s.m[i], s.v[i], m, v)
    end
    s.m[i], s.v[i] = m, v
  end
  return wrong
end

-- ---- the comparison ----

local function doubles_of(t)
  local v, n = t:values()
  local out = ffi.new('double[?]', n + 1)
  for i = 0, n - 1 do out[i] = v[i] end
  return out, n
end

--- Gradients at the given numbers of the parameters, without an optimizer.
local function gradients(load, p, numbers)
  engine.begin(p, {})
  local f, parameters = load()
  for k, w in ipairs(parameters) do if numbers then w:copy(numbers[k]) end end
  tk.step(f)()
  local list = {}
  for k, w in ipairs(parameters) do list[k] = w.grad and (w.grad:values()) or false end
  return list
end

--- `unit`: of rounding, by which a number may be off.
local function compare(got, before, expected, n, unit)
  for i = 0, n - 1 do
    local moved = math.abs(expected[i] - before[i])
    local apart = math.abs(got[i] - expected[i]) - unit * math.abs(expected[i])
    if apart > 3e-7 * math.abs(before[i]) + 1e-4 * moved + 1e-12 or apart ~= apart then
      return ('element %d becomes %.9g, expected %.9g (from %.9g)'):format(i, got[i], expected[i],
                                                                          before[i])
    end
  end
end

--- What is wrong with the update of parameter w from `before`, or nil; `s` becomes the next state.
local function check_update(opt, w, g, s, t, kind, before)
  local expected, n = ffi.new('double[?]', s.n + 1), s.n
  ffi.copy(expected, before, 8 * n)
  local rule = kind.options.rowwise and s.table and 'rowwise' or kind.name:match '%a+'
  if g then RULES[rule](expected, g, n, s, t, kind.options) end
  local unit = kind.halves and 2 ^ -7 or 0
  local wrong = compare((doubles_of(w)), before, expected, n, unit)
  if not wrong and g and kind.options.bits == 8 and n >= 4096 then
    wrong = read_codes(opt, w, s, n)
  end
  return wrong
end

local function is_table(w)
  return w:rank() == 2 and w:size(1) > w:size(2) and w:size(2) >= 8 and w:size(2) <= 256
    and w:count() >= 4096
end

local function states_of(parameters)
  local list = {}
  for k, w in ipairs(parameters) do
    local n = w:count()
    list[k] = {n = n, cols = w:rank() > 0 and w:size(-1), table = is_table(w),
               m = ffi.new('double[?]', n + 1), v = ffi.new('double[?]', n + 1)}
  end
  return list
end

--- Two steps with an optimizer: what is wrong with an update, or nil.
---@param covered fun(step: table)
function updates.run(load, p, kind, covered)
  engine.begin(p, {})
  local f, parameters = load()
  local opt, states = optimizer_of(kind), states_of(parameters)
  local step = tk.step(f, {optimizer = opt, fuse = kind.fuse})
  for k, w in ipairs(parameters) do
    if kind.halves then tk.parameter(w, {bits = 16, number = k}) end
  end
  for t = 1, 2 do
    local before, numbers = {}, {}
    for k, w in ipairs(parameters) do before[k], numbers[k] = doubles_of(w), w:clone() end
    local g = gradients(load, p, numbers)
    step()
    for k, w in ipairs(parameters) do
      local wrong = check_update(opt, w, g[k], states[k], t, kind, before[k])
      if wrong then return ('update %d of parameter %d: %s'):format(t, k, wrong) end
    end
  end
  covered(step)
end

--- The same with one of the optimizers, adam in 8 bits where a parameter is large enough for that.
--- Returns what is wrong and the optimizer.
function updates.check(load, p, r, covered)
  local kind = r:of(updates.KINDS)
  for _, node in ipairs(p.nodes) do
    if node.op == 'leaf' and node.parameter and arrays.count(node.shape) >= 4096 then
      kind = r:of{updates.ROWWISE, updates.IN_8_BITS}
    end
  end
  local ok, wrong = pcall(updates.run, load, p, kind, covered)
  return not ok and tostring(wrong) or wrong, kind
end

return updates
