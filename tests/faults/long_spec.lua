-- Many steps in one process: memory stays what it was after the first thousands.
local fixtures = require 'tests.support.fixtures'
local full = require 'tests.faults.full'
local session = require 'tinykg.engine.runtime'
local tk = require 'tinykg'

local STEPS = full.is and 120000 or 3000
local MOST_MORE = (full.is and 4 or 1.5) * 2 ^ 20 -- pages of heaps come and go: so many bytes

--- Bytes of this process in memory.
local function resident()
  local file = io.open('/proc/self/statm')
  if not file then return nil end
  local _, pages = file:read('*n', '*n')
  file:close()
  return pages * 4096
end

local function settle()
  collectgarbage()
  session.compact(true)
  collectgarbage()
  collectgarbage()
end

describe('a long session', function()
  teardown(fixtures.clean)

  it('takes no more memory after many steps', function()
    if os.getenv('TINYKG_CHECK') then return pending('the checker keeps memory of its own') end
    if not resident() then return pending('no /proc') end
    local path = fixtures.dir() .. '/saved.safetensors'
    local u, v = tk.nn.Embedding(50, 8), tk.nn.Embedding(40, 8)
    local g = tk.graph{head = {0, 1, 2}, relation = {0, 0, 1}, tail = {1, 2, 3}, nodes = 40,
                       relations = 2}
    local step = tk.step(function(users, items)
      return (tk.dot(u(users), v(items):dropout(0.1)):softplus()):mean()
    end, {optimizer = tk.optim.adam(), bits = 2, small = 0})

    local function work(n)
      for k = 1, n do
        step(tk.ids{k % 50, 1, 2}, tk.ids{k % 40, 3, 4})
        if k % 10 == 0 then (tk.rand(20, 8):matmul(tk.rand(8, 5))):softmax():sum():item() end
        if k % 50 == 0 then g:aggregate(v.weight):sum():item() end
        if k % 100 == 0 then
          pcall(tk.ones(2).matmul, tk.ones(2), tk.ones(3)) -- an error keeps nothing
          tk.save(path, {u = u.weight})
          tk.load(path)
        end
      end
      settle()
    end

    work(6000) -- until caches are full and loops are compiled
    local live, before = tk.memory().live.total, resident()
    work(STEPS)
    local more = resident() - before
    full.say('%d steps: %+d bytes of tensors, %+d of the process', STEPS,
             tk.memory().live.total - live, more)
    assert.equal(live, tk.memory().live.total)
    assert(more < MOST_MORE, ('%d bytes more after %d steps'):format(more, STEPS))
  end)
end)
