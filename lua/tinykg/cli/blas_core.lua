--- OpenBLAS takes a processor that is newer than itself for an old one, in the worst case for one
--- without AVX, with whose kernels products take several times longer. It reads OPENBLAS_CORETYPE,
--- which names another, only when it is loaded.

--- The command line of this process: the interpreter at 0, then its options and the arguments.
local function command_line(...)
  local first, words = 0, {}
  while arg[first - 1] do first = first - 1 end
  for i = first, 0 do words[i - first] = arg[i] end
  for _, word in ipairs{...} do words[#words + 1] = word end
  return words
end

--- Loads what knows OpenBLAS's choice; nil where there is no engine. A module that fails to load
--- would not say why a second time; then whoever needs it gets the reason from here.
local function load()
  local ok, result = pcall(require, 'tinykg.bench.blas')
  if ok then return result end
  for name, module in pairs(package.loaded) do
    local kind = type(module)
    if name:find('^tinykg') and (kind == 'number' or kind == 'userdata') then -- LuaJIT's mark
      package.loaded[name] = nil
      package.preload[name] = function() error(result, 0) end
    end
  end
end

--- Starts this program anew with OPENBLAS_CORETYPE set, if OpenBLAS chose less than the processor
--- can and the user set nothing. Returns where that is not so, and where there is no engine.
---@param ... string the arguments of the program
return function(...)
  if os.getenv('OPENBLAS_CORETYPE') then return end
  local blas = load()
  local core = blas and blas.better_core(blas.core(), blas.vector_code())
  if not core then return end
  require('tinykg.base.posix').setenv('OPENBLAS_CORETYPE', core)
  local words = command_line(...)
  require('posix.unistd').execp(words[0], words)
end
