--- The graph of each row's nearest rows, by products of rows or by cosine, without a matrix of all
--- similarities.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local arrays = require 'tinykg.engine.arrays'
local runtime = require 'tinykg.engine.runtime'
local step = require 'tinykg.engine.step'
local tensor = require 'tinykg.engine.tensor'
local fail = runtime.fail

local METRICS = {cosine = true, dot = true}
local BLOCK = 2 ^ 22 -- similarities that exist at a time where the device does not rank by rows

--- A copy of the rows that ranking reads: computed, of length 1 if cosines are asked for.
local function rows_of(x, metric)
  return step.compute_now(function()
    local rows = type(x) == 'function' and x() or x
    if not tensor.is(rows) then fail('graph.nearest: the function must return a tensor') end
    if rows:rank() ~= 2 or rows:dtype() ~= 'f32' then
      fail('graph.nearest: [%s]: a matrix of rows is needed', table.concat(rows:size(), ', '))
    end
    return metric == 'cosine' and rows:normalize() or rows * 1
  end)
end

--- Fills ids and similarities [n, k] in one go, each row apart from itself.
local function rank(rows, n, k, ids, similarities)
  local all, each = arrays.range(n), arrays.range(n + 1)
  local list = ffi.new('const tkg_tensor *[1]', {rows.kept})
  local status = C.tkg_rank(runtime.engine, list, list, 1, n, all, all, n, each, all, k, ids,
                            similarities)
  arrays.free(all, each)
  if status == 0 then return end
  local why = ffi.string(C.tkg_error())
  local row, column = why:match('row (%d+).*column (%d+) is NaN')
  fail('graph.nearest: %s', row and ('the similarity of rows %s and %s is NaN'):format(row, column)
    or why)
end

--- Writes the k of a row's k + 1 best, `best`, that are not the row itself.
local function without_itself(row, best, values, k, ids, similarities)
  local at = 0
  for j = 0, k do
    if best[j] ~= row and at < k then
      ids[at], similarities[at] = best[j], values[j]
      at = at + 1
    end
  end
end

--- The same on a device that does not rank by rows: block by block.
local function rank_blocks(rows, n, k, ids, similarities)
  local height = math.max(1, math.floor(BLOCK / n))
  for first = 0, n - 1, height do
    local count = math.min(height, n - first)
    local values, best = step.compute_now(function()
      return rows:rows(first + 1, first + count):matmul(rows, {transpose_b = true}):top_k(k + 1)
    end)
    local s, b = values:values(), best:values()
    values:free()
    best:free()
    for r = 0, count - 1 do
      local at, from = (first + r) * k, r * (k + 1)
      without_itself(first + r, b + from, s + from, k, ids + at, similarities + at)
    end
  end
end

--- Puts the neighbours of each row in the order of a graph's edges, by id. Errors: NaN. A plan
--- alone, which computes nothing, has others: the next rows.
local function sort(n, k, ids, similarities)
  for row = 0, n - 1 do
    for j = 0, k - 1 do
      local at = row * k + j
      local id, s = ids[at], similarities[at]
      if s ~= s then fail('graph.nearest: the similarity of rows %d and %d is NaN', row, id) end
      if id < 0 then id, s = (row + j + 1) % n, 0 end
      while at > row * k and ids[at - 1] > id do
        ids[at], similarities[at] = ids[at - 1], similarities[at - 1]
        at = at - 1
      end
      ids[at], similarities[at] = id, s
    end
  end
end

local function graph_of(graph, n, k, ids)
  local heads = arrays.ints(n * k)
  for i = 0, n * k - 1 do heads[i] = math.floor(i / k) end
  local g = graph{n = n * k, head = heads, tail = ids, nodes = n}
  arrays.free(heads)
  return g
end

--- A function that makes graphs of nearest rows. ---@param graph function tk.graph
return function(graph)
  local module = {}

  --- The graph that leads from each row to the k rows nearest to it, never to itself; of equally
  --- near ones those of lower id. Similarities are computed in tiles. Made between epochs: x is a
  --- parameter, another tensor with numbers, or a function that computes the rows, which runs
  --- forward only. A model may make its graph anew in begin_epoch; its steps read the new one, with
  --- the plan that they have.
  ---
  ---   local Model = tk.nn.class 'Near' -- as MCCLK (WWW 2022) does
  ---   function Model:begin_epoch()
  ---     if self.near then self.near:free() end
  ---     self.near = tk.graph.nearest(function() return self:item_rows() end, 10)
  ---   end
  ---
  --- An example:
  ---
  ---   local g, similarity = tk.graph.nearest(tk.tensor{{1, 0}, {2, 0}, {0, 1}}, 1)
  ---   print(g:tails():totable()[1] + similarity:totable()[1]) --> 2
  ---@param x Tensor|fun(): Tensor [n, d] ---@param k integer below n
  ---@param o? {metric: string} 'cosine', the default, or 'dot': products of rows as they are
  ---@return Graph nodes n, edges n k, Tensor similarity of each edge, in the graph's order
  function module.nearest(x, k, o)
    runtime.options('graph.nearest', o, 'metric')
    local metric = o and o.metric or 'cosine'
    if not METRICS[metric] then
      fail("graph.nearest: metric '%s': expected cosine or dot", tostring(metric))
    end
    local rows = rows_of(x, metric)
    local n = rows:size(1)
    if k < 1 or k >= n or k % 1 ~= 0 then
      fail('graph.nearest: k = %s of %d rows: expected 1 to %d', tostring(k), n, n - 1)
    end
    local ids, similarities = arrays.ints(n * k), arrays.floats(n * k)
    local ranking = C.tkg_ranks(runtime.engine) ~= 0 and rank or rank_blocks
    step.uncounted(ranking, rows, n, k, ids, similarities) -- the same numbers later on any device
    rows:free()
    sort(n, k, ids, similarities)
    local g = graph_of(graph, n, k, ids)
    local weights = tensor.constant(tensor.F32, {n * k}, similarities)
    arrays.free(ids, similarities)
    return g, weights
  end

  return module
end
