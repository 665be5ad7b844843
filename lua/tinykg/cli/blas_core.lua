--- OpenBLAS takes a processor that is newer than itself for an old one, in the worst case for one
--- without AVX, with whose kernels products take several times longer. It reads OPENBLAS_CORETYPE,
--- which names another, only when it is loaded.
local ctrl_c = require 'tinykg.cli.ctrl_c'

--- The command line of this process: the interpreter at 0, then its options and the arguments.
local function command_line(...)
  local first, words = 0, {}
  while arg[first - 1] do first = first - 1 end
  for i = first, 0 do words[i - first] = arg[i] end
  for _, word in ipairs{...} do words[#words + 1] = word end
  return words
end

--- Starts this program anew with OPENBLAS_CORETYPE set, if OpenBLAS chose less than the processor
--- can and the user set nothing. Returns where that is not so, and where there is no engine.
---@param ... string the arguments of the program
return function(...)
  if os.getenv('OPENBLAS_CORETYPE') then return end
  local ok, blas = pcall(require, 'tinykg.engine.blas')
  if not ok and ctrl_c(blas) then error(blas, 0) end
  local core = ok and blas.better_core(blas.core(), blas.vector_code())
  if not core then return end
  require('tinykg.base.posix').setenv('OPENBLAS_CORETYPE', core)
  local words = command_line(...)
  require('posix.unistd').execp(words[0], words)
end
