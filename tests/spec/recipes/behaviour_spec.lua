-- What every recipe does: it trains at each width, goes on bit for bit, recommends,
-- leaves out what it is told to, answers for somebody new, explains, exports what it scores by, and
-- runs on the emulated GPU. A file in recipes/ is tested by being there.
local emulation = require 'tests.support.emulation'
local fixtures = require 'tests.support.fixtures'
local json = require 'tinykg.base.json'
local lfs = require 'lfs'
local runs = require 'tests.support.runs'
local shell = require 'tests.support.shell'
local tk = require 'tinykg'

local prints = shell.prints

local SMALL = '--set dim=8 --set lr=0.01 --set batch_size=128 --set patience=0 --set eval_every=1'
local ALSO = { -- for recipes whose defaults are large for a small test
  kgat = '--set kg_batch_size=128 --set layers=8',
  diffkg = '--set hidden=32', -- with which few steps lower the diffusion's loss
}

local function recipes()
  local names = {}
  for file in lfs.dir 'recipes' do names[#names + 1] = file:match '^([^.].*)%.lua$' end
  table.sort(names)
  return names
end

--- Names of the items that a user has in train and valid, as a set. Items and users are numbered.
local function history(data, user)
  local set = {}
  for _, part in ipairs{data.train, data.valid} do
    for i = 0, part.n - 1 do
      if part.users[i] == user then set[part.items[i]] = true end
    end
  end
  return set
end

--- What `tinykg recommend` lists, as ids and scores.
local function recommended(run, words)
  local answer = json.decode(prints(('recommend %s %s --json'):format(run, words)))
  local ids, scores = {}, {}
  for k, item in ipairs(answer.items) do ids[k], scores[k] = item.id, item.score end
  return ids, scores
end

local function losses(run)
  local list = {}
  for _, record in ipairs(runs.log(run)) do
    if record.epoch and record.loss then list[#list + 1] = record.loss end
  end
  return list
end

local function finite(x) return type(x) == 'number' and x == x and math.abs(x) < math.huge end

describe('every recipe', function()
  local dir, folder, data
  setup(function()
    dir, folder = shell.demo(120, 60)
    data = tk.data.load(folder, {task = 'ranking'})
  end)
  teardown(fixtures.clean)

  --- Trains into dir/out. Returns the run's folder.
  local function train(name, out, more)
    out = dir .. '/' .. out
    prints(('run %s --quiet --data %s --data-set task=ranking %s %s %s --out %s'):format(name,
      folder, SMALL, ALSO[name] or '', more, out))
    return out
  end

  for _, name in ipairs(recipes()) do
    describe(name, function()
      local run

      it('trains at 2 bits, and goes on bit for bit', function()
        run = train(name, name, '--bits 2 --set epochs=4')
        local found = losses(run)
        assert.equal(4, #found)
        for _, loss in ipairs(found) do assert.is_true(finite(loss)) end
        assert(found[4] < found[1], ('loss %g -> %g'):format(found[1], found[4]))
        local begun = train(name, name .. '-begun', '--bits 2 --set epochs=2')
        prints('run --resume --quiet --set epochs=4 --out ' .. begun)
        runs.same(run, begun)
      end)

      it('evaluates to the numbers of its summary, and keeps no more than the reference', function()
        local summary = runs.read(run .. '/summary.json')
        local again = json.decode(prints('eval ' .. run .. ' --json'))
        for metric, value in pairs(summary.test) do assert.equal(value, again.metrics[metric]) end
        assert.is_true(summary.kept.stored_bytes <= summary.kept.reference_bytes)
      end)

      it('trains at 32 and 8 bits', function()
        for _, bits in ipairs{32, 8} do
          local found = losses(train(name, name .. bits, ('--bits %d --set epochs=1'):format(bits)))
          assert.is_true(finite(found[1]))
        end
      end)

      it('trains with options that all recipes have', function()
        local options = '--bits 2 --set epochs=2 --steps 3 --set negatives=3 --set accumulate=2 ' ..
                        '--set optimizer_bits=8 --set parameter_bits=16 --set clip=1'
        for _, loss in ipairs(losses(train(name, name .. '-options', options))) do
          assert.is_true(finite(loss))
        end
      end)

      it('recommends by score, without what the user has, without what is excluded', function()
        local ids, scores = recommended(run, "--user 'user 3' -k 60")
        local seen, count = history(data, 3), 0
        for _ in pairs(seen) do count = count + 1 end
        assert.equal(data.items - count, #ids)
        for k, id in ipairs(ids) do
          assert.is_nil(seen[id])
          assert.is_true(k == 1 or scores[k] <= scores[k - 1])
        end
        local first = table.remove(ids, 1)
        assert.same(ids, (recommended(run, ("--user 'user 3' -k 60 --exclude 'film %d'")
          :format(first))))
      end)

      it('answers for somebody new by what they like', function()
        local ids = recommended(run, "--likes 'film 3,film 5' -k 60")
        assert.equal(data.items - 2, #ids)
        for _, id in ipairs(ids) do assert.is_true(id ~= 3 and id ~= 5) end
      end)

      it('explains by paths from the user to the item', function()
        local item = recommended(run, "--user 'user 3' -k 1")[1]
        local answer = json.decode(prints(("explain %s --user 'user 3' --item 'film %d' --json")
          :format(run, item)))
        assert.is_true(#answer.paths > 0)
        for _, path in ipairs(answer.paths) do
          assert.equal(3, path.nodes[1].id)
          assert.equal(item, path.nodes[#path.nodes].id)
        end
      end)

      it('exports its parameters, and the vectors whose products are its scores', function()
        prints(('export %s --to %s/parameters.npz'):format(run, dir))
        assert.is_truthy(next((tk.load(dir .. '/parameters.npz'))))
        local code, _, why = shell.tinykg(('export %s --to %s/vectors.npz --vectors both')
          :format(run, dir))
        if code ~= 0 then
          assert.matches('does not score by the dot product', why)
          return
        end
        local vectors = tk.load(dir .. '/vectors.npz')
        local u, items = vectors.users:totable()[4], vectors.items:totable()
        local ids, scores = recommended(run, "--user 'user 3' -k 60")
        for k, id in ipairs(ids) do
          local product = 0
          for c, x in ipairs(u) do product = product + x * items[id + 1][c] end
          assert.near(product, scores[k], 1e-4 * math.max(1, math.abs(product)))
        end
      end)

      it('runs on the emulated GPU with the losses of the CPU', function()
        if not emulation.is_there() then return pending 'no emulated GPU' end
        local short = '--bits 2 --set epochs=1 --steps 2'
        local own = losses(train(name, name .. '-cpu', short))[1]
        local emulated = losses(train(name, name .. '-emu', short .. ' --device emu'))[1]
        assert.near(own, emulated, 1e-3 * math.max(1, math.abs(own)))
      end)
    end)
  end
end)
