--- The golden files of tests/golden: reading, their small graph as a data set, their batches.
local fixtures = require 'tests.support.fixtures'
local json = require 'tinykg.base.json'
local sets = require 'tests.support.sets'
local tensors = require 'tests.support.tensors'
local tk = require 'tinykg'

local golden = {}

--- Reads a golden file; the name has no `.json`.
function golden.read(name)
  local path = (os.getenv('TINYKG_HOME') or '.') .. '/tests/golden/' .. name .. '.json'
  return assert(json.decode(fixtures.bytes(path), path))
end

local function words(...)
  local lines, lists = {}, {...}
  for k = 1, #lists[1] do
    local row = {}
    for c, list in ipairs(lists) do row[c] = list[k] end
    lines[k] = table.concat(row, ' ')
  end
  return lines
end

--- Loads the small graph as a data set in KGAT's format, with all interactions in train.
---@param sizes table of the golden file
---@param users integer[] ---@param items integer[] of the interactions
---@param triples integer[][] heads, relations, tails
---@param test string[] lines of test.txt
function golden.data(sizes, users, items, triples, test)
  local train = {}
  for u = 0, sizes.users - 1 do train[u + 1] = tostring(u) end
  for k, u in ipairs(users) do train[u + 1] = train[u + 1] .. ' ' .. items[k] end
  return tk.data.load(fixtures.dir{
    ['train.txt'] = train, ['test.txt'] = test, ['kg_final.txt'] = words(unpack(triples)),
    ['item_list.txt'] = sets.id_list(sizes.items),
    ['entity_list.txt'] = sets.id_list(sizes.entities)}, {valid_ratio = 0})
end

--- Returns a batch to rank, of lists of users, positives and negatives.
function golden.batch(b)
  return {users = tk.ids(b.users), items = tk.ids(b.positives),
          negatives = tk.ids(b.negatives):reshape(-1, 1):keep()}
end

--- Fails unless both are equal to 1e-4 of the largest number; both are numbers or lists of lists.
function golden.near(want, got, what)
  tensors.near_largest(tensors.flat(want), tensors.flat(got), 1e-4, what)
end

return golden
