--- tinykg data: look at a data set, or generate one.
local options = require 'tinykg.cli.options'

local function parser()
  local p = options.parser('tinykg data', 'Look at a data set, or generate one.',
                           'tinykg data info DIR')
  p:command_target('command')
  local info = p:command('info', 'counts, density, degrees, splits, what was dropped')
  info:argument('dir', 'a data set in any known format')
  info:option('--data-set', 'an option of the data set, key=value; repeatable'):count('*')
    :argname('KEY=VALUE')
  local demo = p:command('demo', 'write a data set whose graph explains what people watch')
  demo:argument('dir', 'the folder to write')
  demo:option('--users', 'how many users'):convert(tonumber)
  demo:option('--items', 'how many items'):convert(tonumber)
  demo:option('--seed', 'of everything drawn'):convert(tonumber)
  return p
end

return function(...)
  local a = options.parse(parser(), ...)
  if a.command == 'info' then
    print(require('tinykg.data').load(a.dir, options.of_data(a.data_set)):info())
    return
  end
  require('tinykg.data.demo').write(a.dir, {users = a.users, items = a.items, seed = a.seed})
  print('written: ' .. a.dir)
  print('next: tinykg data info ' .. a.dir)
  print('      tinykg run recipes/kgcn.lua --data ' .. a.dir .. ' --bits 2')
end
