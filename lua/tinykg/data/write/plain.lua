--- Plain CSV: interactions.csv with user, item, label, rating, timestamp and weight if known, and
--- split; kg.csv with head, relation, tail, and weight if known; items.csv and users.csv if these
--- two do not have everything. Names with commas or quotes are in quotes.

local tables = require 'tinykg.data.write.tables'
local texts = require 'tinykg.data.write.texts'

local plain = { name = 'plain' }

local HEADS = { labels = 'label', ratings = 'rating', times = 'timestamp', weights = 'weight' }

--- Names of the files that a set of this format may have.
---@return string[]
function plain.files()
  local names = {}
  for _, stem in ipairs { 'interactions', 'kg', 'triples', 'items', 'users' } do
    for _, ending in ipairs { '.tsv', '.csv', '.txt' } do names[#names + 1] = stem .. ending end
  end
  return names
end

-- A name in quotes if it would be read as another without.
local function quoted(name)
  local misread = name:find('[",\r\n]') or name:find('^[ \t]') or name:find('[ \t]$')
  return misread and '"' .. name:gsub('"', '""') .. '"' or name
end

--- An item's name as it is read again.
function plain.name_of(name) return name end

local function write_interactions(out, data, names, whole)
  local parts, has = texts.parts(data)
  local head, cells = tables.columns(has, HEADS)
  if not whole then head[#head + 1] = 'split' end
  out:file('interactions.csv', function(put)
    put(table.concat({ 'user', 'item', unpack(head) }, ',') .. '\n')
    if whole then
      return tables.put_rows(put, texts.whole(parts, data.users), names, cells, ',', '\n')
    end
    for _, part in ipairs(parts) do
      tables.put_rows(put, part.rows, names, cells, ',', ',' .. part.name .. '\n')
    end
  end)
end

-- Whether items.csv is needed: an item without a row, with a title, or with an entity of another
-- name.
local function items_needed(data, names, without_rows)
  if without_rows > 0 or data.names.items.titles then return true end
  for item = 0, data.items - 1 do
    if names.items[item] ~= names.entities[item] then return true end
  end
end

local function write_items(out, data, names)
  local titles = data.names.items.titles
  out:file('items.csv', function(put)
    put('item,entity' .. (titles and ',title' or '') .. '\n')
    for item = 0, data.items - 1 do
      local title = titles and ',' .. quoted(titles[item] or '') or ''
      put(names.items[item] .. ',' .. names.entities[item] .. title .. '\n')
    end
  end)
end

--- Writes the set. A note names entities and relations without a triple, which are left out.
---@param data tinykg.Data
---@param out tinykg.Out
---@param options {whole: boolean?} whole: no column with the split
function plain.write(data, out, options)
  texts.say_unused(data, out)
  local names = texts.all_names(data, out, quoted)
  write_interactions(out, data, names, options.whole)
  tables.triples(out, 'kg.csv', { 'head', 'relation', 'tail' }, data.graph, names, ',', 'weight')
  local users, items = tables.without_rows(data, (texts.parts(data)))
  if items_needed(data, names, items) then write_items(out, data, names) end
  if users > 0 then
    out:file('users.csv', function(put)
      put('user\n')
      for user = 0, data.users - 1 do put(names.users[user] .. '\n') end
    end)
  end
end

return plain
