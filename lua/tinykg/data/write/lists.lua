--- Name lists of the KGAT family and files of plain ids, which KGAT and KGCN share.

local lists = {}

local function any_name(names, pattern)
  for id = 0, names.count - 1 do
    if names:name(id):find(pattern) then return true end
  end
end

local function one_field(name) return (name:gsub('[\t\r\n]+', ' ')) end

--- A name as it is read again.
lists.name_of = one_field

-- Writes a list of names and ids; `more` is the third column.
local function list(out, file, names, more)
  local gap, tabs = ' ', any_name(names, '%s') or (more and any_name(more, '%s'))
  if tabs then
    gap = '\t'
    out:say('%s: some names have blanks, so its columns are separated by tabs', file)
  end
  out:file(file, function(put)
    if any_name(names, '[\t\r\n]') then
      out:say('%s: some names have tabs or line breaks: blanks stand for them', file)
    end
    put(table.concat({ 'org_id', 'remap_id', more and 'freebase_id' }, gap) .. '\n')
    for id = 0, names.count - 1 do
      local last = more and gap .. one_field(more:name(id)) or ''
      put(one_field(names:name(id)) .. gap .. ('%d'):format(id) .. last .. '\n')
    end
  end)
end

lists.files = { 'user_list.txt', 'item_list.txt', 'entity_list.txt', 'relation_list.txt',
  'kg_final.txt' }

--- Writes user_list.txt, item_list.txt, entity_list.txt and relation_list.txt.
---@param data tinykg.Data
---@param out tinykg.Out
---@param with_entities boolean? the items' entities in item_list.txt too, as KGAT has them
function lists.write(data, out, with_entities)
  local names = data.names
  list(out, 'user_list.txt', names.users)
  list(out, 'item_list.txt', names.items, with_entities and names.entities or nil)
  list(out, 'entity_list.txt', names.entities)
  list(out, 'relation_list.txt', names.relations)
  if names.items.titles then
    out:say('titles of items are left out: the lists have one name each')
  end
end

--- Writes kg_final.txt: ids of head, relation and tail; no file without triples.
---@param data tinykg.Data
---@param out tinykg.Out
---@param gap string
function lists.triples(data, out, gap)
  local graph = data.graph
  if graph.n == 0 then return end
  out:file('kg_final.txt', function(put)
    for i = 0, graph.n - 1 do
      put(graph.heads[i] .. gap .. graph.relations[i] .. gap .. graph.tails[i] .. '\n')
    end
  end)
end

return lists
