--- Writes parameters as a table: tensor, kind, row, name, v1, v2, ... A line is a row of a
--- parameter; a vector is one row; the rows of a stack of matrices follow one another. All lines
--- have as many cells as the widest parameter needs.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local format = require 'tinykg.base.format'
local atomic_file = require 'tinykg.base.atomic_file'
local must = require 'tinykg.base.must'
local rows = require 'tinykg.run.folder.row_names'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'

local tsv = {}

local floats, ints = ffi.typeof('float[?]'), ffi.typeof('int32_t[?]')
local single = floats(1)

--- A float32 with 8 digits if they are enough, as for .1, else 9. ---@return string
function tsv.number(x)
  local text = ('%.8g'):format(x)
  single[0] = tonumber(text)
  return single[0] == x and text or ('%.9g'):format(x)
end

-- Rows, columns, and rows per entry of the first dimension.
local function dimensions(t)
  local shape = t:size()
  if #shape < 2 then return 1, t:count(), 1 end
  local columns = shape[#shape]
  local n = columns > 0 and t:count() / columns or 0
  return n, columns, shape[1] > 0 and n / shape[1] or 1
end

local function widest(order, tensors)
  local most = 0
  for _, name in ipairs(order) do most = math.max(most, (select(2, dimensions(tensors[name])))) end
  return most
end

-- Writes the lines of one parameter; calls tick() after each. Returns nil, message on failure.
local function put_tensor(file, name, t, data, width, tick)
  local n, columns, each = dimensions(t)
  local namer = data and t:rank() >= 2 and rows.namer(name, n / each, data)
  local kept = tensor.realize(t)
  local memory = (t:dtype() == 'f32' and floats or ints)(math.max(columns, 1))
  local rest, cells = ('\t'):rep(width - columns), {}
  for row = 0, n - 1 do
    runtime.check(C.tkg_tensor_read(kept, memory, row * columns, columns))
    local kind, called = '', ''
    if namer then kind, called = namer(math.floor(row / each)) end
    for k = 1, columns do cells[k] = tsv.number(memory[k - 1]) end
    local ok, why = file:write(name, '\t', kind, '\t', ('%d'):format(row), '\t',
      format.cell(called), '\t', table.concat(cells, '\t', 1, columns), rest, '\n')
    if not ok then return nil, why end
    tick()
  end
  return true
end

--- Writes the parameters, whole or not at all. Raises a message on failure.
---@param path string
---@param order string[] their names, in the order wanted
---@param tensors table<string, Tensor>
---@param data? tinykg.Data for names of rows
---@param progress? fun(done: integer, total: integer) lines
function tsv.write(path, order, tensors, data, progress)
  local width, total, done = widest(order, tensors), 0, 0
  for _, name in ipairs(order) do total = total + dimensions(tensors[name]) end
  local function tick()
    done = done + 1
    if done % 256 == 0 then
      runtime.check_interrupt(true)
      if progress then progress(done, total) end
    end
  end
  must(atomic_file.write(path, function(file)
    local head = { 'tensor', 'kind', 'row', 'name' }
    for k = 1, width do head[#head + 1] = 'v' .. k end
    local written, why = file:write(table.concat(head, '\t'), '\n')
    for _, name in ipairs(order) do
      if not written then return nil, why end
      written, why = put_tensor(file, name, tensors[name], data, width, tick)
    end
    return written, why
  end))
end

return tsv
