--- tinykg data head, user and entity: rows of a data set by name.
local format = require 'tinykg.base.format'
local json = require 'tinykg.base.json'
local must = require 'tinykg.base.must'
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

--- The first n entries of a list; all for 0.
local function first_of(list, n) return n == 0 and list or {unpack(list, 1, math.min(n, #list))} end

local function label(one)
  return one.title and ('%s (%s)'):format(one.name, one.title) or one.name
end

--- Prints a title and the number of rows, those that are given, and how many are left.
---@param all integer rows that there are ---@param cells fun(row: any): string[]
local function print_rows(title, list, all, cells)
  format.print(('%s: %d'):format(title, all))
  local lines = tables.map(list, function(row)
    return tables.append({' '}, tables.map(cells(row), format.line))
  end)
  if #lines > 0 then print(format.table(lines, function() return true end)) end
  if #list < all then print(('... and %d more (-n)'):format(all - #list)) end
end

local function name_of(a)
  if not a.id then return a.name end
  return tonumber(a.name) or options.usage("--id: '%s' is not a number", a.name)
end

local function head(data, a, n)
  local interactions, triples = require('tinykg.data.look').head(data, n == 0 and math.huge or n)
  if a.json then
    return {interactions = json.array(interactions), triples = json.array(triples)}
  end
  print_rows('interactions of train', interactions, data.train.n, function(row)
    return {label(row.user), label(row.item), row.label and ('%g'):format(row.label)}
  end)
  print_rows('triples', triples, data.graph.n, function(row)
    return {label(row.head), row.relation, label(row.tail)}
  end)
end

local function user(data, a, n)
  local look = require 'tinykg.data.look'
  local one = must(look.user(data, name_of(a)))
  local history = look.history(data, one.id)
  if a.json then return tables.merged(one, {history = json.array(first_of(history, n))}) end
  print_rows(label(one) .. ' took', first_of(history, n), #history, function(row)
    return {label(row.item), row.part}
  end)
end

local function entity(data, a, n)
  local look = require 'tinykg.data.look'
  local one = must(look.entity(data, name_of(a)))
  local around = look.neighbours(data, one.id)
  local takers = one.kind == 'item' and look.takers(data, one.id) or nil
  if a.json then
    return tables.merged(one, {triples = json.array(first_of(around, n)),
                               takers = takers and json.array(first_of(takers, n))})
  end
  print_rows(('%s (%s): triples'):format(label(one), one.kind), first_of(around, n), #around,
             function(row)
    return {row.inverse and '<-' or '->', row.relation, label(row.entity)}
  end)
  if not takers then return end
  print_rows('taken by', first_of(takers, n), #takers, function(row)
    return {label(row.user), row.part}
  end)
end

local COMMANDS = {head = head, user = user, entity = entity}

--- Whether a command of tinykg data is one of these.
function data_look.has(command) return COMMANDS[command] ~= nil end

--- Runs a command.
function data_look.run(a)
  local n = options.whole(a.n, '-n', 0)
  local data = require('tinykg.data').load(a.dir, options.of_data(a.data_set))
  local found = COMMANDS[a.command](data, a, n)
  if found then print(json.encode(found)) end
end

return data_look
