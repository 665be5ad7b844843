--- The programs of shims/, which are preloaded into a LuaJIT process, and tinykg run under them.

local fixtures = require 'tests.support.fixtures'

local shims = {}

local home = os.getenv('TINYKG_HOME') or require('lfs').currentdir()
local compiled = {}

--- Why no shim can be used here, or nil.
function shims.unusable()
  if os.getenv('TINYKG_CHECK') then return 'the checker preloads its own' end
  if jit.os ~= 'Linux' then return 'system calls are trapped on Linux only' end
  if not fixtures.has_tool(os.getenv('CC') or 'cc') then return 'no C compiler' end
end

--- The library made of shims/NAME.c.
---@return string path
function shims.library(name)
  if not compiled[name] then
    local path = fixtures.dir() .. '/' .. name .. '.so'
    local code = os.execute(('%s -std=c17 -O1 -shared -fPIC -o %s %s/tests/faults/shims/%s.c')
      :format(os.getenv('CC') or 'cc', path, home, name))
    assert(code == 0, 'shims/' .. name .. '.c does not compile')
    compiled[name] = path
  end
  return compiled[name]
end

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

--- Runs LuaJIT with a shim. What takes longer than five minutes, or than `seconds`, hangs.
---@param shim string its name
---@param variables table<string, string|number> its environment
---@param arguments string LuaJIT's ---@param seconds? number
---@return number code of the process: 137 killed, 124 hung
---@return string out ---@return string err
function shims.luajit(shim, variables, arguments, seconds)
  local words = {'TINYKG_HOME=' .. home, 'LD_PRELOAD=' .. shims.library(shim)}
  for name, value in pairs(variables) do
    words[#words + 1] = name .. '=' .. quoted(tostring(value))
  end
  local out, err = os.tmpname(), os.tmpname()
  local command = ('timeout -k 1 %d env %s %s %s >%s 2>%s'):format(seconds or 300,
    table.concat(words, ' '), os.getenv('LUAJIT') or 'luajit', arguments, out, err)
  local pipe = io.popen(('cd %s && { %s; } 2>/dev/null; echo $?'):format(home, command))
  local code = tonumber(pipe:read('*l'))
  pipe:close()
  local texts = {fixtures.bytes(out), fixtures.bytes(err)}
  os.remove(out)
  os.remove(err)
  return code, texts[1], texts[2]
end

--- Runs LuaJIT under shims/calls.c. Returns its status, what it printed and what the shim reported.
local function trapped(arguments, folder, kind, at)
  local report = os.tmpname()
  local code, out, err = shims.luajit('calls', {FAULT_FOLDER = folder, FAULT_KIND = kind,
    FAULT_AT = at, FAULT_REPORT = report}, arguments)
  local said = fixtures.bytes(report)
  os.remove(report)
  return code, out, err, said
end

--- Why system calls cannot be trapped here, or nil.
function shims.untrapped()
  local why = shims.unusable()
  if why then return why end
  local code, _, _, said = trapped('-v', '/', 'EIO', 0)
  if code ~= 0 or said:find('cannot trap') then return 'system calls cannot be trapped here' end
end

--- Runs tinykg with one system call on what lies in `folder` disturbed.
---@param arguments string the command line
---@param folder string
---@param kind string EIO, ENOSPC, short, kill
---@param at? number which call; 0, or none: all are counted, none is disturbed
---@return table {code, out, err, hit = 'CALL PATH' or nil, calls = number or nil}
function shims.disturbed(arguments, folder, kind, at)
  local code, out, err, said = trapped('lua/tinykg/cli/main.lua ' .. arguments, folder, kind,
                                       at or 0)
  return {code = code, out = out, err = err, hit = said:match('hit ([^\n]*)'),
          calls = tonumber(said:match('calls (%d+)'))}
end

return shims
