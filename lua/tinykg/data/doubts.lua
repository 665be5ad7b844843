--- What is worth a warning of a data set that was read without an error.
local utf8 = require 'tinykg.utf8'

local FIRST = 10000 -- names of a kind that are looked at: a file in another encoding shows early

-- A graph in which no item occurs helps no recommendation; mostly the names differ.
local function is_linked(raw)
  local graph = raw.graph
  for p = 0, graph.n - 1 do
    if graph.heads[p] < raw.items or graph.tails[p] < raw.items then return true end
  end
  return graph.n == 0
end

-- The first name of a kind that is not UTF-8, in which the command line and files ask for it.
local function foreign(names)
  for id = 0, math.min(names.count, FIRST) - 1 do
    local name = names:name(id)
    if utf8.valid(name) ~= name then return utf8.valid(name) end
  end
end

--- Adds warnings.
---@param raw table what a loader gave (tinykg.data)
return function(raw)
  local function warn(...) raw.warnings[#raw.warnings + 1] = string.format(...) end
  if not is_linked(raw) then
    warn('no item is in any of the %d triples: is each called there what it is called here?',
         raw.graph.n)
  end
  for _, kind in ipairs{'users', 'items', 'entities', 'relations'} do
    local name = raw.names[kind] and foreign(raw.names[kind])
    if name then
      return warn("'%s' and perhaps other names of %s are not UTF-8 (iconv -f LATIN1 -t UTF-8 " ..
                  'FILE, for instance, makes them so)', name, kind)
    end
  end
end
