--- Describes this machine, for doctor and bench.
local ffi = require 'ffi'

ffi.cdef 'const char *tkg__isa(void);'

local system_info = {}

--- The first line that a command prints; nil if there is none.
function system_info.first_line(command)
  local pipe = io.popen(command .. ' 2>/dev/null')
  local line = pipe:read('*l')
  pipe:close()
  return line
end

--- Version, library, device (and a note on the choice of 'auto'), GPU, vector code, threads.
---@return {version: string, lua: string, library: string, device: string, note: string?,
---  gpu: string?, vector_code: string, threads: integer}
function system_info.describe()
  local tk = require 'tinykg'
  local device, note = tk.device()
  return {
    version = tk.version, lua = jit.version, device = device, note = note, threads = tk.threads(),
    library = os.getenv('TINYKG_LIB') or 'build/libtinykg.so',
    gpu = (note or device:match('^cuda')) and system_info.first_line('nvidia-smi -L') or nil,
    vector_code = ffi.string(require('tinykg.engine.lib').tkg__isa()),
  }
end

return system_info
