-- Processes that must end: one SIGTERM that nobody waits for; no memory for a product or a tensor.
local fixtures = require 'tests.support.fixtures'
local shell = require 'tests.support.shell'
local tk = require 'tinykg'

local WATCH = 'local C = require("tinykg.engine.lib") C.tkg_interrupt_watch(2) '

--- Runs Lua code and sends it SIGTERM after a second. Returns its status and how many seconds it
--- took to end.
local function terminated(code)
  local text = shell.gives(0, ([[
    ./tinykg -e '%s' & pid=$!
    sleep 1; start=$(date +%%s); kill -TERM $pid; wait $pid; status=$?
    echo "status $status after $(($(date +%%s) - start)) s"]]):format(code))
  local ended, seconds = text:match('status (%d+) after (%d+) s')
  return tonumber(ended), tonumber(seconds)
end

describe('a SIGTERM', function()
  it('ends a process that does not look at it, within seconds', function()
    local status, seconds = terminated(WATCH .. 'while true do end')
    assert.equal(143, status)
    assert.is_true(seconds <= 15, seconds)
  end)

  it('leaves the end to whoever looks at it', function()
    local status, seconds = terminated(WATCH .. 'while C.tkg_interrupted(0) == 0 do end ' ..
      'local ended = os.time() + 7 while os.time() < ended do end os.exit(7)')
    assert.equal(7, status)
    assert.is_true(seconds >= 6, seconds)
  end)

  it('ends at once what does not watch for it', function()
    local status, seconds = terminated('while true do end')
    assert.equal(143, status)
    assert.is_true(seconds <= 4, seconds)
  end)
end)

describe('a matrix product without memory for the library', function()
  local checked = os.getenv('TINYKG_CHECK')

  it('is an error in one line, not a loop without an end', function()
    if checked then return pending('checkers reserve address space themselves') end
    local endings = {}
    for _, kilobytes in ipairs{120000, 250000, 500000, 700000, 1000000} do
      local status, text = shell.sh(('ulimit -v %d; OMP_NUM_THREADS=1 timeout -k 1 300 ./tinykg ' ..
        "-e 'tk.threads(1) local a = tk.ones(300, 300) print(a:matmul(a):sum():item())'")
        :format(kilobytes))
      if status == 0 then
        assert.equal('27000000\n', text)
      else
        assert.equal(1, status, text)
        assert.matches('^tinykg: %(command line%):1: no memory for a matrix product: ', text)
        assert.equal(1, select(2, text:gsub('\n', '')))
      end
      endings[status] = true
    end
    assert.same({[0] = true, [1] = true}, endings)
  end)
end)

describe('a tensor larger than what is free', function()
  it('is refused in one line, before the system ends the process', function()
    local free = fixtures.bytes('/proc/meminfo')
    local bytes = 1024 * (free:match('MemAvailable:%s+(%d+)') + free:match('SwapFree:%s+(%d+)'))
    local rows = math.ceil(1.1 * bytes / 4000)
    local ok, message = pcall(tk.zeros, rows, 1000)
    assert.is_false(ok)
    assert.matches(('no memory for f32 [%d, 1000]: %.0f bytes'):format(rows, 4000 * rows), message,
                   1, true)
  end)
end)
