--- tinykg data head, user and entity: rows of a data set by name.
local json = require 'tinykg.base.json'
local options = require 'tinykg.cli.options'
local tables = require 'tinykg.base.tables'

local data_look = {}

--- Adds an argument and the options that the three have in common.
local function shared(command, example)
  command:epilog('Example: tinykg data ' .. example)
  command:argument('dir', 'a data set in any known format')
  command:option('-n', 'how many rows of each kind; 0: all', '10')
  command:option('--data-set', 'an option of the data set, key=value; repeatable'):count('*')
    :argname('KEY=VALUE')
  command:flag('--json', 'print an object')
  return command
end

--- Adds the commands to the parser of tinykg data.
function data_look.add(p)
  shared(p:command('head', 'its first interactions and triples, by name'), 'head DIR')
  local user = shared(p:command('user', 'what a user took, and in which part it is'),
                      "user DIR 'user 7'")
  user:argument('name', "the user, by the data set's own name")
  user:flag('--id', 'the user is a number, from 0')
  local entity = shared(p:command('entity', "an item's or an entity's triples, and who took it"),
                        "entity DIR 'film 3'")
  entity:argument('name', 'the item or entity, by its name or title')
  entity:flag('--id', 'the entity is a number, from 0')
end

local function name_of(a)
  if not a.id then return a.name end
  return tonumber(a.name) or options.usage("--id: '%s' is not a number", a.name)
end

--- The first n entries of the lists of an object.
local function cut(t, n)
  local out = tables.merged(t)
  for _, name in ipairs{'history', 'triples', 'takers'} do
    if t[name] and n > 0 then out[name] = json.array(tables.first(t[name], n)) end
  end
  return out
end

local COMMANDS = {head = true, user = true, entity = true}

--- Whether a command of tinykg data is one of these.
function data_look.has(command) return COMMANDS[command] ~= nil end

--- Runs a command.
function data_look.run(a)
  local n = options.whole(a.n, '-n', 0)
  local data = require('tinykg.data').load(a.dir, options.of_data(a.data_set))
  local found
  if a.command == 'head' then found = data:head(n)
  elseif a.command == 'user' then found = data:user(name_of(a), n)
  else found = data:entity(name_of(a), n) end
  print(a.json and json.encode(cut(found, n)) or tostring(found))
end

return data_look
