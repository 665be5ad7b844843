--- tinykg doctor: lists what this machine has, what is missing, and how to get it.
local ffi = require 'ffi'
local format = require 'tinykg.base.format'
local packages = require 'tinykg.cli.packages'
local system_info = require 'tinykg.bench.system_info'

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

--- All that is reported: system_info.describe()'s fields, or `error`, why there are none; cache,
--- modules (found or not, by name), gnuplot (its version), zlib, missing (Debian's packages).
local function examine()
  local ok, m = pcall(system_info.describe)
  if not ok then
    m = {error = tostring(m)}
  else
    m.cache = require('tinykg.data.cache').describe()
    m.mpi, m.no_mpi = system_info.mpi()
    m.nccl, m.no_nccl = system_info.nccl()
    m.ranks, m.rank_devices = system_info.ranks()
  end
  m.modules, m.missing = packages.find()
  m.gnuplot = system_info.first_line('gnuplot --version')
  m.zlib = pcall(require, 'zlib')
  return m
end

local function print_engine(m)
  print('tinykg ' .. m.version)
  print('  Lua            ' .. m.lua)
  print('  library        ' .. m.library)
  print('  cache          ' .. m.cache)
  print('  device         ' .. device_line(m))
  print('  vector code    ' .. m.vector_code)
  print('  threads        ' .. m.threads)
  print('  products       ' .. m.products)
  print('  ranks          ' .. (m.mpi or m.no_mpi .. '; only mpirun -n P needs it'))
  if m.nccl or m.no_nccl then
    print('  between GPUs   ' .. (m.nccl or m.no_nccl .. '; ranks then exchange through the host'))
  end
  if m.ranks then print('  these ranks    ' .. m.ranks) end
  for _, line in ipairs(m.rank_devices or {}) do print('                 ' .. line) end
  if m.better_core then
    print('  WARNING        OpenBLAS uses kernels of a lesser processor than this one: set ' ..
          'OPENBLAS_CORETYPE=' .. m.better_core)
  end
end

local function print_all(m)
  if not m.error then print_engine(m) end
  for _, p in ipairs(packages.ALL) do
    print(string.format('  %-14s %s', p[1], m.modules[p[1]] and 'found' or
                        'MISSING (' .. p[3] .. ')'))
  end
  print('  gnuplot        ' .. (m.gnuplot
        or 'not found; only tk.plot needs it: apt-get install gnuplot-nox'))
  print('  zlib           ' .. (m.zlib and 'found'
        or 'not found; only data convert --gzip needs it: apt-get install lua-zlib'))
  if #m.missing > 0 then
    print('to get what is missing: apt-get install ' .. table.concat(m.missing, ' '))
  elseif not m.error then
    print('all there')
  end
end

local function parser()
  local p = require('tinykg.cli.options').parser('tinykg doctor',
    'Print versions, device, threads and libraries, what is missing and how to get it.',
    'tinykg doctor')
  p:flag('--ops', 'which op has a kernel on which device')
  p:flag('--json', 'print an object')
  return p
end

return function(...)
  local has_argparse = pcall(require, 'argparse') -- without it the doctor says so
  local a = has_argparse and require('tinykg.cli.options').parse(parser(), ...) or {}
  if a.ops then return op_table() end
  local m = examine()
  if a.json then
    local json = require 'tinykg.base.json'
    m.missing = json.array(m.missing)
    print(json.encode(m))
  else
    print_all(m)
  end
  if #m.missing > 0 then error('doctor: something is missing', 0) end
  if m.error then error(m.error, 0) end
end
