--- Begins a run with the parameters of another one, whose data set had fewer users, items, entities
--- or relations (`tinykg run --extend RUN`): rows go by name, new ones begin at random, and all
--- other parameters are copied.
local config_of = require 'tinykg.run.folder'
local names = require 'tinykg.run.folder.names'
local parameters = require 'tinykg.run.folder.parameters'
local row_names = require 'tinykg.run.folder.row_names'
local must = require 'tinykg.base.must'
local store = require 'tinykg.store'

--- Counts and names of the data set of a run. Errors: a run of an older version.
local function data_of(path)
  local config = config_of.config(path)
  local all = names.read(path, config)
  if not all then
    error(path .. ': its run is of an older version, which did not note its names', 0)
  end
  local was = config.data_set
  return {users = was.users, items = was.items, entities = was.entities,
          relations = was.relations, names = all}
end

local function rows_and_size(t)
  local size = t:size()
  return size[1], t:count() / math.max(size[1], 1)
end

--- 'kind name' of each row of a parameter; nil where they have no certain names. Relations that the
--- data set does not name, such as inverses, are known by their place if relations are the same.
---@param fixed boolean whether they are
local function named_rows(name, n, data, fixed)
  local namer, found = row_names.namer(name, n, data), {}
  for row = 0, namer and n - 1 or -1 do
    local kind, called = namer(row)
    if called ~= '' then found[row] = kind .. '\n' .. called
    elseif fixed then found[row] = ('%s %d'):format(kind, row) end
  end
  return namer and found
end

local function same_relations(before, now)
  if before.relations ~= now.relations then return false end
  for id = 0, now.relations - 1 do
    if before.names.relations:name(id) ~= now.names.relations:name(id) then return false end
  end
  return true
end

--- Copies rows of the same names. ---@return integer known rows ---@return integer of how many
local function copy_rows(path, name, from, to, before, now)
  local old_n, width = rows_and_size(from)
  local n, new_width = rows_and_size(to)
  local fixed = same_relations(before, now)
  local old, new = named_rows(name, old_n, before, fixed), named_rows(name, n, now, fixed)
  if not old or not new or width ~= new_width then
    error(('%s: %s is [%s] there and [%s] here, and its rows have no names to go by'):format(path,
      name, table.concat(from:size(), ', '), table.concat(to:size(), ', ')), 0)
  end
  local row_of, known, values = {}, 0, from:values()
  for row = 0, old_n - 1 do
    if old[row] then row_of[old[row]] = row end
  end
  for row = 0, n - 1 do
    local at = new[row] and row_of[new[row]]
    if at then
      to:write(values + at * width, row * width, width)
      known = known + 1
    end
  end
  return known, n
end

local function same_shape(a, b)
  return table.concat(a:size(), ' ') == table.concat(b:size(), ' ')
end

--- Whether each row has the name that it had.
local function same_rows(name, n, before, now)
  local fixed = same_relations(before, now)
  local old, new = named_rows(name, n, before, fixed), named_rows(name, n, now, fixed)
  for row = 0, old and new and n - 1 or -1 do
    if old[row] ~= new[row] then return false end
  end
  return true
end

--- Writes the parameters of a run's best epoch into a model. Errors: one line.
---@param path string the folder of the run ---@param model Module just built
---@param data tinykg.Data of the model ---@return string what was done, for people
return function(path, model, data)
  local before, file = data_of(path), path .. '/best.safetensors'
  local all, lines = must(store.read(file)), {}
  for _, p in ipairs(model:named_parameters()) do
    local from = all[p.name]
    if not from then parameters.copy(file, p.name, nil, p.tensor) end -- its message
    local n = rows_and_size(p.tensor)
    if same_shape(from, p.tensor) and same_rows(p.name, n, before, data) then
      p.tensor:copy(from)
    else
      local known, rows = copy_rows(file, p.name, from, p.tensor, before, data)
      lines[#lines + 1] = ('%s %d of %d rows'):format(p.name, known, rows)
    end
  end
  for _, t in pairs(all) do t:free() end
  return ('begins as %s: %s'):format(path, #lines > 0 and table.concat(lines, ', ')
                                     or 'all parameters')
end
