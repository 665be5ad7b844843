-- tinykg export --vectors: products of what the files have are the scores of tinykg recommend.
local fixtures = require 'tests.support.fixtures'
local json = require 'tinykg.base.json'
local shell = require 'tests.support.shell'
local store = require 'tinykg.store'

-- Names that CSV, JSON and UTF-32 have to keep: two, three and four bytes of UTF-8.
local USERS = {'Zo\195\171', '\226\130\172uro "x"', '\240\159\152\128', 'dan', 'eve'}
local ITEMS = {'A, first', 'B', 'C c', 'D', 'E', 'F'}

local function csv(name) return '"' .. name:gsub('"', '""') .. '"' end

local function data_set()
  local rows, kg = {'user,item'}, {'head,relation,tail'}
  for u, user in ipairs(USERS) do
    for k = 0, 2 do rows[#rows + 1] = csv(user) .. ',' .. csv(ITEMS[(u + k) % #ITEMS + 1]) end
  end
  for i, item in ipairs(ITEMS) do kg[#kg + 1] = csv(item) .. ',genre,g' .. i % 2 end
  return fixtures.dir{['interactions.csv'] = rows, ['kg.csv'] = kg}
end

--- {user = {item = vector}} of the lists of all items, as `tinykg recommend` prints them.
local function scores_of(run)
  local scores, count = {}, 0
  for line in shell.prints(('recommend %s --users all --all -k %d --json'):format(run, #ITEMS))
    :gmatch('[^\n]+') do
    local result = json.decode(line)
    for _, one in ipairs(result.by == 'model' and result.items or {}) do
      scores[#scores + 1] = {user = result.name, item = one.item, score = one.score}
      count = count + 1
    end
  end
  assert.equal(#USERS * #ITEMS, count)
  return scores
end

--- Holds products of rows by name against scores. ---@param vectors {users: table, items: table}
local function agree(scores, vectors)
  for _, s in ipairs(scores) do
    local u, i, sum = vectors.users[s.user], vectors.items[s.item], 0
    assert(u and i, s.user .. ' and ' .. s.item .. ' have vectors')
    for k = 1, #u do sum = sum + u[k] * i[k] end
    assert.is_true(math.abs(sum - s.score) <= 1e-5 * math.max(1, math.abs(sum)),
                   ('%s, %s: %.9g, scored %.9g'):format(s.user, s.item, sum, s.score))
  end
end

local function by_name(names, rows)
  local out = {}
  assert.equal(#names, #rows)
  for i, name in ipairs(names) do out[name] = rows[i] end
  return out
end

local read = {}

function read.npz(path)
  local all = store.load(path)
  return {users = by_name(all.user_names, all.users:totable()),
          items = by_name(all.item_names, all.items:totable())}
end

function read.safetensors(path)
  local all, about = store.load(path)
  return {users = by_name(json.decode(about.user_names), all.users:totable()),
          items = by_name(json.decode(about.item_names), all.items:totable())}
end

function read.tsv(path)
  local out = {users = {}, items = {}}
  for line in io.lines(path) do
    local kind, _, _, name, cells = line:match('^(%a+)\t(%a+)\t(%d+)\t([^\t]*)\t(.*)$')
    local row = {}
    for cell in (cells or ''):gmatch('%S+') do row[#row + 1] = tonumber(cell) end
    if out[kind] then out[kind][name:gsub('^"(.*)"$', '%1'):gsub('""', '"')] = row end
  end
  return out
end

describe('export --vectors', function()
  local data
  setup(function() data = data_set() end)
  teardown(fixtures.clean)

  -- two tables; nodes of one graph, layers side by side; sums of tables
  for _, recipe in ipairs{'bpr-mf', 'kgat', 'kgin', 'cke', 'kgcl', 'mcclk'} do
    it('writes vectors whose products are the scores, with names: ' .. recipe, function()
      local dir = fixtures.dir{}
      local run = dir .. '/run'
      shell.prints(('run %s --quiet --data %s --set dim=8 --set epochs=3 --set lr=0.05 --out %s')
        :format(recipe, data, run))
      local scores = scores_of(run)
      for ending, vectors in pairs(read) do
        local to = ('%s/v.%s'):format(dir, ending)
        assert.matches('users of [%w-]+: 5 x %d+%)\n.*items of [%w-]+: 6 x %d+%)\n$',
                       shell.prints(('export %s --vectors both --to %s'):format(run, to)))
        agree(scores, vectors(to))
      end
    end)
  end

  it('writes word2vec\'s text, where names are words', function()
    local dir = fixtures.dir{}
    shell.prints(('run bpr-mf --quiet --data %s --set dim=2 --set epochs=1 --out %s/run')
      :format(data, dir))
    local vectors = read.npz
    for _, kind in ipairs{'users', 'items'} do
      local text = ('%s/%s.txt'):format(dir, kind)
      shell.prints(('export %s/run --vectors %s --to %s'):format(dir, kind, text))
      shell.prints(('export %s/run --vectors both --to %s/v.npz'):format(dir, dir))
      local lines, of = {}, vectors(dir .. '/v.npz')[kind]
      for line in io.lines(text) do lines[#lines + 1] = line end
      assert.equal(kind == 'users' and '5 2' or '6 2', lines[1])
      assert.equal(kind == 'users' and 6 or 7, #lines)
      for i, name in ipairs(kind == 'users' and USERS or ITEMS) do
        local found
        for k = 2, #lines do
          local word, x, y = lines[k]:match('^(%S+) (%S+) (%S+)$')
          if word == name:gsub(' ', '_') then found = {tonumber(x), tonumber(y)} end
        end
        for k = 1, 2 do assert.is_true(math.abs(of[name][k] - found[k]) < 1e-7, i .. name) end
      end
    end
    local twins = fixtures.dir{['interactions.csv'] = {'user,item', 'a b,x', 'a_b,y', 'a b,y'}}
    shell.prints(('run bpr-mf --quiet --data %s --set dim=2 --set epochs=1 --out %s/twins')
      :format(twins, dir))
    shell.refuses(('export %s/twins --vectors users --to %s/x.txt'):format(dir, dir), 1,
                  "'a.b': is a name twice")
  end)

  it('writes what NumPy and safetensors read', function()
    local dir = fixtures.dir{}
    shell.prints(('run bpr-mf --quiet --data %s --set dim=2 --set epochs=1 --out %s/run')
      :format(data, dir))
    shell.prints(('export %s/run --vectors users --to %s/v.npz'):format(dir, dir))
    local text, why = shell.python('numpy', [[
import json, sys, numpy
a = numpy.load(sys.argv[1])
print(json.dumps([sorted(a.files), a['user_names'].tolist(), a['users'].shape]))]], dir .. '/v.npz')
    if not text then return pending(why) end
    local found = json.decode(text)
    assert.same({'user_names', 'users'}, found[1])
    table.sort(found[2])
    local users = {unpack(USERS)}
    table.sort(users)
    assert.same(users, found[2])
    assert.same({5, 2}, found[3])
  end)

  it('refuses models that score otherwise, and what does not go together', function()
    local dir = fixtures.dir{}
    local run = dir .. '/run'
    shell.prints(('run kgcn --quiet --data %s --set dim=4 --set epochs=1 --out %s')
      :format(data, run))
    local refuses = shell.refuses
    refuses(('export %s --vectors users --to %s/x.npz'):format(run, dir), 1,
            'KGCN does not score by the dot product of one vector')
    refuses(('export %s --vectors both --to x.txt'):format(run), 2, 'word2vec: %-%-vectors users')
    refuses(('export %s --to x.txt'):format(run), 2, 'must end in .safetensors')
    refuses(('export %s --vectors users --to x.csv'):format(run), 2, 'must end in .safetensors')
    refuses(('export %s --vectors users --which last --to x.npz'):format(run), 2, 'best epoch')
    refuses(("export %s --vectors users --only 'u*' --to x.npz"):format(run), 2, 'for parameters')
    refuses(('export %s --vectors nodes --to x.npz'):format(run), 2, 'users')
  end)

  it('refuse names that a file of UTF-8 could not tell apart', function()
    local rows, kg = {'user,item'}, {'head,relation,tail', 'B,genre,g'}
    for _, user in ipairs{'Jos\233', 'Jos\232'} do -- Latin-1
      for _, item in ipairs{'A', 'B', 'C'} do rows[#rows + 1] = user .. ',' .. item end
    end
    local set = fixtures.dir{['interactions.csv'] = rows, ['kg.csv'] = kg}
    local out = set .. '/run'
    shell.works(('run bpr-mf --quiet --data %s --set epochs=1 --set dim=2 --out %s'):format(set,
                                                                                          out))
    for _, ending in ipairs{'npz', 'safetensors'} do
      shell.refuses(('export %s --vectors users --to %s/v.%s'):format(out, set, ending), 1,
                    "names that are no UTF%-8 would both be 'Jos\239\191\189' there: take .tsv")
    end
    shell.works(('export %s --vectors items --to %s/v.npz'):format(out, set))
    shell.works(('export %s --vectors users --to %s/v.tsv'):format(out, set))
    assert.matches('\tJos\232\t', fixtures.bytes(set .. '/v.tsv'))
  end)

  it('say which names a file of UTF-8 has not as they are', function()
    local rows, kg = {'user,item'}, {'head,relation,tail', 'B,genre,g'}
    for _, user in ipairs{'Jos\233', 'Ann'} do
      for _, item in ipairs{'A', 'B', 'C'} do rows[#rows + 1] = user .. ',' .. item end
    end
    local set = fixtures.dir{['interactions.csv'] = rows, ['kg.csv'] = kg}
    local out = set .. '/run'
    shell.works(('run bpr-mf --quiet --data %s --set epochs=1 --set dim=2 --out %s'):format(set,
                                                                                          out))
    local function said(command)
      local text = shell.gives(0, ('./tinykg %s 2>&1'):format(command:gsub('RUN', out)), '')
      return text:match('note: ([^\n]*)') or ''
    end
    assert.matches('1 name is no UTF%-8: .*v.npz has U%+FFFD',
                   said('export RUN --vectors both --to ' .. set .. '/v.npz'))
    assert.equal('', said('export RUN --vectors items --to ' .. set .. '/v.npz'))
    assert.equal('', said('export RUN --vectors both --to ' .. set .. '/v.tsv'))
    assert.matches('some names are no UTF%-8', said 'recommend RUN --id --user 0 --all --json')
    assert.matches('some names are no UTF%-8', said 'recommend RUN --users all --json')
    assert.equal('', said 'recommend RUN --user Ann --all --json')
  end)
end)
