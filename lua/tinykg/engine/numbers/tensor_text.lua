--- A tensor as text: a line of shape, device and statistics, then at most 3 + 3 rows and columns of
--- its numbers.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'

--- Mean, smallest and largest of the numbers that are no NaN, and how many those are.
local function extremes(values, n)
  local sum, low, high, count = 0, math.huge, -math.huge, 0
  for i = 0, n - 1 do
    local x = values[i]
    if x == x then
      sum, count = sum + x, count + 1
      if x < low then low = x end
      if x > high then high = x end
    end
  end
  return sum / count, low, high, count
end

--- Standard deviation of the numbers that are no NaN.
local function deviation(values, n, mean, count)
  local square = 0
  for i = 0, n - 1 do
    local x = values[i]
    if x == x then square = square + (x - mean) ^ 2 end
  end
  return math.sqrt(square / count)
end

--- Figures of n numbers as text.
local function statistics(values, n)
  local mean, low, high, count = extremes(values, n)
  local text = ''
  if count > 0 then
    text = ('  mean %.4g  sd %.4g  min %.4g  max %.4g')
      :format(mean, deviation(values, n, mean, count), low, high)
  end
  return count < n and text .. '  NaN ' .. n - count or text
end

local function listed(n)
  local list = {}
  for i = 1, n do
    if n <= 6 or i <= 3 or i > n - 3 then list[#list + 1] = i
    elseif i == 4 then list[#list + 1] = false end
  end
  return list
end

local function row_text(values, first, cols, integer)
  local cells = {}
  for _, c in ipairs(listed(cols)) do
    cells[#cells + 1] = not c and '  ...' or integer and string.format('%8d', values[first + c - 1])
      or string.format('%10.4g', values[first + c - 1])
  end
  return table.concat(cells, ' ')
end

---@param t Tensor with values ---@return string
return function(t)
  local values, n = t:values()
  local shape, integer = t:size(), t:dtype() == 'i32'
  local head = string.format('%s [%s] %s', t:dtype(), table.concat(shape, ', '),
                             ffi.string(C.tkg_tensor_device(t.kept)))
  if C.tkg_tensor_is_parameter(t.kept) ~= 0 then head = head .. ' parameter' end
  if C.tkg_tensor_bits(t.kept) == 16 then head = head .. ' in 16 bits' end
  local lines, cols = {head .. statistics(values, n)}, shape[#shape] or 1
  for _, r in ipairs(listed(cols > 0 and n / cols or 0)) do
    lines[#lines + 1] = r and row_text(values, (r - 1) * cols, cols, integer) or '       ...'
  end
  return table.concat(lines, '\n')
end
