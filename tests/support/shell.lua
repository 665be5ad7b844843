--- Running the command line from specs.

local fixtures = require 'tests.support.fixtures'

local shell = {}

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
  local code = tonumber(pipe:read('*l'))
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

--- Runs it and wants status 0; returns what was printed.
function shell.prints(arguments, through)
  local code, out, err = shell.tinykg(arguments, through)
  assert(code == 0, ('tinykg %s: status %s: %s'):format(arguments, code, err))
  return out
end

--- Makes a folder and in it the demo data set. ---@return string dir ---@return string data
function shell.demo(users, items)
  local dir = fixtures.dir()
  shell.prints(('data demo %s/data --users %d --items %d'):format(dir, users, items))
  return dir, dir .. '/data'
end

--- Wants one clear line on standard error and nothing else there.
function shell.refuses(arguments, code, pattern)
  local got, _, err = shell.tinykg(arguments)
  local lines = select(2, err:gsub('\n', ''))
  assert(got == code and lines == 1 and err:match(pattern),
    ('tinykg %s: status %s, expected %d and one line with %s: %s'):format(arguments, got, code,
      pattern, err))
end

return shell
