-- Programs of steps, read as text (step:program()) and checked by a liveness analysis of their own.
local assert = require 'luassert'

--- Bytes of codes.
local function packed(rows, cols, bits)
  return math.ceil(rows * math.ceil(cols * bits / 8) / 4) * 4 + 4 * rows
end

-- ---- reading a program ----

local function size_of(dtype, shape, bits)
  local n, cols = 1, 1
  for d in shape:gmatch '%d+' do
    cols = tonumber(d)
    n = n * cols
  end
  if dtype == 'mask' then return math.ceil(n / 8) end
  if dtype == 'codes' then return packed(n / cols, cols, bits) end
  return 4 * n
end

--- Nodes in the order they run: {phase, id, op, inputs, bytes, offset | within, group}.
local function read(step, bits)
  local list, by_id = {}, {}
  for line in step:program():gmatch '[^\n]+' do
    local phase, id, op, inputs, dtype, shape, place, where =
      line:match '^(%a) +(%d+)  ([%w_]+)([ %d]*)  (%a%w+) %[([%d, ]*)%]  (%S+) ?(%d*)'
    assert(phase, line)
    local node = {phase = phase, id = tonumber(id), op = op, inputs = {}, at = #list + 1,
                  bytes = size_of(dtype, shape, bits), offset = tonumber(place:match '@(%d+)'),
                  within = tonumber(where), group = tonumber(line:match '  group (%d+)')}
    for k in inputs:gmatch '%d+' do node.inputs[#node.inputs + 1] = tonumber(k) end
    list[#list + 1], by_id[node.id] = node, node
  end
  return list, by_id
end

--- The node whose memory `id` is in; nil for a leaf's.
local function storage(by_id, id)
  local node = by_id[id]
  if node and node.within then return by_id[node.within] end
  return node
end

local function with_last_readers(list, by_id)
  for _, node in ipairs(list) do
    node.last = node.at
    local home = storage(by_id, node.id)
    if home then home.last = node.at end
    for _, k in ipairs(node.inputs) do
      home = storage(by_id, k)
      if home then home.last = node.at end
    end
  end
end

-- Ops that may write over an input, and which.
local OVER = {}
for _, op in ipairs(require 'tests.support.op_table') do
  if op.flags:find 'TKG_INPLACE' then OVER[op.name] = 1 end
  if op.flags:find 'TKG_BASE' then OVER[op.name] = #op.reads:gsub('|', '') end
end

local function output_in_place(by_id, node, other)
  local input, reads = OVER[node.op] and node.inputs[OVER[node.op]], 0
  for _, k in ipairs(node.inputs) do reads = reads + (storage(by_id, k) == other and 1 or 0) end
  return input and reads == 1 and storage(by_id, input) == other and other.last == node.at
    and other.offset == node.offset and other.bytes == node.bytes
end

--- Checks that from the first to the last member of a group no node runs that is none of it.
local function check_groups(step, list)
  local last, open = {}, nil
  for at, node in ipairs(list) do
    if node.group then last[node.group] = at end
  end
  for at, node in ipairs(list) do
    local inside = open and at <= last[open]
    assert.is_true(not inside or node.within ~= nil or node.group == open,
                   ('node %d runs between nodes of group %s in\n%s'):format(node.id, open,
                                                                          step:program()))
    if not inside then open = node.group end
  end
end

--- Checks that no two live values share a byte, that the arena holds whatever is live, and that
--- groups run as one.
local function check_memory_plan(step, bits)
  local list, by_id = read(step, bits)
  check_groups(step, list)
  with_last_readers(list, by_id)
  local most = 0
  for at = 1, #list do
    local live = 0
    for _, node in ipairs(list) do
      local there = node.offset and node.at <= at and node.last >= at
      local replaced = there and node.last == at and output_in_place(by_id, list[at], node)
      if there and not replaced then live = live + node.bytes end
    end
    most = math.max(most, live)
  end
  for i, a in ipairs(list) do
    for j = 1, i - 1 do
      local b = list[j]
      local both = a.offset and b.offset and b.last >= a.at and a.bytes > 0 and b.bytes > 0
      local apart = both and (a.offset + a.bytes <= b.offset or b.offset + b.bytes <= a.offset)
      assert.is_true(not both or apart or output_in_place(by_id, a, b),
                     both and ('nodes %d and %d overlap in\n%s'):format(a.id, b.id, step:program()))
    end
    if a.offset then assert.is_true(a.offset + a.bytes <= step:figure 'arena_bytes') end
  end
  assert.is_true(step:figure 'arena_bytes' >= most, 'arena below ' .. most)
  return most
end

return {packed = packed, read = read, check = check_memory_plan}
