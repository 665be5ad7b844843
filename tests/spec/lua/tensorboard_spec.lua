-- Event files: checksums against published vectors, records and fields read back by a decoder
-- written here, and, where python has it, by TensorBoard itself.
local ffi = require 'ffi'
local json = require 'tinykg.base.json'
local tensorboard = require 'tinykg.run.tensorboard'
local crc_by_bits = require('tests.support.tensor_files').crc_by_bits
local fixtures = require 'tests.support.fixtures'
local shell = require 'tests.support.shell'

-- ---- a decoder of its own ----

local function crc32c(text) return crc_by_bits(text, 0x82F63B78) end

local function little(text)
  local x = 0
  for i = #text, 1, -1 do x = x * 256 + text:byte(i) end
  return x
end

--- Fails unless a stored checksum, unmasked, is the CRC of the text.
local function assert_checksum(stored, text)
  local rotated = (little(stored) - 0xa282ead8) % 2 ^ 32
  local low = math.floor(rotated / 2 ^ 17)
  assert.equal(crc32c(text), (rotated % 2 ^ 17) * 2 ^ 15 + low)
end

--- The data of each record of a file.
local function records(bytes)
  local list, at = {}, 1
  while at <= #bytes do
    local length = bytes:sub(at, at + 7)
    assert_checksum(bytes:sub(at + 8, at + 11), length)
    local data = bytes:sub(at + 12, at + 11 + little(length))
    assert.equal(little(length), #data)
    at = at + 12 + #data
    assert_checksum(bytes:sub(at, at + 3), data)
    list[#list + 1], at = data, at + 4
  end
  return list
end

local function varint(text, at)
  local x, scale = 0, 1
  while true do
    local byte = text:byte(at)
    x, scale, at = x + byte % 128 * scale, scale * 128, at + 1
    if byte < 128 then return x, at end
  end
end

local function real(ctype, text)
  local out = ffi.new(ctype .. '[1]')
  ffi.copy(out, text, #text)
  return out[0]
end

--- {field number = value}, values of fields of bytes as texts.
local function message(text)
  local fields, at = {}, 1
  while at <= #text do
    local key
    key, at = varint(text, at)
    local number, wire = math.floor(key / 8), key % 8
    if wire == 0 then
      fields[number], at = varint(text, at)
    elseif wire == 2 then
      local n
      n, at = varint(text, at)
      fields[number], at = text:sub(at, at + n - 1), at + n
    else
      local size = wire == 1 and 8 or 4
      assert(wire == 1 or wire == 5)
      fields[number] = real(size == 8 and 'double' or 'float', text:sub(at, at + size - 1))
      at = at + size
    end
  end
  return fields
end

local function events(path)
  local list = records(fixtures.bytes(path))
  for i, data in ipairs(list) do list[i] = message(data) end
  return list
end

-- ---- TensorBoard's reader ----

local READER = [[
import json, sys
from tensorboard.backend.event_processing import event_accumulator
reader = event_accumulator.EventAccumulator(sys.argv[1])
reader.Reload()
tags = reader.Tags()
out = {'scalars': {t: [[e.step, e.value, e.wall_time] for e in reader.Scalars(t)]
                   for t in tags['scalars']},
       'texts': {t: [[e.step, e.tensor_proto.string_val[0].decode()] for e in reader.Tensors(t)]
                 for t in tags['tensors']}}
print(json.dumps(out))
]]

--- Returns what TensorBoard reads in a folder; nil without TensorBoard.
local function read_with_tensorboard(folder)
  local text = shell.python('tensorboard.backend.event_processing', READER, folder)
  return text and assert(json.decode(text:match('[^\n]*\n$'))) -- warnings may stand before it
end

describe('an event file', function()
  teardown(fixtures.clean)

  it('has checksums as published (RFC 3720, B.4)', function()
    local rising, falling = {}, {}
    for i = 0, 31 do rising[i + 1], falling[32 - i] = string.char(i), string.char(i) end
    for text, crc in pairs{
      [('\0'):rep(32)] = 0x8a9136aa, [('\255'):rep(32)] = 0x62a8ab43,
      [table.concat(rising)] = 0x46dd794e, [table.concat(falling)] = 0x113fdb5c,
      ['123456789'] = 0xe3069283, [''] = 0,
    } do
      assert.equal(crc, tensorboard.crc32c(text))
      assert.equal(crc, crc32c(text)) -- the decoder above can be trusted
    end
  end)

  it('begins with its version, then has a summary a point', function()
    local dir = fixtures.dir()
    local before = os.time()
    local file = assert(tensorboard.open(dir .. '/new/folder'))
    assert.is_true(file:scalar('valid/auc', 0.625, 300, 1234.5))
    assert.is_true(file:scalar('loss', -1 / 0, 2 ^ 40 + 5))
    assert.is_true(file:close())
    assert.is_true(file:close())
    assert.matches('/new/folder/events%.out%.tfevents%.%d%d%d%d%d%d%d%d%d%d%.[%w.-]+%.%d+$',
                   file.path)
    local list = events(file.path)
    assert.equal(3, #list)
    assert.equal('brain.Event:2', list[1][3])
    assert.is_true(list[1][1] >= before and list[1][1] < before + 60)
    assert.equal(1234.5, list[2][1])
    assert.equal(300, list[2][2])
    assert.same({'valid/auc', 0.625}, message(message(list[2][5])[1]))
    assert.equal(2 ^ 40 + 5, list[3][2])
    assert.same({'loss', -math.huge}, message(message(list[3][5])[1]))
  end)

  it('is there for readers after a flush', function()
    local file = assert(tensorboard.open(fixtures.dir()))
    assert.equal(1, #events(file.path))
    file:scalar('loss', 1, 1)
    assert.is_true(file:flush())
    assert.equal(2, #events(file.path))
    file:close()
  end)

  it('never takes the place of another', function()
    local dir = fixtures.dir()
    local boards = {}
    for i = 1, 3 do
      boards[i] = assert(tensorboard.open(dir .. '/'))
      boards[i]:scalar('x', i, i)
    end
    for i = 1, 3 do boards[i]:close() end
    assert.equal(3, #fixtures.names(dir))
  end)

  it('supersedes the steps of a killed run from purge_step on', function()
    local dir = fixtures.dir()
    local file = assert(tensorboard.open(dir, {purge_step = 40}))
    file:close()
    local start = events(file.path)[2]
    assert.equal(40, start[2])
    assert.same({1}, message(start[7])) -- SessionLog, status START
  end)

  it('is read by TensorBoard', function()
    local dir = fixtures.dir()
    local file = assert(tensorboard.open(dir))
    for step = 10, 50, 10 do file:scalar('loss', 1 / step, step, 100 + step) end
    file:text('config', 'lr **0.01**, caf\195\169 \255', 0)
    file:close()
    local resumed = assert(tensorboard.open(dir, {purge_step = 40}))
    for step = 40, 60, 10 do resumed:scalar('loss', 2, step, 200 + step) end
    resumed:close()
    local found = read_with_tensorboard(dir)
    if not found then pending('Python has no tensorboard') return end
    local want = {}
    for step = 10, 30, 10 do want[#want + 1] = {step, 1 / step, 100 + step} end
    for step = 40, 60, 10 do want[#want + 1] = {step, 2, 200 + step} end
    local loss = found.scalars.loss
    assert.equal(#want, #loss)
    for i, point in ipairs(want) do
      assert.equal(point[1], loss[i][1])
      assert.near(point[2], loss[i][2], 1e-8)
      assert.equal(point[3], loss[i][3])
    end
    assert.same({{0, 'lr **0.01**, caf\195\169 \239\191\189'}}, found.texts.config)
  end)

  it('says that the disk is full, then and afterwards', function()
    local dir = fixtures.dir()
    local script = fixtures.dir{['fill.lua'] = ([[
      local file = assert(require('tinykg.run.tensorboard').open('%s'))
      local ok, message
      for step = 1, 2000 do
        ok, message = file:scalar('loss', 1, step)
        if not ok then break end
      end
      print(message)
      print(select(2, file:scalar('loss', 1, 1)))
      print(select(2, file:flush()))
      print(file:close())
    ]]):format(dir)} .. '/fill.lua'
    -- A limit on the size of files stands for the disk.
    local _, text = shell.sh(("trap '' XFSZ; ulimit -f 8; %s %s"):format(
      os.getenv('LUAJIT') or 'luajit', script))
    local lines = {}
    for line in text:gmatch('[^\n]+') do lines[#lines + 1] = line end
    assert.matches('/events%.out%.tfevents%..*: cannot be written: File too large$', lines[1])
    assert.same({lines[1], lines[1], lines[1], 'nil\t' .. lines[1]}, lines)
  end)

  it('refuses what it cannot hold', function()
    local file, why = tensorboard.open(fixtures.dir{plain = 'x'} .. '/plain')
    assert.is_nil(file)
    assert.matches('plain: cannot be made', why)
    file = assert(tensorboard.open(fixtures.dir()))
    assert.matches('loss: 1.5 is not a step', fixtures.message(file.scalar, file, 'loss', 1, 1.5))
    assert.matches('loss: %-1 is not a step', fixtures.message(file.scalar, file, 'loss', 1, -1))
    assert.matches('loss: expected a number', fixtures.message(file.scalar, file, 'loss', 'x', 1))
    assert.matches('expected a tag', fixtures.message(file.scalar, file, '', 1, 1))
    file:close()
    assert.matches('is closed', select(2, file:scalar('loss', 1, 1)))
  end)
end)
