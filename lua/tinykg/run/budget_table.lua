--- What was chosen to make a run fit, as a table: what it was, what it saves, what it costs.
local budget = require 'tinykg.train.budget'
local format = require 'tinykg.base.format'
local gpu_memory = require 'tinykg.engine.gpu_memory'

local budget_table = {}

--- '+3.1 %' for .031.
local function percent(share)
  return share == 0 and '0 %' or ('%+.1f %%'):format(100 * share)
end

local function choices(choice)
  local rows = {{'to fit', 'from', 'to', 'saves', 'moved per epoch'}}
  for _, row in ipairs(choice.rows) do
    rows[#rows + 1] = {'  ' .. row.name, row.from, row.to, format.bytes(row.saved),
                       percent(row.moved)}
  end
  return format.table(rows)
end

local MOVED = 'moved: bytes that the ops of an epoch read and write, an estimate of its time.\n'
local TILES = 'Row-wise ops run on %s of %s threads.\n'

local ACCURACY = {optimizer_bits = true, ['bits of saved values'] = true}

--- What the choices cost, in time and accuracy.
local function note_of(choice)
  local list, note = {}, MOVED
  for _, row in ipairs(choice.rows) do
    if ACCURACY[row.name] then list[#list + 1] = row.name end
    if row.name == budget.TILES then note = note .. TILES:format(row.to, row.from) end
  end
  if #list == 0 then return note .. 'No choice changes what is learned, but for rounding.' end
  return note .. 'Only ' .. table.concat(list, ' and ') .. ' may change accuracy.'
end

--- Values that have other bits than the most have, by phase and name.
local function values(choice)
  local rows = {{'bits of saved values', 'op', 'shape', 'bits'}}
  for _, phase in ipairs(choice.plan.phases) do
    local own, seen = (choice.value_bits or {})[phase.name], {}
    for _, value in ipairs(own and phase.values or {}) do
      if own[value.value] and not seen[value.value] then
        seen[value.value] = true
        rows[#rows + 1] = {'  ' .. value.value, value.op, table.concat(value.shape, 'x'),
                           tostring(own[value.value])}
      end
    end
  end
  rows[#rows + 1] = {'  all others', '', '', tostring(choice.bits)}
  return format.table(rows, function(column) return column < 4 end)
end

--- What a GPU needs beside the run.
local function beside(choice)
  local rows = {
    {'on the GPU', ''},
    {"  the driver's context, at most", format.bytes(gpu_memory.CONTEXT)},
    {"  cuBLAS's workspace", format.bytes(gpu_memory.WORKSPACE)},
    {('  whole pages for %d large blocks, at most'):format(choice.plan.blocks),
     format.bytes(choice.plan.blocks * gpu_memory.PAGE)},
    {'  the run', format.bytes(choice.plan.memory.peak)}}
  local cusparse = choice.plan.cusparse
  if cusparse > 0 then
    table.insert(rows, 4, {"  cuSPARSE's matrices, at most", format.bytes(cusparse)})
  end
  return format.table(rows)
end

--- The choice as text. ---@param choice Choice ---@return string
function budget_table.text(choice)
  local parts, room = {}, choice.room
  if room.device then parts[#parts + 1] = beside(choice) end
  if #choice.rows > 0 then
    parts[#parts + 1] = choices(choice)
    if choice.value_bits then parts[#parts + 1] = values(choice) end
    parts[#parts + 1] = note_of(choice)
  end
  parts[#parts + 1] = choice.refusal or ('the run takes %s of %s%s'):format(
    format.bytes(room.takes(choice.plan)), budget.name_of(room),
    #choice.rows == 0 and ': nothing needs to change' or '')
  return table.concat(parts, '\n\n')
end

return budget_table
