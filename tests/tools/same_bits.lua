-- Compares files of two run folders by name: JSON value by value, tensors byte by byte.
--   luajit same_bits.lua LABEL BEFORE AFTER FILE...
-- Prints a line. Exits with 1 if a value differs or is missing, or if a file has no values.
-- Reads the files by itself, so that it does not depend on the code that it checks.
local ffi = require 'ffi'
local cjson = require 'cjson'

-- Times, what depends on them, lines of the recipe and prose: these may differ.
local IGNORED = {
  seconds = true, time = true, times = true, epoch_times = true, eval_times = true,
  checksum = true, ['checksum.header'] = true, ['checksum.tensors'] = true,
  where = true, meaning = true,
}

-- Tensors that have another name since.
local RENAMED = {['held.pi'] = 'held.attention.weights'}

-- These vary from run to run of one program: Lua's garbage collector decides when the ids of past
-- batches are freed. The planned bytes, in memory.json, must be equal.
local MEASURED = {'%.memory$', '%.memory%.data$', '%.memory%.peak$'}
local MEASURED_SLACK = 128 * 1024 -- bytes

-- What was changed on purpose since 6f93b7b: such values may differ and are counted apart. (Before
-- that commit losses differ too: it cut sums over 2,048 rows or more by the number of rows alone.)
local ON_PURPOSE = {
  {'reference_bytes$', 'a gathered value with two readers counts once (fuse_gather is a pass)'},
  {'rounding$', 'each kept value says how it is rounded, and dither is of two kinds'},
  {'memory', 'bytes: evaluations hold rows of users and items alone, traces of LuaJIT no batch'},
  {'columns', 'summary.json says what an op-by-op program and 32 bits take'},
  {'%.phases%.%d+%.values', 'relation ids take a byte, other ops sample triples', may_go = true},
  {'draws$', 'attention is made in a forward pass of its own', label = '^kgat '},
  {'', 'order of a sum: attention is e_t . (W h), was (e_t W) . h', label = '^kgat ', by = 1e-2},
  {'', 'order of a sum: rows of a batch are added to a gradient last', label = '^kgin ', by = 1e-2},
  {'', 'order of a sum: rows of a batch are added to a gradient last', label = '^lightgcn ',
   by = 5e-2},
}

local function read(path)
  local file = assert(io.open(path, 'rb'))
  local text = file:read('*a')
  file:close()
  return text
end

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

--- Adds what a JSON document holds to `found`, each value under its path: 'summary.json test.auc'.
local function add_json(found, name, value)
  if type(value) ~= 'table' then
    found[#found + 1] = {name = name, value = value}
    return
  end
  for _, key in ipairs(sorted_keys(value)) do
    if not IGNORED[key] then add_json(found, name .. '.' .. key, value[key]) end
  end
end

--- Adds the tensors of a safetensors file and its metadata, part of which is JSON in a string.
local function add_safetensors(found, name, bytes)
  local size = tonumber(ffi.cast('const uint64_t *', bytes)[0])
  local header = cjson.decode(bytes:sub(9, 8 + size))
  local metadata = header.__metadata__ or {}
  header.__metadata__ = nil
  for key, text in pairs(metadata) do
    if text:find('^{') then metadata[key] = cjson.decode(text) end
  end
  add_json(found, name .. ' metadata', metadata)
  for _, key in ipairs(sorted_keys(header)) do
    local tensor = header[key]
    local from, to = tensor.data_offsets[1], tensor.data_offsets[2]
    found[#found + 1] = {
      name = name .. ' ' .. (RENAMED[key] or key), dtype = tensor.dtype,
      type = tensor.dtype .. ' ' .. table.concat(tensor.shape, 'x'),
      value = bytes:sub(9 + size + from, 8 + size + to),
    }
  end
end

local function values_of(folder, name)
  local found, bytes = {}, read(folder .. '/' .. name)
  if name:find('%.safetensors$') then
    add_safetensors(found, name, bytes)
  elseif name:find('%.jsonl$') then
    local number = 0
    for line in bytes:gmatch('[^\n]+') do
      number = number + 1
      add_json(found, name .. ' ' .. number, cjson.decode(line))
    end
  else
    add_json(found, name, cjson.decode(bytes))
  end
  return found
end

local function slack_of(name)
  if name:find('^memory%.json') then return 0 end
  for _, pattern in ipairs(MEASURED) do
    if name:find(pattern) then return MEASURED_SLACK end
  end
  return 0
end

local function differ(a, b)
  if a.type ~= b.type or type(a.value) ~= type(b.value) then return true end
  if a.value == b.value then return false end
  if type(a.value) ~= 'number' then return true end
  if a.value ~= a.value and b.value ~= b.value then return false end -- both are NaN
  local by = math.abs(a.value - b.value)
  return by ~= by or by > slack_of(a.name)
end

--- The largest difference of two F32 tensors of the same type; 0 of others.
local function largest_difference(a, b)
  local most = 0
  if a.dtype == 'F32' then
    local x, y = ffi.cast('const float *', a.value), ffi.cast('const float *', b.value)
    for i = 0, #a.value / 4 - 1 do most = math.max(most, math.abs(x[i] - y[i])) end
  end
  return most
end

--- By how much two tensors of the same type differ.
local function tensors_apart(a, b)
  local bytes, most = 0, largest_difference(a, b)
  for i = 1, #a.value do
    if a.value:byte(i) ~= b.value:byte(i) then bytes = bytes + 1 end
  end
  return ('%d of %d bytes differ%s'):format(bytes, #a.value,
    most > 0 and (', by %.3g at most'):format(most) or '')
end

local function apart(a, b)
  if not b then return 'missing after' end
  if not a then return 'missing before' end
  if a.type ~= b.type then return ('%s before, %s after'):format(a.type, b.type) end
  if a.type then return tensors_apart(a, b) end
  if type(a.value) == 'number' and type(b.value) == 'number' then
    return ('%.17g before, %.17g after, apart by %.3g'):format(a.value, b.value,
      math.abs(a.value - b.value))
  end
  return ('%s before, %s after'):format(tostring(a.value), tostring(b.value))
end

local function kind_of(v)
  if v.type then return 'tensors' end
  if v.name:find('%.loss') then return 'losses' end
  if v.name:find('%.valid%.') or v.name:find('%.test%.') or v.name:find('%.metrics%.') then
    return 'metrics'
  end
  return 'other values'
end

--- Whether two values are there and differ by rounding: `by`, of numbers above 1 relative to them.
local function are_near(a, b, by)
  if not a or not b or a.type ~= b.type or type(a.value) ~= type(b.value) then return false end
  if a.type then return a.dtype == 'F32' and largest_difference(a, b) <= by end
  return type(a.value) == 'number'
    and math.abs(a.value - b.value) <= by * math.max(1, math.abs(a.value))
end

--- Why a value may differ, or nil.
local function reason_of(label, name, a, b)
  for _, entry in ipairs(ON_PURPOSE) do
    if name:find(entry[1]) and (not entry.label or label:find(entry.label))
       and (not entry.by or are_near(a, b, entry.by)) and (b or not a or entry.may_go) then
      return entry[2]
    end
  end
end

--- Compares one file: counts its values by kind. Adds what differs to `differences`, or counts it
--- in `purposes` by its reason.
local function compare(label, name, before, after, counts, differences, purposes)
  local list, others = values_of(before, name), {}
  local function note(key, a, b)
    local reason = reason_of(label, key, a, b)
    if reason then
      purposes[reason] = (purposes[reason] or 0) + 1
    else
      differences[#differences + 1] = key .. ': ' .. apart(a, b)
    end
  end
  for _, v in ipairs(values_of(after, name)) do others[v.name] = v end
  if #list == 0 then differences[#differences + 1] = name .. ': no values' end
  for _, v in ipairs(list) do
    local kind, other = kind_of(v), others[v.name]
    counts[kind] = (counts[kind] or 0) + 1
    others[v.name] = nil
    if not other or differ(v, other) then note(v.name, v, other) end
  end
  for _, key in ipairs(sorted_keys(others)) do note(key, nil, others[key]) end
end

local label, before, after = arg[1], arg[2], arg[3]
local counts, differences, purposes = {}, {}, {}
for i = 4, #arg do compare(label, arg[i], before, after, counts, differences, purposes) end
if #differences > 0 then
  print(('FAIL %s: %s; values that differ: %d'):format(label, differences[1], #differences))
  os.exit(1)
end
local parts = {}
for _, kind in ipairs{'losses', 'tensors', 'metrics', 'other values'} do
  if counts[kind] then parts[#parts + 1] = counts[kind] .. ' ' .. kind end
end
print(('%s: %s equal'):format(label, table.concat(parts, ', ')))
for _, reason in ipairs(sorted_keys(purposes)) do
  print(('  but for %d on purpose: %s'):format(purposes[reason], reason))
end
