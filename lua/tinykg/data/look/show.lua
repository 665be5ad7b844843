--- Data sets as text, by name: what data:head(), data:user() and data:entity() give, and what
--- print shows of a part, the graph and a batch.
local format = require 'tinykg.base.format'
local json = require 'tinykg.base.json'
local look = require 'tinykg.data.look'
local must = require 'tinykg.base.must'
local tables = require 'tinykg.base.tables'

local show = {methods = {}} -- methods: of data sets

local methods = show.methods

local ROWS = 10 -- of each kind by default

local function label(one)
  return one.title and ('%s (%s)'):format(one.name, one.title) or one.name
end

--- A title with the number of rows there are, those that are given in columns, and how many are
--- left. ---@param cells fun(row: any): string[]
local function listed(title, list, all, cells)
  local lines = {format.line(('%s: %d'):format(title, all))}
  local rows = tables.map(list, function(row)
    return tables.append({' '}, tables.map(cells(row), format.line))
  end)
  if #rows > 0 then lines[2] = format.table(rows, function() return true end) end
  if #list < all then lines[#lines + 1] = ('... and %d more'):format(all - #list) end
  return table.concat(lines, '\n')
end

--- The first n entries of a list; all for 0.
local function first_of(list, n)
  return n == 0 and list or tables.first(list, n)
end

--- A table that print shows as the text of a function.
local function printable(t, text) return setmetatable(t, {__tostring = text}) end

local function interaction_cells(row)
  return {label(row.user), label(row.item), row.label and ('%g'):format(row.label)}
end

local function triple_cells(row) return {label(row.head), row.relation, label(row.tail)} end

--- The first rows of train and the first triples, by name. print shows them.
---@param n? integer of each; 10 by default, 0: all
---@return {interactions: table[], triples: table[]} {user, item, label} and {head, relation, tail}
function methods:head(n)
  local data, at_most = self, n or ROWS
  local interactions, triples = look.head(data, at_most == 0 and math.huge or at_most)
  return printable({interactions = json.array(interactions), triples = json.array(triples)},
                   function(t)
    return listed('interactions of train', t.interactions, data.train.n, interaction_cells) .. '\n'
      .. listed('triples', t.triples, data.graph.n, triple_cells)
  end)
end

--- What a user took, and in which part that is. Errors: an unknown name.
---@param name string|number by name, or by number from 0
---@param n? integer rows that print shows; 10 by default, 0: all
---@return {kind: string, id: integer, name: string, title: string?, history: table[]}
function methods:user(name, n)
  local one = must(look.user(self, name))
  local history = json.array(look.history(self, one.id))
  return printable(tables.merged(one, {history = history}), function(t)
    return listed(label(t) .. ' took', first_of(t.history, n or ROWS), #t.history, function(row)
      return {label(row.item), row.part}
    end)
  end)
end

--- The triples of an item or an entity, and who took it. Errors: an unknown name.
---@param name string|number by name or title, or by number from 0
---@param n? integer rows that print shows of each; 10 by default, 0: all
---@return {kind: string, id: integer, name: string, title: string?, triples: table[],
---  takers: table[]?}
function methods:entity(name, n)
  local one, shown = must(look.entity(self, name)), n or ROWS
  local triples = json.array(look.neighbours(self, one.id))
  local takers = one.kind == 'item' and json.array(look.takers(self, one.id)) or nil
  return printable(tables.merged(one, {triples = triples, takers = takers}), function(t)
    local text = listed(('%s (%s): triples'):format(label(t), t.kind), first_of(t.triples, shown),
                        #t.triples, function(row)
      return {row.inverse and '<-' or '->', row.relation, label(row.entity)}
    end)
    if not t.takers then return text end
    return text .. '\n' .. listed('taken by', first_of(t.takers, shown), #t.takers, function(row)
      return {label(row.user), row.part}
    end)
  end)
end

-- ---- parts, graphs and batches ----

--- Columns 'name: value' of the first rows. ---@param columns {[1]: string, [2]: fun(i): string}[]
local function table_of(title, n, columns)
  local rows = {tables.map(columns, function(column) return column[1] end)}
  for i = 0, math.min(n, ROWS) - 1 do
    rows[#rows + 1] = tables.map(columns, function(column) return format.line(column[2](i)) end)
  end
  local more = n > ROWS and ('\n... and %d more'):format(n - ROWS) or ''
  return format.line(title) .. '\n' .. format.table(rows, function() return true end) .. more
end

local function named(names, values)
  return function(i)
    local id = values[i]
    local title = names and names.titles and names.titles[id]
    return names and label{name = names:name(id), title = title} or ('%d'):format(id)
  end
end

local function part_text(part, what, names)
  local columns = {{'user', named(names.users, part.users)},
                   {'item', named(names.items, part.items)}}
  for _, column in ipairs{{'label', part.labels}, {'rating', part.ratings}, {'time', part.times},
                          {'weight', part.weights}} do
    if column[2] then
      columns[#columns + 1] = {column[1], function(i) return ('%.10g'):format(column[2][i]) end}
    end
  end
  return table_of(('%s: %s'):format(what, format.count(part.n, 'row')), part.n, columns)
end

local function graph_text(graph, names, items)
  local function entity(ids) -- items are the first entities, by their own names
    local as_item, as_entity = named(names.items, ids), named(names.entities, ids)
    return function(i) return (ids[i] < items and as_item or as_entity)(i) end
  end
  return table_of(format.count(graph.n, 'triple'), graph.n, {
    {'head', entity(graph.heads)}, {'relation', named(names.relations, graph.relations)},
    {'tail', entity(graph.tails)}, graph.weights and {'weight', function(i)
      return ('%.4g'):format(graph.weights[i])
    end}})
end

--- Lets print show the parts and the graph of a data set by name. ---@param data tinykg.Data
function show.attach(data)
  for _, name in ipairs{'train', 'valid', 'test'} do
    if data[name] then
      printable(data[name], function(part) return part_text(part, name, data.names) end)
    end
  end
  printable(data.graph, function(graph) return graph_text(graph, data.names, data.items) end)
end

local names_of = setmetatable({}, {__mode = 'k'}) -- of batches of a data set

local Batch = {}

--- Its first rows, by name if they are of a data set, else by number.
function Batch:__tostring()
  local names = names_of[self] or {}
  local columns = {{'user', named(names.users, (self.users:values()))},
                   {'item', named(names.items, (self.items:values()))}}
  if self.labels then
    local labels = self.labels:values()
    columns[3] = {'label', function(i) return ('%g'):format(labels[i]) end}
  end
  if self.weights then
    local weights = self.weights:values()
    columns[#columns + 1] = {'weight', function(i) return ('%.3g'):format(weights[i]) end}
  end
  if self.negatives then
    local each, values = self.negatives:size(2), self.negatives:values()
    local name = named(names.items, values)
    columns[#columns + 1] = {'not taken', function(i)
      local list = {}
      for k = 0, math.min(each, 3) - 1 do list[k + 1] = name(i * each + k) end
      return table.concat(list, ', ') .. (each > 3 and ', ...' or '')
    end}
  end
  return table_of(('batch %d: %s'):format(self.number or 1, format.count(self.n, 'row')), self.n,
                  columns)
end

--- Lets print show a batch. Returns it.
function show.batch(batch) return setmetatable(batch, Batch) end

--- Batches of an iterator, which print shows by the names of a data set.
---@param iterate fun(): table? ---@param names table ---@return fun(): table?
function show.named_batches(iterate, names)
  return function()
    local batch = iterate()
    if batch then names_of[batch] = names end
    return batch
  end
end

return show
