--- tinykg eval: metrics of finished or interrupted runs.
local format = require 'tinykg.base.format'
local json = require 'tinykg.base.json'
local tables = require 'tinykg.base.tables'
local messages = require 'tinykg.run.messages'
local options = require 'tinykg.cli.options'
local progress = require 'tinykg.base.progress'
local run_args = require 'tinykg.cli.run_args'
local statistics = require 'tinykg.train.statistics'

local function parser()
  local p = options.parser('tinykg eval', 'Metrics of finished or interrupted runs, with the ' ..
    'parameters of their best epoch.\nData to rank: recall, precision, hit, mrr, map, ndcg and ' ..
    'f1 at each k (a column per run).\nLabelled data: auc and f1.',
    'tinykg eval RUN --k 10,20,50')
  p:argument('run', 'the folder of a run'):args('+')
  p:option('--part', 'test, valid or train', 'test')
  options.add_list(p, '--k', 'lengths of the list of recommended items (default: 10,20)')
  p:option('--users', 'rank so many users only, drawn by the run\'s seed; 0: all', '0')
  p:option('--negatives', 'full; or uni100, pop100: 100 items sampled for each one to be found',
           'full')
  run_args.add_options(p)
  return p
end

local function cuts_of(text)
  local list = options.numbers(text, '--k')
  for i, k in ipairs(list) do list[i] = options.whole(k, '--k', 1, statistics.LONGEST) end
  table.sort(list)
  return tables.unique(list)
end

--- Says which options of ranking are given, though labelled data are not ranked.
local function note_ranking(path, a)
  local given = {}
  if a.k then given[1] = '--k' end
  if a.users > 0 then given[#given + 1] = '--users' end
  if a.negatives ~= 'full' then given[#given + 1] = '--negatives' end
  if #given == 0 then return end
  run_args.note(('%s %s nothing of %s: its data are labelled'):format(
    table.concat(given, ', '), #given > 1 and 'say' or 'says', path))
end

--- Metrics of one run and what they are of, the names of the recipe's own, and what stands behind
--- those of ranking.
local function measure(path, a, cuts)
  local evaluate = require 'tinykg.train.evaluate'
  local run = run_args.open(path, a)
  local metrics = progress.during(function(update)
    return evaluate.model(run.model, run.data, a.part, {
      k = cuts, size = require('tinykg.train').evaluation_size(run.options).size,
      users = a.users, negatives = a.negatives, seed = run.config.seed,
      progress = function(done, all)
        update(function() return ('%s: %d of %s'):format(path, done, format.count(all, 'user')) end)
        run_args.check_interrupt()
      end})
  end)
  if metrics and metrics.auc then note_ranking(path, a) end
  if not metrics then
    error(('%s: the data set has no %s interactions to measure by'):format(path, a.part), 0)
  end
  local own = evaluate.own(run.model, run.data, a.part, run.recipe.metrics)
  metrics = tables.merged(metrics, own)
  return {run = run.folder, recipe = run.recipe.name, data = run.data.name, part = a.part,
          seed = run.config.seed, best_epoch = run.best_epoch, finished = run.summary ~= nil,
          metrics = metrics}, tables.sorted_keys(own),
    require('tinykg.train.sample_ranking').mark(a, run.data, a.part)
end

--- Names of the measured metrics: auc, f1, then by k in the engine's order, then the recipes' own,
--- then the count `users`.
local function names_of(results, cuts, marks, own)
  local list = {'auc', 'f1'}
  for _, mark in ipairs(tables.unique(marks)) do
    tables.append(list, require('tinykg.train').metric_names(cuts, mark))
  end
  list = tables.unique(tables.append(tables.append(list, own), {'users'}))
  return tables.filter(list, function(name)
    return tables.any(results, function(result) return result.metrics[name] ~= nil end)
  end)
end

local function title(result)
  return ('%s: %s on %s, %s, %s'):format(result.run, result.recipe, result.data, result.part,
    (result.finished and 'best epoch %s' or 'not finished; best epoch so far %s')
      :format(result.best_epoch or '?'))
end

local function print_table(results, cuts, marks, own)
  for i, result in ipairs(results) do
    format.print(#results > 1 and ('%d  %s'):format(i, title(result)) or title(result))
  end
  local rows = {}
  if #results > 1 then
    rows[1] = {''}
    for i in ipairs(results) do rows[1][i + 1] = tostring(i) end
  end
  for _, name in ipairs(names_of(results, cuts, marks, own)) do
    local row = {name}
    for _, result in ipairs(results) do
      local value = result.metrics[name]
      row[#row + 1] = tostring(name == 'users' and value or messages.metric(value))
    end
    rows[#rows + 1] = row
  end
  print(format.table(rows))
end

return function(...)
  local a = options.parse(parser(), ...)
  options.choice(a.part, {'test', 'valid', 'train'}, '--part: %s is not test, valid or train')
  options.choice(a.negatives, require('tinykg.train.sample_ranking').CHOICES,
                 '--negatives: %s is not full, uni100 or pop100')
  a.users = options.whole(a.users, '--users', 0)
  local cuts = cuts_of(a.k or '10,20')
  run_args.set_engine(a)
  local results, own, marks = {}, {}, {}
  for i, path in ipairs(a.run) do
    local names
    results[i], names, marks[i] = measure(path, a, cuts)
    tables.append(own, names)
    require('tinykg.engine.runtime').collect(true) -- this run's tensors, before the next run
    if a.json then print(json.encode(results[i])) end
  end
  if not a.json then print_table(results, cuts, marks, own) end
end
