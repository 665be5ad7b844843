--- The command line. Exit status: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C (143 by
--- SIGTERM).

-- LuaJIT answers Ctrl-C with an error wherever it is, even in an error handler. Until the engine
-- watches for Ctrl-C (tkg_interrupt_watch), nothing is begun, and it ends the process.
local ffi = require 'ffi'
ffi.cdef 'void (*signal(int number, void (*handler)(int)))(int);'
ffi.C.signal(2, nil) -- SIGINT, SIG_DFL

local source_line = require 'tinykg.base.source_line'
local tables = require 'tinykg.base.tables'

local COMMANDS = {
  {'run', 'RECIPE... --data DIR', 'train and evaluate; several recipes or seeds: a sweep'},
  {'memory', 'RECIPE --data DIR', 'plan a step and show what memory it takes; train nothing'},
  {'sensitivity', 'RUN --to FILE', 'measure which kept values need bits most'},
  {'runs', '[DIR...]', 'list the runs in runs/, with their results'},
  {'eval', 'RUN', 'metrics of a finished or interrupted run'},
  {'check', 'RUN', 'check that a run\'s files are whole and fit each other and their data set'},
  {'recommend', 'RUN --user U', 'the best items for a user, by name'},
  {'similar', 'RUN --item I', 'the items most like an item, or users like a user'},
  {'explain', 'RUN --user U --item I', 'the paths in the graph that carried a score'},
  {'export', 'RUN --to FILE', 'parameters or final vectors as .safetensors, .npz, .tsv, ...'},
  {'report', 'RUN... -o FILE.html', 'curves, memory and a comparison in one page'},
  {'data', 'info|head|user|... DIR', 'look at a data set, convert or generate one'},
  {'bench', '[PART]', 'speed on this machine, as ratios'},
  {'demo', '[DIR]', 'generate a data set, train KGIN at 32 and at 2 bits, compare'},
  {'doctor', '', 'versions, device, threads, libraries, and what is missing'},
  {'help', '[COMMAND]', 'this page, or a command\'s own'},
}

local function usage()
  local lines = {'tinykg: train knowledge-graph recommenders in a fraction of the memory', '',
                 'Usage:'}
  local listed = require('tinykg.base.terminal').listed
  local function add(what, text) lines[#lines + 1] = listed(1, '  tinykg ' .. what, 40, text) end
  for _, c in ipairs(COMMANDS) do add(c[1] .. ' ' .. c[2], c[3]) end
  add('FILE.lua args...', 'run a Lua file with the engine loaded; - is standard input')
  add('-e CODE', "run a line of Lua; 'tk' is loaded")
  add('[-i FILE.lua|-e CODE]', 'the prompt; -i runs something first')
  add('--version', 'the version')
  lines[#lines + 1] = ''
  lines[#lines + 1] = 'Example: tinykg run kgcn --data DIR --bits 2'
  lines[#lines + 1] = 'Each command has --help.'
  return table.concat(lines, '\n')
end

--- The text and the exit status for an error, which may be runtime.interrupted.
local function text_and_status(message)
  local runtime = package.loaded['tinykg.engine.runtime']
  if type(runtime) == 'table' and message == runtime.interrupted then -- else it did not load
    local signal = require('tinykg.engine.lib').tkg_interrupted(0)
    return 'interrupted', 128 + (signal ~= 0 and signal or 2)
  elseif type(message) == 'table' and message.usage then
    return message.usage, 2
  end
  local ok, hint = pcall(function() -- not without the engine
    return require('tinykg.repl.hints').explain(tostring(message))
  end)
  return ok and hint or tostring(message), 1
end

local function say(text) io.stderr:write('tinykg: ', text, '\n') end

--- Prints one message and leaves. Of several ranks the first prints it, and tells the others.
local function leave(message, trace)
  local lacking = type(message) == 'string' and require('tinykg.cli.packages').explain(message)
  if lacking then -- and what follows may need it
    say(lacking)
    os.exit(1, true)
  end
  local text, code = text_and_status(message)
  if code == 1 and trace then text = text .. '\n' .. trace end
  io.stdout:flush() -- before standard error
  local terminal, ranks = package.loaded['tinykg.base.terminal'], require 'tinykg.cli.ranks'
  if text == 'interrupted' and terminal then terminal.clear_line(2) end -- the ^C
  if ranks.prints() then say(require('tinykg.base.format').lines(text)) end
  ranks.leave(code, text)
  os.exit(code, true)
end

--- A hint with the command that is closest to a wrong one.
local function close_to(word)
  if require('tinykg.train.recipe_file').of_name(word) then
    return (' (a recipe is run: tinykg run %s --data DIR)'):format(word)
  end
  local words = tables.map(COMMANDS, function(c) return c[1] end)
  if word:find('^%-') then words = {'--help', '--version'} end
  local best = require('tinykg.base.arguments.close_word').of(word, words)
  return best and (": did you mean '%s'? tinykg help lists them"):format(best)
    or '; tinykg help lists them'
end

local function is_command(name)
  return tables.any(COMMANDS, function(c) return c[1] == name end)
end

--- Runs a user's Lua and returns its result. An error is printed with the stack of their calls.
local function run_lua(chunk, ...)
  local trace, result
  local ok, message = xpcall(function(...)
    require('tinykg.engine.lib').tkg_interrupt_watch(1)
    result = chunk(...)
  end, function(e)
    if type(e) == 'string' then trace = source_line.trace() end
    return source_line.handler(e)
  end, ...)
  if not ok then leave(message, source_line.trace_text(trace)) end
  return result
end

local function script(path, ...)
  local chunk, message = loadfile(path ~= '-' and path or nil) -- nil: standard input
  if not chunk then leave(message) end
  if path ~= '-' then require('tinykg.base.search_path').add_folder_of(path) end
  _G.arg = {[0] = path, ...}
  local result = run_lua(chunk, ...)
  if type(result) == 'table' and type(result.complete) == 'function' and result.build then
    leave{usage = ('%s is a recipe: tinykg run %s --data DIR'):format(path,
      require('tinykg.base.format').quoted(path))}
  end
end

local function prompt(chunk, ...)
  local arguments = {...}
  local ok, message, trace = require('tinykg.repl').run(chunk and function()
    chunk(unpack(arguments))
  end)
  if not ok then leave(message, trace) end
end

--- Runs the argument of -e; with -i before or behind it, the prompt follows.
local function code(text, ...)
  if not text then leave{usage = '-e needs a line of Lua: tinykg -e \'print(1)\''} end
  local chunk, message = loadstring('local tk = require "tinykg"; ' .. text, '=(command line)')
  if not chunk then leave(message) end
  if ... ~= '-i' then return run_lua(chunk, ...) end
  prompt(require('tinykg.repl.chunk').load(text, '=(command line)'), select(2, ...))
end

--- -i: runs a file or -e CODE, then the prompt.
local function interactive(first, ...)
  if not first then return prompt() end
  if first == '-e' then return code(..., '-i', select(2, ...)) end
  if not first:match('%.lua$') then
    leave{usage = '-i: ' .. first .. ' is neither -e CODE nor a file named *.lua'}
  end
  local chunk, message = require('tinykg.repl.chunk').of_file(first)
  if not chunk then leave(message) end
  require('tinykg.base.search_path').add_folder_of(first)
  _G.arg = {[0] = first, ...}
  prompt(chunk, ...)
end

--- `help COMMAND ...` is `COMMAND ... --help`: of `data convert`, or of `run kgat`, too.
local function help(main, topic, ...)
  if not topic or topic == 'help' then return print(usage()) end
  if not is_command(topic) then
    leave{usage = ('help: no command \'%s\'%s'):format(topic, close_to(topic))}
  end
  local words = {...}
  words[#words + 1] = '--help'
  return main(topic, unpack(words))
end

local function main(command, ...)
  if not command then
    prompt()
  elseif command == '--help' or command == '-h' then
    print(usage())
  elseif command == '--version' or command == '-v' or command == 'version' then
    print('tinykg ' .. require('tinykg').version)
  elseif command == 'help' then
    return help(main, ...)
  elseif command == '-e' then
    code(...)
  elseif command == '-i' then
    interactive(...)
  elseif is_command(command) then
    require('tinykg.cli.commands.' .. command)(...)
  elseif command:match('%.lua$') or command == '-' then
    script(command, ...)
  else
    local what = command:find('^%-.') and 'option' or 'command'
    leave{usage = ("no %s '%s'%s"):format(what, command, close_to(command))}
  end
end

--- Raises a message if standard output could not be written.
local function check_output()
  local written, why = io.stdout:flush()
  if not written or require('tinykg.base.posix').libc.ferror(io.stdout) ~= 0 then
    error('standard output: ' .. (why or 'not all of it could be written'), 0)
  end
end

local ok, message = xpcall(function(...)
  require('tinykg.base.search_path').only_absolute()
  require 'tinykg.cli.blas_core'(...)
  if not require('tinykg.cli.ranks').begin(...) then return end
  main(...)
  check_output()
  require('tinykg.cli.ranks').leave(0)
end, source_line.handler, ...)
if not ok then leave(message) end
