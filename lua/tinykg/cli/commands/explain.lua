--- tinykg explain: prints the paths in the graph that carried a score.
local tables = require 'tinykg.base.tables'
local find = require 'tinykg.data.find'
local format = require 'tinykg.base.format'
local json = require 'tinykg.base.json'
local must = require 'tinykg.base.must'
local options = require 'tinykg.cli.options'
local run_args = require 'tinykg.cli.run_args'
local say = format.print

local HELP = [[
Shows the paths in the graph from a user to an item that carried its score: items that the user
took, entities that lead from there to the item, and relations between them. Each edge and path
has a weight, which is attention, part of the score or plausibility, depending on the model.]]

local function parser()
  local p = options.parser('tinykg explain', HELP,
                           "tinykg explain RUN --user 'user 7' --item 'film 3'")
  p:argument('run', 'the folder of a run')
  p:option('--user', "the user, by the data set's own name"):argname('U')
  p:option('--item', 'the item, by its name or title'):argname('I')
  p:option('--paths', 'how many paths', '10')
  p:option('--length', 'edges of a path, at most: 2, 3 or 4', '4')
  p:flag('--id', 'user and item are numbers, from 0')
  run_args.add_options(p)
  return p
end

local function id_of(names, a, option)
  local text = a[option]
  local number = a.id and tonumber(text)
  if a.id and not number then options.usage("--%s: '%s' is not a number (--id)", option, text) end
  return (must(find.id(names, option, number or text)))
end

--- A relation's name; of an address, the last part.
local function short(relation)
  return relation:match('^%a+://.*[/#]([^/#]+)$') or relation
end

local function arrow(edge)
  local weight = edge.read and ' %.2g' or ''
  return (edge.inverse and '<-[%s' .. weight .. ']-' or '-[%s' .. weight .. ']->')
    :format(short(edge.relation), edge.weight)
end

--- A node's name, with its kind if the name is a number.
local function called(node)
  return node.name:match('^%d+$') and node.kind .. ' ' .. node.name or node.name
end

local function path_text(path)
  local parts = {called(path.nodes[1])}
  for i, edge in ipairs(path.edges) do
    parts[#parts + 1] = arrow(edge)
    parts[#parts + 1] = called(path.nodes[i + 1])
  end
  return table.concat(parts, ' ')
end

local function intent_text(intent)
  local parts = tables.map(intent.relations, function(r)
    return ('%s%s %.2g'):format(r.inverse and '<- ' or '', short(r.name), r.weight)
  end)
  return ('intent %d weighs %.2g: %s, ...'):format(intent.intent, intent.weight,
                                                   table.concat(parts, ', '))
end

local TAKEN = {train = 'in train: the model learned from it (that edge is no path here)',
               valid = 'in validation',
               test = 'in test: held out, so this was to be foretold'}

--- Why there is no path.
local function nothing_text(run, e, length)
  local known = run.data:known()
  if known.offsets[e.user.id] == known.offsets[e.user.id + 1] then
    return called(e.user) .. ' has no interactions in train: no path begins there'
  end
  local along = e.rule == 'least' and ' along edges on which the score depends'
    or e.what ~= 'nothing' and ' along edges that the model reads' or ''
  return ('no path of at most %d edges leads from %s to %s%s')
    :format(length, called(e.user), called(e.item), along)
end

local function has_unread(paths)
  return tables.any(paths, function(path)
    return tables.any(path.edges, function(edge) return not edge.read end)
  end)
end

local function print_all(run, e, length)
  say(('%s on %s: %s and %s')
    :format(run.recipe.name, run.data.name, called(e.user), called(e.item)))
  print(('score %.6g, place %d of %s, without others taken before')
    :format(e.score, e.rank, format.count(e.of, 'item')))
  if e.taken then say(('%s took it, %s'):format(called(e.user), TAKEN[e.taken])) end
  print('weights: ' .. e.meaning)
  if e.what ~= 'nothing' and has_unread(e.paths) then
    print('edges without a weight are not read by the model: they ' ..
          (e.rule == 'least' and 'do not count'
           or 'count 1 / sqrt(neighbours of one end x of the other)'))
  end
  if e.note then say('note: ' .. e.note) end
  for _, intent in ipairs(e.intents or {}) do say(intent_text(intent)) end
  print('')
  if #e.paths == 0 then say(nothing_text(run, e, length)) end
  for i, path in ipairs(e.paths) do
    say(('%3d  %10.4g  %s'):format(i, path.weight, path_text(path)))
  end
end

return function(...)
  local a = options.parse(parser(), ...)
  local paths = options.whole(a.paths, '--paths', 1, 10000)
  local length = options.whole(a.length, '--length', 2, 4)
  for _, option in ipairs{'user', 'item'} do
    if not a[option] then options.usage('explain: --%s is needed', option) end
  end
  run_args.set_engine(a)
  local run = run_args.open(a.run, a)
  local names = run.data.names
  local e = require('tinykg.query.explain')(run, id_of(names.users, a, 'user'),
                                      id_of(names.items, a, 'item'),
                                      {paths = paths, length = length})
  if not a.json then return print_all(run, e, length) end
  e.paths = json.array(e.paths)
  run_args.print_json(e)
end
