--- The op table, engine/base/ops.def, as specs read it: a list of {name, reads, rows, columns,
--- flags, shape, vjp, saved, traffic, flops}, also by name.
local table_of_ops = {}

local home = os.getenv 'TINYKG_HOME' or '.'
local file = assert(io.open(home .. '/engine/base/ops.def'))
local COLUMNS = 'X%([%u%d_]+,%s+"([%l%d_]+)",%s+"(.-)",%s+"(.-)",%s+"(.-)",%s+([%u_%s|0]+),'
  .. '%s+([%l%d_]+),%s+([%l%d_]+),%s+([%l%d_]+),%s+([%l_]+),%s+(%d+)%)'
local text = file:read('*a')
for name, reads, rows, columns, flags, shape, vjp, saved, traffic, flops in text:gmatch(COLUMNS) do
  local op = {name = name, reads = reads, rows = rows, columns = columns, flags = flags,
              shape = shape, vjp = vjp, saved = saved, traffic = traffic, flops = tonumber(flops)}
  table_of_ops[#table_of_ops + 1], table_of_ops[name] = op, op
end
file:close()

return table_of_ops
