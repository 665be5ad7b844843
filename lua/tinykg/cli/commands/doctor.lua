--- tinykg doctor: lists what this machine has, what is missing, and how to get it.
local ffi = require 'ffi'
local ctrl_c = require 'tinykg.cli.ctrl_c'
local format = require 'tinykg.base.format'
local system_info = require 'tinykg.bench.system_info'

local PACKAGES = {
  {'argparse', 'lua-argparse', 'the command line'},
  {'cjson', 'lua-cjson', 'run folders'},
  {'lfs', 'lua-filesystem', 'data sets and run folders'},
  {'posix', 'lua-posix', 'files, processes, terminals'},
  {'readline', 'lua-readline', 'editing at the prompt'},
}

local function lua_modules()
  local missing = {}
  for _, p in ipairs(PACKAGES) do
    local ok, why = pcall(require, p[1])
    if ctrl_c(why) then error(why, 0) end
    print(string.format('  %-14s %s', p[1], ok and 'found' or 'MISSING (' .. p[3] .. ')'))
    if not ok then missing[#missing + 1] = p[2] end
  end
  return missing
end

local function device_line(m)
  return m.device .. (m.note and ' (' .. (m.gpu or 'no GPU found') .. '; ' .. m.note .. ')' or '')
end

local DEVICES = {'cpu', 'cuda', 'emu'}

--- Engines of the devices that can be opened; prints why the others cannot.
local function open_all(C)
  local engines = {}
  for _, name in ipairs(DEVICES) do
    local out = ffi.new('tkg_engine *[1]')
    if C.tkg_engine_create(name, out) == 0 then engines[name] = out[0]
    else print(ffi.string(C.tkg_error())) end
  end
  return engines
end

--- Prints which op has a kernel on which device.
local function op_table()
  local C = require 'tinykg.engine.lib'
  local engines, rows = open_all(C), {{'op', unpack(DEVICES)}}
  for op = 1, C.tkg_op_count() - 1 do -- 0 is a leaf
    local name = ffi.string(C.tkg_op_name(op))
    local row = {name}
    for i, device in ipairs(DEVICES) do
      local engine = engines[device]
      row[i + 1] = not engine and '?' or name == 'reshape' and 'view'
        or C.tkg_engine_supports(engine, op) ~= 0 and 'yes' or 'NO'
    end
    rows[#rows + 1] = row
  end
  print(format.table(rows, function() return true end))
  for _, engine in pairs(engines) do C.tkg_engine_release(engine) end
  print('?: cannot be opened here. make test tests each op on cpu and emu, make test-gpu on cuda.')
end

return function(...)
  if ... == '--help' or ... == '-h' then
    print('Usage: tinykg doctor [--ops]\n\nPrints versions, device, threads and libraries, what ' ..
          'is missing and how to get it;\nwith --ops, which op has a kernel on which device.\n\n' ..
          'Example: tinykg doctor')
    return
  end
  if ... == '--ops' then return op_table() end
  if ... then error({usage = 'doctor takes --ops or nothing; see --help'}, 0) end
  local ok, m = pcall(system_info.describe)
  if ok then
    print('tinykg ' .. m.version)
    print('  Lua            ' .. m.lua)
    print('  library        ' .. m.library)
    print('  cache          ' .. require('tinykg.data.cache').describe())
    print('  device         ' .. device_line(m))
    print('  vector code    ' .. m.vector_code)
    print('  threads        ' .. m.threads)
    print('  products       ' .. m.products)
    if m.better_core then
      print('  WARNING        OpenBLAS uses kernels of a lesser processor than this one: set ' ..
            'OPENBLAS_CORETYPE=' .. m.better_core)
    end
  end
  local missing = lua_modules()
  print('  gnuplot        ' .. (system_info.first_line('gnuplot --version')
        or 'not found; only tk.plot needs it: apt-get install gnuplot-nox'))
  if #missing > 0 then
    print('to get what is missing: apt-get install ' .. table.concat(missing, ' '))
    error('doctor: something is missing', 0)
  end
  if not ok then error(m, 0) end
  print('all there')
end
