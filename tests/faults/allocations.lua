--- What allocations_spec runs in a process of its own, with shims/allocations.c preloaded.
--   luajit tests/faults/allocations.lua FEW DIR
-- Each scenario runs once for each of its allocations that fails, alone or with all after it, or
-- for some of them in the short form. It ends as ever or in one clear line, and right afterwards it
-- gives what it gave before. DIR/now says at any time what is tried, for a crash.
local ffi = require 'ffi'
local complaint = require 'tests.faults.refusal'
local fixtures = require 'tests.support.fixtures'
local full = require 'tests.faults.full'
local json = require 'tinykg.base.json'
local recipe_file = require 'tinykg.train.recipe_file'
local session = require 'tinykg.engine.runtime'
local tk = require 'tinykg'

ffi.cdef [[
void faults_arm(long at, long times);
long faults_counted(void);
long faults_failed(void);
]]

local few, dir = tonumber(arg[1]), arg[2]
local EVER = 1000000
tk.threads(1)

-- ---- scenarios: each returns a number or a text that must not change ----

local tensors = {a = tk.tensor{{1, 2, 3}, {4, 5, 6}}, b = tk.ids{1, 2, 3}}

local function saved(ending)
  return function()
    local path = dir .. '/saved.' .. ending
    tk.save(path, tensors)
    return tk.load(path).a:sum():item()
  end
end

local function eager()
  local w = tk.parameter(tk.full(0.5, 5, 4))
  w:matmul(w:transpose()):softmax():square():sum():backward()
  tk.optim.sgd():update()
  tk.seed(2)
  return #tk.cat{w, w}:totable() + w:max(2):sum():item() + tk.rand(3):sum():item()
end

local function trained(optimizer, bits, halves)
  return function()
    tk.seed(3)
    local g = tk.graph{head = {0, 0, 1, 2, 3}, relation = {0, 1, 0, 1, 0}, tail = {1, 2, 2, 3, 0},
                       nodes = 4, relations = 2}
    local e, l, r = tk.nn.Embedding(4, 8), tk.nn.Linear(8, 8), tk.nn.Embedding(2, 8)
    local u = tk.nn.Embedding(600, 8)
    if halves then tk.parameter(u.weight, {bits = 16}) end
    local step = tk.step(function(users, i, j)
      local h = l(g:aggregate(e.weight, {relation = r.weight})):relu():dropout(0.1)
      local a = u(users) * h:gather(i) - u(users) * h:gather(j)
      return a:sum(2):softplus():mean() + (h * h):mean() * 0.01
    end, {optimizer = optimizer(), bits = bits, small = 0})
    local loss
    for _ = 1, 3 do loss = step(tk.ids{1, 2, 3}, tk.ids{0, 1, 2}, tk.ids{1, 1, 1}) end
    step:report()
    step:program()
    return loss
  end
end

local function loaded()
  local d = tk.data.load(dir .. '/data')
  local g = tk.graph(d, {of = 'both', merged = true})
  local n = d.train.n
  for batch in d:batches{size = 64} do n = n + batch.users:count() end
  return n + g:normalized('symmetric'):aggregate(tk.ones(g.nodes, 2)):sum():item()
end

--- Text with quotes, compressed, with a title that takes the rest of its line.
local function read()
  local d = tk.data.load(dir .. '/plain', {split = 'time'})
  return d.train.n + d.items + #d.names.items:label(0)
end

local function draws()
  tk.seed(4)
  local g = tk.graph{head = {0, 0, 1}, relation = {0, 1, 0}, tail = {1, 2, 2}, nodes = 3,
                     relations = 2}
  local drawn = {g:neighborhood(2):totable(), g:negatives(tk.ids{0, 1}, tk.ids{0, 0}, 3):totable()}
  return json.encode(drawn)
end

local function new_engine()
  session.open('cpu')
  tk.threads(1)
  return tk.ones(3):sum():item()
end

--- A whole run: data, graph, steps, evaluation, checkpoints, summary.
local function run()
  local out = dir .. '/run'
  fixtures.remove(out)
  local recipe, text = recipe_file.load('recipes/kgcn.lua')
  local summary = require('tinykg.run'){
    recipe = recipe, text = text, path = 'recipes/kgcn.lua', data = dir .. '/data',
    data_options = {}, options = recipe:complete{epochs = 1, batch_size = 512, dim = 8},
    seed = 1, out = out, settings = {bits = 2, rounding = 'dither', silent = true}}
  return summary.test.auc
end

local function adam() return tk.optim.adam{lr = 0.1} end
local function adam8() return tk.optim.adam{lr = 0.1, bits = 8} end
local function small() return tk.optim.adam{bits = 8, rowwise = true, lazy = true} end

local scenarios = {
  {'a saved npz', saved('npz')}, {'saved safetensors', saved('safetensors')}, {'eager ops', eager},
  {'a step, 2 bits', trained(adam, 2)}, {'a step, 8-bit Adam', trained(adam8, 32)},
  {'a step, 16-bit rows', trained(small, 32, true)},
  {'Adagrad', trained(tk.optim.adagrad, 4)}, {'a data set', loaded}, {'quoted text', read},
  {'draws', draws}, {'an engine', new_engine}, {'a whole run', run},
}

-- ---- trying ----

local wrong = 0
local function violated(...)
  wrong = wrong + 1
  print('  violated: ' .. string.format(...))
end

local function note(name, n, times)
  local file = assert(io.open(dir .. '/now', 'w'))
  file:write(('%s, allocation %d%s\n'):format(name, n, times == 1 and '' or ' and all after it'))
  file:close()
end

--- One attempt. Returns whether it was refused.
local function try(name, fn, want, n, times)
  note(name, n, times)
  ffi.C.faults_arm(n, times)
  local ok, result = pcall(fn)
  local failed = tonumber(ffi.C.faults_failed())
  ffi.C.faults_arm(0, 0)
  local where = ('%s, allocation %d of %d failing'):format(name, n, times)
  if ok and result ~= want then
    violated('%s: %s instead of %s', where, tostring(result), tostring(want))
  elseif not ok then
    local bad = complaint(result)
    if bad then violated('%s: %s', where, bad)
    elseif not result:lower():find('memory') then violated('%s: says %s', where, result)
    elseif result:find('\n') then violated('%s: more than a line: %s', where, result) end
    if failed == 0 then violated('%s: refused without reason: %s', where, result) end
  end
  local again, value = pcall(fn)
  if not again or value ~= want then
    violated('%s: afterwards %s instead of %s', where, tostring(value), tostring(want))
    session.reset()
  end
  return not ok
end

--- Bytes of tensors that something refers to; compiled code may, for as long as it is kept.
local function live()
  jit.flush()
  collectgarbage()
  session.compact(true)
  collectgarbage()
  collectgarbage()
  return tk.memory().live.total
end

--- Bytes of tensors that stay, though fn runs again: what Lua still held of the last attempt is
--- garbage by then.
local function lost_since(before, fn)
  local lost
  for _ = 1, 5 do
    fn()
    lost = live() - before
    if lost <= 0 then return 0 end
  end
  return lost
end

for _, scenario in ipairs(scenarios) do
  local name, fn = scenario[1], scenario[2]
  fn()
  local want = fn()
  local before = live()
  ffi.C.faults_arm(0, 0)
  fn()
  local all, tried, refused = tonumber(ffi.C.faults_counted()), 0, 0
  if all == 0 then violated('%s: no allocation was counted', name) end
  for _, times in ipairs{1, EVER} do
    for n in full.sample(all, few) do
      tried = tried + 1
      if try(name, fn, want, n, times) then refused = refused + 1 end
    end
  end
  local lost = lost_since(before, fn)
  if lost > 0 then violated('%s: %d bytes of tensors stay', name, lost) end
  full.say('%-20s %5d allocations, %5d tried, %5d refused, the others as ever', name, all, tried,
           refused)
end
os.exit(wrong == 0 and 0 or 1, true)
