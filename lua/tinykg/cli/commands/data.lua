--- tinykg data: describes a data set, writes it in another format, or generates one.
local data_look = require 'tinykg.cli.data_look'
local format = require 'tinykg.base.format'
local options = require 'tinykg.cli.options'
local run_args = require 'tinykg.cli.run_args'

local function data_set_option(command)
  command:option('--data-set',
                 'an option of the data set (split, kcore, seed, ...), key=value; repeatable')
    :count('*'):argname('KEY=VALUE')
end

local function add_info(p)
  local info = p:command('info', 'counts, density, degrees, splits, dropped rows')
    :epilog('Example: tinykg data info DIR')
  info:argument('dir', 'a data set in any known format')
  data_set_option(info)
  info:flag('--json', 'print an object with all counts')
end

local function add_convert(p)
  local convert = p:command('convert', 'write a data set in another format')
    :epilog('Writes the data set as it is loaded and as data info shows it: with its split, the\n'
      .. 'options of --data-set and drawn negatives. Notes say what the format cannot hold.\n\n'
      .. 'Example: tinykg data convert DIR NEW --to recbole')
  convert:argument('folders', 'a data set in any known format, and the folder to write, new or '
    .. 'empty; with --of only the latter'):args('1-2'):argname({'FROM', 'TO'})
  convert:option('--of', 'the data set of a run as it was loaded, with its options and split')
    :argname('RUN')
  convert:option('--data', 'with --of: where the data set of the run is now, if it has moved')
    :argname('DIR')
  convert:option('--to', 'kgat (KGIN reads it too), kgcn (RippleNet too), recbole or plain (CSV)')
    :target('format'):argname('FORMAT'):choices{'kgat', 'kgcn', 'recbole', 'plain'}:count(1)
  convert:flag('--gzip', 'compress each file')
  convert:flag('--whole', 'one file of interactions without the split (recbole, plain)')
  convert:flag('--force', 'write even if the folder has other files')
  data_set_option(convert)
end

local function add_demo(p)
  local demo = p:command('demo', 'write a data set whose graph explains what people watch')
    :epilog('Example: tinykg data demo DIR --users 200')
  demo:argument('dir', 'the folder to write')
  demo:option('--users', 'how many users'):convert(tonumber)
  demo:option('--items', 'how many items'):convert(tonumber)
  demo:option('--seed', 'the seed'):convert(tonumber)
end

local function parser()
  local p = options.parser('tinykg data', 'Look at a data set, convert it, or generate one.',
                           'tinykg data info DIR')
  p:command_target('command')
  add_info(p)
  data_look.add(p)
  add_convert(p)
  add_demo(p)
  return p
end

local function info(a)
  local found = require('tinykg.data').load(a.dir, options.of_data(a.data_set)):info()
  if not a.json then return print(found) end
  local json = require 'tinykg.base.json'
  for _, name in ipairs{'notes', 'warnings'} do found[name] = json.array(found[name]) end
  print(json.encode(found))
end

--- KGCN's programs need negatives: they are drawn as with task=ctr if the data have none.
local function load_options(a)
  local given = options.of_data(a.data_set)
  if a.format == 'kgcn' and given.task == nil then given.task = 'ctr' end
  return given
end

--- Checks the arguments of convert. ---@return fun(): tinykg.Data load ---@return string to
local function source(a)
  local first, second = a.folders[1], a.folders[2]
  if not a.of then
    if not second then options.usage('data convert: two folders are needed: FROM and TO') end
    if a.data then options.usage('data convert: --data: it is for --of; FROM is the data set') end
    local from = load_options(a)
    return function() return require('tinykg.data').load(first, from) end, second
  end
  if second then options.usage('data convert: --of RUN is the data set: name TO alone') end
  if #a.data_set > 0 then
    options.usage('data convert: --data-set: with --of the options are those of the run')
  end
  local config = require('tinykg.run.folder').config(a.of)
  return function()
    return run_args.finding_data(a.data, function()
      local set, note = require('tinykg.run.data_set').unchanged(a.of, config, a.data)
      if note then table.insert(set.warnings, note) end
      return set
    end)
  end, first
end

local function convert(a)
  if a.whole and a.format == 'kgat' then
    options.usage('data convert: --whole: kgat has train.txt and test.txt: a split')
  end
  local data, folder = require 'tinykg.data', require 'tinykg.data.write.folder'
  local load, to = source(a)
  folder.check(to, a.force) -- before the work of loading
  require('tinykg.engine.lib').tkg_interrupt_watch(1)
  local set = load()
  local lines = require('tinykg.data.write').write(set, to,
    {format = a.format, gzip = a.gzip, force = a.force, whole = a.whole})
  for _, list in ipairs{set.notes, set.warnings, lines} do
    for _, text in ipairs(list) do format.print('note: ' .. text) end
  end
  if data.format_of(to) ~= a.format then
    print(('note: %s has files of another format too: load it with --data-set format=%s'):format(
      to, a.format))
  end
  print(('written: %s (%s)'):format(to, a.format))
  print('next: tinykg data info ' .. format.quoted(to))
end

local function demo(a)
  require('tinykg.data.demo').write(a.dir, {users = a.users, items = a.items, seed = a.seed})
  print('written: ' .. a.dir)
  print('next: tinykg data info ' .. format.quoted(a.dir))
  print('      tinykg run kgin --data ' .. format.quoted(a.dir)
    .. ' --data-set task=ranking --set lr=0.01 --set epochs=20 --bits 2')
end

local COMMANDS = {info = info, convert = convert, demo = demo}

return function(...)
  local a = options.parse(parser(), ...)
  if data_look.has(a.command) then return data_look.run(a) end
  return COMMANDS[a.command](a)
end
