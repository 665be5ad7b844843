--- Ranks: processes that a launcher (mpirun, srun) has started to compute one run together. All of
--- them run the same Lua, so each calls the functions of this module in the same order. Rank 0
--- alone prints and writes files. Alone, a process is rank 0 of 1 and nothing is exchanged.
local ffi = require 'ffi'
local json = require 'tinykg.base.json'
local C = require 'tinykg.engine.lib'
local runtime = require 'tinykg.engine.runtime'
local source_line = require 'tinykg.base.source_line'

local ranks = {}

local check = runtime.check

function ranks.rank() return C.tkg_engine_rank(runtime.engine) end
function ranks.size() return C.tkg_engine_ranks(runtime.engine) end

--- Whether this process prints and writes files.
function ranks.is_first() return C.tkg_engine_rank(runtime.engine) == 0 end

--- 'Open MPI v4.1.4, 4 ranks on 2 machines'; nil alone.
---@return string?
function ranks.note()
  local note = ffi.string(C.tkg_engine_ranks_note(runtime.engine))
  return note ~= '' and note or nil
end

-- ---- numbers ----

--- The largest of all ranks' whole numbers. ---@param x integer ---@return integer
function ranks.most(x)
  if ranks.size() == 1 then return x end
  local value = ffi.new('int64_t[1]', x)
  check(C.tkg_collective_reduce(runtime.engine, 'max i64', value, 1))
  return tonumber(value[0])
end

--- The smallest of them.
function ranks.least(x) return -ranks.most(-x) end

--- Their sum.
function ranks.sum(x)
  if ranks.size() == 1 then return x end
  local value = ffi.new('int64_t[1]', x)
  check(C.tkg_collective_reduce(runtime.engine, 'sum i64', value, 1))
  return tonumber(value[0])
end

--- Whether a condition holds on any rank. What depends on a clock must be decided so.
---@param flag any ---@return boolean
function ranks.any(flag)
  if ranks.size() == 1 then return not not flag end
  return ranks.most(flag and 1 or 0) == 1
end

--- Raises runtime.interrupted on all ranks if one of them was interrupted.
function ranks.agree_on_interrupt()
  if ranks.size() == 1 then return runtime.check_interrupt() end
  if ranks.any(C.tkg_interrupted(0) ~= 0) then error(runtime.interrupted, 0) end
end

--- Whether this rank was interrupted while ranks stop together: work that is left may be left out,
--- up to the next agree_if_together.
function ranks.must_stop()
  return runtime.together and C.tkg_interrupted(0) ~= 0
end

--- agree_on_interrupt within work that ranks stop together.
function ranks.agree_if_together()
  if runtime.together then ranks.agree_on_interrupt() end
end

--- Calls fn, in which all ranks stop at the same place on Ctrl-C; its errors are raised again.
function ranks.together(fn, ...)
  runtime.together = ranks.size() > 1
  local results = {xpcall(fn, source_line.handler, ...)}
  runtime.together = false
  if not results[1] then error(results[2], 0) end
  return unpack(results, 2, table.maxn(results))
end

-- ---- values of rank 0 ----

--- Rank 0's text, on all ranks. ---@param text string? rank 0's
---@return string
function ranks.text(text)
  if ranks.size() == 1 then return text end
  local n = ffi.new('int64_t[1]', text and #text or 0)
  check(C.tkg_collective_broadcast(runtime.engine, n, 8, 0))
  local bytes = ffi.new('char[?]', n[0] + 1)
  if ranks.is_first() then ffi.copy(bytes, text, #text) end
  check(C.tkg_collective_broadcast(runtime.engine, bytes, n[0], 0))
  return ffi.string(bytes, n[0])
end

--- Calls fn on rank 0 and returns its result, something that JSON can hold or nil, on all ranks.
function ranks.of_first(fn, ...)
  if ranks.size() == 1 then return fn(...) end
  local mine = ranks.is_first() and {result = fn(...)} or nil
  local text = ranks.text(mine and json.encode(mine))
  if mine then return mine.result end
  return json.decode(text).result
end

--- Calls fn on rank 0 alone.
function ranks.only_first(fn, ...)
  if ranks.is_first() then return fn(...) end
end

--- Sets a tensor's numbers to those of another one of the same shape that rank 0 has.
---@param t Tensor with memory of its own
---@param from? Tensor rank 0's; t itself by default, if each rank has all of it
function ranks.share(t, from)
  if ranks.size() == 1 then return end
  local n, most = t:count(), 2 ^ 22
  local values = ffi.new('int32_t[?]', math.min(n, most))
  for at = 0, n - 1, most do
    local count = math.min(most, n - at)
    if ranks.is_first() then check(C.tkg_tensor_read((from or t).kept, values, at, count)) end
    check(C.tkg_collective_broadcast(runtime.engine, values, 4 * count, 0))
    if from or not ranks.is_first() then check(C.tkg_tensor_write(t.kept, values, at, count)) end
  end
end

-- ---- shares of work ----

--- The first and the number of n pieces that are this rank's: consecutive ones, as many as others
--- have or one more. ---@param n integer ---@param rank? integer another one
---@return integer first from 0 ---@return integer count
function ranks.share_of(n, rank)
  local size, at = ranks.size(), rank or ranks.rank()
  local first = math.floor(n * at / size)
  return first, math.floor(n * (at + 1) / size) - first
end

--- Puts together an array of which each rank has filled its part, on all ranks.
---@param array ffi.cdata* ---@param bounds fun(rank: integer): integer, integer first byte and
---  number of bytes of a rank's part; parts follow one another
function ranks.gather(array, bounds)
  local size = ranks.size()
  if size == 1 then return end
  local bytes, whole = ffi.new('int64_t[?]', size), ffi.cast('char *', array)
  local first = bounds(0)
  for r = 0, size - 1 do bytes[r] = select(2, bounds(r)) end
  check(C.tkg_collective_gather(runtime.engine, whole + bounds(ranks.rank()), whole + first, bytes))
end

-- ---- the process ----

--- Leaves the ranks, before the process exits with a status. Raises another rank's failure if that
--- was to be 0. A failure was printed before (engine/tinykg.h, tkg_collective_leave).
---@param code integer exit status ---@param message? string why
function ranks.leave(code, message)
  check(C.tkg_collective_leave(runtime.engine, code, message or ''))
end

return ranks
