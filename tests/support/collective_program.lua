--- A program that specs start on several ranks: runs each collective operation on arrays of many
--- sizes and compares the results with what they must be, computed from the ranks' numbers alone.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local runtime = require 'tinykg.engine.runtime'
local tk = require 'tinykg'

local engine, check = runtime.engine, runtime.check
local rank, size = tk.rank(), tk.ranks()

--- Byte i of what rank `from` sends rank `to`.
local function byte(from, to, i) return (from * 7 + to * 13 + i * (from + 1)) % 251 end

local function fill(array, n, from, to)
  for i = 0, n - 1 do array[i] = byte(from, to, i) end
end

local function compare(what, array, n, from, to)
  for i = 0, n - 1 do
    assert(array[i] == byte(from, to, i), ('%s: byte %d of rank %d is wrong on rank %d'):format(
      what, i, from, rank))
  end
end

local function bytes(n) return ffi.new('uint8_t[?]', n + 1) end

--- Chunks of all sizes, none among them.
local function all_to_all(scale)
  local to, from, sent, received = ffi.new('int64_t[?]', size), ffi.new('int64_t[?]', size), 0, 0
  for r = 0, size - 1 do
    to[r], from[r] = scale * ((3 * rank + r) % 5), scale * ((3 * r + rank) % 5)
    sent, received = sent + tonumber(to[r]), received + tonumber(from[r])
  end
  local send, receive, at = bytes(sent), bytes(received), 0
  for r = 0, size - 1 do
    fill(send + at, tonumber(to[r]), rank, r)
    at = at + tonumber(to[r])
  end
  check(C.tkg_collective_all_to_all(engine, send, to, receive, from))
  at = 0
  for r = 0, size - 1 do
    compare('all_to_all', receive + at, tonumber(from[r]), r, rank)
    at = at + tonumber(from[r])
  end
end

local function gather(scale)
  local each, sum = ffi.new('int64_t[?]', size), 0
  for r = 0, size - 1 do
    each[r] = scale * (r % 3)
    sum = sum + tonumber(each[r])
  end
  local mine, all, at = bytes(tonumber(each[rank])), bytes(sum), 0
  fill(mine, tonumber(each[rank]), rank, 0)
  check(C.tkg_collective_gather(engine, mine, all, each))
  for r = 0, size - 1 do
    compare('gather', all + at, tonumber(each[r]), r, 0)
    at = at + tonumber(each[r])
  end
end

local function broadcast(n)
  for root = 0, size - 1 do
    local data = bytes(n)
    if rank == root then fill(data, n, root, 1) end
    check(C.tkg_collective_broadcast(engine, data, n, root))
    compare('broadcast', data, n, root, 1)
  end
end

--- Numbers whose sum depends on the order of adding.
local function addend(r, i) return math.sin(i * (r + 1)) * 10 ^ ((i + r) % 7) end

local SUMS = {{'sum f32', 'float[?]'}, {'sum f64', 'double[?]'}, {'max f32', 'float[?]'}}

local function reduce(n)
  for _, how in ipairs(SUMS) do
    local values, other = ffi.new(how[2], n), ffi.new(how[2], 2)
    for i = 0, n - 1 do values[i] = addend(rank, i) end
    check(C.tkg_collective_reduce(engine, how[1], values, n))
    for i = 0, n - 1 do
      other[0] = addend(0, i)
      for r = 1, size - 1 do
        other[1] = addend(r, i)
        other[0] = how[1]:find 'sum' and other[0] + other[1] or math.max(other[0], other[1])
      end
      assert(values[i] == other[0], how[1] .. ': not the sum in the order of ranks')
    end
  end
  local whole = ffi.new('int64_t[?]', n)
  for i = 0, n - 1 do whole[i] = 2 ^ 40 * i - rank end
  check(C.tkg_collective_reduce(engine, 'max i64', whole, n))
  for i = 0, n - 1 do assert(whole[i] == 2LL ^ 40 * i) end
  check(C.tkg_collective_reduce(engine, 'sum i64', whole, n))
  for i = 0, n - 1 do assert(whole[i] == size * 2LL ^ 40 * i) end
end

for _, scale in ipairs{0, 1, 999, 200001} do
  all_to_all(scale)
  gather(scale)
end
for _, n in ipairs{0, 1, 65536, 65537, 1000003} do broadcast(n) end
for _, n in ipairs{1, 3, 1024, 1025, 100003} do reduce(n) end

if size == 1 then print('1 ranks are right') return end

-- What is counted: a rank sends each other one its chunk.
C.tkg_collective_reset(engine)
local each = ffi.new('int64_t[?]', size)
for r = 0, size - 1 do each[r] = 1000 end
check(C.tkg_collective_all_to_all(engine, bytes(1000 * size), each, bytes(1000 * size), each))
assert(C.tkg_collective_bytes(engine, 'all_to_all') == 1000 * (size - 1))
assert(C.tkg_collective_calls(engine, 'all_to_all') == 1)
local values = ffi.new('float[?]', 8400) -- each rank combines its part and passes it on
check(C.tkg_collective_reduce(engine, 'sum f32', values, 8400))
assert(C.tkg_collective_bytes(engine, 'all_reduce') == 2 * 4 * 8400 * (size - 1) / size)

check(C.tkg_collective_barrier(engine))
if rank == 0 then print(('%d ranks are right'):format(size)) end
