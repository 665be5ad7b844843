--- tinykg doctor: what this machine has, what is missing, how to get it.
local ffi = require 'ffi'

local PACKAGES = {
  {'argparse', 'lua-argparse', 'the command line'},
  {'cjson', 'lua-cjson', 'run folders'},
  {'lfs', 'lua-filesystem', 'data sets and run folders'},
}

local function first_line(command)
  local pipe = io.popen(command .. ' 2>/dev/null')
  local line = pipe:read('*l')
  pipe:close()
  return line
end

local function lua_modules()
  local missing = {}
  for _, p in ipairs(PACKAGES) do
    local ok = pcall(require, p[1])
    print(string.format('  %-14s %s', p[1], ok and 'found' or 'MISSING (' .. p[3] .. ')'))
    if not ok then missing[#missing + 1] = p[2] end
  end
  return missing
end

local function device_line()
  if first_line('nvidia-smi -L') then
    return 'cpu (a GPU is there; this build has CPU kernels only)'
  end
  return 'cpu (no GPU found: everything runs on the CPU)'
end

return function(...)
  if ... == '--help' or ... == '-h' then
    print('Usage: tinykg doctor\n\nPrints versions, device, threads and libraries, what is ' ..
          'missing and how to get it.\n\nExample: tinykg doctor')
    return
  end
  if ... then error({usage = 'doctor takes no arguments; see --help'}, 0) end
  local tk = require 'tinykg'
  ffi.cdef 'const char *tkg__isa(void);'
  print('tinykg ' .. tk.version)
  print('  Lua            ' .. jit.version)
  print('  library        ' .. (os.getenv('TINYKG_LIB') or 'build/libtinykg.so'))
  print('  device         ' .. device_line(tk))
  print('  vector code    ' .. ffi.string(require('tinykg.lib').tkg__isa()))
  print('  threads        ' .. tk.threads())
  local missing = lua_modules()
  if #missing > 0 then
    print('to get what is missing: apt-get install ' .. table.concat(missing, ' '))
    error('doctor: something is missing', 0)
  end
  print('all there')
end
