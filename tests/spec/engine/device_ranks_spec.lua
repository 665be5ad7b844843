-- Ranks on GPUs, which are emulated: they take the same steps as one, whether values go from one to
-- the other through the host or by what stands in for NCCL (tests/kernels/nccl), and end together
-- when one of them fails.
local emulation = require 'tests.support.emulation'
local fixtures = require 'tests.support.fixtures'
local mpi = require 'tests.support.mpi'
local runs = require 'tests.support.runs'
local shell = require 'tests.support.shell'

local MOST_SECONDS = 10 -- in which the death of a rank ends the others

describe('ranks on GPUs', function()
  local library = (os.getenv 'TINYKG_LIB' or 'build/libtinykg.so'):gsub('[^/]+$',
                                                                        'libnccl_stand_in.so')
  local missing
  setup(function()
    missing = not mpi.first and mpi.MISSING or not emulation.is_there() and 'no libtinykg_emu.so'
      or not io.open(library) and 'no libnccl_stand_in.so'
  end)
  teardown(fixtures.clean)

  --- The command of n ranks, each on an emulated GPU. ---@param n integer 1: a process alone
  ---@param set string more variables of the environment
  local function on(n, program, set)
    local command = n == 1 and './tinykg ' .. program or mpi.tinykg(n, program)
    return ('export TINYKG_DEVICE=emu %s; %s'):format(set or '', command)
  end
  local function by_nccl(n, program, more)
    return on(n, program, ('TKG_NCCL=%s %s'):format(library, more or ''))
  end

  --- The processes that have sent something by NCCL.
  local function senders(log)
    local count = 0
    for groups in fixtures.bytes(log):gmatch 'groups (%d+)' do
      count = count + (tonumber(groups) > 0 and 1 or 0)
    end
    os.remove(log)
    return count
  end

  -- Columns are dealt where each rank gets 8 or more.
  for columns, sizes in pairs{[16] = {2}, [50] = {2}, [64] = {2, 4}} do
    it(('take the same steps as one, with %d columns'):format(columns), function()
      if missing then return pending(missing) end
      local program = ('tests/support/ranks_steps.lua %d'):format(columns)
      local alone = shell.gives(0, on(1, program), 'columns')
      if columns == 50 then assert.equal(alone, shell.gives(0, on(2, program))) end
      for _, n in ipairs(sizes) do
        local log = os.tmpname()
        assert.equal(alone, shell.gives(0, by_nccl(n, program, 'NCCL_LOG=' .. log)))
        assert.equal(n, senders(log))
      end
    end)
  end

  it('capture steps with their exchanges', function()
    if missing then return pending(missing) end
    local program = 'tests/support/ranks_replay.lua'
    local alone = shell.gives(0, on(1, program), 'replayed: 4')
    local function losses(text) return text:gsub('replayed: %d+\n', '') end
    local through_host = shell.gives(0, on(2, program), 'replayed: 0')
    local two, four = shell.gives(0, by_nccl(2, program), 'replayed: 4'),
      shell.gives(0, by_nccl(4, program), 'replayed: 4')
    assert.equal(losses(alone), losses(through_host))
    assert.equal(losses(alone), losses(two))
    assert.equal(losses(alone), losses(four))
  end)

  it('train a recipe with the same bits', function()
    if missing then return pending(missing) end
    local data = select(2, shell.demo(2100, 2100))
    local function train(n, bits, command)
      local out = ('%s/%d-%d'):format(fixtures.dir(), bits, n)
      shell.gives(0, command(n, ('run recipes/kgat.lua --quiet --data %s %s --set epochs=1 ' ..
        '--set eval_every=1 --set eval_users=20 --steps 2 --data-set task=ranking --bits %d ' ..
        '--out %s'):format(data, mpi.small 'kgat', bits, out)))
      return out
    end
    for _, bits in ipairs{32, 2} do
      local alone = train(1, bits, on)
      runs.same(alone, train(2, bits, on), false)
      runs.same(alone, train(4, bits, by_nccl), false)
    end
  end)

  it('take a GPU each, and say how values travel', function()
    if missing then return pending(missing) end
    local program = fixtures.dir{['x.lua'] = [[
      local tk = require 'tinykg'
      local C, ffi = require 'tinykg.engine.lib', require 'ffi'
      local runtime = require 'tinykg.engine.runtime'
      io.write(tk.rank(), ' has ', tk.device(), '; ', select(2, tk.ranks()), '\n')
      if tk.rank() == 0 then print(ffi.string(C.tkg_engine_rank_devices(runtime.engine))) end]]}
      .. '/x.lua'
    local text = shell.gives(0, by_nccl(4, program, 'EMU_DEVICES=2'))
    for rank = 0, 3 do assert.matches(('%d has emu:%d'):format(rank, rank % 2), text) end
    assert.matches('values go between GPUs by NCCL 2%.28%.9\n', text)
    assert.matches('rank 3  %S+  emu:1, CUDA on a CPU', text)
    text = shell.gives(0, by_nccl(2, program, 'EMU_DEVICES=2 TINYKG_DEVICE=emu:0'))
    assert.matches('1 has emu:0', text)
    text = shell.gives(0, by_nccl(2, program, 'EMU_BUS=0000:1B:00.0'))
    assert.matches('through the host: ranks 0 and 1 share a GPU\n', text)
    assert.matches('through the host: no libnccl.so.2 is found on rank 0\n',
                   shell.gives(0, on(2, program, 'TKG_NCCL=no')))
  end)

  it('are listed by doctor, and planned with what NCCL takes', function()
    if missing then return pending(missing) end
    local text = shell.gives(0, by_nccl(2, 'doctor', 'EMU_DEVICES=2'))
    assert.matches('between GPUs   NCCL 2%.28%.9\n', text)
    assert.matches('rank 0  %S+  emu:0, CUDA on a CPU', text)
    assert.matches('rank 1  %S+  emu:1, CUDA on a CPU', text)
    local _, data = shell.demo(300, 150)
    local plan = './tinykg memory kgat --bits 2 --ranks 4 --data ' .. data
    shell.gives(0, plan .. ' --device cuda', "NCCL's buffers: at most 220%.5 MiB") -- 3 x 8 channels
    assert.is_nil(shell.gives(0, plan .. ' --device cpu'):find 'NCCL')
  end)

  --- Runs steps with a planted fault. ---@return integer status ---@return string[] lines that
  --- tinykg says ---@return integer seconds
  local function struck(fault, argument)
    local began = os.time()
    local code, text = shell.sh(by_nccl(2, 'tests/support/ranks_replay.lua ' .. (argument or ''),
                                        fault and ("NCCL_FAULT='%s'"):format(fault)))
    local lines = {}
    for line in text:gmatch '[^\n]+' do
      if line:find '^tinykg: ' then lines[#lines + 1] = line end
    end
    return code, lines, os.time() - began
  end

  local FAULTS = {
    {'that dies', '1 3 dies', 'tinykg: rank 1 is gone'},
    {'that dies in a captured step', '1 9 dies', 'tinykg: rank 1 is gone'},
    {'with an error of NCCL', '1 3 error', 'unhandled system error: planted in rank 1'},
    {'that sends too little', '1 2 short', 'invalid usage: rank 1 sends another number of bytes'},
  }
  for _, f in ipairs(FAULTS) do
    it('end with one of them ' .. f[1], function()
      if missing then return pending(missing) end
      local code, lines, seconds = struck(f[2])
      assert.is_true(code ~= 0)
      assert.equal(1, #lines, table.concat(lines, '\n'))
      assert.is_truthy(lines[1]:find(f[3], 1, true), lines[1])
      assert.is_true(seconds <= MOST_SECONDS)
    end)
  end

  it('end with one of them that fails while another waits for it', function()
    if missing then return pending(missing) end
    local code, lines = struck(nil, '3')
    assert.equal(1, code)
    assert.same({'tinykg: no such step'}, lines)
  end)
end)
