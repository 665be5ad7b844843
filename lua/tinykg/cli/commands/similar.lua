--- tinykg similar: the items most like an item, or the users most like a user.
local format = require 'tinykg.base.format'
local json = require 'tinykg.base.json'
local options = require 'tinykg.cli.options'
local run_args = require 'tinykg.cli.run_args'

local function parser()
  local p = options.parser('tinykg similar', 'Lists the items most like an item, or the users ' ..
    'most like a user, by the cosine of their vectors, or of their scores where a model has no ' ..
    'vectors.', "tinykg similar RUN --item 'film 3' -k 10")
  p:argument('run', 'the folder of a run')
  p:option('--item', 'an item, by name or title'):argname('I')
  p:option('--user', "a user, by the data set's own name"):argname('U')
  p:option('-k', 'how many', '20')
  p:flag('--id', 'the item or user is a number, from 0')
  run_args.add_options(p)
  return p
end

return function(...)
  local a = options.parse(parser(), ...)
  if (a.item == nil) == (a.user == nil) then
    options.usage('similar: --item I or --user U: take one')
  end
  local k, name = options.whole(a.k, '-k', 1), a.item or a.user
  if a.id then name = options.whole(name, '--id', 0) end
  run_args.set_engine(a)
  local run = run_args.open(a.run, a)
  local found = require('tinykg.query.similar')(run, a.item and 'items' or 'users', name, k)
  if a.json then
    found.list = json.array(found.list)
    return run_args.print_json(found)
  end
  format.print(('%s on %s: most like %s, by the cosine of %s'):format(run.recipe.name,
    run.data.name, found.of, found.by == 'vectors' and 'vectors' or 'the model\'s scores'))
  print(('%4s  %8s  %s'):format('rank', 'cosine', a.item and 'item' or 'user'))
  for _, one in ipairs(found.list) do
    format.print(('%4d  %8.4f  %s'):format(one.rank, one.alike, one.name))
  end
end
