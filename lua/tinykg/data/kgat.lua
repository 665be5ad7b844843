--- KGAT and KGIN: train.txt and test.txt (user item item ...), kg_final.txt (head relation tail),
-- name lists. Item i is entity i; users are numbered apart.
-- Wang et al., "KGAT: Knowledge Graph Attention Network for Recommendation", KDD 2019.

local columns = require 'tinykg.columns'
local files = require 'tinykg.data.files'
local lists = require 'tinykg.data.lists'

local kgat = { name = 'kgat', looked_for = 'train.txt + test.txt' }

-- The folder of the split: derived/ has a re-split that is meant to be used instead.
local function folder_of(dir)
  for _, folder in ipairs { dir .. '/derived', dir } do
    if files.find(folder, 'train.txt') and files.find(folder, 'test.txt') then return folder end
  end
end

--- Whether a folder holds this format.
---@param dir string
---@return boolean
function kgat.probe(dir) return folder_of(dir) ~= nil end

local function read_lines(path)
  local read = files.check(columns.ragged(path))
  local found = {
    n = read.n,
    users = read:ids(1),
    items = read:ids(2),
    user_extent = read:extent(1),
    item_extent = read:extent(2),
  }
  read:free()
  return found
end

local function read_graph(dir, folder, raw)
  local path = files.find(folder, 'kg_final.txt') or files.find(dir, 'kg_final.txt')
  if not path then
    raw.warnings[#raw.warnings + 1] = 'no kg_final.txt: the graph has no triples'
    return { n = 0, heads = columns.ints(0), relations = columns.ints(0), tails = columns.ints(0) },
      0, 0
  end
  local read = files.read(path, { kinds = 'iii' })
  local graph = { n = read.n, heads = read:ids(1), relations = read:ids(2), tails = read:ids(3) }
  local entities = math.max(read:extent(1), read:extent(3))
  local relations = read:extent(2)
  read:free()
  return graph, entities, relations
end

-- valid.txt, or the valid1.txt of KGAT-pytorch, which is a part of train.txt.
local function read_valid(folder, options, raw)
  if options.valid_ratio then return end
  local path = files.find(folder, 'valid.txt', 'valid1.txt')
  if not path then return end
  raw.notes[#raw.notes + 1] = 'validation from ' .. path:match('[^/]+$')
  return read_lines(path)
end

--- Reads the set; what is returned is described in tinykg.data.
---@param dir string
---@param options table
---@return table raw
function kgat.load(dir, options)
  local folder = folder_of(dir)
  if not folder then
    for _, name in ipairs { 'train.txt', 'test.txt' } do
      if not files.find(dir, name) then error(('%s/%s: no such file'):format(dir, name), 0) end
    end
  end
  local raw = { notes = {}, warnings = {}, names = {} }
  if folder ~= dir then raw.notes[1] = 'train and test from derived/' end
  raw.train = read_lines(files.find(folder, 'train.txt'))
  raw.test = read_lines(files.find(folder, 'test.txt'))
  raw.valid = read_valid(folder, options, raw)
  if raw.train.n == 0 then
    error(('%s: no interactions'):format(files.find(folder, 'train.txt')), 0)
  end
  local named = lists.find(folder, dir)
  local users, items = lists.extent(named.users), lists.extent(named.items)
  for _, part in pairs { raw.train, raw.test, raw.valid } do
    users = math.max(users, part.user_extent)
    items = math.max(items, part.item_extent)
  end
  local entities, relations
  raw.graph, entities, relations = read_graph(dir, folder, raw)
  raw.users, raw.items = users, items
  raw.entities = math.max(items, entities, lists.extent(named.entities))
  raw.relations = math.max(relations, lists.extent(named.relations))
  for _, name in ipairs { 'users', 'items', 'entities', 'relations' } do
    raw.names[name] = lists.names(named[name], raw[name])
  end
  return raw
end

return kgat
