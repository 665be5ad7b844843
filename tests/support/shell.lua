--- Running the command line from specs.

local fixtures = require 'tests.support.fixtures'

local shell = {}

local EINTR = 4

local home = os.getenv('TINYKG_HOME') or '.'

local function take(path)
  local text = fixtures.bytes(path)
  os.remove(path)
  return text
end

--- Runs `tinykg arguments`; `through` is what comes before it on the command line.
---@return number code ---@return string out ---@return string err
function shell.tinykg(arguments, through)
  local out, err = os.tmpname(), os.tmpname()
  local pipe = io.popen(string.format('cd %s && %s ./tinykg %s >%s 2>%s; echo $?', home,
    through or '', arguments, out, err))
  local code
  repeat -- a signal of a program that has ended may interrupt it
    local line, _, errno = pipe:read('*l')
    code = tonumber(line)
  until line or errno ~= EINTR
  pipe:close()
  return code, take(out), take(err)
end

--- Runs a command line in a folder, the repository by default; both outputs are one text.
---@return number code ---@return string text
function shell.sh(command, dir)
  local pipe = io.popen(('cd %s && { %s; } 2>&1; echo "[$?]"'):format(dir or home, command))
  local text = pipe:read('*a')
  pipe:close()
  local out, code = text:match('^(.*)%[(%d+)%]\n$')
  return tonumber(code), out
end

--- Runs a command line as sh does. Fails unless the status is this one and the text matches the
--- pattern, if there is one. ---@return string text
function shell.gives(status, command, pattern, dir)
  local code, text = shell.sh(command, dir)
  assert(code == status and text:find(pattern or ''), ('%s: status %s, expected %d%s: %s'):format(
    command, code, status, pattern and ' and ' .. pattern or '', text))
  return text
end

local INTERRUPTED = [[set -m; %s & pid=$!
  until ls %s >/dev/null 2>&1 || ! kill -0 $pid 2>/dev/null; do sleep 0.005; done
  kill -s INT $pid; wait $pid]]

--- Runs a command line and sends it Ctrl-C when some files are there, however long that takes.
--- Fails unless the status is 130 and the text matches the pattern.
---@param files string as sh reads them ---@return string text
function shell.interrupted(command, files, pattern)
  return shell.gives(130, INTERRUPTED:format(command, files), pattern)
end

--- Runs `tinykg arguments`. Fails unless the status is 0.
---@return string out ---@return string err
function shell.works(arguments, through)
  local code, out, err = shell.tinykg(arguments, through)
  assert(code == 0, ('tinykg %s: status %s: %s'):format(arguments, code, err))
  return out, err
end

--- Does the same; returns the standard output alone.
function shell.prints(arguments, through) return (shell.works(arguments, through)) end

--- Runs a program's text in Python with further arguments, which are quoted.
---@param modules string what it imports, commas between
---@return string? text both outputs, nil where a module is missing ---@return string? why
function shell.python(modules, program, ...)
  local python = os.getenv('PYTHON') or 'python3'
  if os.execute(("'%s' -c 'import %s' >/dev/null 2>&1"):format(python, modules)) ~= 0 then
    return nil, ('%s has no %s'):format(python, modules)
  end
  local words = {fixtures.dir{['x.py'] = program} .. '/x.py', ...}
  return (select(2, shell.sh(("'%s' '%s'"):format(python, table.concat(words, "' '")))))
end

--- Makes a folder and in it the demo data set. ---@return string dir ---@return string data
function shell.demo(users, items)
  local dir = fixtures.dir()
  shell.prints(('data demo %s/data --users %d --items %d'):format(dir, users, items))
  return dir, dir .. '/data'
end

--- Runs `tinykg arguments`. Fails unless the status is `code` and standard error is one line that
--- matches the pattern.
function shell.refuses(arguments, code, pattern)
  local got, _, err = shell.tinykg(arguments)
  local lines = select(2, err:gsub('\n', ''))
  assert(got == code and lines == 1 and err:match(pattern),
    ('tinykg %s: status %s, expected %d and one line with %s: %s'):format(arguments, got, code,
      pattern, err))
end

return shell
