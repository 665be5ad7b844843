--- KGAT and KGIN: train.txt and test.txt (user item item ...), kg_final.txt (head relation tail),
-- name lists. Item i is entity i; users are numbered apart.
-- Wang et al., "KGAT: Knowledge Graph Attention Network for Recommendation", KDD 2019.

local arrays = require 'tinykg.engine.arrays'
local files = require 'tinykg.data.formats.files'
local lists = require 'tinykg.data.formats.lists'
local sparse = require 'tinykg.data.formats.sparse'

local kgat = { name = 'kgat', looked_for = 'train.txt + test.txt', has_ids = true }

-- The folder of the split: derived/, if there is one, has a new split that is to be used.
local function folder_of(dir)
  for _, folder in ipairs { dir .. '/derived', dir } do
    if files.find(folder, 'train.txt') and files.find(folder, 'test.txt') then return folder end
  end
end

local FILES = { 'train.txt', 'test.txt', 'kg_final.txt', 'user_list.txt', 'item_list.txt',
  'entity_list.txt', 'relation_list.txt' }

--- How many files of this format a folder has, the two of the split counting as one, since other
--- formats have one of interactions. 0 without a split.
---@param dir string
---@return number
function kgat.score(dir)
  return folder_of(dir) and files.count({ dir .. '/derived', dir }, FILES) - 1 or 0
end

-- Reads lines of a user and items. Their columns are added to those of `spaces`.
local function read_lines(path, spaces)
  local read = files.check(arrays.ragged(path))
  local users, items = sparse.column(read, 1), sparse.column(read, 2)
  spaces.users[#spaces.users + 1], spaces.items[#spaces.items + 1] = users, items
  local found = { n = read.n, users = users.ids, items = items.ids }
  read:free()
  return found
end

local function read_graph(dir, folder, raw, spaces)
  local path = files.find(folder, 'kg_final.txt') or files.find(dir, 'kg_final.txt')
  if not path then
    raw.warnings[#raw.warnings + 1] = 'no kg_final.txt: the graph has no triples'
    return files.triples()
  end
  return lists.triples(path, spaces)
end

-- valid.txt, or valid1.txt of KGAT-pytorch, which is a part of train.txt.
local function read_valid(folder, options, raw, spaces)
  if options.valid_ratio then return end
  local path = files.find(folder, 'valid.txt', 'valid1.txt')
  if not path then return end
  raw.notes[#raw.notes + 1] = 'validation from ' .. path:match('[^/]+$')
  return read_lines(path, spaces)
end

local function find_folder(dir)
  local folder = folder_of(dir)
  for _, name in ipairs(folder and {} or { 'train.txt', 'test.txt' }) do
    if not files.find(dir, name) then error(('%s/%s: no such file'):format(dir, name), 0) end
  end
  return folder
end

--- Reads the set. tinykg.data describes what it returns.
---@param dir string
---@param options table
---@return table raw
function kgat.load(dir, options)
  local folder = find_folder(dir)
  local raw = { notes = {}, warnings = {}, names = {} }
  local spaces = { users = {}, items = {}, entities = {}, relations = {} }
  if folder ~= dir then raw.notes[1] = 'train and test from derived/' end
  raw.train = read_lines(files.find(folder, 'train.txt'), spaces)
  raw.test = read_lines(files.find(folder, 'test.txt'), spaces)
  raw.valid = read_valid(folder, options, raw, spaces)
  if raw.train.n == 0 then
    error(('%s: no interactions'):format(files.find(folder, 'train.txt')), 0)
  end
  raw.graph = read_graph(dir, folder, raw, spaces)
  lists.name(raw, lists.find(raw, folder, dir), spaces, options.ids)
  return raw
end

return kgat
