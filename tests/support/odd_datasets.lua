--- Small data sets with everything odd that loaders let through, and training on them, for specs of
--- recipes.
local tk = require 'tinykg'
local fixtures = require 'tests.support.fixtures'
local train = require 'tinykg.train'

local datasets = {}

-- Relations 2 and 4 have no triple; a triple is there twice; entity 7 has a self loop, entity 10 no
-- edge at all, and neither has item 5.
local GRAPH = {'0 0 6', '0 0 6', '1 0 6', '2 1 7', '3 1 8', '4 3 9', '4 5 11', '7 3 7', '0 1 7',
               '6 3 8', '9 5 4', '8 1 2'}

--- Data to rank: user 2 has no item in train, user 3 one that is not in the graph, user 4 all.
function datasets.ranking()
  return tk.data.load(fixtures.dir{
    ['train.txt'] = {'0 0 1 2', '1 1 3', '2', '3 5', '4 0 1 2 3 4 5'},
    ['test.txt'] = {'0 3', '1 0', '2 4', '3 1'},
    ['kg_final.txt'] = GRAPH,
  }, {valid_ratio = 0})
end

--- Labelled data of 12 users, of whom some have no positive in train.
function datasets.labelled()
  local rows = {}
  for user = 0, 11 do
    for item = 0, 5 do
      local likes = (user * 7 + item * item) % 3 == 0
      rows[#rows + 1] = ('%d\t%d\t%d'):format(user, item, likes and 1 or 0)
    end
  end
  local graph = table.concat(GRAPH, '\n'):gsub(' ', '\t') .. '\n'
  return tk.data.load(fixtures.dir{['ratings_final.txt'] = rows, ['kg_final.txt'] = graph})
end

--- The generated demo set, small.
function datasets.demo()
  local dir = fixtures.dir()
  require('tinykg.data.demo').write(dir, {users = 120, items = 60})
  return tk.data.load(dir)
end

--- The same to rank: its labels taken away.
function datasets.demo_ranking()
  local dir = fixtures.dir()
  require('tinykg.data.demo').write(dir, {users = 120, items = 60})
  return tk.data.load(dir, {task = 'ranking'})
end

function datasets.recipe(name)
  return dofile((os.getenv('TINYKG_HOME') or '.') .. '/recipes/' .. name .. '.lua')
end

--- Trains; the mean loss of each epoch, and the result of the run.
---@param given table options of the recipe ---@param bits? integer 32
function datasets.train(recipe, data, given, bits)
  local losses = {}
  tk.seed(1)
  local result = train.run(recipe, data, recipe:complete(given), {
    quiet = true, bits = bits or 32, small = 256,
    on_epoch = function(record) losses[#losses + 1] = record.loss end,
  })
  return losses, result
end

--- Trains on the small demo set, labelled and to rank: fails unless the last epoch's loss is below
--- `most` of the first one's, and the test AUC of labelled data above `least`.
---@param given table options of the recipe, epochs among them ---@param least? number
function datasets.learns_demo(recipe, bits, given, most, least)
  for _, data in ipairs{datasets.demo(), datasets.demo_ranking()} do
    local losses, result = datasets.train(recipe, data, given, bits)
    assert(losses[given.epochs] < most * losses[1], table.concat(losses, ' '))
    if least and result.test.auc then assert(result.test.auc > least, result.test.auc) end
  end
end

--- Trains on both odd sets: fails on a loss that is NaN or 10 or more, and where rank and score
--- differ.
function datasets.bears_odd_data(recipe, given)
  for _, data in ipairs{datasets.ranking(), datasets.labelled()} do
    local losses, result = datasets.train(recipe, data, given)
    for _, loss in ipairs(losses) do assert(math.abs(loss) < 10, loss) end
    assert(datasets.rank_error(result.model, data) < 1e-5)
  end
end

--- The largest difference between rank and score, over all users and items.
function datasets.rank_error(model, data)
  local users, worst = {}, 0
  for u = 0, data.users - 1 do users[u + 1] = u end
  model:eval()
  local ranked = tk.no_grad(model.rank, model, tk.ids(users)):totable()
  for u = 1, data.users do
    local same, items = {}, {}
    for i = 1, data.items do same[i], items[i] = u - 1, i - 1 end
    local scores = tk.no_grad(model.score, model, tk.ids(same), tk.ids(items)):totable()
    for i = 1, data.items do worst = math.max(worst, math.abs(scores[i] - ranked[u][i])) end
  end
  return worst
end

return datasets
