--- Reads vectors with names from files:
---   .npz, .safetensors  as `tinykg export --vectors` writes them: a tensor users, items or
---                       entities [n, d], and texts user_names, item_names or entity_names
---   .tsv                as export writes them, or a name and its numbers per line, tabs between
---   .txt, .vec          word2vec's text: 'name v1 v2 ...' per line, blanks between, those in names
---                       written _; a first line of two whole numbers is skipped
local arrays = require 'tinykg.engine.arrays'
local json = require 'tinykg.base.json'
local must = require 'tinykg.base.must'
local read_file = require 'tinykg.base.read_file'
local store = require 'tinykg.store'
local utf8 = require 'tinykg.base.utf8'

local SINGULAR = {users = 'user', items = 'item', entities = 'entity'}

---@class Vectors
---@field names string[] ---@field d integer
---@field words boolean? whether blanks in names are written _
---@field values ffi.cdata* floats [#names, d]

local function of_tensors(path, kind)
  local tensors, about = must(store.read(path))
  local t, list = tensors[kind], tensors[SINGULAR[kind] .. '_names']
  list = list or (about or {})[SINGULAR[kind] .. '_names']
  if type(list) == 'string' then list = must(json.decode(list, path)) end
  if not t or t:rank() ~= 2 or type(list) ~= 'table' or #list ~= t:size(1) then
    error(('%s: it has no tensor %s [n, d] with %s_names, as tinykg export --vectors writes them')
      :format(path, kind, SINGULAR[kind]), 0)
  end
  return {names = list, d = t:size(2), values = t:values()}
end

--- The name and the text of the numbers of a line; nil: not of this kind.
local function parts_of(line, exported, kind)
  if not exported then return line:match('^([^\t]+)\t(.+)$') end
  local is, name, rest = line:match('^[^\t]*\t([^\t]*)\t[^\t]*\t([^\t]*)\t(.+)$')
  if is ~= SINGULAR[kind] then return nil end
  return name:match('^"(.*)"$') and name:sub(2, -2):gsub('""', '"') or name, rest
end

local function of_text(path, kind)
  local text = utf8.unmarked(must(read_file(path)))
  local tabs, rows, names, number, d = path:match('%.tsv$'), {}, {}, 0, nil
  local exported = text:match('^tensor\tkind\trow\tname\t')
  for line in text:gmatch('([^\n]*)\n?') do
    number = number + 1
    local name, rest
    if tabs then name, rest = parts_of(line, exported, kind)
    else name, rest = line:match('^(%S+)%s+(.+)$') end
    local head = number == 1 and (exported or line:match('^%d+ %d+%s*$'))
    if name and not head then
      local row = {}
      for cell in rest:gmatch('%S+') do
        row[#row + 1] = tonumber(cell)
          or error(("%s:%d: '%s' is not a number"):format(path, number, cell), 0)
      end
      d = d or #row
      if #row ~= d then
        error(('%s:%d: %d numbers, those before have %d'):format(path, number, #row, d), 0)
      end
      names[#names + 1], rows[#rows + 1] = name, row
    end
  end
  if #names == 0 then error(path .. ': it has no vectors of ' .. kind, 0) end
  local values = arrays.floats(#names * d)
  for i, row in ipairs(rows) do
    for k = 1, d do values[(i - 1) * d + k - 1] = row[k] end
  end
  return {names = names, words = not tabs, d = d, values = values}
end

--- Reads a file. Errors: one line. ---@param path string
---@param kind 'users'|'items'|'entities' ---@return Vectors
return function(path, kind)
  local ending = path:match('%.(%w+)$')
  if ending == 'npz' or ending == 'safetensors' then return of_tensors(path, kind) end
  return of_text(path, kind)
end
