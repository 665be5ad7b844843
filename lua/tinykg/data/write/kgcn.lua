--- KGCN and RippleNet: ratings_final.txt (user item label), kg_final.txt (head relation tail), and
--- name lists beside them, which those programs do not read.

local tables = require 'tinykg.base.tables'
local lists = require 'tinykg.data.write.lists'
local texts = require 'tinykg.data.write.texts'

local kgcn = { name = 'kgcn', name_of = lists.name_of }

--- Names of the files that a set of this format may have.
---@return string[]
function kgcn.files()
  return tables.append({ 'ratings_final.txt' }, lists.files)
end

--- Writes the set. A note names the split, ratings and times, which are left out.
---@param data tinykg.Data
---@param out tinykg.Out
function kgcn.write(data, out)
  local parts, has = texts.parts(data)
  has.weights = has.weights or data.graph.weights ~= nil
  texts.say_without(has, out, 'kgcn', 'ratings', 'times', 'weights')
  if #parts > 1 then
    out:say('the split is left out: kgcn has one file of ratings, split anew by whoever reads it')
  end
  if not has.labels then out:say('every interaction has label 1: the set has no negatives') end
  local all = texts.whole(parts, data.users)
  out:file('ratings_final.txt', function(put)
    for i = 0, all.n - 1 do
      local label = has.labels and all.labels[i] == 0 and '\t0\n' or '\t1\n'
      put(all.users[i] .. '\t' .. all.items[i] .. label)
    end
  end)
  lists.triples(data, out, '\t')
  lists.write(data, out)
end

return kgcn
