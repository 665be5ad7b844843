--- Which vector code the CPU's kernels are in, which libraries multiply matrices, and for which
--- processor theirs are.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'

ffi.cdef [[
const char *tkg__isa(void);
const char *tkg__gemm_core(void);
const char *tkg__narrow_kernels(void);
]]

local blas = {}

--- What OpenBLAS calls processors, and the vector code of their kernels. Others are of SSE times.
local CODE = {SkylakeX = 'avx512', Cooperlake = 'avx512', SapphireRapids = 'avx512',
              Haswell = 'avx2', Zen = 'avx2', Excavator = 'avx2'}
local OLD = ' Katmai Coppermine Northwood Prescott Banias Atom Core2 Penryn Dunnington Nehalem ' ..
  'Sandybridge Athlon Opteron Opteron_SSE3 Barcelona Bobcat Bulldozer Piledriver Steamroller Nano '
--- The processor to name for each vector code, which every OpenBLAS for x86-64 knows.
local NAMES = {avx512 = 'SkylakeX', avx2 = 'Haswell'}

local function text(name) return name ~= nil and ffi.string(name) or nil end

--- "avx512", "avx2" or "sse2" on x86-64, "neon" on aarch64.
---@return string
function blas.vector_code() return ffi.string(C.tkg__isa()) end

--- The processor whose kernels OpenBLAS uses; nil with another CBLAS.
---@return string?
function blas.core() return text(C.tkg__gemm_core()) end

--- The library that makes kernels for narrow products, and for which vector code; nil without one.
---@return string?
function blas.narrow() return text(C.tkg__narrow_kernels()) end

--- What OPENBLAS_CORETYPE should be for a processor with this vector code where OpenBLAS uses the
--- kernels of `core`; nil if these are the right ones, or nothing is known of them.
---@param core string? ---@param code string
---@return string?
function blas.better_core(core, code)
  if not core or not NAMES[code] then return nil end
  local used = CODE[core] or OLD:find(' ' .. core .. ' ', 1, true) and 'sse2'
  if used == 'sse2' or used == 'avx2' and code == 'avx512' then return NAMES[code] end
end

return blas
