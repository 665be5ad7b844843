-- tinykg explain, through the command line: paths whose answer is known, weights computed by hand.
local fixtures = require 'tests.support.fixtures'
local json = require 'tinykg.base.json'
local sets = require 'tests.support.sets'
local shell = require 'tests.support.shell'
local tk = require 'tinykg'

local prints, refuses = shell.prints, shell.refuses

-- Ten authors of three books each; every book is a novel. Who likes an author took his first two
-- books; nobody took a third one, so that only the author leads there, or the genre of all books.
local AUTHORS, USERS = 10, 24
local ENTITIES = 3 * AUTHORS + AUTHORS + 1
local function author(a) return 3 * AUTHORS + a end
local NOVEL = ENTITIES - 1

local function liked(u) return u % AUTHORS, (3 * u + 1) % AUTHORS end

local function list(n, name)
  local names = {}
  for i = 0, n - 1 do names[i + 1] = name(i) end
  return sets.id_list(names)
end

local function book(i) return ('book %d of author %d'):format(i % 3 + 1, math.floor(i / 3)) end

local function books()
  local train, test, kg = {}, {}, {}
  for u = 0, USERS - 1 do
    local a, b = liked(u)
    train[u + 1] = ('%d %d %d %d %d'):format(u, 3 * a, 3 * a + 1, 3 * b, 3 * b + 1)
    test[u + 1] = ('%d %d'):format(u, 3 * a + 2)
  end
  for i = 0, 3 * AUTHORS - 1 do
    kg[#kg + 1] = ('%d 0 %d'):format(i, author(math.floor(i / 3)))
    kg[#kg + 1] = ('%d 1 %d'):format(i, NOVEL)
  end
  return fixtures.dir{
    ['train.txt'] = train, ['test.txt'] = test, ['valid.txt'] = {}, ['kg_final.txt'] = kg,
    ['user_list.txt'] = list(USERS, function(u) return 'reader ' .. u end),
    ['item_list.txt'] = list(3 * AUTHORS, book),
    ['entity_list.txt'] = list(ENTITIES, function(e)
      return e < 3 * AUTHORS and book(e) or e == NOVEL and 'novel' or 'author ' .. e - 3 * AUTHORS
    end),
    ['relation_list.txt'] = sets.id_list{'written by', 'genre'}}
end

-- A recipe that sums over nodes two edges away; its graph has no interactions.
local TWO_STEPS = [[
local tk = require 'tinykg'
local Model = tk.nn.class('TwoSteps')
local function items(m) return m.graph:aggregate(m.graph:aggregate(m.nodes.weight)) end
function Model:loss(batch)
  local all = items(self)
  local i, j = all:gather(batch.items), all:gather(batch.negatives:reshape(-1))
  return tk.loss.interactions(self.users(batch.users), i, j)
end
function Model:score(u, i) return tk.dot(self.users(u), items(self):gather(i)) end
function Model:explain(u, i) return tk.edges.gradient(self, {'graph'}, u, i) end
return tk.recipe{
  name = 'two-steps', options = {{'lr', 0.01, 'learning rate'}, {'epochs', 8, 'at most'}},
  build = function(data)
    return setmetatable({graph = tk.graph(data, {undirected = true}),
                         users = tk.nn.Embedding(data.users, 8),
                         nodes = tk.nn.Embedding(data.entities, 8)}, Model)
  end,
}
]]

local function exp_sum(list_of_scores)
  local sum = 0
  for _, s in ipairs(list_of_scores) do sum = sum + math.exp(s) end
  return sum
end

describe('tinykg explain', function()
  local data, dir, runs = nil, nil, {}
  setup(function() data, dir = books(), fixtures.dir() end)
  teardown(fixtures.clean)

  --- Each neighbour is sampled equally often, so that its weight is known.
  local MORE = {kgcn = '--set replacement=false', ['kgnn-ls'] = '--set replacement=false'}

  --- Returns the folder of a recipe's run, which is trained once.
  local function run_of(recipe, more)
    if not runs[recipe] then
      runs[recipe] = dir .. '/' .. recipe
      prints(('run recipes/%s.lua --quiet --data %s --out %s --set epochs=15 --set lr=0.01 ' ..
        '--set dim=8 --set batch_size=64 %s'):format(recipe, data, runs[recipe], more or
        MORE[recipe] or ''))
    end
    return runs[recipe]
  end

  local function explained(recipe, user, item, more)
    return json.decode(prints(('explain %s --id --user %d --item %d --json %s')
      :format(run_of(recipe), user, item, more or '')))
  end

  --- Returns head and tail of edge k of a path; users are numbered behind the entities.
  local function ends_of(path, k)
    local ends = {}
    for s = 0, 1 do
      local node = path.nodes[k + s]
      ends[s + 1] = node.kind == 'user' and ENTITIES + node.id or node.id
    end
    if path.edges[k].inverse then return ends[2], ends[1] end
    return ends[1], ends[2]
  end

  local function parameters(recipe)
    local found = {}
    for name, t in pairs((tk.load(run_of(recipe) .. '/best.safetensors'))) do
      found[name] = t:totable()
    end
    return found
  end

  it('finds the author whom the user likes, and names what it found', function()
    run_of('kgat', '--set layers=8 --set relation_dim=8 --set kg_batch_size=64')
    for _, recipe in ipairs{'kgat', 'kgcn', 'kgnn-ls', 'kgin', 'ripplenet', 'ckan'} do
      local right = 0
      for u = 0, 9 do
        local path = assert(explained(recipe, u, 3 * u + 2).paths[1], recipe .. u)
        local nodes = path.nodes
        assert.same({kind = 'user', id = u, name = 'reader ' .. u}, nodes[1])
        assert.same({kind = 'item', id = 3 * u + 2, name = book(3 * u + 2)}, nodes[#nodes])
        if nodes[3].kind == 'entity' and nodes[3].id == author(u) and #nodes == 4 then
          right = right + 1
          local e = path.edges
          assert.same({'took', 'written by', 'written by'},
                      {e[1].relation, e[2].relation, e[3].relation})
          assert.same({false, false, true}, {e[1].inverse, e[2].inverse, e[3].inverse})
          assert.equal('author ' .. u, nodes[3].name)
        end
      end
      -- what KGAT and KGIN learn of some readers is that they like novels
      local least = (recipe == 'kgat' or recipe == 'kgin') and 8 or 10
      assert.is_true(right >= least, recipe .. ' ' .. right)
    end
  end)

  it('prints what it found, and the score\'s place', function()
    local run = run_of('kgat')
    local text = prints(("explain %s --user 'reader 3' --item '%s' --paths 3")
      :format(run, book(11)))
    assert.matches('KGAT on .*: reader 3 and book 3 of author 3', text)
    assert.matches('reader 3 took it, in test', text)
    assert.matches('weights: attention', text)
    assert.matches('\n  1 +%S+  reader 3 %-%[took %S+%]%-> book . of author 3 ' ..
      '%-%[written by %S+%]%-> author 3 <%-%[written by %S+%]%- book 3 of author 3\n', text)
    assert.equal(3, select(2, text:gsub('\n +%d+ +%S+  reader 3 ', '')))
    local list_of = json.decode(prints('recommend ' .. run .. ' --id --user 3 -k 30 --json')).items
    local e = explained('kgat', 3, 11)
    assert.equal(#list_of, e.of)
    assert.equal(11, list_of[e.rank].id)
    assert.equal(e.score, list_of[e.rank].score)
    assert.matches('reader 3 took it, in train',
                   prints(('explain %s --id --user 3 --item 9'):format(run)))
  end)

  it('weighs KGAT\'s edges by its attention', function()
    local p = parameters('kgat')
    local relations = 3 -- written by, genre, took; then inverses
    local edges = {} -- by head: {relation, tail}
    local function add(h, r, t)
      edges[h] = edges[h] or {}
      edges[t] = edges[t] or {}
      table.insert(edges[h], {r, t})
      table.insert(edges[t], {r + relations, h})
    end
    for i = 0, 3 * AUTHORS - 1 do
      add(i, 0, author(math.floor(i / 3)))
      add(i, 1, NOVEL)
    end
    for u = 0, USERS - 1 do
      local a, b = liked(u)
      for _, i in ipairs{3 * a, 3 * a + 1, 3 * b, 3 * b + 1} do add(ENTITIES + u, 2, i) end
    end
    local function projected(node, r)
      local out = {}
      for k = 1, 8 do
        out[k] = 0
        for d = 1, 8 do
          out[k] = out[k] + p['nodes.weight'][node + 1][d] * p.projections[r + 1][d][k]
        end
      end
      return out
    end
    local function score(h, r, t) -- eq. 4
      local x, y, sum = projected(h, r), projected(t, r), 0
      for k = 1, 8 do
        local e = math.exp(2 * (x[k] + p['relations.weight'][r + 1][k]))
        sum = sum + y[k] * (e - 1) / (e + 1)
      end
      return sum
    end
    local function share(h, r, t) -- eq. 5
      local scores = {}
      for k, edge in ipairs(edges[h]) do scores[k] = score(h, edge[1], edge[2]) end
      return math.exp(score(h, r, t)) / exp_sum(scores)
    end
    for _, path in ipairs(explained('kgat', 3, 11).paths) do
      local product = 1
      for k, edge in ipairs(path.edges) do
        local h, t = ends_of(path, k)
        local r = ({['written by'] = 0, genre = 1, took = 2})[edge.relation]
        local want = math.sqrt(share(h, r, t) * share(t, r + relations, h))
        assert.near(want, edge.weight, 1e-4 * want)
        assert.is_true(edge.read)
        product = product * want
      end
      assert.near(product, path.weight, 1e-3 * product)
    end
  end)

  it('weighs KGCN\'s edges by the user\'s attention over what was drawn', function()
    local p = parameters('kgcn')
    local path = explained('kgcn', 3, 11).paths[1]
    local scores = {}
    for r = 1, 2 do
      local sum = 0
      for d = 1, 8 do sum = sum + p['users.weight'][4][d] * p['relations.weight'][r][d] / 8 end
      scores[r] = sum
    end
    local want = math.exp(scores[1]) / exp_sum(scores) -- each of two neighbours is drawn 4 times
    assert.near(want, path.edges[3].weight, 1e-5)
    assert.is_false(path.edges[1].read)
    -- the user's degree is 4, that of the first edge's item the number of users who took it, + 2
    local item, takers = path.nodes[2].id, 0
    for u = 0, USERS - 1 do
      local a, b = liked(u)
      local of = math.floor(item / 3)
      takers = takers + (of == a and 1 or 0) + (of == b and 1 or 0)
    end
    assert.near(1 / math.sqrt(4 * (takers + 2)), path.edges[1].weight, 1e-6)
    assert.near(want / math.sqrt(4 * (takers + 2)) / math.sqrt((takers + 2) * 3), path.weight, 1e-6)
  end)

  it('weighs CFKG\'s triples by how near their ends are', function()
    local p = parameters('cfkg')
    local path = explained('cfkg', 3, 11).paths[1]
    for k, edge in ipairs(path.edges) do
      local h, t = ends_of(path, k)
      local r = ({['written by'] = 1, genre = 2, took = 3})[edge.relation]
      local score = 0
      for d = 1, 8 do
        score = score + (p['nodes.weight'][h + 1][d] + p['relations.weight'][r][d])
          * p['nodes.weight'][t + 1][d]
      end
      assert.near(1 / (1 + math.exp(-score)), edge.weight, 1e-5)
    end
    assert.equal('plausibility', explained('cke', 3, 11).what)
  end)

  it('says that BPR-MF does not see the graph, and shows what links the item', function()
    local text = prints(('explain %s --id --user 3 --item 11'):format(run_of('bpr-mf')))
    assert.matches('note: BPR%-MF does not see the graph', text)
    assert.matches('weights: none of the model', text)
    assert.matches('took%]%-> book . of author 3 %-%[written by%]%-> author 3', text)
  end)

  it('shows KGIN\'s intents, which are shares', function()
    local e = explained('kgin', 3, 11)
    assert.equal(4, #e.intents)
    local sum = 0
    for _, intent in ipairs(e.intents) do sum = sum + intent.weight end
    assert.near(1, sum, 1e-5)
    assert.is_true(e.intents[1].weight >= e.intents[2].weight)
    assert.matches('intent %d weighs 0', prints(('explain %s --id --user 3 --item 11')
      :format(run_of('kgin'))))
  end)

  it('begins at what the user took, where the model reads the knowledge graph alone', function()
    local path = fixtures.write(dir .. '/two-steps.lua', TWO_STEPS)
    runs['two-steps'] = dir .. '/two-steps'
    prints(('run %s --quiet --data %s --out %s --set epochs=8')
      :format(path, data, runs['two-steps']))
    local p, user, item = parameters('two-steps'), 3, 11
    local function liking(e) -- u . e
      local sum = 0
      for d = 1, 8 do sum = sum + p['users.weight'][user + 1][d] * p['nodes.weight'][e + 1][d] end
      return sum
    end
    local best = -math.huge -- over the book taken and the entity that links it
    for b = 0, 3 * AUTHORS - 1 do
      for _, a in ipairs{liked(user)} do
        local taken = math.floor(b / 3) == a and b % 3 < 2
        for _, by in ipairs(taken and {author(a), NOVEL} or {}) do
          local sum = 0 -- of what is around the entity
          for i = 0, 3 * AUTHORS - 1 do
            local linked = by == NOVEL or author(math.floor(i / 3)) == by
            sum = sum + (linked and liking(i) or 0)
          end
          local fits = by == NOVEL or author(math.floor(item / 3)) == by
          if fits then best = math.max(best, math.min(liking(b), sum + liking(item))) end
        end
      end
    end
    local first = explained('two-steps', user, item).paths[1]
    assert.near(best, first.weight, 1e-4 * math.abs(best))
    assert.same({'took', false}, {first.edges[1].relation, first.edges[1].read})
    assert.is_nil(first.edges[1].weight)
    assert.is_true(first.edges[2].read and first.edges[3].read)
    assert.matches('edges without a weight are not read by the model: they do not count',
                   prints(('explain %s --id --user 3 --item 11'):format(runs['two-steps'])))
  end)

  it('says when there is no path', function()
    local text = prints(('explain %s --id --user 3 --item 11 --length 2'):format(run_of('kgat')))
    assert.matches('no path of at most 2 edges leads from reader 3 to book 3 of author 3', text)
    assert.same({}, explained('lightgcn', 3, 11).paths) -- whom nobody took
  end)

  it('refuses what it cannot do, with names that are close', function()
    local run = run_of('kgat')
    refuses('explain ' .. run .. " --user 'reader 3' --item 'book 1 of autor 1'", 1,
            "no item 'book 1 of autor 1'.*close: book 1 of author 1")
    refuses('explain ' .. run .. " --user 'raeder 3' --item 'book 1 of author 1'", 1,
            'close: reader 3')
    refuses('explain ' .. run .. " --user 'reader 3'", 2, '%-%-item is needed')
    refuses('explain ' .. run .. ' --id --user 3 --item 1 --length 5', 2, "'5' is not a whole")
    local explain, opened = require 'tinykg.query.explain', require('tinykg.run.open')(run)
    for _, paths in ipairs{0, -1, 1.5, 'all'} do
      assert.matches(('explain: paths %s is not a whole'):format(paths),
                     fixtures.message(explain, opened, 3, 1, {paths = paths}), 1, true)
    end
    refuses('explain ' .. run .. ' --id --user 3 --item Kim', 2, "'Kim' is not a number")
    refuses('explain ' .. run .. ' --id --user 3 --item 30', 1, 'no item number 30')
  end)
end)
