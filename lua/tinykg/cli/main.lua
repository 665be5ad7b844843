--- The command line. Exit status: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C.

local COMMANDS = {
  {'run', 'RECIPE.lua --data DIR', 'train and evaluate a recipe'},
  {'data', 'info|demo DIR', 'look at a data set, or generate one'},
  {'demo', '[DIR]', 'generate a data set, train KGCN at 32 and at 2 bits, compare'},
  {'doctor', '', 'versions, device, threads, libraries; what is missing and how to get it'},
  {'help', '[COMMAND]', 'this page, or a command\'s own'},
}

local function usage()
  local lines = {'tinykg: train knowledge-graph recommenders in a fraction of the memory', '',
                 'Usage:'}
  for _, c in ipairs(COMMANDS) do
    lines[#lines + 1] = string.format('  tinykg %-7s %-22s %s', c[1], c[2], c[3])
  end
  lines[#lines + 1] = '  tinykg FILE.lua args...          run a Lua file with the engine loaded'
  lines[#lines + 1] = '  tinykg -e CODE                   run a line of Lua'
  lines[#lines + 1] = ''
  lines[#lines + 1] = 'Example: tinykg run recipes/kgcn.lua --data DIR --bits 2'
  lines[#lines + 1] = 'Each command has --help.'
  return table.concat(lines, '\n')
end

--- Prints one message and leaves. `message` may be the interrupt sentinel of a step.
local function leave(message)
  local session = package.loaded['tinykg.session']
  if session and message == session.interrupted then
    io.stderr:write('tinykg: interrupted\n')
    os.exit(130, true)
  end
  if type(message) == 'table' and message.usage then
    io.stderr:write('tinykg: ', message.usage, '\n')
    os.exit(2, true)
  end
  io.stderr:write('tinykg: ', tostring(message), '\n')
  os.exit(1, true)
end

local function is_command(name)
  for _, c in ipairs(COMMANDS) do
    if c[1] == name then return true end
  end
end

--- An error in somebody's Lua keeps its traceback; one of ours is a message already.
local function run_lua(chunk, ...)
  local C = require 'tinykg.lib'
  C.tkg_interrupt_watch(1)
  local session = require 'tinykg.session'
  local arguments = {...}
  local ok, message = xpcall(function() chunk(unpack(arguments)) end, function(e)
    if type(e) ~= 'string' then return e end
    return (debug.traceback(e, 2):gsub('\n%s*%[C%][^\n]*', ''):gsub('\n[^\n]*tinykg/cli/[^\n]*', ''))
  end)
  if not ok then leave(message == session.interrupted and message or message) end
end

local function script(path, ...)
  local chunk, message = loadfile(path)
  if not chunk then leave(message) end
  _G.arg = {[0] = path, ...}
  run_lua(chunk, ...)
end

local function code(text, ...)
  if not text then leave{usage = '-e needs a line of Lua: tinykg -e \'print(1)\''} end
  local chunk, message = loadstring('local tk = require "tinykg"; ' .. text, '=(command line)')
  if not chunk then leave(message) end
  run_lua(chunk, ...)
end

local function main(command, ...)
  if not command or command == '--help' or command == '-h' then
    print(usage())
  elseif command == '--version' then
    print('tinykg ' .. require('tinykg').version)
  elseif command == 'help' then
    local topic = ...
    if not topic then print(usage()) return end
    if not is_command(topic) or topic == 'help' then
      leave{usage = 'help: no command ' .. topic .. '; tinykg help lists them'}
    end
    return main(topic, '--help')
  elseif command == '-e' then
    code(...)
  elseif is_command(command) then
    local ok, message = pcall(function(...) require('tinykg.cli.' .. command)(...) end, ...)
    if not ok then leave(message) end
  elseif command:match('%.lua$') then
    script(command, ...)
  else
    leave{usage = string.format("no command '%s'; tinykg help lists them", command)}
  end
end

main(...)
