--- Warnings about data sets that were read without an error.
local tables = require 'tinykg.base.tables'
local rows = require 'tinykg.data.rows'
local utf8 = require 'tinykg.base.utf8'

local FIRST = 10000 -- names of a kind that are looked at: a file in another encoding shows early

-- A graph without any item is no help to recommendation; mostly the names differ.
local function is_linked(raw)
  local graph = raw.graph
  for p = 0, graph.n - 1 do
    if graph.heads[p] < raw.items or graph.tails[p] < raw.items then return true end
  end
  return graph.n == 0
end

-- The first name of a kind that is not UTF-8, which the command line and files expect.
local function foreign(names)
  for id = 0, math.min(names.count, FIRST) - 1 do
    local name = names:name(id)
    if utf8.valid(name) ~= name then return utf8.valid(name) end
  end
end

-- Texts that programs write for missing values.
local NOTHING = { 'nan', 'NaN', 'NAN', 'None', 'none', 'NULL', 'null', 'nil', 'NA', 'N/A', '<NA>',
  'undefined' }

local function named_nothing(names)
  return tables.filter(NOTHING, function(name)
    return names.dictionary and names.dictionary:find(name) and names:id(name)
  end)
end

-- Entities that are no items but have users' names; numbers may be equal by chance.
local function called_like_users(raw)
  local users, entities, count, first = raw.names.users, raw.names.entities, 0, nil
  if not (users.dictionary and entities.dictionary) then return 0 end
  for id = 0, users.count - 1 do
    local name = users:name(id)
    if not name:find('^%d+$') and entities.dictionary:find(name) then
      local entity = entities:id(name)
      if entity and entity >= raw.items then count, first = count + 1, first or name end
    end
  end
  return count, first
end

-- Labels of one class have no AUC.
local function warn_labels(raw, warn)
  local parts = {}
  for _, name in ipairs { 'train', 'valid', 'test' } do
    if raw[name] and raw[name].n > 0 then parts[#parts + 1] = raw[name] end
  end
  local label = #parts > 0 and rows.only_label(rows.concat(parts))
  if label == 1 then
    return warn 'all labels are 1: should items be ranked (--data-set task=ranking)?'
  elseif label then
    return warn('all labels are %g: there is nothing to learn', label)
  end
  for _, name in ipairs { 'valid', 'test' } do
    label = raw[name] and rows.only_label(raw[name])
    if label then warn('all labels of %s are %g: auc is not defined there', name, label) end
  end
end

--- Adds warnings.
---@param raw table what a format's load returned (tinykg.data)
return function(raw)
  local function warn(...) raw.warnings[#raw.warnings + 1] = string.format(...) end
  if not is_linked(raw) then
    warn('no item is in any of the %d triples: is each called there what it is called here?',
         raw.graph.n)
  end
  local alike, example = called_like_users(raw)
  if alike > 0 then
    warn("%s called as users are ('%s'): not linked, users are no entities",
         alike == 1 and '1 entity is' or alike .. ' entities are', example)
  end
  warn_labels(raw, warn)
  for _, kind in ipairs{'users', 'items', 'entities', 'relations'} do
    local nothing = raw.names[kind] and named_nothing(raw.names[kind]) or {}
    if #nothing > 0 then
      warn('%s are called %s: are they missing values?', kind, table.concat(nothing, ', '))
    end
    local name = raw.names[kind] and foreign(raw.names[kind])
    if name then
      return warn("'%s' and perhaps other names of %s are not UTF-8 (iconv -f LATIN1 -t UTF-8 " ..
                  'FILE, for instance, makes them so)', name, kind)
    end
  end
end
