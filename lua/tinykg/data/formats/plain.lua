--- Plain tables: interactions.{tsv,csv,txt} with user, item [, rating or label][, timestamp] [,
-- split: train, valid or test], and kg.{tsv,csv,txt} or triples.* with head, relation, tail, or
-- kg.nt in N-Triples. All are names; an entity with the name of an item is that item. Two more
-- files are optional: items.* with item [, entity: its name in kg] [, title], and users.* with
-- user. Option `attributes` names more columns of items.* that become relations of the graph.
--
-- Option `columns` says which columns other files have, by name or by number (from 1):
--   columns = { user = 'uid', item = 'isbn', rating = 3, head = 1, relation = 2, tail = 3 }
-- The names of `user` and `item` hold in users.* and items.* too, if those have such a column.
-- A column of weights is read only if it is named there: `weight` of interactions, `triple_weight`
-- of the graph's triples.
-- If all columns used of a file are given by number, it has no header. A .csv is separated by
-- commas, or by semicolons if its first line has no comma. Interactions separated by '::' need no
-- header: user, item, rating, timestamp, as in MovieLens.

local attributes = require 'tinykg.data.formats.attributes'
local arrays = require 'tinykg.engine.arrays'
local tables = require 'tinykg.base.tables'
local files = require 'tinykg.data.formats.files'
local format = require 'tinykg.base.format'
local header = require 'tinykg.data.formats.header'
local link = require 'tinykg.data.formats.link'
local split = require 'tinykg.data.split'

local plain = { name = 'plain', looked_for = 'interactions.{tsv,csv,txt}', has_attributes = true,
  columns = { user = true, item = true, rating = true, label = true, timestamp = true, split = true,
    head = true, relation = true, tail = true, weight = true, triple_weight = true } }

local ENDINGS = { '.tsv', '.csv', '.txt' }
-- Files of graphs in formats that are not read.
local TRIPLES = '.nt'
local OTHER_GRAPHS = { '.ttl', '.rdf', '.owl', '.nq', '.trig', '.jsonld' }

local function with_endings(stems, endings)
  local list = {}
  for _, stem in ipairs(stems) do
    for _, ending in ipairs(endings) do list[#list + 1] = stem .. ending end
  end
  return list
end

-- The files of a graph, in the order in which they are looked for.
local GRAPHS = with_endings({ 'kg', 'triples' }, ENDINGS)
for _, name in ipairs(with_endings({ 'kg', 'triples' }, { TRIPLES })) do
  GRAPHS[#GRAPHS + 1] = name
end

-- The first of several files that exists; a warning names the others.
local function path_of(dir, candidates, raw)
  local found = files.all(dir, candidates)
  if #found > 1 then
    raw.warnings[#raw.warnings + 1] = ('%s is read, not %s: remove what is not meant'):format(
      found[1], table.concat(found, ', ', 2))
  end
  return files.find(dir, unpack(candidates))
end

--- How many files of this format a folder has; 0 without interactions.
---@param dir string
---@return number
function plain.score(dir)
  if #files.all(dir, with_endings({ 'interactions' }, ENDINGS)) == 0 then return 0 end
  local score = #files.all(dir, GRAPHS) > 0 and 2 or 1
  for _, stem in ipairs { 'items', 'users' } do
    if #files.all(dir, with_endings({ stem }, ENDINGS)) > 0 then score = score + 1 end
  end
  return score
end

-- The separator of fields. Spreadsheets of languages with a decimal comma write CSV with
-- semicolons.
local function separator_of(path, line)
  if path:match('%.tsv$') then return '\t' end
  if not path:match('%.csv$') then return files.separator_of(line) end
  if line:find('::', 1, true) and not line:find(',', 1, true) then return '::' end
  return line:find(';', 1, true) and not line:find('[,\t]') and ';' or ','
end

-- The layout of a file, as of header.layout, and its separator.
local function layout(path, wanted, o)
  local line = files.first_line(path)
  local separator = separator_of(path, line)
  local places = separator == '::' and o.places or nil
  return header.layout(path, files.fields(line, separator), wanted,
    { required = o.required, given = o.given, places = places }), separator
end

-- Reads the wanted fields. Returns the table and the column of each field.
local function read_table(path, wanted, dictionaries, o)
  local found, separator = layout(path, wanted, o)
  local taken = {}
  for field, dictionary in pairs(dictionaries) do
    if found.at[field] then taken[found.at[field]] = dictionary end
  end
  local read = files.read(path, { kinds = found.kinds, separator = separator, skip = found.skip,
    names = taken, may_be_empty = o.may_be_empty })
  return read, found.at, found.unread
end

-- Warns of a graph in a format that is not read.
local function warn_other_graphs(dir, raw)
  local others = files.all(dir, with_endings({ 'kg', 'triples' }, OTHER_GRAPHS))
  if #others == 0 then return false end
  raw.warnings[#raw.warnings + 1] = ('%s is not read: of RDF only N-Triples are, as kg%s (rapper '
    .. '-o ntriples, for instance, writes them)'):format(table.concat(others, ', '), TRIPLES)
  return true
end

-- Says how a column that is called weight is read, if it is not.
local function weight_hint(field, unread)
  local there = tables.any(unread, function(name) return name:lower() == 'weight' end)
  return there and (' (--data-set columns=%s:weight reads weights)'):format(field) or nil
end

local function read_graph_file(path, given, tokens, relations, raw)
  local dictionaries = { head = tokens, relation = relations, tail = tokens }
  if path:sub(-#TRIPLES) == TRIPLES then
    for _, field in ipairs { 'head', 'relation', 'tail', 'triple_weight' } do
      if given[field] then
        error(('option columns: %s: %s has no columns'):format(field, files.basename(path)), 0)
      end
    end
    local read = files.read(path, { kinds = 'sss', separator = '<', may_be_empty = true,
      names = { tokens, relations, tokens } })
    return read, { head = 1, relation = 2, tail = 3 }
  end
  local wanted = { head = 's', relation = 's', tail = 's', triple_weight = given.triple_weight
    and 'f' }
  local read, at, unread = read_table(path, wanted, dictionaries,
    { required = { 'head', 'relation', 'tail' }, given = given, may_be_empty = true })
  header.note_unread(raw, path, unread, weight_hint('triple_weight', unread))
  return read, at
end

local function read_graph(dir, given, tokens, relations, raw)
  local path, others = path_of(dir, GRAPHS, raw), warn_other_graphs(dir, raw)
  if not path then
    if given.triple_weight then error('option columns: triple_weight: there is no kg.csv', 0) end
    if not others then raw.no_graph = 'no kg.{tsv,csv,txt,nt}: the graph has no triples' end
    return files.triples()
  end
  local read, at = read_graph_file(path, given, tokens, relations, raw)
  return files.triples(read, at.head, at.relation, at.tail, at.triple_weight)
end

-- The name of the column of users or items in their file: that of option columns if the file has
-- it. Else nil: the field's own.
local function given_name(path, field, given)
  local name, line = given[field], files.first_line(path)
  local names = files.fields(line, separator_of(path, line))
  return type(name) == 'string' and tables.any(names, function(own)
    return own == name or own:lower() == name
  end) and name or nil
end

-- Adds the names of a file of users or items that no interaction has. Returns the table and its
-- columns; nil and a note without such a column, nil without the file.
local function read_side(dir, stem, wanted, dictionaries, raw, o)
  local field = stem:sub(1, -2)
  local path = path_of(dir, with_endings({ stem }, ENDINGS), raw)
  if not path then return nil end
  local given = { [field] = given_name(path, field, o.given) }
  if not layout(path, { [field] = 's' }, { given = given }).at[field] then
    raw.notes[#raw.notes + 1] = ('%s: not read: it has no column %s'):format(files.basename(path),
      field)
    return nil, nil, path
  end
  local read, at, unread = read_table(path, wanted, dictionaries,
    { required = { field }, given = given, may_be_empty = true })
  header.note_unread(raw, path, unread, o.hint and o.hint(unread))
  return read, at, path
end

-- The columns of items.* that option attributes names.
local function check_attributes(wanted, at, path)
  for _, name in ipairs(wanted) do
    if path and not at then
      error(('option attributes: %s is not read: it has no column item'):format(path), 0)
    end
    if not at or not at[name] then
      error(("option attributes: %s has no column '%s'"):format(path or 'items.{tsv,csv,txt}: it',
        name), 0)
    end
  end
end

local function attributes_hint(unread)
  return (' (--data-set attributes=%s makes relations of them)'):format(table.concat(unread, ','))
end

-- Reads items.*: the entity of each item (an empty field names none), its title, the columns that
-- are attributes.
local function read_items_file(dir, items, tokens, raw, options)
  local wanted_attributes = attributes.checked(options, { item = true, entity = true })
  local entities, titles = arrays.dictionary(), arrays.dictionary()
  local wanted = { item = 's', entity = 'e', title = 'S' }
  local dictionaries = { item = items, entity = entities, title = titles }
  for _, name in ipairs(wanted_attributes) do
    wanted[name] = wanted[name] or 'e' -- the title may be wanted already
    dictionaries[name] = dictionaries[name] or arrays.dictionary()
  end
  local read, at, path = read_side(dir, 'items', wanted, dictionaries, raw,
    { given = options.columns or {}, hint = attributes_hint })
  check_attributes(wanted_attributes, at, path)
  local links = link.none(items:count())
  if not read then return links, {} end
  local ids, entity = read:ids(at.item), at.entity and read:ids(at.entity)
  local title = at.title and read:ids(at.title)
  raw.titles = title and {} or nil
  for i = 0, read.n - 1 do
    local name = entity and entities:at(entity[i]) or ''
    if name ~= '' then link.add(links, ids[i], tokens:add(name)) end
    local text = title and titles:at(title[i])
    if text and text ~= '' then raw.titles[ids[i]] = text end
  end
  local found = {}
  for k, name in ipairs(wanted_attributes) do
    found[k] = { name = name, n = read.n, items = ids, values = read:ids(at[name]),
      texts = dictionaries[name] }
  end
  read:free()
  return links, found
end

-- The entity of each item: by items.*, else the one of its name.
local function read_items(dir, items, tokens, raw, options)
  local links, found = read_items_file(dir, items, tokens, raw, options)
  for item = 0, items:count() - 1 do
    local place = links.places[item] < 0 and tokens:find(items:at(item))
    if place and not links.taken[place] then link.add(links, item, place) end
  end
  if links.twice > 0 then
    raw.warnings[#raw.warnings + 1] =
      ('%s of items ignored: item or entity was there before'):format(
        format.count(links.twice, 'line'))
  end
  return links, found
end

local PART_OF = {}
for number, name in ipairs(split.parts) do PART_OF[name] = number - 1 end

-- The part of each row, from column split.
local function parts_of(read, column, dictionary)
  local parts, number_of = read:ids(column), {}
  for id = 0, dictionary:count() - 1 do number_of[id] = PART_OF[dictionary:at(id)] end
  for i = 0, read.n - 1 do
    local number = number_of[parts[i]]
    if not number then
      error(("%s: '%s' is not train, valid or test, column split (option split=ratio or another "
        .. 'method does without it)'):format(read:where(i), dictionary:at(parts[i])), 0)
    end
    parts[i] = number
  end
  return parts
end

-- The letters of the columns of numbers. A column that was not asked for, or a time that no split
-- needs, is not read if it has other texts.
local function number_kinds(options)
  local given = options.columns or {}
  local chosen = given.user or given.item
  local function kind(field, letter, needed)
    return (needed or given[field]) and letter or letter:upper()
  end
  return kind('rating', 'f', options.rating_threshold or not chosen),
    kind('label', 'f', not chosen), kind('timestamp', 't', split.by_time[options.split])
end

local function read_interactions(path, options, users, items, raw)
  local parts = not (options.split or options.ratios) and arrays.dictionary() or nil
  local wanted = { user = 's', item = 's', split = parts and 's' }
  wanted.rating, wanted.label, wanted.timestamp = number_kinds(options)
  wanted.weight = (options.columns or {}).weight and 'f'
  local read, at, unread = read_table(path, wanted, { user = users, item = items, split = parts },
    { required = { 'user', 'item' }, given = options.columns,
      places = { 'user', 'item', 'rating', 'timestamp' } })
  local part_of = at.split and parts_of(read, at.split, parts)
  local all = files.interactions(raw, read, at, 'user', 'item')
  all.parts = part_of
  header.note_unread(raw, path, unread, weight_hint('weight', unread))
  return all, read
end

--- Reads the set. tinykg.data describes what it returns.
---@param dir string
---@param options table
---@return table raw
function plain.load(dir, options)
  local raw = { notes = {}, warnings = {}, names = {}, split = 'ratio' }
  local path = path_of(dir, with_endings({ 'interactions' }, ENDINGS), raw)
  if not path then error(('%s/%s: no such file'):format(dir, plain.looked_for), 0) end
  local users, items = arrays.dictionary(), arrays.dictionary()
  local tokens, relations = arrays.dictionary(), arrays.dictionary()
  raw.all, raw.read = read_interactions(path, options, users, items, raw)
  local given = options.columns or {}
  read_side(dir, 'users', { user = 's' }, { user = users }, raw, { given = given })
  raw.graph = read_graph(dir, given, tokens, relations, raw)
  local links, found = read_items(dir, items, tokens, raw, options)
  attributes.add(raw, found, items, tokens, relations, links)
  if raw.graph.n == 0 then raw.warnings[#raw.warnings + 1] = raw.no_graph end
  link.arrange(raw, users, items, tokens, relations, links)
  raw.names.items.titles = raw.titles
  return raw
end

return plain
