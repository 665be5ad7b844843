--- tinykg recommend: the best items for a user, for somebody new, or for many users into a file.
local ffi = require 'ffi'
local atomic = require 'tinykg.atomic'
local json = require 'tinykg.json'
local opened = require 'tinykg.cli.opened'
local options = require 'tinykg.cli.options'
local progress = require 'tinykg.progress'

local HELP = [[
The best items for a user, by the model's scores; items of train and validation are left out.
A user who took nothing in train gets the most popular items; somebody new (--new, --likes)
those too, or what the model has for the users most like them. Equal scores: by item number.]]

local function parser()
  local p = options.parser('tinykg recommend', HELP, 'tinykg recommend RUN --user \'user 7\' -k 10')
  p:argument('run', 'the folder of a run')
  p:option('--user', "the user, by the data set's own name"):argname('U')
  p:flag('--new', 'for somebody who is not in the data set')
  p:option('--likes', 'items that somebody new likes (FILE: one a line)'):argname('ITEM,ITEM|@FILE')
  p:option('--users', 'for many: all, or a file with a user a line; prints TSV')
    :argname('all|FILE')
  p:option('-k', 'how many items', '20')
  p:option('--exclude', 'items not to list'):argname('ITEM,ITEM|@FILE')
  p:flag('--all', 'list items of train and validation too, marked')
  p:flag('--id', 'users and items are given by number, from 0')
  p:option('-o', 'with --users: the file to write'):argname('FILE')
  opened.add_options(p)
  return p
end

local function usage(...) error({usage = (...):format(select(2, ...))}, 0) end

local function check(a)
  local asked = (a.user and 1 or 0) + (a.users and 1 or 0) + ((a.new or a.likes) and 1 or 0)
  if asked == 0 then usage('recommend: for whom? --user U, --users all or FILE, --new, --likes') end
  if a.users and asked > 1 or a.user and a.new then
    usage('recommend: --user, --users and --new are three ways to ask: take one')
  end
  if a.o and not a.users then usage('-o: it is for --users') end
  return opened.whole(a.k, '-k', 1)
end

--- A name as it is or, with --id, a number.
local function named(a, text, where)
  if not a.id then return text end
  return tonumber(text) or error({usage = ("%s'%s' is not a number: --id"):format(where, text)}, 0)
end

--- 'a,b,c' or '@file' as a list of names or numbers; nil without a text.
local function list_of(names, a, text, option)
  if not text then return nil end
  local list, path = {}, text:match('^@(.+)')
  for _, line in ipairs(path and opened.lines(path) or {}) do
    list[#list + 1] = named(a, line.text, line.where)
  end
  for _, name in ipairs(path and {} or require('tinykg.data.find').listed(names, text)) do
    list[#list + 1] = named(a, name, option .. ': ')
  end
  if #list == 0 then usage('%s: no item given', option) end
  return list
end

local function print_one(run, result, k)
  print(('%s on %s, %s: the best %d items%s'):format(
    run.recipe.name, run.data.name, result.name or 'somebody new', #result.items,
    #result.items < k and ': there are no more' or ''))
  if result.note then print('note: ' .. result.note) end
  print(('%4s  %12s  %s'):format('rank', 'score', 'item'))
  for rank, item in ipairs(result.items) do
    print(('%4d  %12.6g  %s%s'):format(rank, item.score, item.name,
                                       item.taken and '  (' .. item.taken .. ')' or ''))
  end
end

local function one(run, a, k)
  local user = a.user and named(a, a.user, '--user: ')
  local found, message = true, nil
  if user then
    found, message = require('tinykg.data.find').id(run.data.names.users, 'user', user)
  end
  if not found then error(message .. ' (for somebody new: --new, or --likes ITEM,...)', 0) end
  local result = require('tinykg.recommend')(run, user, {
    k = k, all = a.all, exclude = list_of(run.data.names.items, a, a.exclude, '--exclude'),
    likes = list_of(run.data.names.items, a, a.likes, '--likes')})
  if not a.json then return print_one(run, result, k) end
  result.items = json.array(result.items)
  print(json.encode(result))
end

--- Ids of the users asked for: an FFI array and its length.
local function users_of(data, a)
  local find = require 'tinykg.data.find'
  local lines = a.users ~= 'all' and opened.lines(a.users)
  local n = lines and #lines or data.users
  local ids = ffi.new('int32_t[?]', n + 1)
  for i = 0, n - 1 do
    local line = lines and lines[i + 1]
    local id, message = i, nil
    if line then
      id, message = find.id(data.names.users, 'user', named(a, line.text, line.where))
    end
    ids[i] = id or error(line.where .. message, 0)
  end
  return ids, n
end

local function field(text) return (text:gsub('[\t\r\n]', ' ')) end

--- A line of TSV an item, or an object of JSON a user.
local function text_of(data, user, list, by, as_json)
  local name, lines = data.names.users:name(user), {}
  for rank, item in ipairs(list) do
    item.name = data.names.items:name(item.id)
    lines[rank] = ('%s\t%d\t%s\t%.9g\t%s\t%s\n'):format(field(name), rank, field(item.name),
                                                      item.score, by, item.taken or '')
  end
  if not as_json then return table.concat(lines) end
  return json.encode{user = user, name = name, by = by, items = json.array(list)} .. '\n'
end

--- Some users after the others, so that memory does not grow with their number.
local function many(run, a, k)
  local data = run.data
  local ids, n = users_of(data, a)
  local recommender = require('tinykg.recommender').new(run, {
    k = k, all = a.all, exclude = list_of(data.names.items, a, a.exclude, '--exclude')})
  local line, some = progress.line(), math.max(256, math.floor(2 ^ 22 / k))
  local function write(file)
    if not a.json then file:write('user\trank\titem\tscore\tby\ttaken\n') end
    for first = 0, n - 1, some do
      local count = math.min(some, n - first)
      local list_at = recommender:lists(ids + first, count, function(done)
        line.update(function() return ('%d of %d users'):format(first + done, n) end)
        opened.check_interrupt()
      end)
      for i = 0, count - 1 do
        local user = ids[first + i]
        file:write(text_of(data, user, list_at(i),
                           recommender:is_cold(user) and 'popularity' or 'model', a.json))
      end
    end
  end
  local ok, message = true, nil
  if a.o then ok, message = atomic.write(a.o, write) else write(io.stdout) end
  line.clear()
  recommender:release()
  if not ok then error(message, 0) end
  if a.o then print(('written: %s: %d users'):format(a.o, n)) end
end

return function(...)
  local a = options.parse(parser(), ...)
  local k = check(a)
  opened.engine(a)
  local run = opened.run(a.run, a);
  (a.users and many or one)(run, a, k)
end
