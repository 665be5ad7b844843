-- Collective operations among processes that a launcher has started, and what happens when one of
-- them fails.
local emulation = require 'tests.support.emulation'
local fixtures = require 'tests.support.fixtures'
local mpi = require 'tests.support.mpi'
local shell = require 'tests.support.shell'
local tk = require 'tinykg'

local PROGRAM = 'tests/support/collective_program.lua'

describe('ranks', function()
  teardown(fixtures.clean)

  it('are one without a launcher, and operations then copy', function()
    local n, note = tk.ranks()
    assert.same({1, 0}, {n, tk.rank()})
    assert.is_nil(note)
    shell.gives(0, './tinykg ' .. PROGRAM, '^1 ranks are right\n')
  end)

  for _, kind in ipairs{'Open MPI', 'MPICH'} do
    it('exchange, gather, reduce and broadcast by ' .. kind, function()
      local launcher = mpi.launchers[kind]
      if not launcher then return pending('no ' .. kind) end
      for _, n in ipairs{2, 3, 4} do
        shell.gives(0, mpi.tinykg(n, PROGRAM, launcher), ('%d ranks are right\n'):format(n))
      end
    end)
  end

  --- Runs a Lua program on three ranks. ---@return integer status, string[] lines tinykg's own
  local function run(program, device)
    local path = fixtures.dir{['x.lua'] = program} .. '/x.lua'
    local code, text = shell.sh('TINYKG_DEVICE=' .. (device or 'cpu') .. ' ' .. mpi.tinykg(3, path))
    local lines = {}
    for line in text:gmatch('[^\n]+') do
      local is_mpirun = line:find '^%d%. ' -- 'There are three reasons': a list
      if line:find '^tinykg: ' or line:find '^-?%d' and not is_mpirun then
        lines[#lines + 1] = line
      end
    end
    return code, lines
  end

  it('end together, with one message, when one of them fails', function()
    if not mpi.first then return pending(mpi.MISSING) end
    for failing = 0, 2 do
      local code, lines = run(([[
        local tk = require 'tinykg'
        if tk.rank() == %d then error('no such thing', 0) end
        require('tinykg.engine.ranks').most(1)
        print(1)]]):format(failing))
      assert.equal(1, code)
      assert.same({failing == 0 and 'tinykg: no such thing'
                   or ('tinykg: rank %d: no such thing'):format(failing)}, lines)
    end
  end)

  --- What three ranks say that do something else after a step that divides a table among them.
  local function part(what, device)
    local code, lines = run([[
      local tk = require 'tinykg'
      tk.seed(1)
      local N, h, t = 2 ^ 14, {}, {}
      for k = 1, N do h[k], t[k] = k - 1, k * 7919 % N end
      local g, w = tk.graph{head = h, tail = t, nodes = N}, tk.parameter(tk.randn(N, 48))
      local step = tk.step(function(ids)
        return g:aggregate(g:aggregate(w)):gather(ids):square():sum()
      end, {optimizer = tk.optim.adam{lr = .01}})
      step(tk.ids{1, 2})
    ]] .. what, device)
    assert.equal(1, code)
    assert.equal(1, #lines, table.concat(lines, '\n'))
    assert.matches('x.lua:%d+: rank %d does something else at this point: all ranks run the same',
                   lines[1])
  end

  it('end with one message where they do not do the same, and read no wrong numbers', function()
    if not mpi.first then return pending(mpi.MISSING) end
    for _, what in ipairs{
      'if tk.rank() == 0 then print(w:sum():item()) end',
      'if tk.rank() == 1 then print(w:sum():item()) end',
      "if tk.rank() == 0 then tk.save('x.npz', {w = w}) end",
      'if tk.rank() == 2 then step(tk.ids{1, 2}) end',
      'step(tk.ids(tk.rank() == 0 and {1, 2} or {1, 2, 3}))',
      'if tk.rank() == 1 then os.exit(0) end step(tk.ids{1, 2})'} do
      part(what)
    end
  end)

  it('say so on a GPU too', function()
    if not mpi.first then return pending(mpi.MISSING) end
    if not emulation.is_there() then return pending('the emulated GPU is not built') end
    part('if tk.rank() == 0 then w:totable() end', 'emu')
  end)

  it('take no message of another number or length for theirs', function()
    if not mpi.first then return pending(mpi.MISSING) end
    for _, what in ipairs{ -- one of the two does what sends nothing; lengths whose tags are equal
      'if tk.rank() == 0 then copy(0) end engine.most(1)',
      'copy(tk.rank() == 0 and 8 or longer)', 'copy(tk.rank() == 0 and longer or 8)'} do
      local code, lines = run([[
        local ffi, tk, engine = require 'ffi', require 'tinykg', require 'tinykg.engine.ranks'
        local C, runtime = require 'tinykg.engine.lib', require 'tinykg.engine.runtime'
        local function hash(bytes) -- tag_of in engine/collective/exchange.c, of a broadcast
          return tonumber(ffi.cast('uint64_t', bytes * 5 + 3) * 0x9E3779B97F4A7C15ULL / 2^40 % 512)
        end
        local longer, memory = 9, ffi.new 'char[65536]'
        while hash(longer) ~= hash(8) do longer = longer + 1 end
        local function copy(bytes)
          runtime.check(C.tkg_collective_broadcast(runtime.engine, memory, bytes, 0))
        end
      ]] .. what)
      assert.equal(1, code)
      assert.equal(1, #lines, table.concat(lines, '\n'))
      assert.matches('rank %d does something else at this point', lines[1])
    end
  end)

  it('say once what all of them fail at', function()
    if not mpi.first then return pending(mpi.MISSING) end
    local code, lines = run("error('nobody can', 0)")
    assert.equal(1, code)
    assert.same({'tinykg: nobody can'}, lines)
  end)

  it('have the values of rank 0, and agree', function()
    if not mpi.first then return pending(mpi.MISSING) end
    local code, lines = run([[
      local tk, ranks = require 'tinykg', require 'tinykg.engine.ranks'
      local t = tk.full(tk.rank() + 0.5, 3)
      ranks.share(t)
      local found = ranks.of_first(function()
        assert(tk.rank() == 0)
        return {name = 'x', list = {1, 2}, share = 0.1}
      end)
      assert(t:totable()[3] == 0.5 and found.name == 'x' and found.list[2] == 2
             and found.share == 0.1)
      assert(ranks.any(tk.rank() == 2) and not ranks.any(false))
      assert(ranks.sum(tk.rank()) == 3 and ranks.least(-tk.rank()) == -2)
      local first, count = ranks.share_of(10)
      assert(count >= 3 and ranks.sum(count) == 10)
      if tk.rank() == 0 then print(tk.ranks()) end]])
    assert.equal(0, code)
    assert.matches('^3%s+.+, 3 ranks on 1 machine$', lines[1])
  end)

  it('refuse the library of another launcher', function()
    if not (mpi.launchers['Open MPI'] and mpi.launchers.MPICH) then
      return pending('not both Open MPI and MPICH')
    end
    shell.gives(1, 'TINYKG_MPI=libmpich.so.12 ' .. mpi.tinykg(2, "-e 'print(1)'",
                                                              mpi.launchers['Open MPI']),
                'mpirun of Open MPI started 2 processes, but MPICH [%d.]+ sees 1')
  end)

  it('are left out on request', function()
    if not mpi.first then return pending(mpi.MISSING) end
    shell.gives(0, 'TINYKG_RANKS=none ' .. mpi.tinykg(2, "-e 'print(tk.ranks() .. tk.rank())'"),
                '^10\n10\n$')
  end)
end)
