--- Names, numbers and parts as texts in files.

local ffi = require 'ffi'
local tables = require 'tinykg.base.tables'
local arrays = require 'tinykg.engine.arrays'
local rows = require 'tinykg.data.rows'
local split = require 'tinykg.data.split'

local texts = {}

local single = ffi.new('float[1]')

--- The shortest text that reads as the same float32 (of ratings) or float64 (of times).
---@param x number
---@param is_single boolean?
---@return string
function texts.number(x, is_single)
  if x % 1 == 0 and math.abs(x) < 1e15 then return ('%d'):format(x) end
  for digits = is_single and 6 or 15, 17 do
    local text = ('%.' .. digits .. 'g'):format(x)
    single[0] = tonumber(text)
    if tonumber(text) == x or (is_single and single[0] == x) then return text end
  end
end

--- The names of all ids after `clean`, made distinct: of equal ones all but the first get their id
--- appended.
---@param names tinykg.Names
---@param clean fun(name: string): string
---@return table<number, string> by id
---@return number changed how many got an id
function texts.distinct(names, clean)
  local list, taken, used, changed = {}, {}, {}, 0
  for id = 0, names.count - 1 do
    list[id] = clean(names:name(id))
    taken[list[id]] = true
  end
  for id = 0, names.count - 1 do
    local text = list[id]
    if used[text] then
      repeat text = text .. '#' .. id until not taken[text]
      list[id], changed = text, changed + 1
      taken[text] = true
    end
    used[text] = true
  end
  return list, changed
end

--- Distinct names of users, items, entities and relations, with a note about those that changed.
---@param data tinykg.Data
---@param out tinykg.Out
---@param clean fun(name: string): string
---@return {users: table, items: table, entities: table, relations: table}
function texts.all_names(data, out, clean)
  local all = {}
  for _, kind in ipairs { 'users', 'items', 'entities', 'relations' } do
    local changed
    all[kind], changed = texts.distinct(data.names[kind], clean)
    if changed > 0 then
      out:say('%d %s have the name of an earlier one: their ids are added, as in %s#id', changed,
        kind, all[kind][0])
    end
  end
  return all
end

--- The parts with rows: { name, rows }, and which of labels, ratings, times, weights all of them
--- have.
---@param data tinykg.Data
---@return table[] parts
---@return table<string, boolean> has
function texts.parts(data)
  local parts, has = {}, { labels = true, ratings = true, times = true, weights = true }
  for _, name in ipairs(split.parts) do
    if data[name].n > 0 then
      parts[#parts + 1] = { name = name, rows = data[name] }
      for column in pairs(has) do has[column] = has[column] and data[name][column] ~= nil end
    end
  end
  return parts, has
end

--- The rows of all parts together, by user and item.
---@param parts table[]
---@param users number
---@return table rows
function texts.whole(parts, users)
  local all = rows.concat(tables.map(parts, function(part) return part.rows end))
  return rows.take(all, rows.csr(all, users).order, all.n)
end

--- How many of 0 .. n - 1 are in no array of ids; calls each(id) with those.
---@param n number
---@param used_in {ids: ffi.cdata*, n: number}[]
---@param each fun(id: number)?
---@return number
function texts.unused(n, used_in, each)
  local used, count = arrays.ints(n), 0
  for _, array in ipairs(used_in) do
    for i = 0, array.n - 1 do used[array.ids[i]] = 1 end
  end
  for id = 0, n - 1 do
    if used[id] == 0 then
      count = count + 1
      if each then each(id) end
    end
  end
  return count
end

--- Adds a note of how many entities (without items) and relations a format without lists of them
--- leaves out.
---@param data tinykg.Data
---@param out tinykg.Out
function texts.say_unused(data, out)
  local graph, lost = data.graph, 0
  texts.unused(data.entities, { { ids = graph.heads, n = graph.n },
    { ids = graph.tails, n = graph.n } }, function(id)
      if id >= data.items then lost = lost + 1 end
    end)
  if lost > 0 then out:say('%d entities without a triple are left out', lost) end
  local relations = texts.unused(data.relations, { { ids = graph.relations, n = graph.n } })
  if relations > 0 then out:say('%d relations without a triple are left out', relations) end
end

--- Adds a note of columns that a format does not have.
---@param has table<string, boolean>
---@param out tinykg.Out
---@param format string
---@param ... string the columns that it lacks
function texts.say_without(has, out, format, ...)
  for _, column in ipairs { ... } do
    if has[column] then out:say('%s are left out: %s has no place for them', column, format) end
  end
end

return texts
