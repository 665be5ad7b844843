--- tinykg recommend: the best items for a user, for somebody new, or for many users as a table.
local ffi = require 'ffi'
local atomic_file = require 'tinykg.base.atomic_file'
local tables = require 'tinykg.base.tables'
local find = require 'tinykg.data.find'
local format = require 'tinykg.base.format'
local json = require 'tinykg.base.json'
local must = require 'tinykg.base.must'
local name_list = require 'tinykg.cli.name_list'
local options = require 'tinykg.cli.options'
local posix = require 'tinykg.base.posix'
local progress = require 'tinykg.base.progress'
local run_args = require 'tinykg.cli.run_args'
local usage = options.usage

local HELP = [[
Lists the best items for a user by the model's scores, without items of train and validation. Of
labelled data those with label 0 are left out too, unless they were drawn (as in KGCN's format).
A user who took nothing in train gets the most popular items; somebody new (--new, --likes) gets
those too, or the mean scores of the users most alike. Equal scores: by item number.]]

local function parser()
  local p = options.parser('tinykg recommend', HELP, 'tinykg recommend RUN --user \'user 7\' -k 10')
  p:argument('run', 'the folder of a run')
  p:option('--user', "the user, by the data set's own name; repeatable"):count('*'):argname('U')
  p:flag('--new', 'a list for somebody who is not in the data set')
  p:option('--likes', 'items that somebody new likes, or entities of the graph, such as an ' ..
           'author (FILE: one per line); repeatable'):count('*'):argname('ITEM,ENTITY|@FILE')
  p:option('--users', 'many users: all, or a file with one per line (-: standard input); prints ' ..
           'TSV. Names that are not in the data set are reported, and the exit status is 1')
    :argname('all|FILE')
  p:option('-k', 'how many items', '20')
  p:option('--exclude', 'items not to list; repeatable'):count('*'):argname('ITEM,ITEM|@FILE')
  p:option('--only', 'list no other items than these; repeatable'):count('*')
    :argname('ITEM,ITEM|@FILE')
  p:flag('--all', 'list items of train and validation too, marked')
  p:flag('--id', 'users and items are numbers, from 0')
  p:option('-o', 'with --users: the file to write'):argname('FILE')
  run_args.add_options(p)
  return p
end

local function check(a)
  local one, new = #a.user > 0, a.new or #a.likes > 0
  local asked = (one and 1 or 0) + (a.users and 1 or 0) + (new and 1 or 0)
  if asked == 0 then usage('recommend: for whom? --user U, --users all or FILE, --new, --likes') end
  if a.users and asked > 1 or one and a.new then
    usage('recommend: --user, --users and --new are three ways to ask: take one')
  end
  if a.o and not a.users then usage('-o: it is for --users') end
  if a.o then options.output(a.o, '-o') end
  if a.all and new then
    usage('--all: it is for users of the data set: somebody new (--new, --likes) took nothing')
  end
  return options.whole(a.k, '-k', 1)
end

--- A name, or with --id a number.
local function named(a, text, where)
  if not a.id then return text end
  return tonumber(text) or usage("%s'%s' is not a number: --id", where, text)
end

-- ---- items ----

--- Lists 'a,b,c' or '@file' as one list of names or numbers; nil if there are none.
local function list_of(names, a, texts, option)
  if #texts == 0 then return nil end
  local list = {}
  local function add(text, where) list[#list + 1] = named(a, text, where) end
  for _, text in ipairs(texts) do
    local path = text:match('^@(.+)')
    for _, line in ipairs(path and name_list(path) or {}) do add(line.text, line.where) end
    for _, name in ipairs(path and {} or find.listed(names, text)) do add(name, option .. ': ') end
  end
  if #list == 0 then usage('%s: no item given', option) end
  return list
end

--- Names of items and, behind them, of entities, for splitting a list at commas.
local function with_entities(names)
  local both = {titles = names.items.titles}
  function both.id(_, text) return names.items:id(text) or names.entities:id(text) end
  function both.label(_, id) return names.items:label(id) end
  return both
end

-- ---- users ----

--- The requested users, {text, where} each; nil: all users.
local function asked_for(a)
  if a.users then return a.users ~= 'all' and name_list(a.users) or nil end
  return tables.map(a.user, function(text) return {text = text, where = ''} end)
end

local MOST = 10 -- names that are not there, each with names that are close

--- The ids of the users that are in the data set. The others are reported on standard error; raises
--- a message if all are missing.
---@return integer[] ids ---@return string? message the command's error at its end
local function known(a, names, asked)
  local ids, missing = {}, 0
  for _, one in ipairs(asked) do
    local name, message = named(a, one.text, one.where), nil
    local id
    if a.id then id = find.id(names, 'user', name) else id = find.exact(names, name) end
    if id then
      ids[#ids + 1] = id
    else
      missing = missing + 1
      if missing <= MOST then message = select(2, find.id(names, 'user', name)) end
      if #asked == 1 then
        error(one.where .. message .. ' (for somebody new: --new, or --likes ITEM,...)', 0)
      end
      if message then io.stderr:write(format.line(one.where .. message), '\n') end
    end
  end
  if missing > MOST then io.stderr:write(('... and %d more\n'):format(missing - MOST)) end
  local summary = ('%d of %s not in the data set'):format(
    missing, format.count(#asked, 'user is', 'users are'))
  if #ids == 0 and missing > 0 then error(summary, 0) end
  return ids, missing > 0 and summary or nil
end

-- ---- the list of one user ----

local function print_one(run, result, k)
  local n = #result.items
  format.print(('%s on %s, %s: %s'):format(
    run.recipe.name, run.data.name, result.name or 'somebody new',
    n == 0 and 'no item is left' or ('the best %s%s'):format(
      format.count(n, 'item'), n < k and ': there are no more' or '')))
  if result.note then format.print('note: ' .. result.note) end
  if n == 0 then return end
  print(('%4s  %12s  %s'):format('rank', 'score', 'item'))
  for rank, item in ipairs(result.items) do
    print(('%4d  %12.6g  %s%s'):format(rank, item.score, format.line(item.name),
                                       item.taken and '  (' .. item.taken .. ')' or ''))
  end
end

local function recommend_one(run, a, k, user)
  local items = run.data.names.items
  local result = require('tinykg.query.recommend')(run, user, {
    k = k, all = a.all, exclude = list_of(items, a, a.exclude, '--exclude'),
    only = list_of(items, a, a.only, '--only'),
    likes = list_of(with_entities(run.data.names), a, a.likes, '--likes')})
  if not a.json then return print_one(run, result, k) end
  result.items = json.array(result.items)
  run_args.print_json(result)
end

--- Prints a list for each named user, or for somebody new.
---@return string? message the command's error at its end
local function recommend_each(run, a, k)
  if #a.user == 0 then return recommend_one(run, a, k, nil) end
  local ids, message = known(a, run.data.names.users, asked_for(a))
  for i, id in ipairs(ids) do
    if i > 1 and not a.json then print() end
    recommend_one(run, a, k, id)
  end
  return message
end

-- ---- lists of many users ----

--- Ids of the requested users: an FFI array, its length, and the command's error at its end.
local function users_of(data, a)
  local asked = asked_for(a)
  if not asked then return require('tinykg.engine.arrays').range(data.users), data.users end
  local list, message = known(a, data.names.users, asked)
  return ffi.new('int32_t[?]', #list + 1, list), #list, message
end

--- A line of TSV per item, or one JSON object per user.
---@param shown fun(text: string): string makes a field of a name
local function text_of(data, user, list, by, as_json, shown)
  local name, lines = data.names.users:name(user), {}
  require('tinykg.query.recommender').describe(data.names.items, list)
  for rank, one in ipairs(list) do
    lines[rank] = ('%s\t%d\t%s\t%.9g\t%s\t%s\n'):format(shown(name), rank, shown(one.item),
                                                      one.score, by, one.taken or '')
  end
  if not as_json then return table.concat(lines) end
  return json.encode{user = user, name = name, by = by, items = json.array(list)} .. '\n'
end

--- Writes the lists of ids[0 .. n - 1], in blocks of users, so that memory does not grow with n.
local function write_lists(file, recommender, ids, n, a, update)
  local shown = (a.o or not posix.is_terminal(1)) and format.cell or format.line
  local block = math.max(256, math.floor(2 ^ 22 / recommender.k))
  if not a.json then file:write('user\trank\titem\tscore\tby\ttaken\n') end
  for first = 0, n - 1, block do
    local count = math.min(block, n - first)
    local list_at = recommender:lists(ids + first, count, function(done)
      update(function() return ('%d of %s'):format(first + done, format.count(n, 'user')) end)
      run_args.check_interrupt()
    end)
    for i = 0, count - 1 do
      local user = ids[first + i]
      file:write(text_of(recommender.data, user, list_at(i),
                         recommender:is_cold(user) and 'popularity' or 'model', a.json, shown))
    end
  end
end

--- Writes lists for many users. ---@return string? message the command's error at its end
local function recommend_many(run, a, k)
  local data = run.data
  local ids, n, message = users_of(data, a)
  local ranks = require 'tinykg.engine.ranks'
  local recommender = require('tinykg.query.recommender').new(run, {
    k = k, all = a.all, exclude = list_of(data.names.items, a, a.exclude, '--exclude'),
    only = list_of(data.names.items, a, a.only, '--only')})
  progress.during(function(update)
    local function write(file)
      run_args.noting_replaced(write_lists, file, recommender, ids, n, a, update)
    end
    if not ranks.is_first() then -- it makes its share of the lists
      write{write = function() end}
    elseif a.o then
      must(atomic_file.write(a.o, write))
    else
      write(io.stdout)
    end
  end)
  recommender:release()
  if a.o then print(('written: %s: %s'):format(a.o, format.count(n, 'user'))) end
  return message
end

return function(...)
  local a = options.parse(parser(), ...)
  local k = check(a)
  run_args.set_engine(a)
  local run = run_args.open(a.run, a)
  local message = (a.users and recommend_many or recommend_each)(run, a, k)
  if message then error(message, 0) end
end
