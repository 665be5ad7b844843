-- Training: alternating phases, a model's begin_epoch and prepare, learning rates, early stopping,
-- the log.
local tk = require 'tinykg'
local evaluate = require 'tinykg.train.evaluate'
local schedule = require 'tinykg.train.schedule'
local train = require 'tinykg.train'
local fixtures = require 'tests.support.fixtures'
local runs = require 'tests.support.runs'
local shell = require 'tests.support.shell'
local tensors = require 'tests.support.tensors'

local Model = tk.nn.class('Test')

function Model:score(users, items) return tk.dot(self.users(users), self.items(items)) end
function Model:loss(batch)
  self.calls[#self.calls + 1] = 'loss'
  local u, i = self.users(batch.users), self.items(batch.items)
  return tk.loss.interactions(u, i, self.items(batch.negatives:reshape(-1)))
end

local function build(data)
  return setmetatable({calls = {}, users = tk.nn.Embedding(data.users, 4),
                       items = tk.nn.Embedding(data.items, 4)}, Model)
end

--- Trains a recipe whose build is `make`; options and settings on top of the defaults.
local function trained(data, make, options, settings, fields)
  local r = {name = 'Test', build = make}
  for key, value in pairs(fields or {}) do r[key] = value end
  local recipe = tk.recipe(r)
  local o = recipe:complete(options or {epochs = 2, batch_size = 16})
  settings = settings or {}
  settings.quiet = true
  return train.run(recipe, data, o, settings)
end

describe('training', function()
  local dir, data
  setup(function()
    local rows = {'user,item'}
    for u = 1, 12 do
      for i = 0, 7 do rows[#rows + 1] = ('reader %d,book %d'):format(u, (u * 5 + i) % 17) end
    end
    dir = fixtures.dir{['interactions.csv'] = rows,
                       ['kg.csv'] = {'head,relation,tail', 'book 1,by,Woolf', 'book 2,by,Woolf'}}
    data = tk.data.load(dir)
  end)
  teardown(fixtures.clean)
  before_each(function() tk.seed(1) end)

  --- A model with the given fields and functions besides.
  local function with(extra)
    return function(d)
      local m = build(d)
      for key, value in pairs(extra) do m[key] = value end
      return m
    end
  end

  local function two_phases(self)
    return {
      {name = 'cf', loss = self.loss},
      {name = 'shrink', steps = 3, loss = function(m)
        m.calls[#m.calls + 1] = 'shrink'
        return tk.loss.l2(m.users.weight)
      end},
    }
  end

  it('alternates phases in their order, each with its steps', function()
    local records = {}
    local result = trained(data, with{phases = two_phases}, {epochs = 2, batch_size = 16}, {
      on_epoch = function(record) records[#records + 1] = record end})
    local batches = math.ceil(data.train.n / 16)
    local want = {}
    for _ = 1, 2 do
      for _ = 1, batches do want[#want + 1] = 'loss' end
      for _ = 1, 3 do want[#want + 1] = 'shrink' end
    end
    assert.same(want, result.model.calls)
    assert.equal(records[1].loss, records[1].losses.cf)
    assert.is_true(records[2].losses.shrink < records[1].losses.shrink)
    assert.equal(2 * (batches + 3), records[2].step)
    assert.equal(2, #result.phases)
    assert.is_number(result.time.phases.shrink)
    assert.equal(result.time.phases.cf, result.time.step_ms)
    local kept = result.kept.phases
    assert.is_true(kept.cf.stored_bytes > kept.shrink.stored_bytes)
    assert.equal(kept.cf.stored_bytes, result.kept.stored_bytes)
    assert.equal(kept.cf.reference_bytes, result.kept.reference_bytes)
  end)

  it('runs a phase in every third epoch only, with a learning rate of its own', function()
    local function phases(self)
      local list = two_phases(self)
      list[2].every, list[2].lr = 3, 0.25
      return list
    end
    local records = {}
    local result = trained(data, with{phases = phases}, {epochs = 5, batch_size = 1000}, {
      on_epoch = function(record) records[#records + 1] = record end})
    local calls, last = {}, nil
    for _, call in ipairs(result.model.calls) do
      if call ~= last or call == 'loss' then calls[#calls + 1] = call end
      last = call
    end
    assert.same({'loss', 'shrink', 'loss', 'loss', 'loss', 'shrink', 'loss'}, calls)
    for epoch, record in ipairs(records) do
      assert.equal(epoch % 3 == 1, record.losses.shrink ~= nil)
      assert.is_number(record.losses.cf)
    end
    assert.equal(5 + 2 * 3, records[5].step)
    assert.equal(0.25, result.phases[2].optimizer.lr)
    assert.not_equal(0.25, result.phases[1].optimizer.lr)
  end)

  --- What the model's phases called, one letter per step.
  local function order_of(result)
    return table.concat(result.model.calls):gsub('loss', 'l'):gsub('shrink', 's')
  end

  it('alternates phases by turns until each is through', function()
    local function phases(self)
      local list = two_phases(self)
      list[1].turn, list[2].turn, list[2].steps = 2, 1, 5
      return list
    end
    local records, size = {}, math.ceil(data.train.n / 6)
    assert.equal(6, math.ceil(data.train.n / size))
    local result = trained(data, with{phases = phases}, {epochs = 2, batch_size = size}, {
      on_epoch = function(record) records[#records + 1] = record end})
    assert.equal('llsllsllsss' .. 'llsllsllsss', (order_of(result)))
    assert.equal(22, records[2].step)
    assert.is_true(records[1].losses.shrink > records[2].losses.shrink)
    result = trained(data, with{phases = phases}, {epochs = 1, batch_size = size}, {steps = 3})
    assert.equal('llslss', (order_of(result)))
  end)

  it('gives each interaction once per epoch, in turns or not', function()
    local seen = {}
    for _, turn in ipairs{1, 3, 1e6} do
      local list = {}
      trained(data, with{phases = function()
        return {{name = 'cf', turn = turn, loss = function(m, b)
          list[#list + 1] = b.users:clone()
          return m:loss(b)
        end}, {name = 'other', turn = 1, steps = 4, optimizer = 'cf', loss = function(m)
          return tk.loss.l2(m.users.weight)
        end}}
      end}, {epochs = 1, batch_size = 16})
      local users = {}
      for _, t in ipairs(list) do
        for _, u in ipairs(t:totable()) do users[#users + 1] = u end
      end
      table.sort(users)
      seen[#seen + 1] = users
    end
    assert.equal(data.train.n, #seen[1])
    assert.same(seen[1], seen[2])
    assert.same(seen[1], seen[3])
  end)

  it('walks through ids once per epoch, after what the phase begins with', function()
    local begun, sizes, visits = {}, {}, nil
    trained(data, function(d)
      local m = build(d)
      m.visits = tk.parameter(tk.zeros(10, 1))
      function m.phases()
        return {{name = 'cf', loss = m.loss}, {
          name = 'ids', rows = 10, optimizer = tk.optim.sgd{lr = 1},
          begin = function(self, epoch) begun[#begun + 1] = {self == m, epoch} end,
          loss = function(self, batch)
            sizes[batch.n] = true
            return self.visits:gather(batch.ids):sum()
          end}}
      end
      return m
    end, {epochs = 3, batch_size = 4, drop_last = true, draw = 'users'},
    {on_epoch = function(_, _, run) visits = run.model.visits:totable() end})
    assert.same({{true, 1}, {true, 2}, {true, 3}}, begun)
    assert.same({[4] = true, [2] = true}, sizes)
    for _, count in ipairs(tensors.flat(visits)) do assert.equal(-3, count) end
  end)

  it('shares the optimizer of an earlier phase by its name', function()
    local result = trained(data, with{phases = function(self)
      local list = two_phases(self)
      list[2].optimizer = 'cf'
      return list
    end})
    assert.equal(result.phases[1].optimizer, result.phases[2].optimizer)
    assert.equal(2 * (math.ceil(data.train.n / 16) + 3), result.phases[1].optimizer.t)
  end)

  it('limits every phase to --steps', function()
    local result = trained(data, with{phases = two_phases}, {epochs = 1, batch_size = 4},
                           {steps = 2})
    assert.same({'loss', 'loss', 'shrink', 'shrink'}, result.model.calls)
  end)

  it('has one phase by default, and then no losses by name', function()
    local record
    local result = trained(data, build, nil, {on_epoch = function(r) record = r end})
    assert.is_nil(record.losses)
    assert.is_nil(result.time.phases)
    assert.is_nil(result.kept.phases)
    assert.equal(1, #result.phases)
  end)

  it('gives phases optimizers of their own, or those they name', function()
    local shared = tk.optim.sgd{lr = 0}
    local function phases(self)
      local list = two_phases(self)
      list[2].optimizer = shared
      return list
    end
    local result = trained(data, with{phases = phases})
    assert.equal(6, shared.t)
    assert.equal(2 * math.ceil(data.train.n / 16), result.phases[1].optimizer.t)
    result = trained(data, with{phases = two_phases})
    assert.is_true(result.phases[1].optimizer ~= result.phases[2].optimizer)
  end)

  it('samples the batches of a phase in its step', function()
    local graph, drawn = tk.graph(data, {of = 'both'}), {}
    trained(data, with{phases = function()
      return {{name = 'kg', steps = 4, sample = function() return graph:sample_triples(3) end,
               loss = function(m, b)
                 drawn[#drawn + 1] = b.heads:keep()
                 return tk.loss.l2(m.items.weight)
               end}}
    end}, {epochs = 1})
    assert.equal(4, #drawn)
    assert.same({3}, drawn[1]:size())
    local different = false
    for k = 2, 4 do
      for i = 1, 3 do
        different = different or drawn[k]:totable()[i] ~= drawn[1]:totable()[i]
      end
    end
    assert.is_true(different)
  end)

  local MISTAKES = {
    {function() return 3 end, 'phases must return a list'},
    {function() return {} end, 'phases must return a list'},
    {function() return {{name = 'a'}} end, 'phase 1: it needs a name and a loss'},
    {function(m) return {{name = 'a', loss = m.loss, stesp = 3}} end, 'phase 1: no field stesp'},
    {function(m) return {{name = 'a', loss = m.loss, steps = 0}} end, 'phase a: 0 steps'},
    {function(m) return {{name = 'a', loss = m.loss, rows = 0.5}} end, 'phase a: 0.5 rows'},
    {function(m) return {{name = 'a', loss = m.loss, rows = 2, steps = 2}} end, 'without steps'},
    {function(m) return {{name = 'a', loss = m.loss, steps = 'x'}} end, 'steps is a string'},
    {function(m) return {{name = 'a', loss = m.loss, sample = m.loss}} end, 'steps must say how'},
    {function(m) return {{name = 'a', loss = m.loss, every = 2}} end, 'every 2 epochs'},
    {function(m) return {{name = 'a', loss = m.loss, turn = 0}} end, 'a turn of 0 steps'},
    {function(m) return {{name = 'a', loss = m.loss, optimizer = 'b'}} end,
     "there is no phase 'b' before it"},
    {function(m) return {{name = 'a', loss = m.loss}, {name = 'b', loss = m.loss, every = 0.5}} end,
     'phase b: every 0.5 epochs'},
    {function(m)
      return {{name = 'a', loss = m.loss, lr = 1, optimizer = tk.optim.sgd{lr = 1}}}
    end, 'the lr of an optimizer of its own'},
    {function(m) return {{name = 'a', loss = m.loss, optimizer = {}}} end, 'optimizer is not one'},
    {function(m) return {{name = 'a', loss = m.loss}, {name = 'a', loss = m.loss}} end,
     'there are two phases a'},
  }

  it('says what is wrong with a phase', function()
    for _, case in ipairs(MISTAKES) do
      local message = fixtures.message(trained, data, with{phases = case[1]})
      assert(message:find(case[2], 1, true), message)
      assert.matches('%.lua:%d+: recipe Test: ', message)
    end
  end)

  it('names the phase whose loss is NaN', function()
    local function phases(self)
      local list = two_phases(self)
      list[2].loss = function(m) return m.users.weight:sum() / 0 end
      return list
    end
    assert.matches('Test: the shrink loss became %S+ at step 1 %(epoch 1%)',
                   fixtures.message(trained, data, with{phases = phases}))
  end)

  it('makes the optimizer that a recipe asks for', function()
    local function settings_of(fields, options)
      local recipe = tk.recipe{name = 'Test', build = build, l2 = fields.l2,
                               optimizer = fields.optimizer, options = fields.options}
      local given, adam = nil, tk.optim.adam
      tk.optim.adam = function(o)
        given = o
        return adam(o)
      end
      local ok, message = pcall(recipe.optimizer, recipe:complete(options or {}))
      tk.optim.adam = adam
      assert(ok, message)
      return given
    end
    local o = {lr = 0.5, l2 = 0.25}
    local function same(want, got)
      want.bits, want.lazy, want.rowwise, want.clip = 32, false, false, 0
      assert.same(want, got)
    end
    same({lr = 0.5, weight_decay = 0.25}, settings_of({}, o))
    same({lr = 0.5, eps_hat = 1e-8},
         settings_of({l2 = 'in loss', optimizer = {eps_hat = 1e-8}}, o))
    local biases = {{'l2_biases', false, 'whether l2 covers biases'}}
    same({lr = 0.5, weight_decay = 0.25, decay_rank = 2},
         settings_of({options = biases}, o))
    same({lr = 0.001, weight_decay = 0},
         settings_of({options = biases}, {l2_biases = true}))
    assert.matches("l2 is 'in the loss', expected 'in loss'",
                   fixtures.message(trained, data, build, nil, nil, {l2 = 'in the loss'}))
  end)

  it('has choices of options, and names of common ones alone', function()
    local r = tk.recipe{name = 'Test', build = build,
                        options = {{'lr', 0.5}, {'kind', 'a', 'of x', {'a', 'b'}}}}
    assert.equal(0.5, r:complete{}.lr)
    assert.matches('lr +0.5 +learning rate\n', r:help())
    assert.matches('kind +a +of x %(a, b%)\n', r:help())
    assert.matches('option kind: c is not a or b', fixtures.message(r.complete, r, {kind = 'c'}))
    assert.matches("option 1 is not {'name', default, 'help'}",
                   fixtures.message(tk.recipe, {name = 'Test', build = build,
                                                options = {{'no', 1}}}))
  end)

  it('tells the model when an epoch begins', function()
    local heard, values = {}, {}
    trained(data, with{begin_epoch = function(m, epoch)
      heard[#heard + 1] = epoch
      m.sum = m.users.weight:sum():keep()
      values[epoch] = m
    end}, {epochs = 3})
    assert.same({1, 2, 3}, heard)
    assert.is_number(values[3].sum:item())
  end)

  -- ---- learning rates ----

  local function rates(options)
    local seen = {}
    options.epochs, options.lr = 4, 0.5
    local optimizer
    trained(data, with{phases = two_phases}, options, {
      on_epoch = function() seen[#seen + 1] = optimizer.lr end},
      {optimizer = function(o)
        optimizer = tk.optim.adam{lr = o.lr}
        return optimizer
      end})
    return seen
  end

  local function near(want, got) tensors.near(want, got, 1e-12, 'rates') end

  it('follows a schedule of learning rates', function()
    near({0.5, 0.5, 0.5, 0.5}, rates{})
    near({0.5, 0.25, 0.125, 0.0625}, rates{schedule = 'exponential', decay = 0.5})
    local c = math.sqrt(0.5)
    near({0.5, 0.25 * (1 + c), 0.25, 0.25 * (1 - c)}, rates{schedule = 'cosine'})
    assert.equal(1, schedule.share({schedule = 'cosine', epochs = 1}, 1))
  end)

  --- The learning rate of each step of 4 epochs, and how many steps an epoch has. Nothing changes
  --- the parameters: the first validation is the best.
  local function rates_by_step(options)
    local optimizer, seen = nil, {}
    options.epochs, options.lr, options.batch_size, options.patience = 4, 0.5, 16, 0
    trained(data, with{loss = function(m)
      seen[#seen + 1] = optimizer.lr
      return m.users.weight:sum() * 0
    end}, options, {}, {optimizer = function(o)
      optimizer = tk.optim.sgd{lr = o.lr}
      return optimizer
    end})
    return seen, math.ceil(data.train.n / 16)
  end

  it('warms up, step by step, for parts of an epoch or several', function()
    for _, warmup in ipairs{0.5, 1, 2.5} do
      local seen, count = rates_by_step{warmup = warmup, schedule = 'exponential', decay = 0.5}
      assert.equal(4 * count, #seen)
      local want = {}
      for s = 1, 4 * count do
        local epoch = math.ceil(s / count)
        want[s] = 0.5 * 0.5 ^ (epoch - 1) * math.min(1, s / (warmup * count))
      end
      near(want, seen)
    end
  end)

  it('lowers the rate on a plateau: after so many validations without a best one', function()
    local seen, count = rates_by_step{schedule = 'plateau', decay = 0.1, plateau = 1}
    local by_epoch = {}
    for e = 1, 4 do by_epoch[e] = seen[e * count] end
    near({0.5, 0.5, 0.05, 0.005}, by_epoch)
    local at, drops = {}, {}
    for i, better in ipairs{true, false, false, true, false, false, false, false} do
      schedule.validated(at, {plateau = 2}, better)
      drops[i] = at.drops or 0
    end
    assert.same({0, 0, 1, 1, 1, 2, 2, 3}, drops)
    assert.near(0.25, schedule.share({schedule = 'plateau', decay = 0.5}, 9, 2), 0)
  end)

  it('takes AdamW, whose weight decay is its option, and clips gradients', function()
    --- Numbers of a user's row and of an item's after one step with the gradients 3 and 0.
    local function after(options, adam)
      tk.seed(3)
      options.epochs, options.batch_size, options.lr = 1, 16, 0.1
      local model = trained(data, with{loss = function(m)
        return m.users.weight:sum() * 3 + m.items.weight:sum() * 0
      end}, options, {steps = 1}, {optimizer = adam}).model
      return model.users.weight:totable()[1][1], model.items.weight:totable()[1][1]
    end
    local _, kept = after{optimizer = 'adamw', weight_decay = 0, l2 = 7}
    local _, smaller = after{optimizer = 'adamw', weight_decay = 0.5, l2 = 7}
    assert.near(kept * (1 - 0.1 * 0.5), smaller, 1e-7)
    local full, clipped = after({}, {eps = 1}), after({clip = 0.5}, {eps = 1})
    local g = 0.5 / math.sqrt(4 * data.users) -- of each element: 3 before
    assert.near(0.1 * 3 / 4 - 0.1 * g / (g + 1), clipped - full, 1e-6)
  end)

  -- Each step takes 0.1 off each number of the users' rows.
  it('evaluates and keeps the moving average of parameters', function()
    local began, validated = {}, {}
    local function first(m) return m.users.weight:totable()[1][1] end
    local result = trained(data, with{
      loss = function(m) return m.users.weight:sum() + m.items.weight:sum() * 0 end,
      begin_epoch = function(m, epoch) began[epoch] = first(m) end,
    }, {epochs = 2, batch_size = 4, ema = 0.8, metric = 'first'}, {}, {
      metrics = {first = function(m)
        validated[#validated + 1] = first(m)
        return #validated
      end}, optimizer = function() return tk.optim.sgd{lr = 0.1} end})
    local count, distance = math.ceil(data.train.n / 4), 0 -- of the average to the beginning
    for n = 1, 2 * count do
      local decay = math.min(0.8, (1 + n) / (10 + n))
      distance = decay * distance + (1 - decay) * 0.1 * n
      if n % count == 0 then assert.near(began[1] - distance, validated[n / count], 1e-4) end
    end
    assert.near(began[1] - 0.1 * count, began[2], 1e-4) -- training goes on from the parameters
    assert.equal(2, result.best_epoch)
    assert.equal(validated[2], validated[3]) -- the test is of the best
    assert.equal(validated[2], first(result.model))
    assert.matches('option ema: 1 is not in %[0, 1%)',
                   fixtures.message(trained, data, build, {ema = 1}))
    assert.matches('option ema: there are no averages of parameters of 16 bits',
                   fixtures.message(trained, data, build, {ema = 0.9, parameter_bits = 16}))
  end)

  it('refuses unknown schedules and impossible numbers', function()
    assert.matches('option warmup: %-1 is below 0',
                   fixtures.message(trained, data, build, {warmup = -1}))
    assert.matches('option clip: %-1 is below 0',
                   fixtures.message(trained, data, build, {clip = -1}))
    assert.matches('option schedule: linear is not constant, cosine, exponential or plateau',
                   fixtures.message(trained, data, build, {schedule = 'linear'}))
    assert.matches('option decay: 1.5 is not',
                   fixtures.message(trained, data, build, {decay = 1.5}))
    assert.matches('option l2: %-1 is below 0', fixtures.message(trained, data, build, {l2 = -1}))
    assert.matches('option warmup: %-?nan is not a finite number',
                   fixtures.message(trained, data, build, {warmup = 'nan'}))
    assert.matches('option eval_users: %-1 is not a whole number >= 0',
                   fixtures.message(trained, data, build, {eval_users = -1}))
  end)

  -- ---- evaluation ----

  --- A model that scores by what it prepared; counts how often it did.
  local function preparing()
    local count = {prepared = 0, seen = {}}
    return with{
      prepare = function(m)
        count.prepared = count.prepared + 1
        count.training = m.training
        return {users = m.users.weight * 2, items = m.items.weight}
      end,
      rank = function(_, users, prepared)
        count.seen[#count.seen + 1] = prepared
        return prepared.users:gather(users):matmul(prepared.items, {transpose_b = true})
      end,
      score = function(_, users, items, prepared)
        count.seen[#count.seen + 1] = prepared
        return tk.dot(prepared.users:gather(users), prepared.items:gather(items))
      end,
    }, count
  end

  it('prepares once per evaluation, ranks and scores by that, frees it', function()
    local make, count = preparing()
    local model = make(data):train()
    tk.metrics.ranking(model, data)
    for _ = 1, 3 do collectgarbage() end
    local before = tk.memory().live.data
    count.prepared, count.seen = 0, {}
    local ranked = tk.metrics.ranking(model, data)
    assert.equal(1, count.prepared)
    assert.is_false(count.training)
    assert.is_true(model.training)
    assert.is_true(tk.memory().live.data <= before)
    assert.equal(model.items.weight, count.seen[1].items)
    assert.is_number(model.items.weight:sum():item()) -- a parameter stays the model's
    model.rank = nil
    assert.same(ranked, tk.metrics.ranking(model, data))
    assert.has_error(function() return count.seen[1].users:totable() end)
  end)

  it('calls begin_evaluation before prepare, whatever prepares', function()
    local model, calls = build(data), {}
    function model:begin_evaluation()
      calls[#calls + 1] = 'begin'
      self.scale = tk.full(3, 1):keep()
    end
    function model:prepare()
      calls[#calls + 1] = 'prepare'
      return self.users.weight * self.scale
    end
    local prepared, release = evaluate.prepare(model)
    assert.same({'begin', 'prepare'}, calls)
    assert.near(3 * model.users.weight:totable()[1][1], prepared:totable()[1][1], 1e-6)
    release()
    model.prepare = nil
    evaluate.prepare(model)
    assert.same({'begin', 'prepare', 'begin'}, calls)
  end)

  it('takes one tensor as well, or nothing', function()
    local model = build(data)
    model.prepare = function(m) return m.users.weight + 1 end
    local prepared, release = evaluate.prepare(model)
    assert.same({data.users, 4}, prepared:size())
    release()
    model.prepare = function() end
    assert.is_nil((evaluate.prepare(model)))
  end)

  it('stops when nothing gets better, with the best parameters', function()
    local kept, best
    local result = trained(data, with{loss = function(m) return m.users.weight:sum() * 0 end},
      {epochs = 9, patience = 2}, {on_epoch = function(r, better)
        if better then best = r.epoch end
        kept = r.epoch
      end})
    assert.equal(1, best)
    assert.equal(3, kept)
    assert.equal(1, result.best_epoch)
  end)

  it('stops early by a metric of the recipe, which is in its results', function()
    local asked, values = {}, {1, 3, 2, 2, 9}
    local records = {}
    local result = trained(data, build, {epochs = 9, patience = 2, metric = 'spread'}, {
      on_epoch = function(r) records[#records + 1] = r.valid.spread end}, {metrics = {
        spread = function(m, d, part)
          assert.is_false(m.training)
          assert.equal(data, d)
          asked[#asked + 1] = part
          return values[#asked]
        end}})
    assert.same({1, 3, 2, 2}, records)
    assert.equal(2, result.best_epoch)
    assert.equal(9, result.test.spread)
    assert.same({'valid', 'valid', 'valid', 'valid', 'test'}, asked)
    assert.is_true(result.model.training)
  end)

  it('refuses metrics that are none', function()
    local function refusal(list, options)
      return fixtures.message(trained, data, build, options, nil, {metrics = list})
    end
    assert.matches("metrics: 'recall' is not a name of letters", refusal{recall = print})
    assert.matches("metrics: 'a b' is not a name", refusal{['a b'] = print})
    assert.matches('metrics: spread is a number, expected a function', refusal{spread = 1})
    assert.matches('metric spread: the recipe returns a nil',
                   refusal({spread = function() end}, {epochs = 1}))
    assert.matches('metric spread: the recipe returns NaN',
                   refusal({spread = function() return 0 / 0 end}, {epochs = 1}))
    assert.matches('not measured here; there are: .* spread',
                   refusal({spread = function() return 1 end}, {metric = 'width'}))
  end)

  it('tells the model of each epoch, and logs what it adds', function()
    local told, logged = {}, {}
    trained(data, with{on_epoch = function(m, record)
      told[#told + 1] = record.epoch
      record.norm = m.users.weight:square():sum():item()
      assert.is_number(record.valid['recall@20'])
    end}, {epochs = 3}, {on_epoch = function(record) logged[#logged + 1] = record.norm end})
    assert.same({1, 2, 3}, told)
    assert.equal(3, #logged)
    assert.is_true(logged[1] > 0 and logged[3] ~= logged[1])
  end)

  -- ---- what a user sees ----

  it('runs phases from the command line, logged', function()
    fixtures.write(dir .. '/two.lua', [[
local tk = require 'tinykg'
local M = tk.nn.class('M')
function M:loss(b)
  return tk.loss.interactions(self.u(b.users), self.i(b.items), self.i(b.negatives:reshape(-1)))
end
function M:shrink() return tk.loss.l2(self.u.weight) end
function M:score(u, i) return tk.dot(self.u(u), self.i(i)) end
function M:phases()
  return {{name = 'cf', loss = self.loss}, {name = 'shrink', loss = self.shrink, steps = 2}}
end
return tk.recipe{name = 'Two', build = function(d)
  return setmetatable({u = tk.nn.Embedding(d.users, 4), i = tk.nn.Embedding(d.items, 4)}, M)
end}
]])
    local text = shell.gives(0, ('./tinykg run %s/two.lua --data %s --set epochs=2 --seed 1 ' ..
      '--report --out %s/run'):format(dir, dir, dir), 'epoch   1  cf %d.%d+  shrink %d')
    assert.matches('phase cf:\nrecipe line.*phase shrink:\nrecipe line', text)
    local record = runs.log(dir .. '/run')[1]
    assert.equal(record.loss, record.losses.cf)
    assert.is_number(record.losses.shrink)
    local summary = runs.read(dir .. '/run/summary.json')
    assert.is_number(summary.time.phases.shrink)
    assert.is_number(summary.kept.phases.cf.stored_bytes)
  end)
end)
