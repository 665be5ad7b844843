--- Finds users and items by a name of the data set, an item's title or a number, and similar names
--- if there is none.
local close_word = require 'tinykg.base.arguments.close_word'
local format = require 'tinykg.base.format'
local tables = require 'tinykg.base.tables'

local find = {}

--- How far a name is from the text asked for, both in lower case; nil: too far. A name that has it
--- as a word, or as a part of at least three letters, is nearer than a misspelling of two.
local function apart(text, name)
  local d = close_word.distance(text, name, math.max(1, math.floor(#text / 4)))
  local first, last = name:find(text, 1, true)
  if first and (#text >= 3 or not name:sub(first - 1, first - 1):find('%w')
                and not name:sub(last + 1, last + 1):find('%w')) then
    d = math.min(d or 2, 1 + (#name - #text) / (#name + 1))
  end
  return d
end

--- Up to `count` labels of names that are close to a text, the closest first.
---@param names tinykg.Names ---@param text string ---@param count? integer 3
---@return string[]
function find.close(names, text, count)
  local found, lower = {}, text:lower()
  for id = 0, names.count - 1 do
    local d = apart(lower, names:name(id):lower())
    local title = names.titles and names.titles[id]
    local by_title = title and apart(lower, title:lower())
    if by_title then d = math.min(d or by_title, by_title) end
    if d then found[#found + 1] = {id = id, near = -d} end
  end
  tables.sort_largest(found, 'near', 'id')
  return tables.map(tables.first(found, count or 3), function(one) return names:label(one.id) end)
end

local of_titles = setmetatable({}, {__mode = 'k'}) -- maps of titles, by the titles that they are of

--- Ids by title and by label, in lists: several items may have one title. Made once.
---@return table<string, integer[]>
local function by_titles(names)
  local map = of_titles[names.titles]
  if map then return map end
  map = {}
  of_titles[names.titles] = map
  for id, title in pairs(names.titles) do
    for _, text in ipairs(tables.unique{title, names:label(id)}) do
      map[text] = tables.append(map[text] or {}, {id})
    end
  end
  return map
end

--- Ids of this title or label; none where there are no titles. ---@return integer[]
local function titled(names, text) return names.titles and by_titles(names)[text] or {} end

--- The id with this title or label, if there is only one.
local function by_title(names, text)
  local ids = titled(names, text)
  return #ids == 1 and ids[1] or nil
end

--- The id of this exact name, or of this title; nil if there is none.
---@param names tinykg.Names ---@param text string
---@return integer?
function find.exact(names, text) return names:id(text) or by_title(names, text) end

local MOST_COMMAS = 8 -- in a name, so that a long list is not joined in all ways

--- The name that begins at part `first` of a text split at commas, and its last part.
local function name_at(names, parts, first)
  for last = math.min(first + MOST_COMMAS, #parts), first + 1, -1 do
    local name = format.trimmed(table.concat(parts, ',', first, last))
    if find.exact(names, name) then return name, last end
  end
  return format.trimmed(parts[first]), first
end

--- 'a,b,c' as a list of texts. A comma in a name of the data set separates nothing.
---@param names tinykg.Names ---@param text string
---@return string[]
function find.listed(names, text)
  local parts, list, last = {}, {}, 0
  for part in text:gmatch('[^,]+') do parts[#parts + 1] = part end
  while last < #parts do
    list[#list + 1], last = name_at(names, parts, last + 1)
  end
  return list
end

local function by_number(names, what, number)
  if number % 1 == 0 and number >= 0 and number < names.count then return number end
  return nil, ('no %s number %g: there are 0 to %d'):format(what, number, names.count - 1)
end

--- The id of a user or an item.
---@param names tinykg.Names ---@param what string 'user' or 'item', for the message
---@param text string|number a name or a title of the data set; a number is an id (from 0)
---@return integer? id
---@return string? message with names that are close
function find.id(names, what, text)
  if type(text) == 'number' then return by_number(names, what, text) end
  local id = find.exact(names, text)
  if id then return id end
  local alike = titled(names, text)
  if #alike > 1 then
    table.sort(alike)
    return nil, format.line(("%d %ss are called '%s': %s: name one"):format(#alike, what, text,
      table.concat(tables.map(tables.first(alike, 5), function(one) return names:name(one) end),
                   ', ') .. (#alike > 5 and ', ...' or '')))
  end
  local close = find.close(names, text)
  local hint = #close > 0 and '; close: ' .. table.concat(close, ', ')
    or names.count > 0 and ('; they are called %s, ...'):format(names:label(0)) or ''
  return nil, format.line(("no %s '%s' in the data set%s"):format(what, text, hint))
end

return find
