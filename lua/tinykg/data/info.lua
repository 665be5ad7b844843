--- Describes a loaded data set: counts, density, degrees, removed rows, warnings.

local tables = require 'tinykg.base.tables'
local arrays = require 'tinykg.engine.arrays'
local format = require 'tinykg.base.format'

local info = {}

-- Least, median, mean and largest of counts[0 .. n), and how many are zero.
local function spread(counts, n)
  if n == 0 then return { min = 0, median = 0, mean = 0, max = 0, none = 0 } end
  local csr = arrays.csr(n, arrays.ints(n), counts, 1)
  local sum, none = 0, 0
  for i = 0, n - 1 do
    sum = sum + counts[i]
    if counts[i] == 0 then none = none + 1 end
  end
  local low, high = csr.items[math.floor((n - 1) / 2)], csr.items[math.floor(n / 2)]
  return { min = csr.items[0], median = (low + high) / 2, mean = sum / n, max = csr.items[n - 1],
    none = none }
end

-- Counts the rows of each id that are no negatives, in counts[id].
local function count_rows(counts, part, ids)
  for i = 0, part.n - 1 do
    if not part.labels or part.labels[i] ~= 0 then counts[ids[i]] = counts[ids[i]] + 1 end
  end
end

local function positives(part)
  if not part.labels then return part.n end
  local n = 0
  for i = 0, part.n - 1 do n = n + part.labels[i] end
  return n
end

local function degrees(graph)
  local counts = arrays.ints(graph.nodes)
  for i = 0, graph.n - 1 do
    counts[graph.heads[i]] = counts[graph.heads[i]] + 1
    counts[graph.tails[i]] = counts[graph.tails[i]] + 1
  end
  return spread(counts, graph.nodes)
end

local function number(n)
  local text = ('%.0f'):format(n)
  repeat
    local count
    text, count = text:gsub('^(%d+)(%d%d%d)', '%1,%2')
  until count == 0
  return text
end

local function spread_line(what, s)
  return ('%-14s median %g, mean %.1f, largest %s%s'):format(what, s.median, s.mean, number(s.max),
    s.none > 0 and (', %s with none'):format(number(s.none)) or '')
end

local Info = {}

function Info:__tostring()
  local lines = {
    ('%s (%s, %s)'):format(self.name, self.format, self.task),
    ('%-14s %s'):format('users', number(self.users)),
    ('%-14s %s'):format('items', number(self.items)),
    ('%-14s %s, items included'):format('entities', number(self.entities)),
    ('%-14s %s'):format('relations', number(self.relations)),
    ('%-14s %s'):format('triples', number(self.triples)),
    ('%-14s %s positive%s, density %.3g %%'):format('interactions', number(self.positives),
      self.negatives > 0 and (', %s negative'):format(number(self.negatives)) or '',
      100 * self.density),
    ('%-14s train %s, valid %s, test %s (%s)'):format('split', number(self.train),
      number(self.valid), number(self.test), self.split),
    spread_line('per user', self.per_user),
    spread_line('per item', self.per_item),
    spread_line('graph degree', self.degree),
  }
  if self.features then
    lines[#lines + 1] = ('%-14s %s per item'):format('features', number(self.features))
  end
  lines[#lines + 1] = ('%-14s %s'):format('cache', self.cached)
  for _, note in ipairs(self.notes) do lines[#lines + 1] = ('%-14s %s'):format('note', note) end
  for _, text in ipairs(self.warnings) do
    lines[#lines + 1] = ('%-14s %s'):format('warning', text)
  end
  return table.concat(tables.map(lines, format.line), '\n')
end

--- Describes a data set. tostring() of the result is a summary of a dozen lines.
--  Fields: name format task split users items entities relations triples train valid test positives
--  negatives density, features (columns, if there are some), per_user per_item degree {min median
--  mean max none}, dropped {...}, notes, warnings (lists of lines), cached.
---@param data tinykg.Data
---@return table
function info.of(data)
  local users, items, found, all = arrays.ints(data.users), arrays.ints(data.items), 0, 0
  for _, part in ipairs { data.train, data.valid, data.test } do
    count_rows(users, part, part.users)
    count_rows(items, part, part.items)
    found, all = found + positives(part), all + part.n
  end
  return setmetatable({
    name = data.name, format = data.format, task = data.task, split = data.split,
    users = data.users, items = data.items, entities = data.entities, relations = data.relations,
    triples = data.graph.n, train = data.train.n, valid = data.valid.n, test = data.test.n,
    positives = found, negatives = all - found,
    density = found / math.max(data.users * data.items, 1),
    per_user = spread(users, data.users), per_item = spread(items, data.items),
    degree = degrees(data.graph),
    features = rawget(data, 'feature_rows') and data.feature_rows.columns,
    dropped = data.dropped, cached = data.cached, notes = data.notes, warnings = data.warnings,
  }, Info)
end

return info
