-- What nvcc made of the GPU kernels, without a GPU: planted faults that the checking runtime must
-- find, every recipe, replayed steps, each op. tests/kernels/README.md says how it works.
local shell = require 'tests.support.shell'

describe("nvcc's code on the checking runtime", function()
  local folder = (os.getenv('TINYKG_LIB') or 'build/libtinykg.so'):match('^(.*)/')

  --- Runs the checks of a mode of check.sh; none may fail.
  local function check(mode)
    if os.getenv('TINYKG_CHECK') then return pending('has a build of its own: make check-ptx') end
    local library = io.open(folder .. '/ptx/libtinykg_cuda.so')
    if not library then return pending('no nvcc, or not built: make ptx') end
    library:close()
    local text = shell.gives(0, ("ROUNDS=2 tests/kernels/check.sh %s '%s/ptx' " ..
      "'%s/ptx/libtinykg_cuda.so' '%s/libtinykg.so'"):format(mode, folder, folder, folder))
    assert.is_nil(text:find('FAIL', 1, true), text)
  end

  it('agrees with the CPU, breaks no rule of CUDA, and planted faults are found', function()
    check 'ptx'
  end)

  it('breaks no rule of CUDA where no kernel runs: make check-host', function() check 'host' end)
end)
