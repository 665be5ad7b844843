--- RecBole's atomic files: X.train.inter, X.valid.inter and X.test.inter (or X.inter, whole), X.kg,
--- X.link, and X.item and X.user if the interactions do not have everything. X is the name of the
--- folder.

local map = require('tinykg.base.tables').map
local files = require 'tinykg.data.formats.files'
local tables = require 'tinykg.data.write.tables'
local texts = require 'tinykg.data.write.texts'

local recbole = { name = 'recbole' }

local HEADS = { labels = 'label:float', ratings = 'rating:float', times = 'timestamp:float',
  weights = 'weight:float' }

--- Names of the files that a set of this format may have.
---@param dir string
---@return string[]
function recbole.files(dir)
  local stem = files.basename(dir)
  local endings = { 'inter', 'train.inter', 'valid.inter', 'test.inter', 'kg', 'link', 'item',
    'user' }
  return map(endings, function(ending) return stem .. '.' .. ending end)
end

local function no_tabs(name) return (name:gsub('[\t\r\n]', ' ')) end

--- An item's name as it is read again.
recbole.name_of = no_tabs

-- How many names have a character of a pattern.
local function count_names(data, character)
  local count = 0
  for _, kind in ipairs { 'users', 'items', 'entities', 'relations' } do
    local names = data.names[kind]
    for id = 0, names.count - 1 do
      if names:name(id):find(character) then count = count + 1 end
    end
  end
  return count
end

local function say_odd_names(data, out)
  local tabs, quotes = count_names(data, '[\t\r\n]'), count_names(data, '"')
  if tabs > 0 then out:say('%d names have tabs or line breaks: blanks stand for them', tabs) end
  if quotes > 0 then
    out:say('%d names have quotation marks, which RecBole takes for its own at the start of one',
            quotes)
  end
end

local function write_interactions(out, stem, data, names, whole)
  local parts, has = texts.parts(data)
  local head, cells = tables.columns(has, HEADS)
  local first = table.concat({ 'user_id:token', 'item_id:token', unpack(head) }, '\t') .. '\n'
  local function write(file, rows)
    out:file(file, function(put)
      put(first)
      tables.put_rows(put, rows, names, cells, '\t', '\n')
    end)
  end
  if whole then return write(stem .. '.inter', texts.whole(parts, data.users)) end
  local written = {}
  for k, part in ipairs(parts) do
    write(('%s.%s.inter'):format(stem, part.name), part.rows)
    written[k] = part.name
  end
  out:say('in RecBole: benchmark_filename: [%s]', table.concat(written, ', '))
end

local function write_names(out, file, field, names, titles)
  out:file(file, function(put)
    put(field .. ':token' .. (titles and '\ttitle:token_seq' or '') .. '\n')
    for id = 0, #names do -- from 0: one less than there are
      put(names[id] .. (titles and '\t' .. no_tabs(titles[id] or '') or '') .. '\n')
    end
  end)
end

--- Writes the set. A note names entities and relations without a triple, which are left out.
---@param data tinykg.Data
---@param out tinykg.Out
---@param options {whole: boolean?} whole: one file of interactions
function recbole.write(data, out, options)
  local stem = files.basename(out.dir)
  say_odd_names(data, out)
  texts.say_unused(data, out)
  local names = texts.all_names(data, out, no_tabs)
  write_interactions(out, stem, data, names, options.whole)
  tables.triples(out, stem .. '.kg', { 'head_id:token', 'relation_id:token', 'tail_id:token' },
    data.graph, names, '\t', 'weight:float')
  out:file(stem .. '.link', function(put)
    put('item_id:token\tentity_id:token\n')
    for item = 0, data.items - 1 do
      put(names.items[item] .. '\t' .. names.entities[item] .. '\n')
    end
  end)
  local users, items = tables.without_rows(data, (texts.parts(data)))
  local titles = data.names.items.titles
  if items > 0 or titles then
    write_names(out, stem .. '.item', 'item_id', names.items, titles)
  end
  if users > 0 then write_names(out, stem .. '.user', 'user_id', names.users) end
end

return recbole
