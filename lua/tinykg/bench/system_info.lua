--- Describes this machine, for doctor and bench.
local system_info = {}

--- The first line that a command prints; nil if there is none.
function system_info.first_line(command)
  local pipe = io.popen(command .. ' 2>/dev/null')
  local line = pipe:read('*l')
  pipe:close()
  return line
end

--- What multiplies narrow matrices, and what others.
local function products(blas)
  local core = blas.core()
  local library = core and ('OpenBLAS, %s'):format(core) or 'a CBLAS'
  local narrow = blas.narrow()
  return narrow and ('%s; large ones: %s'):format(narrow, library) or library
end

--- The MPI library and the launcher, for several ranks: 'Open MPI v4.1.4; mpirun (Open MPI) 4.1.4';
--- nil and why without a library.
---@return string? text, string? why
function system_info.mpi()
  local ffi, C = require 'ffi', require 'tinykg.engine.lib'
  local library = ffi.string(C.tkg_mpi_library())
  if library == '' then return nil, ffi.string(C.tkg_error()) end
  local launcher = system_info.first_line('mpirun --version') or 'no mpirun'
  if launcher:find('^HYDRA') then launcher = 'mpiexec of MPICH' end
  return library .. '; ' .. launcher
end

--- What joins the GPUs of ranks, 'NCCL 2.28.9'; nil and why nothing does; nil alone on a CPU.
---@return string? library, string? why
function system_info.nccl()
  local ffi, C = require 'ffi', require 'tinykg.engine.lib'
  if require('tinykg').device() == 'cpu' then return nil end
  local library = ffi.string(C.tkg_engine_link_library(require('tinykg.engine.runtime').engine))
  if library == '' then return nil, ffi.string(C.tkg_error()) end
  return library
end

--- Of several ranks: what joins them, and a line per rank with its machine and device.
---@return string? note, string[]? devices
function system_info.ranks()
  local ffi, C = require 'ffi', require 'tinykg.engine.lib'
  local ranks = require 'tinykg.engine.ranks'
  if ranks.size() == 1 then return nil end
  local list, text = {}, ffi.string(C.tkg_engine_rank_devices(
    require('tinykg.engine.runtime').engine))
  for line in text:gmatch '[^\n]+' do list[#list + 1] = line end
  return ranks.note(), list
end

--- Version, library, device (and a note on the choice of 'auto'), GPU, vector code, threads, what
--- multiplies matrices and what OPENBLAS_CORETYPE should rather be.
---@return {version: string, lua: string, library: string, device: string, note: string?,
---  gpu: string?, vector_code: string, threads: integer, products: string, better_core: string?}
function system_info.describe()
  local tk, blas = require 'tinykg', require 'tinykg.bench.blas'
  local device, note = tk.device()
  return {
    version = tk.version, lua = jit.version, device = device, note = note, threads = tk.threads(),
    library = os.getenv('TINYKG_LIB') or 'build/libtinykg.so',
    gpu = (note or device:match('^cuda')) and system_info.first_line('nvidia-smi -L') or nil,
    vector_code = blas.vector_code(),
    products = products(blas), better_core = blas.better_core(blas.core(), blas.vector_code()),
  }
end

return system_info
