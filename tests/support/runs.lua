--- Run folders compared: what they hold but for what a clock says.

local assert = require 'luassert'
local ffi = require 'ffi'
local json = require 'tinykg.base.json'
local tk = require 'tinykg'

local runs = {}

--- The log without what a clock says.
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

--- All tensors of a file as bytes by name.
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

--- Fails unless two runs ended alike, bit for bit: log, parameters, state, metrics, memory.
function runs.same(a, b)
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
  local one = assert(json.read(a .. '/summary.json'))
  local other = assert(json.read(b .. '/summary.json'))
  for _, key in ipairs{'valid', 'test', 'epochs', 'best_epoch', 'kept', 'bits', 'seed'} do
    assert.same(one[key], other[key], key)
  end
  for _, kind in ipairs{'parameter', 'optimizer', 'kept_exact', 'kept_quantized', 'transient'} do
    assert.equal(one.memory[kind], other.memory[kind], kind)
  end
end

return runs
