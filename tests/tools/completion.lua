--- Writes what shells complete `tinykg` by, lua/completion/: for bash, zsh and fish, as argparse
--- makes it from the commands' own parsers.
--   ./tinykg tests/tools/completion.lua [--check]      --check: only says whether it is up to date
local argparse = require 'argparse'
local options = require 'tinykg.cli.options'
local recipe_file = require 'tinykg.train.recipe_file'
local tables = require 'tinykg.base.tables'

local FILES = {['lua/completion/tinykg.bash'] = 'get_bash_complete',
               ['lua/completion/_tinykg'] = 'get_zsh_complete',
               ['lua/completion/tinykg.fish'] = 'get_fish_complete'}

--- Names of the commands that there are, in the order of `tinykg help`.
local function commands()
  local pipe, list = io.popen('./tinykg help'), {}
  for line in pipe:lines() do
    local name = line:match('^  tinykg (%l+)')
    if name then list[#list + 1] = name end
  end
  pipe:close()
  return list
end

--- A parser of all commands: each command makes its own as a part of that, and then would parse.
local function whole()
  local all, DONE = argparse('tinykg', 'train knowledge-graph recommenders'), {}
  local parse = options.parse
  options.parse = function() error(DONE, 0) end
  for _, name in ipairs(commands()) do
    if name == 'help' then
      all:command('help', 'the page of a command'):argument('command'):args('?')
        :choices(tables.filter(commands(), function(other) return other ~= 'help' end))
    else
      options.parser = function(_, description) return all:command(name, description) end
      local ok, why = pcall(require('tinykg.cli.commands.' .. name))
      assert(not ok and why == DONE, why)
    end
  end
  options.parse = parse
  for _, command in ipairs(all._commands) do -- argparse would offer what --help hides
    command._options = tables.filter(command._options, function(o) return not o._hidden end)
  end
  return all
end

--- What the first arguments of commands may be, by the command's name.
local function words_of(all)
  local words = {run = recipe_file.names(), memory = recipe_file.names()}
  for _, command in ipairs(all._commands) do
    local first = command._arguments[1]
    if first and first._choices then words[command._name] = first._choices end
  end
  return words
end

-- What argparse leaves out for bash and fish, and what it does wrongly: `compgen -f` cuts names of
-- files at blanks, where bash's own completion, which takes over without an answer, does not.
local FINISHED = {}

function FINISHED.get_bash_complete(text, words)
  text = text:gsub('COMPREPLY=%(%$%(compgen %-f %-%- "%$cur"%)%)', 'COMPREPLY=()')
    :gsub('"%$opts %-h %-%-help', '"$opts')
  local lines = {'    case "$cmd" in'}
  for _, name in ipairs(tables.sorted_keys(words)) do
    lines[#lines + 1] = ("        '%s')"):format(name)
    lines[#lines + 1] = ('            COMPREPLY=($(compgen -W "%s" -- "$cur"))'):format(
      table.concat(words[name], ' '))
    lines[#lines + 1] = '            ;;'
  end
  lines[#lines + 1] = '    esac\n\n    if [[ "$cur" = -* ]]; then'
  return (text:gsub('    if %[%[ "%$cur" = %-%* %]%]; then', table.concat(lines, '\n')))
end

function FINISHED.get_fish_complete(text, words)
  local lines = {text}
  for _, name in ipairs(tables.sorted_keys(words)) do
    lines[#lines + 1] = ("complete -c tinykg -n '__fish_tinykg_seen_command %s' -a '%s'\n"):format(
      name, table.concat(words[name], ' '))
  end
  return table.concat(lines)
end

local parser = whole()
for path, method in pairs(FILES) do
  local text = parser[method](parser)
  if FINISHED[method] then text = FINISHED[method](text, words_of(parser)) end
  local file = io.open(path)
  local old = file and file:read('*a')
  if file then file:close() end
  if arg[1] == '--check' then
    if old ~= text then error(path .. ' is not what the commands take: make docs', 0) end
  elseif old ~= text then
    assert(require('tinykg.base.atomic_file').write(path, text))
  end
end
