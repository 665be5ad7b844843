-- Each fuzz target over its corpus and some thousand inputs made of it, where clang is there. `make
-- fuzz` runs them for as long as one likes.
local fixtures = require 'tests.support.fixtures'
local full = require 'tests.faults.full'
local shell = require 'tests.support.shell'

local TARGETS = {'table', 'ragged', 'names', 'csr', 'safetensors', 'npy', 'npz', 'json', 'folder'}
local RUNS = {folder = 500}

--- Why the targets cannot be built here, or nil.
local function unusable()
  if os.getenv('TINYKG_CHECK') then return 'the checker has a sanitizer of its own' end
  if not fixtures.has_tool('clang') then return 'no clang' end
  local code = shell.sh('tests/tools/deps.sh --check attack')
  if code ~= 0 then return 'clang lacks what tests/tools/deps.sh attack installs' end
end

describe('fuzzing', function()
  local why_not = unusable()
  local dir, build

  setup(function()
    if why_not then return end
    dir = fixtures.dir()
    build = dir .. '/build'
    local code, text = shell.sh(('make -s BUILD=%s fuzz-build'):format(build))
    assert(code == 0, text)
  end)
  teardown(fixtures.clean)

  for _, target in ipairs(TARGETS) do
    it('breaks no promise of ' .. target, function()
      if why_not then return pending(why_not) end
      local code, text = shell.sh(('RUNS=%d SEED=%d tests/faults/fuzz/run.sh %s/fuzz %s'):format(
        RUNS[target] or 20000, full.seed, build, target))
      assert(code == 0, text)
    end)
  end
end)
