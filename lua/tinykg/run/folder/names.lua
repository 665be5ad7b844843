--- names.tsv in a run's folder: names of users, items, entities and relations in the order of the
-- model's rows. A table of kind and name; line k of a kind is row k, from 0. Names that equal their
-- row numbers are left out.
local ffi = require 'ffi'
local arrays = require 'tinykg.engine.arrays'
local atomic_file = require 'tinykg.base.atomic_file'
local fingerprint = require 'tinykg.data.fingerprint'
local folder = require 'tinykg.run.folder'
local libc = require('tinykg.base.posix').libc
local must = require 'tinykg.base.must'
local names = require 'tinykg.data.names'

local run_names = {}

local FILE, HEAD = 'names.tsv', 'kind\tname\n'
local KINDS = {users = 'user', items = 'item', entities = 'entity', relations = 'relation'}
local AT_ONCE = 4096 -- lines per write

local ESCAPED = {['\\'] = '\\\\', ['\t'] = '\\t', ['\n'] = '\\n', ['\r'] = '\\r'}
local MEANT = {['\\'] = '\\', t = '\t', n = '\n', r = '\r'}

local function put_kind(file, all, kind)
  local parts, n, word = {}, 0, KINDS[kind] .. '\t'
  for id = 0, all.count - 1 do
    local name = all:name(id)
    if name:find('[\\\t\n\r]') then name = name:gsub('[\\\t\n\r]', ESCAPED) end
    parts[n + 1], parts[n + 2], parts[n + 3] = word, name, '\n'
    n = n + 3
    if n == 3 * AT_ONCE or id == all.count - 1 then
      local ok, why = file:write(table.concat(parts, '', 1, n))
      if not ok then return nil, why end
      n = 0
    end
  end
  return true
end

--- Writes the names of a data set.
---@param path string the run's folder ---@param data tinykg.Data
function run_names.write(path, data)
  must(atomic_file.write(path .. '/' .. FILE, function(file)
    local done, why = file:write(HEAD)
    for _, kind in ipairs(fingerprint.kinds) do
      local all = data.names[kind]
      if done and not fingerprint.are_numbers(all) then done, why = put_kind(file, all, kind) end
    end
    return done, why
  end, {links = false}))
end

local function damaged(path, why) error(('%s/%s: damaged: %s'):format(path, FILE, why), 0) end

--- Adds an escaped name to a dictionary; returns its id.
local function added(dictionary, from, n)
  if libc.memchr(from, 92, n) ~= nil then -- a backslash
    return dictionary:add((ffi.string(from, n):gsub('\\(.)', MEANT)))
  end
  return dictionary:add(from, n)
end

--- Dictionaries and places of the names of a file, by kind. Two ids may have one name.
local function parsed(path, text)
  local found, bytes, at, number = {}, ffi.cast('const char *', text), #HEAD, 1
  while at < #text do
    local stop = libc.memchr(bytes + at, 10, #text - at)
    local tab = stop ~= nil and libc.memchr(bytes + at, 9, #text - at)
    number = number + 1
    if not tab or tab == nil or tab >= stop then damaged(path, 'line ' .. number) end
    local first = ffi.cast('const char *', tab) + 1
    local word = ffi.string(bytes + at, first - 1 - (bytes + at))
    local of = found[word] or {n = 0, dictionary = arrays.dictionary(), places = {}}
    found[word], of.n = of, of.n + 1
    of.places[of.n] = added(of.dictionary, first, ffi.cast('const char *', stop) - first)
    at = tonumber(ffi.cast('const char *', stop) - bytes) + 1
  end
  return found
end

--- The names in a run's folder by kind, or nil: a run of an older version.
---@param path string ---@param config table config.json, with data_set
---@return table<string, tinykg.Names>?
function run_names.read(path, config)
  local was = config.data_set
  local text = was and folder.text(path, FILE)
  if not text then return nil end
  if text:sub(1, #HEAD) ~= HEAD then damaged(path, 'its first line') end
  local found, all = parsed(path, text), {}
  for _, kind in ipairs(fingerprint.kinds) do
    local of, source = found[KINDS[kind]], nil
    if of then
      source = arrays.ints(of.n)
      for id = 0, of.n - 1 do source[id] = of.places[id + 1] end
    end
    all[kind] = names.new(of and of.n or was[kind], of and of.dictionary, source)
  end
  if fingerprint.of_names(all) ~= was.numbering then
    damaged(path, 'not the names that config.json has a hash of')
  end
  return all
end

return run_names
