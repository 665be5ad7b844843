--- The vectors of users and items by whose dot product a model scores, with their names, in files:
---   .npz          tensors users, items; texts user_names, item_names
---   .safetensors  the same tensors; metadata user_names, item_names, each a list as JSON
---   .tsv          as tinykg.query.export.tsv writes parameters
---   .txt, .vec    word2vec's text format, of either users or items: 'rows columns', then a line
---                 'name v1 v2 ...' each; a blank in a name is written _
local arrays = require 'tinykg.engine.arrays'
local atomic_file = require 'tinykg.base.atomic_file'
local evaluate = require 'tinykg.train.evaluate'
local format = require 'tinykg.base.format'
local json = require 'tinykg.base.json'
local must = require 'tinykg.base.must'
local ops = require 'tinykg.engine.ops'
local Ranker = require 'tinykg.nn.ranker'
local runtime = require 'tinykg.engine.runtime'
local step = require 'tinykg.engine.step'
local store = require 'tinykg.store'
local tables = require 'tinykg.base.tables'
local tensor = require 'tinykg.engine.tensor'
local tsv = require 'tinykg.query.export.tsv'
local utf8 = require 'tinykg.base.utf8'

local vectors = {}

local NAMES = {users = 'user_names', items = 'item_names'}

--- Rows of the parts of a table, side by side: [rows, d].
local function side_by_side(parts, rows)
  local chosen = tables.map(parts, function(part) return part:gather(rows) end)
  return #chosen == 1 and chosen[1] or ops.cat(chosen, 2)
end

--- The vectors of a model. Raises one line for a model that scores otherwise.
---@param run OpenRun
---@return {users: Tensor, items: Tensor} [users, d], [items, d]: score(u, i) = users[u] . items[i]
function vectors.of(run)
  local model, data = run.model, run.data
  if not model.ranked or model.rank ~= Ranker.rank or model.score ~= Ranker.score then
    error(('%s does not score by the dot product of one vector per user and one per item: it has '
      .. 'none to export'):format(run.recipe.name), 0)
  end
  local prepared, release = evaluate.prepare(model)
  local users, items, nodes = model:ranked(prepared)
  local function ids(n) return tensor.ids(arrays.range(n), n) end
  local of_users, of_items = nodes or ids(data.users), ids(data.items)
  local found = {users = step.no_grad(side_by_side, users, of_users),
                 items = step.no_grad(side_by_side, items, of_items)}
  release()
  return found
end

-- ---- word2vec's text ----

--- A name as a word. Refuses one that another has already.
local function word_of(name, seen)
  local word = name:gsub('%s', '_')
  if word == '' or seen[word] then
    error(("'%s': %s: in a word2vec file names are words: take .npz, .safetensors or .tsv"):format(
      name, word == '' and 'is no word' or 'is a name twice, with _ for blanks'), 0)
  end
  seen[word] = true
  return word
end

--- Writes a table of rows. ---@param t Tensor [n, d] ---@param names string[]
local function write_words(path, t, names)
  local seen, words, d = {}, {}, t:size(2)
  for i, name in ipairs(names) do words[i] = word_of(name, seen) end
  local values = t:values()
  must(atomic_file.write(path, function(file)
    local written, why = file:write(('%d %d\n'):format(#words, d))
    for i, word in ipairs(words) do
      if not written then break end
      if i % 256 == 0 then runtime.check_interrupt(true) end
      local cells = {word}
      for k = 1, d do cells[k + 1] = tsv.number(values[(i - 1) * d + k - 1]) end
      written, why = file:write(table.concat(cells, ' '), '\n')
    end
    return written, why
  end))
end

-- ---- files ----

--- Refuses names that would be equal in a file of UTF-8, where other bytes are U+FFFD.
---@return integer how many names have such bytes
local function check_utf8(path, list)
  local seen, count = {}, 0
  for _, name in ipairs(list) do
    local text = utf8.valid(name)
    if seen[text] then
      error(("%s: two names that are no UTF-8 would both be '%s' there: take .tsv, or make the "
        .. 'data set UTF-8 (iconv)'):format(path, format.line(text)), 0)
    end
    seen[text], count = true, count + (text ~= name and 1 or 0)
  end
  return count
end

--- Writes vectors; the ending of the path selects the format.
---@param run OpenRun ---@param path string ---@param kinds string[] 'users', 'items' or both
---@param all {users: Tensor, items: Tensor} of vectors.of
---@return string? note on names that the file does not have as they are
function vectors.write(run, path, kinds, all)
  local ending, chosen, names, replaced = path:match('%.(%w+)$'):lower(), {}, {}, 0
  for _, kind in ipairs(kinds) do
    local list, known = {}, run.data.names[kind]
    for i = 1, run.data[kind] do list[i] = known:name(i - 1) end
    chosen[kind], names[NAMES[kind]] = all[kind], list
    if ending == 'npz' or ending == 'safetensors' then
      replaced = replaced + check_utf8(path, list)
    end
  end
  if ending == 'tsv' then
    tsv.write(path, kinds, chosen, run.data)
  elseif ending == 'npz' then
    must(store.write(path, chosen, nil, {texts = names}))
  elseif ending == 'safetensors' then
    local about = {recipe = run.recipe.name}
    for name, list in pairs(names) do about[name] = json.encode(json.array(list)) end
    must(store.write(path, chosen, about))
  else
    write_words(path, chosen[kinds[1]], names[NAMES[kinds[1]]])
  end
  return replaced > 0 and ('%s no UTF-8: %s has U+FFFD for other bytes (.tsv has them as they are)')
    :format(format.count(replaced, 'name is', 'names are'), path) or nil
end

return vectors
