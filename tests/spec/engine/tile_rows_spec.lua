-- Ops that read rows by id or by position in tiles, on the emulated GPU: numbers are those of ops
-- run one by one.
local tk = require 'tinykg'
local emulation = require 'tests.support.emulation'
local reference = require 'tests.support.reference_ops'
local tensors = require 'tests.support.tensors'

local before = tk.device()
local N, K, D, KINDS, TABLE = 300, 4, 16, 7, 50 -- KINDS: a product's order of ids is shared

local function on_emu(what, fn)
  it(what, function()
    if not emulation.open('emu') then return pending('not built: make emu-tests') end
    finally(function() tk.device(before) end)
    fn()
  end)
end

local function ids_of(n, limit, step)
  local list = {}
  for i = 1, n do list[i] = i * step % limit end
  return tk.ids(list)
end

local function parameters()
  local drawn = tensors.drawn_from(reference.random(5))
  return {x = drawn.parameter(TABLE, D), w = drawn.parameter(KINDS * D, D),
          c = tk.parameter(drawn.noise(KINDS, 1):reshape(KINDS))}
end

--- Loss, gradients and launches with and without tiles.
local function run(fn, p, options)
  tk.seed(4)
  local step = tk.step(fn, options)
  local loss, list = step(), {}
  for name, t in pairs(p) do list[name] = t.grad and tensors.flat(t.grad) end
  return loss, list, step:traffic().launches
end

local function compare(fn, p)
  for _, bits in ipairs{32, 2} do
    local want, of, apart = run(fn, p, {bits = bits, small = 0, tiles = false})
    local got, grads, together = run(fn, p, {bits = bits, small = 0})
    tensors.near({want}, {got}, 1e-5, 'loss', true)
    for name, values in pairs(of) do tensors.near_largest(values, grads[name], 1e-4, name) end
    assert.is_true(together < apart, together .. ' ' .. apart)
  end
end

describe('in tiles', function()
  on_emu('products by small matrices do not sort the ids whose order others use', function()
    local p, kinds, rows = parameters(), ids_of(N, KINDS, 5), ids_of(N, TABLE, 11)
    compare(function()
      local w = p.w:reshape(KINDS, D, D)
      local y = tk.grouped_matmul(p.x:gather(rows), w, kinds)
      return tk.grouped_matmul(y, w, kinds, {transpose = true}):square():mean()
        + p.c:gather(kinds):square():mean()
    end, p)
  end)

  on_emu('neighbourhoods have their ids in a matrix or in a list', function()
    local p, rows = parameters(), ids_of(N, TABLE, 11)
    local flat = ids_of(N * K, TABLE, 7)
    for _, ids in ipairs{flat, flat:reshape(N, K)} do
      compare(function()
        local own, all = p.x:gather(rows), p.x:gather(ids):reshape(-1, D)
        local sum = tk.neighbor_sum(tk.neighbor_dot(own, all, K):softmax(), all)
        return tk.dot(own + sum, p.x:gather(rows)):sigmoid():mean()
      end, p)
    end
  end)
end)
