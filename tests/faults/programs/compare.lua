--- Whether float32 results are what double precision says, up to rounding.
--
-- The tolerance of a tensor is four times what roundings 32 times as large as float32's, drawn at
-- random in each op forward and backward, move an element by, beside a few units of the largest.
-- So it grows with the number of terms and with the conditioning of what was computed. A node with
-- very many neighbours may add one number to itself a thousand times, which rounds in one
-- direction: the units grow with the rows as well.
local program = require 'tests.faults.programs.program'

local compare = {}

local TIMES, UNITS, FEW_ROWS, MORE_SEEDS = 4, 2e-6, 200, 6

local function most_rows(values)
  local most = 0
  for _, value in ipairs(values) do most = math.max(most, value.shape[1] or 1) end
  return most
end

--- A program's reference: {values, loss, size, units, others = {values...}, losses}.
function compare.reference(p)
  local values, loss, size = program.evaluate(p)
  local units = UNITS * math.max(1, most_rows(values) / FEW_ROWS)
  local reference = {p = p, values = values, loss = loss, size = size, units = units,
                     others = {}, losses = {}}
  compare.perturb(reference)
  return reference
end

--- Adds one more perturbed evaluation.
function compare.perturb(reference)
  local k = #reference.others + 1
  local values, loss = program.evaluate(reference.p, reference.p.seed + 1000 * k)
  reference.others[k], reference.losses[k] = values, loss
end

--- The largest difference between perturbed evaluations and the exact one, and the largest number.
local function spread(reference, i, field)
  local exact, most, off = reference.values[i][field], 0, 0
  for _, values in ipairs(reference.others) do
    local other = values[i][field]
    for k = 0, reference.values[i].n - 1 do off = math.max(off, math.abs(other[k] - exact[k])) end
  end
  for k = 0, reference.values[i].n - 1 do most = math.max(most, math.abs(exact[k])) end
  return off, most
end

--- What numbers of a node's value ('v') or gradient ('g') may be off by.
local function tolerance_of(reference, i, field)
  local off, most = spread(reference, i, field)
  return TIMES * off + reference.units * most + 1e-30
end

--- What the gradient of each parameter may be off by, in their order.
function compare.gradient_tolerances(reference)
  while #reference.others < MORE_SEEDS do compare.perturb(reference) end
  local list = {}
  for i, node in ipairs(reference.p.nodes) do
    if node.op == 'leaf' and node.parameter then
      list[#list + 1] = tolerance_of(reference, i, 'g')
    end
  end
  return list
end

--- The first element of `got` (false: all zeros) beyond the tolerance: a text, or nil.
local function check(reference, i, field, got)
  local exact, n = reference.values[i][field], reference.values[i].n
  local tolerance = tolerance_of(reference, i, field)
  if got and got.n ~= n then return ('%d elements, not %d'):format(got.n, n) end
  for k = 0, n - 1 do
    local x = got and got.v[k] or 0
    local apart = math.abs(x - exact[k])
    if apart > tolerance or apart ~= apart then
      return ('element %d is %.9g, expected %.9g (tolerance %.2g)'):format(k, x, exact[k],
                                                                        tolerance)
    end
  end
end

local function check_loss(reference, loss)
  local off = 0
  for _, other in ipairs(reference.losses) do
    off = math.max(off, math.abs(other - reference.loss))
  end
  local tolerance = TIMES * off + reference.units * reference.size + 1e-30
  local apart = math.abs(loss - reference.loss)
  if apart > tolerance or apart ~= apart then
    return ('the loss is %.9g, expected %.9g (tolerance %.2g)'):format(loss, reference.loss,
                                                                      tolerance)
  end
end

local function first_difference(reference, result)
  local p, wrong = reference.p, check_loss(reference, result.loss)
  if wrong then return wrong end
  local at = #result.outs
  for k = #p.outputs, 1, -1 do
    if p.outputs[k].returned then
      wrong = check(reference, p.outputs[k].node, 'v', result.outs[at])
      if wrong then return ('x%d: %s'):format(p.outputs[k].node, wrong) end
      at = at - 1
    end
  end
  local list, k = not program.is_noisy(p) and result.gradients, 0
  for i, node in ipairs(list and p.nodes or {}) do
    if node.op == 'leaf' and node.parameter then
      k = k + 1
      wrong = check(reference, i, 'g', list[k])
      if wrong then return ('gradient of x%d: %s'):format(i, wrong) end
    end
  end
end

--- What differs from the reference, as text; nil where nothing does. Before anything is called
--- wrong, the tolerance is found from more perturbed evaluations than one.
function compare.with_reference(reference, result)
  local wrong = first_difference(reference, result)
  while wrong and #reference.others < MORE_SEEDS do
    compare.perturb(reference)
    wrong = first_difference(reference, result)
  end
  return wrong
end

local function different(a, b)
  if not a or not b then return (a or false) ~= (b or false) and 'one has none' end
  if a.bytes == b.bytes then return nil end
  for k = 0, math.min(a.n, b.n) - 1 do
    if a.bytes:sub(4 * k + 1, 4 * k + 4) ~= b.bytes:sub(4 * k + 1, 4 * k + 4) then
      return ('element %d is %.9g, not %.9g'):format(k, b.v[k], a.v[k])
    end
  end
  return 'another length'
end

--- Which bits of result b are not a's: of the forward values, and of gradients where both have some
--- and `forward` is not asked for.
function compare.bits(a, b, forward)
  if a.loss ~= b.loss then return ('the loss is %.9g, not %.9g'):format(b.loss, a.loss) end
  for k = 1, #a.outs do
    local wrong = different(a.outs[k], b.outs[k])
    if wrong then return ('result %d: %s'):format(k, wrong) end
  end
  for k = 1, not forward and a.gradients and b.gradients and #a.gradients or 0 do
    local wrong = different(a.gradients[k], b.gradients[k])
    if wrong then return ('gradient %d: %s'):format(k, wrong) end
  end
end

return compare
