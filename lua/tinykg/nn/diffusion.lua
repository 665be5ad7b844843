--- A diffusion model of rows: noise is added to them step by step, and a network learns to tell
--- what they were (Ho et al., Denoising Diffusion Probabilistic Models, NeurIPS 2020), as
--- recommenders have it: little noise, and the network returns the row, not the noise (Wang et al.,
--- Diffusion Recommender Model, SIGIR 2023). Lines are those of HKUDS/DiffKG's Model.py, whose
--- computation this is.
local C = require 'tinykg.engine.lib'
local arguments = require 'tinykg.base.arguments'
local module = require 'tinykg.nn.module'
local ops = require 'tinykg.engine.ops'
local parameter = require 'tinykg.engine.parameter'
local runtime = require 'tinykg.engine.runtime'
local tables = require 'tinykg.base.tables'
local tensor = require 'tinykg.engine.tensor'

local DEFAULTS = {hidden = 1000, waves = 10, steps = 5, noise_scale = 0.1, noise_min = 1e-4,
                  noise_max = 0.02, dropout = 0.5}

---@class Diffusion: Module
---@field n integer columns of the rows
---@field steps integer
local Diffusion = module.class('nn.Diffusion')

--- Numbers by step, in double precision: shares of the row and of noise in a noised row, of the
--- network's row and of the noised one in the mean of the row a step before, weights of errors
--- (Model.py:182-210, 264-265, 278-280).
local function schedule(o)
  local of = {row = {}, noise = {}, output = {}, state = {}, weight = {}}
  local left, variance, ratio = 1, 0, nil
  for s = 1, o.steps do
    local before = variance
    variance = o.noise_scale
      * (o.noise_min + (o.noise_max - o.noise_min) * (s - 1) / math.max(o.steps - 1, 1))
    local beta = s == 1 and 1e-4 or math.min(1 - (1 - variance) / (1 - before), 0.999)
    local now = left * (1 - beta)
    of.row[s], of.noise[s] = math.sqrt(now), math.sqrt(1 - now)
    of.output[s] = beta * math.sqrt(left) / (1 - now)
    of.state[s] = (1 - left) * math.sqrt(1 - beta) / (1 - now)
    of.weight[s] = ratio and ratio - now / (1 - now) or 1
    left, ratio = now, now / (1 - now)
  end
  return of
end

--- Cosines, then sines of a step's number, at ever lower frequencies (Model.py:145-149).
local function waves_of(steps, count)
  local rows, half = {}, math.floor(count / 2)
  for s = 1, steps do
    rows[s] = {}
    for k = 1, count do
      local angle = (s - 1) * 1e4 ^ (-((k - 1) % half) / half)
      rows[s][k] = k <= half and math.cos(angle) or k <= 2 * half and math.sin(angle) or 0
    end
  end
  return tensor.from(rows)
end

--- A parameter of normal numbers.
local function normal(variance, ...)
  local t = tensor.create(tensor.F32, {...}, 'parameter')
  runtime.check(C.tkg_tensor_normal(t.kept, 0, math.sqrt(variance), runtime.stream()))
  return parameter(t)
end

--- x W^T + b ---@param fan? integer inputs and outputs of the layer that this is a part of
local function linear(inputs, outputs, fan)
  local layer = require('tinykg.nn').Linear(inputs, outputs)
  layer.weight = normal(2 / (fan or inputs + outputs), outputs, inputs)
  layer.bias = normal(1e-6, outputs)
  return layer
end

--- Makes a diffusion of rows with n columns, and the network of one hidden layer that restores them
--- (Model.py:106-142). Parameters: input [n, hidden], and weight and bias of `wave`, `time` and
--- `output`. Options, with the defaults of DiffKG's program (Params.py:25-32):
---
---   hidden       size of the layer, 1000
---   waves        numbers that tell the network the step, 10
---   steps        5
---   noise_scale  0.1, of the noise of the first step, noise_min 1e-4, to the last's, noise_max .02
---   dropout      of the network's input while training, .5
---@param n integer
---@param o? {hidden: integer, waves: integer, steps: integer, noise_scale: number,
---  noise_min: number, noise_max: number, dropout: number}
---@return Diffusion
local function new(n, o)
  runtime.options('nn.Diffusion', o, table.concat(tables.sorted_keys(DEFAULTS), ' '))
  o = tables.merged(DEFAULTS, o or {})
  if o.steps < 1 or o.steps % 1 ~= 0 or o.waves < 2 or o.noise_scale <= 0 then
    runtime.fail('nn.Diffusion: %g steps, %g waves, noise_scale %g: expected a step, two waves and '
                 .. 'some noise', o.steps, o.waves, o.noise_scale)
  end
  local of, fan = schedule(o), n + o.waves + o.hidden
  return setmetatable({
    steps = o.steps, n = n, output_share = of.output, state_share = of.state,
    row_share = tensor.from(of.row), noise_share = tensor.from(of.noise),
    weights = tensor.from(of.weight), waves = waves_of(o.steps, o.waves),
    input = normal(2 / fan, n, o.hidden), time = linear(o.waves, o.hidden, fan),
    wave = linear(o.waves, o.waves), output = linear(o.hidden, n),
    drop = require('tinykg.nn').Dropout(o.dropout),
  }, Diffusion)
end

--- What rows were, by the numbers of their steps (Model.py:144-164).
local function restored(self, x, waves, drop)
  x = x:normalize()
  local h = (drop and drop(x) or x):matmul(self.input) + self.time(self.wave(waves))
  return self.output(h:tanh())
end

--- Adds the noise of a step to each row, drawn uniformly, and lets the network restore it
--- (Model.py:252-267).
---@param x Tensor [rows, n]
---@param given? {steps: Tensor, noise: Tensor} not to be drawn: int32 [rows], from 0; [rows, n]
---@return Tensor y [rows, n], Tensor errors [rows]: mean squares, weighted by step
function Diffusion:train_on(x, given)
  local rows = x:size(1)
  local noise = given and given.noise or ops.random('normal', rows, self.n)
  local t = given and given.steps or select(2, ops.random('uniform', rows, self.steps):max(2))
  local noised = x * self.row_share:gather(t):reshape(rows, 1)
    + noise * self.noise_share:gather(t):reshape(rows, 1)
  local y = restored(self, noised, self.waves:gather(t), self.drop)
  return y, (x - y):square():mean(2) * self.weights:gather(t)
end

--- Rows after all steps back, each its mean: no noise is drawn (Model.py:212-250).
---@param x Tensor [rows, n] ---@return Tensor [rows, n]
function Diffusion:restore(x)
  for s = self.steps, 1, -1 do
    x = restored(self, x, self.waves:rows(s, s)) * self.output_share[s] + x * self.state_share[s]
  end
  return x
end

--- The line that print shows. ---@return string
function Diffusion:describe() return ('nn.Diffusion(%d, %d steps)'):format(self.n, self.steps) end

arguments.class(Diffusion, 'nn.Diffusion', 'a diffusion: tk.nn.Diffusion')

return new
