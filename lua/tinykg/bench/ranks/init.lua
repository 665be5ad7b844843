--- Collective operations among the ranks of a launcher: mpirun -n P tinykg bench ranks. Bytes are
--- those that a rank sends, as the engine counts them.
local ffi = require 'ffi'
local clock = require 'tinykg.base.clock'
local format = require 'tinykg.base.format'
local C = require 'tinykg.engine.lib'
local ranks = require 'tinykg.engine.ranks'
local runtime = require 'tinykg.engine.runtime'

local COLUMNS = {{'op', 'op'}, {'values', 'bytes of values'}, {'sent', 'sent per call', '%.0f'},
  {'min_us', 'min us', '%.1f'}, {'median_us', 'median', '%.1f'},
  {'gb_per_s', 'GB/s sent', '%.2f'}}

local SIZES, QUICK_SIZES = {4096, 2 ^ 16, 2 ^ 20, 2 ^ 24}, {4096, 2 ^ 16}
local MOST_BYTES, MOST_CALLS = 2 ^ 28, 400 -- of an op at one size

--- The ops, each on `n` bytes of values: fun(send, receive, n, each): status, where each is the
--- chunk of a rank, as an array of int64.
local OPS = {
  {'all_to_all', function(send, receive, _, each)
    return C.tkg_collective_all_to_all(runtime.engine, send, each, receive, each)
  end},
  {'all_gather', function(send, receive, _, each)
    return C.tkg_collective_gather(runtime.engine, send, receive, each)
  end},
  {'all_reduce', function(send, _, n)
    return C.tkg_collective_reduce(runtime.engine, 'sum f32', send, n / 4)
  end},
  {'broadcast', function(send, _, n)
    return C.tkg_collective_broadcast(runtime.engine, send, n, 0)
  end},
}

--- Times one op: seconds of each call, of the rank that was slowest, ascending; and the bytes that
--- this rank has sent.
local function times_of(run, calls, name)
  local seconds = ffi.new('double[?]', calls)
  for i = -2, calls - 1 do -- two to warm up
    runtime.check(C.tkg_collective_barrier(runtime.engine))
    if i == 0 then C.tkg_collective_reset(runtime.engine) end
    local before = clock.now()
    runtime.check(run())
    if i >= 0 then seconds[i] = clock.now() - before end
  end
  local list, sent = {}, C.tkg_collective_bytes(runtime.engine, name)
  for i = 0, calls - 1 do list[i + 1] = ranks.most(math.floor(1e9 * seconds[i])) / 1e9 end
  table.sort(list)
  return list, sent
end

local function measure(name, op, n)
  local size = ranks.size()
  local each = ffi.new('int64_t[?]', size)
  for r = 0, size - 1 do each[r] = n / size - n / size % 4 end
  local send, receive = ffi.new('char[?]', n), ffi.new('char[?]', n)
  local calls = math.max(5, math.min(MOST_CALLS, math.floor(MOST_BYTES / n / size)))
  local list, sent = times_of(function() return op(send, receive, n, each) end, calls, name)
  sent = ranks.most(sent) / calls
  return {op = name, ranks = size, values = format.bytes(n), bytes = n, sent = sent,
          min_us = 1e6 * list[1], median_us = 1e6 * list[math.floor((calls + 1) / 2)],
          gb_per_s = sent / list[1] / 1e9}
end

---@param o {quick: boolean?} ---@param out tinykg.BenchOutput
return function(o, out)
  if ranks.size() == 1 then
    error('bench ranks: there is one process: mpirun -n 2 tinykg bench ranks', 0)
  end
  local records = {}
  for _, op in ipairs(OPS) do
    for _, n in ipairs(o.quick and QUICK_SIZES or SIZES) do
      out:doing(op[1])
      records[#records + 1] = measure(op[1], op[2], n)
      runtime.check_interrupt()
    end
  end
  out:heading('collective operations: %s; values of one rank, bytes that the busiest rank sends',
              ranks.note())
  out:table('ranks', COLUMNS, records)
end
