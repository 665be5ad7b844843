-- The GPU kernels on a CPU: the harness itself, planted bugs that it must catch, and each op
-- against the CPU backend on random shapes. tests/kernels/README.md says how it
-- works; device_spec trains on it.
local emulation = require 'tests.support.emulation'
local shell = require 'tests.support.shell'

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
end)
