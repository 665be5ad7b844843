--- Calls every public function wrongly, and looks whether the process and its numbers survive.
--
--   ./tinykg tests/faults/misuse.lua [SECTION-PATTERN [CALLS [SEED [LAST]]]]
--
-- The functions are those that lua/REFERENCE.md has headings for. Each is called with
-- values of all kinds in each of its places, the others being what its comment asks for, then
-- CALLS times with any values anywhere. An error is right; wrong are a crash (LAST, a file, then
-- holds the call that it was in), an error of Lua's own from inside the library, and another result
-- of a known computation afterwards. What is wrong is printed, a line each; the last line is the
-- number of calls. Raw FFI arrays are left out: nobody checks what a pointer points to.
local docs = require 'tinykg.base.arguments.comments'
local tk = require 'tinykg'
local random = require 'tinykg.base.random'

local PATTERN, CALLS = arg[1] or '', tonumber(arg[2] or 40)
local SEED, LAST = tonumber(arg[3] or 20261129), arg[4]

-- ---- values ----

local function freed()
  local t = tk.ones(3)
  t:free()
  return t
end

local function over() -- a value of a step that is over
  local kept
  tk.no_grad(function()
    kept = tk.ones(3) + 1
    return kept:sum()
  end)
  return kept
end

local function looped()
  local t = {}
  t[1], t.x = t, t
  return t
end

--- Names and makers, new ones each time: what is called may change them.
local VALUES = {
  {'nil', function() return nil end}, {'true', function() return true end},
  {"''", function() return '' end}, {"'x'", function() return 'x' end},
  {'-1', function() return -1 end}, {'0', function() return 0 end},
  {'0.5', function() return 0.5 end}, {'2', function() return 2 end},
  {'2^31', function() return 2 ^ 31 end}, {'2^53', function() return 2 ^ 53 end},
  {'2^62', function() return 2 ^ 62 end}, {'2^63', function() return 2 ^ 63 end},
  {'1/0', function() return 1 / 0 end}, {'0/0', function() return 0 / 0 end},
  {'{}', function() return {} end}, {'{{}}', function() return {{}} end},
  {"{'x', 1, {}}", function() return {'x', 1, {}} end}, {'looped', looped},
  {'{2^31, 2^31}', function() return {2 ^ 31, 2 ^ 31} end},
  {'{1,1,1,1,1,1,1,1,1}', function() return {1, 1, 1, 1, 1, 1, 1, 1, 1} end},
  {'function', function() return function() end end},
  {'error', function() return function() error('mine') end end},
  {'freed', freed}, {'over', over}, {'ones(3) + 1', function() return tk.ones(3) + 1 end},
  {'ids{0, 9}', function() return tk.ids{0, 9} end},
  {'zeros(0, 3)', function() return tk.zeros(0, 3) end},
  {'step', function() return tk.step(function() return tk.ones(1):sum() end) end},
  {'adam', function() return tk.optim.adam() end},
  {'thread', function() return coroutine.create(print) end},
  {'cdata', function() return 5LL end},
}

local triples = {head = {0, 0, 1}, relation = {0, 1, 0}, tail = {1, 2, 2}, nodes = 3, relations = 2}
local function new_graph() return tk.graph(triples) end
local function module() return tk.nn.Linear(3, 2) end
local Rows = tk.nn.class('Rows', tk.nn.Ranker)
function Rows:node_embeddings() return self.users.weight, self.items.weight end
local function ranker()
  return setmetatable({users = tk.nn.Embedding(3, 2), items = tk.nn.Embedding(4, 2)}, Rows)
end
local function names()
  return require('tinykg.data.names').new(3)
end

-- A small data set in a folder of its own, where whatever is written goes, too.
local home = os.getenv('TINYKG_HOME') or '.'
local folder = os.tmpname()
os.remove(folder)
assert(os.execute(("'%s/tinykg' data demo '%s' --users 20 --items 20 >/dev/null")
  :format(home, folder)) == 0)
local reference = assert(io.open(home .. '/lua/REFERENCE.md')):read('*a')
if LAST then LAST = assert(io.open(LAST, 'w')) end
assert(require('lfs').chdir(folder))
local data_set = tk.data.load('.')

--- What stands before the dot or the colon of a heading, as values.
local OWNERS = {
  ['t:'] = function() return tk.tensor{{1, 2, 3}, {4, 5, 6}} end, ['graph:'] = new_graph,
  ['diffusion:'] = function() return tk.nn.Diffusion(3) end,
  ['embedding:'] = function() return tk.nn.Embedding(4, 3) end,
  ['attention:'] = function() return tk.attention.new(new_graph()) end,
  ['step:'] = function() return tk.step(function(x) return (x or tk.ones(1)):sum() end) end,
  ['optimizer:'] = function() return tk.optim.adam() end, ['module:'] = module,
  ['model:'] = ranker, ['field:'] = function() return new_graph():receptive_field(2) end,
  ['sets:'] = function() return tk.graph(data_set):ripples(data_set:known(), 2, 3) end,
  ['recipe:'] = function() return tk.recipe{name = 'x', build = module} end,
  ['data:'] = function() return data_set end, ['data.names.users:'] = names,
  ['tk.'] = function() return tk end,
}

--- Right values, by the types that comments name.
local RIGHT = {
  Tensor = function() return tk.tensor{{1, 2, 3}, {4, 5, 6}} end, integer = function() return 2 end,
  number = function() return 0.25 end, string = function() return 'sum' end,
  boolean = function() return true end, table = function() return {} end, Graph = new_graph,
  Module = module, any = function() return 1 end, ['tinykg.Data'] = function() return data_set end,
  ['tinykg.Csr'] = function() return data_set:known() end,
  ['{n: integer, rows'] = function() return data_set:known() end,
  ['{n: integer, users'] = function() return data_set.train end,
  ['{rows: integer'] = function() return data_set:known() end,
}

local function right(type_name)
  for name, make in pairs(RIGHT) do
    if (type_name or 'any'):find('^' .. name:gsub('%.', '%%.') .. '%f[^%w]') then return make end
  end
  if (type_name or ''):find('^fun') then
    return function() return function() return tk.ones(2) end end
  end
  return RIGHT.table
end

-- ---- functions ----

--- {heading, owner's maker, function's name, docs} of the reference, in its order.
local function public()
  local list, section = {}, ''
  for line in reference:gmatch('[^\n]*') do
    section = line:match('^### (.*)') or section
    local path = line:match('^#### (.-)%(')
    if line:find("^#### require%(") then path = nil end -- runs: the command line's, by its specs
    if path and section:find(PATTERN) then
      local owner, name = path:match('^(.*[.:])([%w_]+)$')
      local make, inner = OWNERS[owner], owner:match('^tk%.([%w_]+)%.$')
      if inner then make = function() return tk[inner] end end
      assert(make, 'no value to call ' .. path .. ' of')
      list[#list + 1] = {path = path, make = make, name = name, method = owner:find(':$') ~= nil}
    end
  end
  return list
end

--- What is done without a function's name, to a tensor, a step, an optimizer, a module.
local UNNAMED = {
  ['a + x'] = function(x) return tk.ones(2, 3) + x end,
  ['x - a'] = function(x) return x - tk.ones(2, 3) end,
  ['a * x'] = function(x) return tk.ones(2, 3) * x end,
  ['x / a'] = function(x) return x / tk.ones(2, 3) end,
  ['a[x]'] = function(x) return tk.ones(2, 3)[x] end,
  ['step(x)'] = function(x) return tk.step(function(y) return (y * 1):sum() end)(x) end,
  ['step returns x'] = function(x) return tk.step(function() return x end)() end,
  ['step.c = nil'] = function(x)
    local step = tk.step(function() return tk.ones(1):sum() end)
    step.c = nil
    return step(x)
  end,
  ['optimizer.c = nil'] = function()
    local o = tk.optim.adam()
    rawset(o, 'c', nil)
    return o.lr
  end,
  ['a step of that optimizer'] = function()
    local o, w = tk.optim.adam(), tk.parameter(tk.ones(2))
    rawset(o, 'c', nil)
    return tk.step(function() return w:sum() end, {optimizer = o})()
  end,
  ['optimizer.lr = x'] = function(x) tk.optim.adam().lr = x end,
  ['optimizer:state(x)'] = function(x) return tk.optim.adam():state(x) end,
  ['graph.edges = x'] = function(x)
    local g = new_graph()
    g.edges = x
    return g:triples()
  end,
  ['graph.nodes = x'] = function(x)
    local g = new_graph()
    g.nodes = x
    return g:aggregate(tk.ones(3, 2), {reduce = 'mean'}):totable()
  end,
  ['graph.relations = x'] = function(x)
    local g = new_graph()
    g.relations = x
    return g:normalized('relation')
  end,
  ['linear(x)'] = function(x) return module()(x) end,
  ['embedding(x)'] = function(x) return tk.nn.Embedding(3, 2)(x) end,
  ['forward returns x'] = function(x)
    return tk.custom{name = 'f', forward = function() return x end, backward = print}(tk.ones(2))
  end,
  ['backward returns x'] = function(x)
    local op = tk.custom{name = 'f', forward = function(_, y) return y * 2 end,
                         backward = function() return x end}
    return op(tk.parameter(tk.ones(2))):sum():backward()
  end,
}

-- Files are written by name, and the device and threads of what follows are not to change.
local LEFT_OUT = {['tk.device'] = true, ['tk.threads'] = true}

-- ---- calling ----

if LAST then LAST:setvbuf('no') end
local calls, wrong = 0, 0

local function note(text)
  if not LAST then return end
  LAST:seek('set')
  LAST:write((text .. (' '):rep(200)):sub(1, 200), '\n')
end

local function report(text, message)
  wrong = wrong + 1
  print(('WRONG %s: %s'):format(text, message))
end

--- Lua's own words, at a place inside the library.
local function is_raw(message)
  if type(message) ~= 'string' then return false end
  if message:find('cannot convert', 1, true) then return true end
  if not message:gsub('%S*tests/faults/', ''):find('tinykg/[%w_/]+%.lua:%d') then return false end
  return message:find('attempt to ', 1, true) or message:find('bad argument', 1, true)
    or message:find('overflow', 1, true)
end

local function is_callable(x)
  local meta = type(x) == 'table' and getmetatable(x)
  return type(x) == 'function' or type(meta) == 'table' and meta.__call ~= nil
end

--- A step, an op, an iterator that came of a call.
local function call_result(text, result)
  for _, v in ipairs(VALUES) do
    note(('%s(%s)'):format(text, v[1]))
    local ok, message = pcall(result, v[2]())
    if not ok and is_raw(message) then report(('%s(%s)'):format(text, v[1]), message) end
  end
end

local function call(f, owner, chosen)
  local values, words, n = {f.method and owner or nil}, {}, f.method and 1 or 0
  for i, v in ipairs(chosen) do values[n + i], words[i] = v[2](), v[1] end
  local text = ('%s(%s)'):format(f.path, table.concat(words, ', '))
  note(text)
  calls = calls + 1
  local ok, result = pcall(owner[f.name], unpack(values, 1, n + #chosen))
  if not ok and is_raw(result) then report(text, result) end
  -- What came of it can be looked at, or not; a graph of many values is not computed here.
  if ok and tk.is_tensor(result) then
    local looked, message = pcall(tostring, result)
    if not looked and is_raw(message) then report(text .. ' printed', message) end
  end
  if ok and is_callable(result) then call_result(text, result) end
end

--- A few steps of training whose outcome is known: whatever was called, it is the same.
local function known()
  tk.seed(1)
  local w = tk.parameter(tk.tensor{{1, 2}, {3, 4}, {5, 6}})
  local step = tk.step(function(ids)
    local x = w:gather(ids)
    return (tk.dot(x, x) - 1):square():mean()
  end, {optimizer = tk.optim.sgd{lr = 0.001}})
  local loss
  for _ = 1, 3 do loss = step(tk.ids{0, 1, 2}) end
  w:free()
  return loss
end

--- The same by hand.
local function expected()
  local w, loss = {{1, 2}, {3, 4}, {5, 6}}, nil
  for _ = 1, 3 do
    loss = 0
    for _, r in ipairs(w) do
      local e = r[1] * r[1] + r[2] * r[2] - 1
      loss = loss + e * e / 3
      for c = 1, 2 do r[c + 2] = r[c] - 0.001 * 4 * e * r[c] / 3 end
    end
    for _, r in ipairs(w) do r[1], r[2], r[3], r[4] = r[3], r[4], nil, nil end
  end
  return loss
end

local function check_known(text)
  collectgarbage()
  note(text .. ', and then a known computation')
  local ok, loss = pcall(known)
  if not ok or math.abs(loss / expected() - 1) > 1e-5 then
    report(text .. ' and before', 'a known computation gives ' .. tostring(loss))
  end
end

local function attack(f, generator)
  local owner = f.make()
  local doc = docs.of(owner[f.name])
  local makers = {}
  for i, p in ipairs(doc.params) do makers[i] = {p.name, right(p.type)} end
  if #makers == 0 then makers[1] = {'1', right 'any'} end
  call(f, f.make(), {})
  call(f, f.make(), makers)
  for place = 1, #makers do
    for _, v in ipairs(VALUES) do
      local chosen = {unpack(makers)}
      chosen[place] = v
      call(f, f.make(), chosen)
    end
  end
  for _ = 1, CALLS do
    local chosen = {}
    for i = 1, generator:below(#makers + 2) do
      chosen[i] = generator:below(4) == 0 and makers[i] or VALUES[generator:below(#VALUES) + 1]
    end
    call(f, f.make(), chosen)
  end
  for _, v in ipairs(f.method and VALUES or {}) do -- without an owner: t.sum()
    local before = owner[f.name]
    note(f.path .. ' of ' .. v[1])
    local ok, message = pcall(before, v[2]())
    if not ok and is_raw(message) then report(f.path .. ' of ' .. v[1], message) end
  end
  check_known(f.path)
end

local generator = random.new(SEED, 1)
for _, f in ipairs(public()) do
  if not LEFT_OUT[f.path] then attack(f, generator) end
end
for name, fn in pairs(PATTERN == '' and UNNAMED or {}) do
  for _, v in ipairs(VALUES) do call({path = name, name = 1}, {fn}, {v}) end
  check_known(name)
end
os.execute(("rm -rf '%s'"):format(folder))
print(('%d calls, %d wrong'):format(calls, wrong))
os.exit(wrong == 0 and 0 or 1, true)
