--- What a step moves and launches, as text: a row per op, most bytes first.
local format = require 'tinykg.base.format'

local function cells(name, count, row)
  return {name, count and ('%.0f'):format(count) or '', ('%.0f'):format(row.launches),
          format.bytes(row.bytes), format.bytes(row.compulsory)}
end

---@param traffic table of Step:traffic, and `phase`, the name of the step's phase
---@return string
return function(traffic)
  local rows = {{'a step of ' .. traffic.phase, 'times', 'launches', 'moved', 'compulsory'}}
  for _, row in ipairs(traffic.ops) do
    rows[#rows + 1] = cells('  ' .. row.op, row.ops, row)
  end
  rows[#rows + 1] = cells('  together', nil, traffic)
  return format.table(rows)
end
