-- The GPU kernels on a CPU: the harness itself, planted bugs that it must catch, and each op
-- against the CPU backend on random shapes. tests/kernels/README.md says how it
-- works; device_spec trains on it.
local emulation = require 'tests.support.emulation'
local shell = require 'tests.support.shell'
local tk = require 'tinykg'

describe('the emulated GPU', function()
  local folder = (os.getenv('TINYKG_LIB') or 'build/libtinykg.so'):match('^(.*)/')

  it('runs the kernels right and catches planted bugs', function()
    if os.getenv('TINYKG_CHECK') then
      return pending('has checkers of its own: make check-emu-asan, check-emu-tsan')
    end
    if not emulation.is_there() then return pending('not built: make emu-tests') end
    local text = shell.gives(0, ("tests/kernels/check.sh plain '%s/emu' '%s/libtinykg_emu.so' " ..
      "'%s/libtinykg.so'"):format(folder, folder, folder))
    assert.is_nil(text:find('FAIL', 1, true), text)
  end)

  --- Pieces of memory that the process has mapped; a kernel may have 65,530 in all.
  local function mapped()
    local n = 0
    for _ in io.lines '/proc/self/maps' do n = n + 1 end
    return n
  end

  -- OpenMP ends threads where a team is smaller than the last one; each had 256 stacks here.
  it('gives back the stacks of threads that end', function()
    if not io.open '/proc/self/maps' then return pending('no /proc') end
    local before = tk.device()
    local there, why = emulation.open 'emu'
    if not there then return pending(why) end
    local x = tk.ones(64, 10000)
    local function sums(threads)
      tk.threads(threads)
      assert.equal(10000, x:sum(2):totable()[64])
    end
    sums(4)
    local first = mapped()
    for _ = 1, 20 do
      sums(2)
      sums(4)
    end
    local last = mapped()
    tk.threads(0)
    tk.device(before)
    assert(last < first + 3000, ('%d pieces of memory, %d at first'):format(last, first))
  end)
end)
