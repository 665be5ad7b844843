--- A tensor as text: a line of shape, device and statistics, then at most 3 + 3 rows and columns of
--- its numbers.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'

local function statistics(values, n)
  local sum, square, low, high, nans, count = 0, 0, math.huge, -math.huge, 0, 0
  for i = 0, n - 1 do
    local x = values[i]
    if x ~= x then nans = nans + 1
    else
      sum, square, count = sum + x, square + x * x, count + 1
      if x < low then low = x end
      if x > high then high = x end
    end
  end
  local mean = count > 0 and sum / count or 0 / 0
  local sd = count > 0 and math.sqrt(math.max(0, square / count - mean * mean)) or 0 / 0
  return mean, sd, low, high, nans
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
  local mean, sd, low, high, nans = statistics(values, n)
  local head = string.format('%s [%s] %s', t:dtype(), table.concat(shape, ', '),
                             ffi.string(C.tkg_tensor_device(t.kept)))
  if C.tkg_tensor_is_parameter(t.kept) ~= 0 then head = head .. ' parameter' end
  if C.tkg_tensor_bits(t.kept) == 16 then head = head .. ' in 16 bits' end
  if n > 0 then
    head = head .. string.format('  mean %.4g  sd %.4g  min %.4g  max %.4g', mean, sd, low, high)
    if nans > 0 then head = head .. '  NaN ' .. nans end
  end
  local lines, cols = {head}, shape[#shape] or 1
  for _, r in ipairs(listed(cols > 0 and n / cols or 0)) do
    lines[#lines + 1] = r and row_text(values, (r - 1) * cols, cols, integer) or '       ...'
  end
  return table.concat(lines, '\n')
end
