--- tinykg: train knowledge-graph recommenders in a fraction of the memory.
--   local tk = require 'tinykg'
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local arguments = require 'tinykg.base.arguments'
local renamed = require 'tinykg.base.arguments.renamed'
local runtime = require 'tinykg.engine.runtime'
local sorted_keys = require('tinykg.base.tables').sorted_keys
local tensor = require 'tinykg.engine.tensor'
local ops = require 'tinykg.engine.ops'
local step = require 'tinykg.engine.step'
local nn = require 'tinykg.nn'
local check, fail = runtime.check, runtime.fail

local tk = {
  version = ffi.string(C.tkg_version()),
  tensor = tensor.from, ids = tensor.ids, is_tensor = tensor.is,
  cat = ops.cat, dot = ops.dot, neighbor_sum = ops.neighbor_sum, neighbor_dot = ops.neighbor_dot,
  relation_score = ops.relation_score, grouped_matmul = ops.grouped_matmul, equal = ops.equal,
  random = ops.random, where = ops.where, stack = ops.stack,
  parameter = require 'tinykg.engine.parameter',
  nn = nn, xavier = nn.xavier,
  optim = require 'tinykg.engine.optim',
  loss = require 'tinykg.nn.loss',
  graph = require 'tinykg.graph',
  custom = require 'tinykg.engine.custom',
  step = step.new, bits = step.bits, no_grad = step.no_grad, check = step.check,
  profile = require('tinykg.engine.profile').of,
}

-- ---- making tensors ----

--- f32 zeros of a shape of at most 4 dimensions, given as numbers or as one list. Without any
--- dimension it is a single number. ---@param ... integer|integer[] the shape ---@return Tensor
function tk.zeros(...) return tensor.create(tensor.F32, tensor.shape(...)) end
--- f32 `value` everywhere.
---@param value number ---@param ... integer|integer[] the shape ---@return Tensor
function tk.full(value, ...)
  local t = tk.zeros(...)
  check(C.tkg_tensor_fill(t.kept, value))
  return t
end
--- f32 ones. ---@param ... integer|integer[] the shape ---@return Tensor
function tk.ones(...) return tk.full(1, ...) end

--- Standard normal numbers of the seed (tk.seed), by Philox (Salmon et al. 2011). They do not
--- depend on the number of threads.
---@param ... integer|integer[] the shape ---@return Tensor f32
function tk.randn(...)
  local t = tk.zeros(...)
  check(C.tkg_tensor_normal(t.kept, 0, 1, runtime.stream()))
  return t
end

--- Uniform numbers in [0, 1), made like randn's.
---@param ... integer|integer[] the shape ---@return Tensor f32
function tk.rand(...)
  local t = tk.zeros(...)
  check(C.tkg_tensor_uniform(t.kept, 0, 1, runtime.stream()))
  return t
end

-- ---- settings ----

--- Sets the seed of all random numbers from here on; it is 1 at first. Random numbers are then
--- those of a new process with this seed. Without an argument: returns the seed.
---
---   tk.seed(7)
---   local first = tk.rand(1):item()
---   tk.seed(7)
---   print(first == tk.rand(1):item())        --> true
---@param seed? integer from 0 ---@return integer?
function tk.seed(seed)
  if seed == nil then return runtime.seed end
  if seed < 0 then fail('seed: %d is not a whole number >= 0', seed) end
  runtime.set_seed(seed)
end

--- Sets the device: 'auto', 'cpu', 'cuda', 'cuda:N', or 'emu' (the GPU kernels on the CPU, for
--- tests). Tensors made before stay on their device, and values that were not looked at before can
--- no longer be. With the device that is used already nothing changes. Errors: the device does not
--- work; another device inside a step. Without an argument: returns its name, and why 'auto' took
--- the CPU.
---@param name? string ---@return string? name, string? note
function tk.device(name)
  if name == nil then
    local note = ffi.string(C.tkg_engine_note(runtime.engine))
    return ffi.string(C.tkg_engine_device(runtime.engine)), note ~= '' and note or nil
  end
  if name == runtime.asked or name == tk.device() then return end
  if runtime.tape ~= runtime.ambient then fail('device: it cannot be changed inside a step') end
  local ok, message = pcall(runtime.open, name)
  if not ok then fail('%s', tostring(message)) end
end

--- Sets the number of threads; 0: one per core. Results do not depend on it. Without an argument:
--- returns it. ---@param n? integer ---@return integer?
function tk.threads(n)
  if n == nil then return C.tkg_engine_threads(runtime.engine) end
  check(C.tkg_engine_set_threads(runtime.engine, math.max(-1, math.min(n, 2 ^ 31 - 1))))
end

--- Which rank this process is, from 0, of those that a launcher (mpirun, srun) has started; they
--- compute runs together. 0 without a launcher. What reads a parameter or another tensor that is
--- dealt to ranks must be called by all of them: where one alone does, the run ends and says so.
---@return integer
function tk.rank() return C.tkg_engine_rank(runtime.engine) end

--- How many ranks there are, 1 without a launcher, and what connects them. The variable
--- TINYKG_RANKS=none makes each process one alone.
---@return integer n, string? note
function tk.ranks()
  local note = ffi.string(C.tkg_engine_ranks_note(runtime.engine))
  return C.tkg_engine_ranks(runtime.engine), note ~= '' and note or nil
end

--- Sets how a GPU computes: 'float32' (the default); 'tf32', which rounds the factors of products
--- to 10 bits of fraction and is several times faster on GPUs that have it; or 'fast', which does
--- so too and lets cuSPARSE compute sums over edges where it took less time than our own kernel
--- when a shape was met first: two runs with one seed need not have the same bits. tk.ways() has
--- what it chose; a run's config.json keeps that, so a resumed run goes on in the same way. That
--- takes memory beside the run's, which `tinykg memory` counts: for each graph, way through it and
--- number of columns up to 12 bytes per edge, 8 per node and 1 MiB. All else is float32. The CPU
--- always computes in float32; the note says so. Without a name: returns the setting.
---@param name? string 'float32', 'tf32' or 'fast'
---@return string name, string? note
function tk.precision(name)
  if name ~= nil then
    check(C.tkg_engine_set_precision(runtime.engine, name))
  end
  local now, device = ffi.string(C.tkg_engine_precision(runtime.engine)), tk.device()
  if now ~= 'float32' and not device:match('^cuda') then
    return now, device .. ' computes in float32: nothing changes'
  end
  return now
end

--- What the precision 'fast' has chosen on this device, 'own' or an algorithm of cuSPARSE by shape:
--- {['sum over edges [N,D] of [M,D], E edges'] = 'own'}. ---@return table<string, string>
function tk.ways() return require('tinykg.engine.profile.ways').chosen() end

--- Whether a GPU runs a step as one CUDA graph once it has run twice (default true), which saves
--- the time of launching its kernels one by one. Results are the same bits; false helps to find
--- errors. Without an argument: returns the setting.
---@param on? boolean
function tk.replay(on)
  if on == nil then return C.tkg_engine_replay(runtime.engine) ~= 0 end
  C.tkg_engine_set_replay(runtime.engine, on and 1 or 0)
end

--- As text: one line per kind.
local memory_table = {__tostring = function(m)
  local lines = {string.format('%-16s %14s %14s', 'bytes', 'live', 'peak')}
  local function add(name)
    lines[#lines + 1] = string.format('%-16s %14.0f %14.0f', name, m.live[name], m.peak[name])
  end
  for _, name in ipairs(sorted_keys(m.live)) do
    if name ~= 'total' then add(name) end
  end
  add 'total'
  return table.concat(lines, '\n')
end}

--- Live and peak bytes by kind, and their totals: {live = {...}, peak = {...}}. On a GPU also
--- `device`: bytes held (taken from it), used (of those), peak (most used), free and total.
--- Kinds: parameter gradient optimizer kept_exact kept_quantized transient graph data. print shows
--- one line per kind. ---@return {live: table<string, number>, peak: table<string, number>}
function tk.memory()
  local out, total = setmetatable({live = {}, peak = {}}, memory_table), 0
  for k = 0, C.tkg_memory_kinds() - 1 do
    local name = ffi.string(C.tkg_memory_kind(k))
    out.live[name] = C.tkg_memory_live(runtime.engine, k)
    out.peak[name] = C.tkg_memory_peak(runtime.engine, k)
    total = total + out.live[name]
  end
  out.live.total = total -- their sum, though Lua may collect a tensor between two of them
  out.peak.total = C.tkg_memory_peak(runtime.engine, -1)
  if C.tkg_memory_device(runtime.engine, 'held') >= 0 then
    out.device = {}
    for _, name in ipairs{'held', 'used', 'peak', 'free', 'total'} do
      out.device[name] = C.tkg_memory_device(runtime.engine, name)
    end
  end
  return out
end

-- ---- parts that few scripts need: loaded at their first use ----

local late = {data = 'tinykg.data', loader = 'tinykg.data.loader', metrics = 'tinykg.train.metrics',
              recipe = 'tinykg.train.recipe', plot = 'tinykg.train.plot',
              attention = 'tinykg.graph.attention',
              load = 'tinykg.store', save = 'tinykg.store', open = 'tinykg.run.open',
              recommend = 'tinykg.query.recommend', explain = 'tinykg.query.explain',
              edges = 'tinykg.query.explain.edges'}

-- ---- checks of arguments ----

arguments.check(tk, '')
for _, name in ipairs{'nn', 'optim', 'loss', 'graph'} do arguments.check(tk[name], name .. '.') end
arguments.check(nn.Module, '', 'Module')
arguments.check(nn.Ranker, '', 'Module')
arguments.check(tensor.methods, '', 'Tensor')

-- __fields is for the prompt's completion.
setmetatable(tk, {__fields = sorted_keys(late), __index = function(_, key)
  local new = not late[key] and renamed.current('tk.' .. tostring(key))
  if new then return tk[new] end
  if not late[key] then return nil end
  local module = require(late[key])
  local value = late[key] == 'tinykg.store' and module[key] or module
  if type(value) == 'table' then arguments.check(value, key .. '.')
  else value = arguments.checked(value, key) end
  rawset(tk, key, value)
  return value
end})

return tk
