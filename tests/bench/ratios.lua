--- make bench: how fast steps, ops and parts are, as ratios within this run: of PyTorch's, of our
--- own at 32 bits, of copying, of multiply-adds. Lower is better.
--   tinykg tests/bench/ratios.lua [--quick] [--only WORD] [--best] [--out FILE]
-- Prints them, and writes FILE (build/bench.json). Cases that are compared take turns, and of each
-- the best time counts. Data: $TINYKG_DATA (../shared/data) where it has the published sets, else
-- generated ones; --quick has generated ones of tiny sizes. PyTorch: pytorch_venv.sh; PYTHON=none
-- leaves it out. --best keeps what FILE has where that is lower: a busy machine slows one side of a
-- ratio and not the other.
local ffi = require 'ffi'
local lfs = require 'lfs'
local tk = require 'tinykg'
local C = require 'tinykg.engine.lib'
local atomic_file = require 'tinykg.base.atomic_file'
local clock = require 'tinykg.base.clock'
local format = require 'tinykg.base.format'
local inputs = require 'tinykg.bench.inputs'
local json = require 'tinykg.base.json'
local read_file = require 'tinykg.base.read_file'
local runtime = require 'tinykg.engine.runtime'
local step_timer = require 'tinykg.bench.step_timer'
local system_info = require 'tinykg.bench.system_info'
local tables = require 'tinykg.base.tables'
local home = os.getenv 'TINYKG_HOME' or '.'
package.path = home .. '/?.lua;' .. package.path
local pytorch = require 'tests.bench.pytorch'
local sets = require 'tests.bench.sets'

local SECONDS, LEAST, MOST = 10, 3, 30 -- of a comparison; its turns
local TURN = 0.3 -- seconds that a turn takes at least

-- ---- results ----

local records = {}

--- Notes a ratio. ---@param name string ---@param of string what it is compared with
---@param more table? what else is written; `choice`: which of several ways was the fastest
local function note(name, of, value, more)
  local record = {name = name, of = of, ratio = value}
  for key, x in pairs(more or {}) do record[key] = x end
  records[#records + 1] = record
  local how = record.choice and (' (%s)'):format(record.choice) or ''
  print(format.line(('%-46s %8.3f of %s%s'):format(name, value, of, how)))
end

local function threads_text(n) return format.count(n, 'thread') end

-- ---- turns ----

--- Runs cases in turns. Each has some(count), which returns the milliseconds of so many steps, and
--- gets `best`, its least.
local function take_turns(cases, seconds)
  for _, case in ipairs(cases) do
    case.some(1)
    local once = case.some(1)[1]
    case.count = math.max(1, math.min(100, math.floor(1000 * TURN / once)))
    case.best = math.huge
  end
  local started, turn = clock.now(), 0
  repeat
    turn = turn + 1
    for _, case in ipairs(cases) do
      case.best = math.min(case.best, unpack(case.some(case.count)))
    end
  until turn >= LEAST and clock.now() - started > seconds or turn >= MOST
end

--- The milliseconds of `count` calls.
local function timed(count, run)
  local list = {}
  for k = 1, count do
    local from = clock.now()
    run()
    list[k] = 1000 * (clock.now() - from)
  end
  return list
end

-- ---- steps ----

--- Models, the sets that they are timed on, their steps: {our phase's number, PyTorch's name, what
--- is added to the model's}; `choices`: values of an option, of which the fastest counts.
local MODELS = {
  {recipe = 'kgat', set = 'last-fm',
   steps = {{1, 'cf', ' CF', choices = {option = 'recompute', 'true', 'false'}}, {2, 'kg', ' KG'},
            {'refresh', 'refresh', ' attention'}}},
  {recipe = 'kgin', set = 'last-fm', steps = {{1, 'step', ''}}},
  {recipe = 'lightgcn', set = 'last-fm', steps = {{1, 'step', ''}}},
  {recipe = 'bpr-mf', script = 'bpr_mf', set = 'last-fm', steps = {{1, 'step', ''}}, ranks = true},
  {recipe = 'kgcn', set = 'music', options = {preset = 'music'}, steps = {{1, 'step', ''}},
   arguments = '--preset music --l2-form decay'},
  {recipe = 'kgcn', set = 'music', options = {preset = 'book', hops = '3'}, label = ', 3 hops',
   steps = {{1, 'step', ''}}, arguments = '--preset book --hops 3 --l2-form decay'},
  {recipe = 'ripplenet', set = 'music', steps = {{1, 'step', ''}}},
}

--- A case of our own step of a model, with more options.
local function own_case(model, step, data, bits, more)
  local run = step_timer.trainer(('%s/recipes/%s.lua'):format(home, model.recipe),
                                 tables.merged(model.options or {}, more), data, bits)
  if step[1] == 'refresh' then
    return {name = run.name, some = function(count)
      return timed(count, function() tk.no_grad(run.model.begin_epoch, run.model, 2) end)
    end}
  end
  local phase = run.phases[step[1]]
  local next_batch = step_timer.batches_of(phase, run.o)
  return {name = run.name, some = function(count)
    local list = {}
    for k = 1, count do
      local batch = next_batch()
      list[k] = timed(1, function() phase.step(batch) end)[1]
    end
    return list
  end}
end

--- Adds the cases of a step at a width to `cases`, one per choice; returns them.
local function add_choices(cases, model, step, data, bits)
  local own, choices = {}, step.choices
  for k = 1, choices and #choices or 1 do
    local more = choices and {[choices.option] = choices[k]} or {}
    own[k] = own_case(model, step, data, bits, more)
    own[k].choice = choices and ('%s=%s'):format(choices.option, choices[k])
    cases[#cases + 1] = own[k]
  end
  return own
end

local function fastest(cases)
  local best = cases[1]
  for _, case in ipairs(cases) do best = case.best < best.best and case or best end
  return best
end

--- Times one kind of step: at 32 bits and 2, each at its best choice, and PyTorch's if it runs.
local function compare_step(model, step, data, theirs, threads, where, seconds)
  local cases = {}
  local exact = add_choices(cases, model, step, data, 32)
  local few = step[1] ~= 'refresh' and add_choices(cases, model, step, data, 2) or nil
  local other = theirs and theirs.kinds[step[2]] and
    {some = function(count) return theirs:times(step[2], count) end} or nil
  cases[#cases + 1] = other
  take_turns(cases, seconds)
  exact, few = fastest(exact), few and fastest(few)
  local name = ('%s%s%s, %s, %s'):format(exact.name, model.label or '', step[3], where,
                                         threads_text(threads))
  local function compare(bits, case, of, with)
    note(('%s, %d bits'):format(name, bits), of, case.best / with.best,
         {ours_ms = case.best, other_ms = with.best, choice = case.choice})
  end
  if other then compare(32, exact, 'PyTorch', other) end
  if other and few then compare(2, few, 'PyTorch', other) end
  if few then compare(2, few, 'own 32 bits', exact) end
end

--- A model that ranks as recipes do: by the products of its rows.
local TwoTables = tk.nn.class('two tables', tk.nn.Ranker)

--- The first users with a test item, as PyTorch's program ranks them.
local function some_users(data, most)
  local users, items, n, seen, last = {}, {}, 0, 0, nil
  for i = 0, data.test.n - 1 do
    local user = data.test.users[i]
    if user ~= last then last, seen = user, seen + 1 end
    if seen > most then break end
    n = n + 1
    users[n], items[n] = user, data.test.items[i]
  end
  local view = setmetatable(tables.merged(data), getmetatable(data))
  view.test = {n = n, users = ffi.new('int32_t[?]', n, users),
               items = ffi.new('int32_t[?]', n, items)}
  return view
end

local function compare_ranking(data, theirs, threads, where, seconds)
  local users, items = tk.randn(data.users, 64):keep(), tk.randn(data.items, 64):keep()
  local model = setmetatable({node_embeddings = function() return users, items end}, TwoTables)
  local part = some_users(data, 2048)
  local own = {some = function(count)
    return timed(count, function() tk.metrics.ranking(model, part, {k = {20}}) end)
  end}
  local other = {some = function(count) return theirs:times('rank', count) end}
  take_turns({own, other}, seconds)
  note(('full ranking, %s, %s'):format(where, threads_text(threads)), 'PyTorch',
       own.best / other.best, {ours_ms = own.best, other_ms = other.best})
end

local function start_theirs(model, o, dir)
  if not o.python then return nil end
  local script = model.script or model.recipe
  if not lfs.attributes(('%s/tests/bench/pytorch_%s.py'):format(home, script), 'mode') then
    return nil
  end
  local theirs, why = pytorch.start(o.python, script,
    ("%s --data '%s'"):format(model.arguments or '', dir), o.folder)
  if not theirs then print(format.line('PyTorch: ' .. script .. ': ' .. tostring(why))) end
  return theirs
end

local function compare_model(model, o)
  local dir, where = sets.find(model.set, o.folder, o.quick and sets.SMALL)
  local data = tk.data.load(dir, {seed = 0})
  local theirs = start_theirs(model, o, dir)
  for threads = 1, o.threads do
    tk.threads(threads)
    if theirs then theirs:threads(threads) end
    for _, step in ipairs(model.steps) do
      compare_step(model, step, data, theirs, threads, where, o.seconds)
      runtime.collect(true)
    end
    if model.ranks and theirs then
      compare_ranking(data, theirs, threads, where, o.seconds)
    end
  end
  if theirs then theirs:stop() end
  runtime.collect(true)
end

-- ---- ops beside the machine ----

--- Products of the layers, as shares of the time that as many multiply-adds take.
local function compare_products(o)
  local n = o.quick and 4000 or 129955
  local x, g, w = tk.randn(n, 64):keep(), tk.randn(n, 64):keep(), tk.randn(64, 64):keep()
  local function product(name, fn)
    return {name = name, some = function(count)
      return timed(count, function()
        tk.no_grad(function() return fn():narrow(1, 1, 1) end)
      end)
    end}
  end
  local copy, flops = ffi.new('double[1]'), ffi.new('double[1]')
  local cases = {
    product(('[%d, 64] x [64, 64]'):format(n), function() return x:matmul(w) end),
    product(('[64, %d] x [%d, 64]'):format(n, n), function()
      return x:matmul(g, {transpose_a = true})
    end)}
  take_turns(cases, o.seconds / 4)
  runtime.check(C.tkg_peaks(runtime.engine, copy, flops))
  for _, case in ipairs(cases) do
    local least = 1e3 * 2 * n * 64 * 64 / flops[0]
    note(('%s, %s'):format(case.name, threads_text(tk.threads())), 'multiply-add peak',
         case.best / least, {ours_ms = case.best, other_ms = least})
  end
end

--- The name and the ratio of a record of `tinykg bench`; nil for one that is compared with itself.
local OF = {
  ops = function(r)
    if r.op ~= 'copy' then return r.op, 'a copy of the matrix', r.x_copy end
  end,
  codec = function(r)
    return ('encode to %d bits, %s'):format(r.bits, r.rounding), 'a copy of the matrix',
      r.encode_x_copy
  end,
  load = function(r) return r.what, 'reading the bytes', r.x_read end,
  eval = function(r)
    if r.x_scores ~= 1 then return r.what, 'the scores alone', r.x_scores end
  end,
}

--- The parts of `tinykg bench`, on generated data, with one thread.
local function compare_parts(o)
  local collect = {heading = function() end, doing = function() end}
  function collect.table(_, part, _, list)
    for _, record in ipairs(list) do
      local name, of, ratio = OF[part](record)
      if name then note(part .. ': ' .. name, of, ratio) end
    end
  end
  tk.threads(1)
  for _, part in ipairs{'ops', 'codec', 'load', 'eval'} do
    require('tinykg.bench.' .. part)(
      {folder = o.folder, quick = o.quick, seconds = o.seconds / 2}, collect)
    runtime.collect(true)
  end
end

-- ---- all of it ----

local function machine()
  local m = system_info.describe()
  local cpu = io.open('/proc/cpuinfo')
  m.cpu = cpu and cpu:read('*a'):match('model name%s*:%s*([^\n]+)') or 'unknown'
  if cpu then cpu:close() end
  return {cpu = m.cpu, vector_code = m.vector_code, version = m.version, device = m.device,
          commit = system_info.first_line(("git -C '%s' rev-parse --short HEAD"):format(home))}
end

local function wanted(o, text) return not o.only or text:find(o.only, 1, true) end

local function run(o)
  local why
  o.python, why = pytorch.python()
  if not o.python then print(format.line('no comparison with PyTorch: ' .. why)) end
  for _, model in ipairs(MODELS) do
    if wanted(o, model.recipe) then compare_model(model, o) end
  end
  for threads = 1, wanted(o, 'products') and o.threads or 0 do
    tk.threads(threads)
    compare_products(o)
  end
  if wanted(o, 'parts') then compare_parts(o) end
end

--- Takes the lower of two ratios of one name, and what only FILE has.
local function keep_best(path)
  local text = read_file(path)
  local was, mine = text and assert(json.decode(text, path)).ratios or {}, {}
  for k, r in ipairs(records) do mine[r.name .. r.of] = k end
  for _, r in ipairs(was) do
    local k = mine[r.name .. r.of] or #records + 1
    if not records[k] or r.ratio < records[k].ratio then records[k] = r end
  end
end

local function options(words)
  local o, k = {out = 'build/bench.json'}, 1
  while words[k] do
    local name = words[k]:match('^%-%-(%l+)$')
    if name == 'quick' or name == 'best' then o[name], k = true, k + 1
    elseif (name == 'only' or name == 'out') and words[k + 1] then
      o[name], k = words[k + 1], k + 2
    else
      io.stderr:write('usage: tinykg tests/bench/ratios.lua [--quick] [--only WORD] ' ..
                      '[--best] [--out FILE]\n')
      os.exit(2)
    end
  end
  return o
end

local o = options(arg)
tk.threads(0)
o.threads, o.seconds = math.min(2, tk.threads()), o.quick and 0.2 or SECONDS
C.tkg_interrupt_watch(1)
inputs.with_folder(function(folder)
  o.folder = folder
  run(o)
end)
if o.best then keep_best(o.out) end
assert(atomic_file.write(o.out, json.encode({machine = machine(), quick = o.quick or false,
                                           ratios = records}, {indent = 2}) .. '\n'))
print(o.out)
