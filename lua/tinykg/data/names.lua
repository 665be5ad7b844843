--- Names of users, items, entities or relations: id to name and back.

local arguments = require 'tinykg.base.arguments'
local arrays = require 'tinykg.engine.arrays'

---@class tinykg.Names
---@field count number
local Names = {}
Names.__index = Names

local names = { class = Names }

--- Makes names of a dictionary. `source[id]` is the id's place in it (-1: none); nil: they are
--- equal. Without a dictionary a name is the decimal number of the place.
---@param count number
---@param dictionary tinykg.Dictionary?
---@param source ffi.cdata*? int32[count]
---@return tinykg.Names
function names.new(count, dictionary, source)
  return setmetatable({ count = count, dictionary = dictionary, source = source }, Names)
end

--- The name of an id; its decimal number if the data set has none; nil if out of range.
---@param id number
---@return string?
function Names:name(id)
  if id < 0 or id >= self.count or id % 1 ~= 0 then return nil end
  local place = self.source and self.source[id] or id
  local name = place >= 0 and self.dictionary and self.dictionary:at(place)
  if name and name ~= '' then return name end
  return ('%d'):format((self.dictionary or place < 0) and id or place)
end

--- The name and, if the data set has one, the title: '242 (Kolya)'.
---@param id number
---@return string?
function Names:label(id)
  local name = self:name(id)
  local title = self.titles and self.titles[id]
  return title and ('%s (%s)'):format(name, title) or name
end

-- Ids by places in the dictionary; made once.
local function places(self)
  if self.place_to_id then return self.place_to_id end
  local map = {}
  for id = self.count - 1, 0, -1 do map[self.source[id]] = id end
  self.place_to_id = map
  return map
end

--- The id of a name, else nil. A number counts as its decimal text.
---@param name string|number
---@return number?
function Names:id(name)
  name = type(name) == 'number' and ('%.14g'):format(name) or name
  local place = self.dictionary and self.dictionary:find(name)
  if not place then
    local number = name:match('^%d+$') and tonumber(name)
    -- A number finds only an id whose name is that number.
    if self.dictionary then
      return number and self:name(number) == name and number or nil
    end
    place = number
  end
  if not place then return nil end
  if self.source then return places(self)[place] end
  return place < self.count and place or nil
end

--- The same names after a renumbering: old_ids[new id] is the old one.
---@param count number
---@param old_ids ffi.cdata* int32[count]
---@return tinykg.Names
function Names:renumbered(count, old_ids)
  local source = arrays.ints(count)
  for id = 0, count - 1 do
    source[id] = self.source and self.source[old_ids[id]] or old_ids[id]
  end
  local new = names.new(count, self.dictionary, source)
  if self.titles then
    new.titles = {}
    for id = 0, count - 1 do new.titles[id] = self.titles[old_ids[id]] end
  end
  return new
end

arguments.class(Names, 'tinykg.Names', 'names of a data set')

return names
