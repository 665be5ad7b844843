--- The commands of the prompt, which begin with a colon.
local chunk = require 'tinykg.repl.chunk'
local clock = require 'tinykg.base.clock'
local format = require 'tinykg.base.format'
local must = require 'tinykg.base.must'
local reflow = require 'tinykg.repl.reflow'
local show = require 'tinykg.repl.show'
local tables = require 'tinykg.base.tables'
local sorted_keys = tables.sorted_keys
local tensor = require 'tinykg.engine.tensor'
local terminal = require 'tinykg.base.terminal'

local commands = {all = {}}

local GENERAL = [[
Lua at the prompt; `tk` is the engine. Some things to begin with:
  x = tk.randn(3, 4)      a name for a value (`local` is not needed)
  x:relu():sum()          the value of an expression is shown, but not with a `;` behind it
  _                       the last value that was shown
  ? tk.optim.adam         help on a function
  ? x                     what x is and can do
  ? tk                    all there is
  data = tk.data.load 'DIR'
  data:head()             its first rows
  data:user 'ann'         what a user took; data:entity 'Dune' what is around an entity
  tk.plot({1, 4, 9})      draws

Keys: Tab completes, arrows and Ctrl-R find earlier lines, Ctrl-C stops what runs, Ctrl-D quits.

Commands:]]

-- Globals that were there when the prompt began; the others are the user's.
local before, modules = {}, {} -- modules: those that were loaded then
function commands.begin()
  for name in pairs(_G) do before[name] = true end
  before._ = true
  for name in pairs(package.loaded) do modules[name] = true end
end

-- A command is called with the rest of the line, and raises a message when it fails. One that
-- returns true ends the session.

function commands.all.help()
  local width = terminal.room(1)
  print(reflow(GENERAL, width))
  for _, line in ipairs(commands.list()) do print(reflow(line, width)) end
end

function commands.all.quit() return true end

local function computed(...)
  for i = 1, select('#', ...) do
    local value = select(i, ...)
    if tensor.is(value) then value:keep() end
  end
  return ...
end

function commands.all.time(text)
  local fn, shown = must(chunk.compile(text))
  local function finish(start, ...)
    local seconds = clock.now() - start
    if shown then show.all(text, ...) end
    print(seconds < 1 and ('%.3g ms'):format(1000 * seconds) or ('%.3f s'):format(seconds))
  end
  finish(clock.now(), computed(fn()))
end

function commands.all.mem()
  print(require('tinykg').memory())
  print(('Lua itself: %s'):format(format.bytes(collectgarbage('count') * 1024)))
end

local function bytes_of(value)
  if tensor.is(value) then return format.bytes(4 * value:count()) end
  if type(value) == 'table' and type(value.parameters) == 'function' then
    local n = 0
    for _, p in ipairs(value:parameters()) do n = n + 4 * p:count() end
    return format.bytes(n)
  end
  return ''
end

function commands.all.who()
  local names = {}
  for _, name in ipairs(sorted_keys(_G)) do
    local library = package.loaded[name] ~= nil
    if not before[name] and not library and type(name) == 'string' then
      names[#names + 1] = name
    end
  end
  if #names == 0 then return print('no names yet: x = tk.randn(3, 4) makes one') end
  for _, name in ipairs(names) do
    local ok, bytes = pcall(bytes_of, _G[name])
    local kind = show.kind(_G[name])
    print(('%-14s %10s  %s'):format(name, ok and bytes or '', #kind > 60 and
                                    kind:sub(1, 57) .. '...' or kind))
  end
end

local last_file -- that :load ran

--- A path as it is typed: in quotation marks or not, with ~ for the home folder.
local function typed_path(text)
  local path = text:match('^(["\']).*%1$') and text:sub(2, -2) or text
  local home = os.getenv('HOME')
  return home and path:gsub('^~/', (home:gsub('%%', '%%%%')) .. '/') or path
end

function commands.all.load(path)
  path = typed_path(path)
  if path == '' then error(':load needs the name of a file: :load recipes/kgat.lua', 0) end
  last_file = path
  require('tinykg.base.search_path').add_folder_of(path)
  show.all(nil, must(chunk.of_file(path))())
end

--- Forgets modules that are neither tinykg's nor were there when the prompt began, so that edited
--- ones are read anew, and runs the last file again.
function commands.all.reload(path)
  if path == '' then path = last_file end
  if not path then error(':reload runs again what :load ran last: nothing yet', 0) end
  for name in pairs(package.loaded) do
    if not modules[name] and not tostring(name):find('^tinykg') then package.loaded[name] = nil end
  end
  commands.all.load(path)
end

function commands.all.search(word)
  if word == '' then error(':search needs a word: :search softmax', 0) end
  print(require('tinykg.repl.help').search(word))
end

local ABOUT = {
  help = {'', 'this page'},
  load = {'FILE', 'runs a file of Lua; its names are then known here'},
  reload = {'', 'runs the last loaded file again, with its modules as they are now'},
  search = {'WORD', 'functions whose name or help has the word'},
  mem = {'', 'bytes in use, by kind'},
  quit = {'', 'ends the session'},
  time = {'CODE', 'runs it and says how long it took'},
  who = {'', 'names that you made, with sizes'},
}

local function line_about(name)
  return ('  %-15s  %s'):format(':' .. name .. ' ' .. ABOUT[name][1], ABOUT[name][2])
end

--- A line per command, sorted. ---@return string[]
function commands.list() return tables.map(sorted_keys(ABOUT), line_about) end

--- The line about ':time'; nil if that is no command. ---@return string?
function commands.about(word)
  local name = word:match('^:%s*(%a+)$')
  return name and ABOUT[name] and line_about(name)
end

--- Runs a line such as ':time f(x)'. A name can be shortened as long as it is unique.
---@param line string
---@return boolean? quit whether the session is over
function commands.run(line)
  local name, rest = line:match('^%s*:%s*(%a*)%s*(.-)%s*$')
  local found = {}
  for known in pairs(commands.all) do
    if known:sub(1, #name) == name then found[#found + 1] = known end
  end
  if name == '' or #found ~= 1 then
    error(('no command :%s; there are :%s'):format(
      name, table.concat(sorted_keys(commands.all), ' :')), 0)
  end
  return commands.all[found[1]](rest)
end

return commands
