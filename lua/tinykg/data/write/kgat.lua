--- KGAT and KGIN: train.txt, test.txt and valid.txt (user item item ...), kg_final.txt, name lists.
--- A user's items ascend. valid.txt is a part of train.txt, as in KGAT-pytorch: programs without
--- validation train on all.

local tables = require 'tinykg.base.tables'
local lists = require 'tinykg.data.write.lists'
local rows = require 'tinykg.data.rows'
local split = require 'tinykg.data.split'
local texts = require 'tinykg.data.write.texts'

local kgat = { name = 'kgat', name_of = lists.name_of }

--- Names of the files that a set of this format may have.
---@return string[]
function kgat.files()
  return tables.append({ 'train.txt', 'valid.txt', 'valid1.txt', 'test.txt' }, lists.files)
end

local function write_part(out, file, csr)
  out:file(file, function(put)
    for user = 0, csr.rows - 1 do
      if csr:count(user) > 0 then
        put(('%d'):format(user))
        for i = csr.offsets[user], csr.offsets[user + 1] - 1 do put(' ' .. csr.items[i]) end
        put('\n')
      end
    end
  end)
end

--- Writes the set. A note names labels, ratings and times, which are left out.
---@param data tinykg.Data
---@param out tinykg.Out
function kgat.write(data, out)
  local _, has = texts.parts(data)
  has.weights = has.weights or data.graph.weights ~= nil
  texts.say_without(has, out, 'kgat', 'ratings', 'times', 'weights')
  local positive, left_out = {}, 0
  for _, name in ipairs(split.parts) do
    positive[name] = rows.positives(data[name])
    left_out = left_out + data[name].n - positive[name].n
  end
  if left_out > 0 then out:say('%d negatives are left out: kgat has no labels', left_out) end
  local train, valid, test = positive.train, positive.valid, positive.test
  write_part(out, 'train.txt', rows.csr(rows.concat { train, valid }, data.users))
  if valid.n > 0 then
    write_part(out, 'valid.txt', rows.csr(valid, data.users))
    out:say('valid.txt is a part of train.txt: what does not read it trains on both')
  end
  write_part(out, 'test.txt', rows.csr(test, data.users))
  lists.triples(data, out, ' ')
  lists.write(data, out, true)
end

return kgat
