--- Run folders for specs: trains them, reads them, and compares them apart from times.

local assert = require 'luassert'
local ffi = require 'ffi'
local fixtures = require 'tests.support.fixtures'
local json = require 'tinykg.base.json'
local shell = require 'tests.support.shell'
local tk = require 'tinykg'

local runs = {}

--- Reads a JSON file. Fails if it cannot be read.
function runs.read(path) return assert(fixtures.json(path)) end

function runs.write(path, value) fixtures.write(path, json.encode(value)) end

--- Returns the log without times and what depends on them.
---@param run string a folder
---@return table[]
function runs.log(run)
  local list = {}
  for line in io.lines(run .. '/log.jsonl') do
    local record = assert(json.decode(line, run .. '/log.jsonl'))
    record.seconds, record.memory, record.checksum = nil, nil, nil -- the sum is of these as well
    list[#list + 1] = record
  end
  return list
end

--- Returns all tensors of a file, as bytes by name.
---@param path string
---@return table<string, string>
function runs.tensors(path)
  local list = {}
  for name, t in pairs((tk.load(path))) do
    local values, n = t:values()
    list[name] = ffi.string(values, 4 * n)
    t:free()
  end
  return list
end

--- Fails unless two runs are equal, bit for bit: log, parameters, state, metrics, memory (unless
--- that is false: the fullest phase may lie before the last resume).
function runs.same(a, b, memory)
  assert.same(runs.log(a), runs.log(b))
  for _, name in ipairs{'best', 'last'} do
    local one, other = runs.tensors(a .. '/' .. name .. '.safetensors'),
      runs.tensors(b .. '/' .. name .. '.safetensors')
    for key, bytes in pairs(one) do
      assert(bytes == other[key], name .. ': ' .. key .. ' differs')
      other[key] = nil
    end
    assert.is_nil((next(other)))
  end
  local one, other = runs.read(a .. '/summary.json'), runs.read(b .. '/summary.json')
  for _, key in ipairs{'valid', 'test', 'epochs', 'best_epoch', 'kept', 'bits', 'seed'} do
    assert.same(one[key], other[key], key)
  end
  if memory ~= false then runs.same_memory(one.memory, other.memory) end
end

--- Fails unless two runs took the same memory. `data` counts what Lua has yet to collect, so of two
--- moments that are equally full either may be the peak, with other kinds.
function runs.same_memory(one, other)
  for _, kind in ipairs{'parameter', 'optimizer'} do assert.equal(one[kind], other[kind], kind) end
  local same = one.transient == other.transient
  for _, kind in ipairs{'kept_exact', 'kept_quantized'} do
    same = same and one[kind] == other[kind]
  end
  if not same then
    assert.near(one.peak, other.peak, 0.05 * one.peak)
  end
end

--- The command of a short run, as a format of data set, epochs, folder and further options.
runs.COMMAND =
  'run recipes/bpr-mf.lua --quiet --data %s --set epochs=%d --set patience=0 --out %s %s'

--- Makes a run of 4 epochs. Returns its folder.
function runs.trained(data, out, more)
  shell.prints(runs.COMMAND:format(data, 4, out, more or ''))
  return out
end

--- Removes the checksums of a safetensors file, as an older version would have written it.
function runs.without_checksums(path)
  local text = fixtures.bytes(path)
  local length = text:byte(1) + 256 * text:byte(2) + 65536 * text:byte(3)
  local entries = json.decode(text:sub(9, 8 + length))
  entries.__metadata__['checksum.header'], entries.__metadata__['checksum.tensors'] = nil, nil
  for key, entry in pairs(entries) do
    if key ~= '__metadata__' then json.array(entry.shape) end
  end
  local head = json.encode(entries)
  head = head .. (' '):rep(-#head % 8)
  fixtures.write(path, string.char(#head % 256, math.floor(#head / 256) % 256,
    math.floor(#head / 65536), 0, 0, 0, 0, 0) .. head .. text:sub(9 + length))
end

return runs
