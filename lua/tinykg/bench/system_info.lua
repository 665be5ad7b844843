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
