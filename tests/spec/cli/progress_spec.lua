-- What a run shows while it trains and when it has ended: in 80 columns, with popularity beside it.
local fixtures = require 'tests.support.fixtures'
local shell = require 'tests.support.shell'
local terminal = require 'tests.support.terminal'
local tk = require 'tinykg'

local RANK = ' --data-set task=ranking'

--- The lines that a screen shows of what was written to it: each line as it was before it was
--- cleared, without colours.
local function frames(text)
  local list = {}
  for line in text:gsub('\27%[[%d;]*%a', ''):gmatch('[^\r\n]+') do
    list[#list + 1] = line
  end
  return list
end

local function assert_fits(text, most)
  for _, line in ipairs(frames(text)) do
    if not line:find('train it again', 1, true) then -- a command is not broken
      assert.is_true(#line <= (most or 80), ('%d columns: %s'):format(#line, line))
    end
  end
end

describe('a run on a terminal of 80 columns', function()
  local dir, data
  setup(function()
    dir = fixtures.dir()
    data = dir .. '/data'
    shell.prints('data demo ' .. data .. ' --users 400 --items 200')
  end)
  teardown(fixtures.clean)

  local function open(environment, name, ...)
    return terminal.open(environment, 'run', 'kgin', '--data', data, '--data-set', 'task=ranking',
                         '--out', dir .. '/' .. name, ...)
  end

  it('shows a bar, the epoch and the time that the run will take at most', function()
    local t = open({NO_COLOR = '1'}, 'bar', '--set', 'epochs=20', '--set', 'batch_size=64')
    t:see('/20 ') -- of an early epoch: a fast machine shows few of them
    local line = t:see('MiB')
    assert.matches('^ *%d+ %%  %[=*>? *%]  loss 0%.%d+  left < %d+:%d%d  [%d.]+ $', line)
    t:see('best epoch')
    assert.equal(0, t:ended())
    assert_fits(t.seen)
    assert.is_nil(t.seen:find('\27[32m', 1, true)) -- NO_COLOR
    t:close()
  end)

  it('shows colour where it may, and validated epochs, and says what a star is', function()
    local t = open({}, 'colour', '--set', 'epochs=20')
    t:see('best epoch 20 of 20, by valid recall@20')
    assert.equal(0, t:ended())
    assert.is_truthy(t.seen:find('\27[32mepoch  10 ', 1, true))
    local text, shown = table.concat(frames(t.seen), '\n'), {}
    for epoch in text:gmatch('\nepoch +(%d+)  loss') do shown[#shown + 1] = epoch end
    assert.same({'10', '20'}, shown)
    assert.equal(1, select(2, text:gsub('%* the best epoch so far, by valid recall@20\n', '')))
    assert.matches('\nepoch  10 [^\n]+ %*\n', text)
    assert_fits(t.seen)
    t:close()
  end)

  it('begins the message after Ctrl-C in a line of its own', function()
    local t = open({}, 'stopped', '--set', 'epochs=100000', '--set', 'batch_size=64')
    t:see('/100000 ')
    t:type('\3')
    t:see('stopped; to go on')
    assert.equal(130, t:ended())
    local before = t.seen:match('^(.*)stopped; to go on')
    assert.matches('\r\27%[K$', before)
    assert.matches('\r\27%[Ktinykg: interrupted', t.seen)
    t:close()
  end)

  it('shows a sweep in 80 columns, with its time', function()
    local t = terminal.open({}, 'run', 'bpr-mf', 'kgcn', '--data', data, '--seed', '1,2', '--set',
      'epochs=12', '--set', 'batch_size=256', '--data-set', 'task=ranking', '--out',
      dir .. '/sweep')
    t:see('4 runs: ')
    assert.matches('waiting  %[[=> ]+%]  %d:%d%d  $', t:see('about '))
    assert.matches('^%d:%d%d$', t:see(' left'))
    t:see('sweep folder')
    assert.equal(0, t:ended())
    assert_fits(t.seen)
    t:close()
  end)
end)

describe('beside a result', function()
  local dir, data, set
  setup(function()
    dir = fixtures.dir()
    data = dir .. '/data'
    shell.prints('data demo ' .. data .. ' --users 200 --items 100')
    set = tk.data.load(data, {task = 'ranking', seed = 0})
  end)
  teardown(fixtures.clean)

  --- Recall@20 of the most popular items: counts of train; items of train and validation are not
  --- listed; equal counts by number.
  local function recall_of_popularity()
    local count, seen, wanted = {}, {}, {}
    for item = 0, set.items - 1 do count[item] = 0 end
    for user = 0, set.users - 1 do seen[user], wanted[user] = {}, {} end
    for i = 0, set.train.n - 1 do
      local item = set.train.items[i]
      count[item], seen[set.train.users[i]][item] = count[item] + 1, true
    end
    for i = 0, set.valid.n - 1 do seen[set.valid.users[i]][set.valid.items[i]] = true end
    for i = 0, set.test.n - 1 do wanted[set.test.users[i]][set.test.items[i]] = true end
    local order, sum, users = {}, 0, 0
    for item = 0, set.items - 1 do order[#order + 1] = item end
    table.sort(order, function(a, b)
      if count[a] ~= count[b] then return count[a] > count[b] end
      return a < b
    end)
    for user = 0, set.users - 1 do
      local listed, hits, all = 0, 0, 0
      for _ in pairs(wanted[user]) do all = all + 1 end
      for _, item in ipairs(order) do
        if not seen[user][item] and listed < 20 then
          listed, hits = listed + 1, hits + (wanted[user][item] and 1 or 0)
        end
      end
      if all > 0 then sum, users = sum + hits / all, users + 1 end
    end
    return sum / users
  end

  it('stand the most popular items, by the same evaluation', function()
    local text = shell.prints('run kgin --data ' .. data .. RANK ..
      ' --set lr=0.01 --set epochs=30 --out ' .. dir .. '/good')
    local summary = fixtures.json(dir .. '/good/summary.json')
    assert.near(recall_of_popularity(), summary.popularity['recall@20'], 1e-9)
    assert.equal('recall@20', summary.metric)
    assert.matches((' +test +valid +popularity\n.*\nrecall@20 +%.4f +%.4f +%.4f\n'):format(
      summary.test['recall@20'], summary.valid['recall@20'], summary.popularity['recall@20'])
      :gsub('(%d)%.(%d)', '%1%%.%2'), text)
    assert.is_true(summary.test['recall@20'] > summary.popularity['recall@20'])
    assert.is_nil(summary.advice)
  end)

  it('stands what to try if it is no better', function()
    local text = shell.prints('run bpr-mf --data ' .. data .. RANK ..
      ' --set lr=1e-9 --set epochs=1 --set batch_size=8192 --out ' .. dir .. '/bad')
    assert.matches('\nno better than popularity %(test recall@20 0%.%d+, popularity 0%.%d+%): ' ..
                   'try\n  %-%-set lr=1e%-08 %-%-set batch_size=32 %-%-set epochs=5\n', text)
  end)

  it('stand labels: AUC of the odds of each item', function()
    shell.prints('run bpr-mf --data ' .. data .. ' --set epochs=1 --out ' .. dir .. '/labels')
    local labelled = tk.data.load(data, {seed = 0})
    local odds, right, pairs_of_classes = {}, 0, 0
    for item = 0, labelled.items - 1 do odds[item] = {1, 1} end
    for i = 0, labelled.train.n - 1 do
      local counts, label = odds[labelled.train.items[i]], labelled.train.labels[i]
      counts[2 - label] = counts[2 - label] + 1
    end
    local test = labelled.test
    for i = 0, test.n - 1 do
      for j = 0, test.n - 1 do
        if test.labels[i] == 1 and test.labels[j] == 0 then
          local a, b = odds[test.items[i]], odds[test.items[j]]
          local x, y = a[1] * b[2], b[1] * a[2]
          right = right + (x > y and 1 or x == y and 0.5 or 0)
          pairs_of_classes = pairs_of_classes + 1
        end
      end
    end
    assert.near(right / pairs_of_classes,
                fixtures.json(dir .. '/labels/summary.json').popularity.auc, 1e-6)
  end)

  it('stands the best point by validation and its command, which gives it again', function()
    local text = shell.prints('run kgin --data ' .. data .. RANK .. ' --grid lr=1e-4,0.01 ' ..
                              '--set epochs=10 --bits 2 --out ' .. dir .. '/grid')
    assert.matches('\nKGIN%-lr=0%.01 %* ', text)
    assert.matches('\n%* best by valid recall@20: KGIN%-lr=0%.01\n', text)
    local command = text:match('\nto train it again: tinykg ([^\n]+)')
    shell.prints(command .. ' --quiet --out ' .. dir .. '/again')
    assert.equal(fixtures.bytes(dir .. '/grid/KGIN-lr=0.01-seed1/best.safetensors'),
                 fixtures.bytes(dir .. '/again/best.safetensors'))
  end)
end)
