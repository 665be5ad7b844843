--- Weights of a data set's triples in its graphs: option `columns=triple_weight:COLUMN` of
--- tinykg.data.load. A triple of weight 2 counts as two of weight 1: in sums, means and softmax,
--- and in the degrees of `normalized`. Weights that a sum is given, or that graph:weighted has, are
--- used as they are instead.
local ffi = require 'ffi'
local arrays = require 'tinykg.engine.arrays'
local packed = require 'tinykg.graph.packed'
local tensor = require 'tinykg.engine.tensor'

local triple_weights = {}

local NONE = -1e30 -- the logarithm of weight 0

--- Notes that a model weighs triples: `given` is the graph of the data set. A run whose model has a
--- graph of triples (`weights_due`) and does not is refused (tinykg.train.phases).
local function note(self)
  local given = self.shared.given
  if given then given.weights_read = true end
end

local function constant(self, values)
  local t = tensor.constant(tensor.F32, {self.edges}, values)
  arrays.free(values)
  return t
end

--- Sums of the weights by a key of each edge: { sum, count } by edge.
local function sums_by(weights, n, key_of)
  local sum, count = {}, {}
  for p = 0, n - 1 do
    local key = key_of(p)
    sum[key], count[key] = (sum[key] or 0) + weights[p], (count[key] or 0) + 1
  end
  return sum, count
end

--- x / y; 0 where y is 0.
local function ratio(x, y) return y > 0 and x / y or 0 end

local function free(e) arrays.free(e.heads, e.relations, e.tails) end

--- Weights for a mean: their sum over each head's edges is the number of these. Made once per
--- orientation.
local function of_mean(self)
  local key = packed.is_backward(self.layout) and 'mean_by_tail' or 'mean_by_head'
  if not self.shared[key] then
    local e, weights, made = self:triples(), self.triple_weights:values(), arrays.floats(self.edges)
    local sum, count = sums_by(weights, e.n, function(p) return e.heads[p] end)
    for p = 0, e.n - 1 do
      made[p] = ratio(weights[p] * count[e.heads[p]], sum[e.heads[p]])
    end
    self.shared[key] = constant(self, made)
    free(e)
  end
  return self.shared[key]
end

--- The weights of the graph's triples as they are, noted as read; nil without.
---@param self Graph ---@return Tensor? [edges]
function triple_weights.of(self)
  if self.triple_weights then note(self) end
  return self.triple_weights
end

--- The weights of a sum or a mean: those given times the graph's own; without any, of its triples.
---@param self Graph ---@param given? Tensor [edges] ---@param mean? boolean
---@return Tensor? [edges]
---@return Tensor? [edges] of a mean whose weights are those of triples: these
function triple_weights.in_sum(self, given, mean)
  local own = self.weights
  if given then return own and own * given or given end
  if not self.triple_weights or self.is_weighted then return own end
  note(self)
  local weights = mean and of_mean(self) or self.triple_weights
  return own and own * weights or weights, mean and weights or nil
end

--- Scores of edges plus the logarithms of the triples' weights, for softmax.
---@param self Graph ---@param scores Tensor [edges] ---@return Tensor [edges]
function triple_weights.in_softmax(self, scores)
  if not self.triple_weights then return scores end
  note(self)
  if not self.shared.log_weights then
    local weights, logs = self.triple_weights:values(), ffi.new('float[?]', self.edges + 1)
    for p = 0, self.edges - 1 do logs[p] = weights[p] > 0 and math.log(weights[p]) or NONE end
    self.shared.log_weights = tensor.constant(tensor.F32, {self.edges}, logs)
  end
  return scores + self.shared.log_weights
end

local of_kind = {}

function of_kind.row(e, weights, made)
  local sum = sums_by(weights, e.n, function(p) return e.heads[p] end)
  for p = 0, e.n - 1 do made[p] = ratio(weights[p], sum[e.heads[p]]) end
end

function of_kind.symmetric(e, weights, made)
  local by_head = sums_by(weights, e.n, function(p) return e.heads[p] end)
  local by_tail = sums_by(weights, e.n, function(p) return e.tails[p] end)
  for p = 0, e.n - 1 do
    made[p] = ratio(weights[p], math.sqrt(by_head[e.heads[p]] * by_tail[e.tails[p]]))
  end
end

function of_kind.relation(e, weights, made, relations)
  local function key(p) return e.heads[p] * relations + e.relations[p] end
  local sum = sums_by(weights, e.n, key)
  for p = 0, e.n - 1 do made[p] = ratio(weights[p], sum[key(p)]) end
end

--- The weights of Graph:normalized, with sums of weights for degrees.
---@param self Graph with triple_weights ---@param kind string ---@return Tensor [edges]
function triple_weights.normalized(self, kind)
  note(self)
  local e, made = self:triples(), arrays.floats(self.edges)
  of_kind[kind](e, self.triple_weights:values(), made, self.relations)
  free(e)
  return constant(self, made)
end

return triple_weights
