--- Writes interactions and triples as tables of names, for RecBole's and plain files.

local texts = require 'tinykg.data.write.texts'

local tables = {}

--- Columns of a table of interactions beside user and item.
---@param has table<string, boolean>
---@param heads table<string, string> names of the columns in the file
---@return string[] head
---@return function[] cells each (rows, i) -> text
function tables.columns(has, heads)
  local head, cells = {}, {}
  for _, column in ipairs { 'labels', 'ratings', 'times', 'weights' } do
    if has[column] then
      head[#head + 1] = heads[column]
      local single = column ~= 'times'
      cells[#cells + 1] = function(rows, i) return texts.number(rows[column][i], single) end
    end
  end
  return head, cells
end

--- Writes rows of interactions; `last` ends each line.
---@param put fun(text: string)
---@param rows table
---@param names {users: table, items: table}
---@param cells function[]
---@param gap string
---@param last string
function tables.put_rows(put, rows, names, cells, gap, last)
  for i = 0, rows.n - 1 do
    local line = names.users[rows.users[i]] .. gap .. names.items[rows.items[i]]
    for k = 1, #cells do line = line .. gap .. cells[k](rows, i) end
    put(line .. last)
  end
end

--- Writes the triples, below a first line, to which `weight` is added if they have weights; no file
--- without triples.
---@param out tinykg.Out
---@param file string
---@param head string[]
---@param graph table
---@param names {entities: table, relations: table}
---@param gap string
---@param weight string
function tables.triples(out, file, head, graph, names, gap, weight)
  if graph.n == 0 then return end
  out:file(file, function(put)
    put(table.concat(head, gap) .. (graph.weights and gap .. weight or '') .. '\n')
    for i = 0, graph.n - 1 do
      put(names.entities[graph.heads[i]] .. gap .. names.relations[graph.relations[i]] .. gap
        .. names.entities[graph.tails[i]]
        .. (graph.weights and gap .. texts.number(graph.weights[i], true) or '') .. '\n')
    end
  end)
end

--- How many users and items have no row in the parts.
---@param data tinykg.Data
---@param parts table[]
---@return number users
---@return number items
function tables.without_rows(data, parts)
  local users, items = {}, {}
  for k, part in ipairs(parts) do
    users[k] = { ids = part.rows.users, n = part.rows.n }
    items[k] = { ids = part.rows.items, n = part.rows.n }
  end
  return texts.unused(data.users, users), texts.unused(data.items, items)
end

return tables
