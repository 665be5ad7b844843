--- Option `pretrained` of all recipes: rows of the model's tables begin as vectors of a file, which
--- go by name. Rows that the file lacks begin as they would without it.
local vectors_file = require 'tinykg.train.start.vectors_file'

--- The table of a model with rows of a kind, and its row of an id. Users, items and entities may
--- have a table each; item i is entity i; or all are nodes of one graph (tk.nn.Ranker).
local function table_of(model, data, kind)
  local function of(field) return type(model[field]) == 'table' and model[field].weight end
  local own = of(kind)
  if own and own:rank() == 2 and own:size(1) >= data[kind] then
    return own, function(id) return id end
  end
  if kind == 'items' and of('entities') then return of('entities'), function(id) return id end end
  local nodes = of('nodes')
  if not nodes then return nil end
  if kind == 'users' then
    local row_of = model.user_nodes and model.user_nodes:values()
    return row_of and nodes, row_of and function(id) return row_of[id] end
  end
  local fits = nodes:size(1) >= data[kind] + (kind == 'entities' and model.user_nodes
                                              and data.users or 0)
  return fits and nodes or nil, function(id) return id end
end

--- Returns a function that finds the number of a name among users, items or entities.
---@param words boolean? whether blanks in names are written _
local function finder(data, kind, words)
  local names, by_word = data.names[kind], {}
  for id = words and names.count - 1 or -1, 0, -1 do
    by_word[(names:name(id):gsub('%s', '_'))] = id
  end
  return function(name)
    return names:id(name) or kind == 'entities' and data.names.items:id(name) or by_word[name]
  end
end

local function check_finite(path, vectors, at)
  for k = at, at + vectors.d - 1 do
    local x = vectors.values[k]
    if x - x ~= 0 then
      error(("%s: the vector of '%s' has %g"):format(path, vectors.names[at / vectors.d + 1], x), 0)
    end
  end
end

--- Writes the vectors of one file. ---@return integer found how many rows
local function load(model, data, kind, path)
  local vectors = vectors_file(path, kind)
  local t, row_of = table_of(model, data, kind)
  if not t then
    error(('option pretrained: the model has no table of %s'):format(kind), 0)
  elseif t:size(2) ~= vectors.d then
    error(('option pretrained: %s has vectors of %d numbers, the model\'s %s have %d'):format(
      path, vectors.d, kind, t:size(2)), 0)
  end
  local found, find = 0, finder(data, kind, vectors.words)
  for i, name in ipairs(vectors.names) do
    local id, at = find(name), (i - 1) * vectors.d
    if id then
      check_finite(path, vectors, at)
      t:write(vectors.values + at, row_of(id) * vectors.d, vectors.d)
      found = found + 1
    end
  end
  if found == 0 then
    error(("option pretrained: none of the %d names in %s is one of the data set's %s, '%s' for "
             .. 'one'):format(#vectors.names, path, kind, vectors.names[1]), 0)
  end
  return found
end

local KINDS = {users = true, items = true, entities = true}

--- Reads the files of the option. Errors: one line. ---@param model Module just built
---@param data tinykg.Data ---@param text string 'users:FILE,entities:FILE'; '': nothing
---@return table<string, integer> found rows by kind
return function(model, data, text)
  local found = {}
  for item in text:gmatch('[^,]+') do
    local kind, path = item:match('^%s*(%a+):(.+)$')
    if not KINDS[kind] then
      error(("option pretrained: '%s' is not users:FILE, items:FILE or entities:FILE"):format(item),
            0)
    end
    found[kind] = load(model, data, kind, path)
  end
  return found
end
