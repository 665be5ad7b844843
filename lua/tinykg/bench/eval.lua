--- Ranks all items for every user with a test item, compared with computing the scores alone.
local format = require 'tinykg.base.format'
local inputs = require 'tinykg.bench.inputs'
local measure = require 'tinykg.bench.measure'
local tk = require 'tinykg'

local COLUMNS = {{'what', 'what'}, {'min_ms', 'min ms', '%.1f'}, {'median_ms', 'median', '%.1f'},
  {'users_s', 'users/s', '%.0f'}, {'x_scores', 'x scores', '%.2f'}}
local DIM, BLOCK = 64, 256

---@param o table {data, quick, seconds, folder}
---@param out tinykg.BenchOutput
return function(o, out)
  local data = inputs.data(o, {seed = 0, task = 'ranking'})
  out:doing('ranking')
  local users, items = tk.randn(data.users, DIM):keep(), tk.randn(data.items, DIM):keep()
  local Rows = tk.nn.class('Rows', tk.nn.Ranker)
  function Rows.node_embeddings() return users, items end
  local model = setmetatable({}, Rows)
  local ranked = tk.metrics.ranking(model, data, {k = {20}}).users
  local cases = {
    {what = 'scores alone', run = function()
      for first = 1, ranked, BLOCK do
        tk.no_grad(function()
          return users:rows(first, math.min(first + BLOCK - 1, ranked))
            :matmul(items, {transpose_b = true}):narrow(1, 1, 1)
        end)
      end
    end},
    {what = 'scores, best 20, metrics', run = function()
      tk.metrics.ranking(model, data, {k = {20}})
    end},
  }
  measure.turns(cases, {seconds = o.seconds})
  local records = {}
  for k, case in ipairs(cases) do
    records[k] = {what = case.what, min_ms = case.min, median_ms = case.median, items = data.items,
      users = ranked, users_s = 1e3 * ranked / case.min, x_scores = case.min / cases[1].min}
  end
  out:heading('ranking %s for %s, d = %d', format.count(data.items, 'item'),
    format.count(ranked, 'user'), DIM)
  out:table('eval', COLUMNS, records)
end
