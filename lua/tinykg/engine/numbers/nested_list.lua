--- Turns nested tables of numbers into a shape and a flat list. Errors: rows that differ in length,
--- more than four dimensions, what is no number.
local runtime = require 'tinykg.engine.runtime'
local fail = runtime.fail

local MOST_DIMENSIONS = 4

--- Errors: a tensor, or another object with a class.
local function check_no_object(x)
  if type(x) == 'table' and getmetatable(x) then
    fail('expected numbers, found a tensor or another object: tk.stack and tk.cat join tensors')
  end
end

---@param list table ---@return integer[] shape ---@return number[] numbers, row by row
return function(list)
  local shape, flat = {}, {}
  local level = list
  while type(level) == 'table' do
    if #shape == MOST_DIMENSIONS then fail('a tensor has at most 4 dimensions') end
    check_no_object(level)
    shape[#shape + 1] = #level
    level = level[1]
  end
  local function add(x, d)
    if d > #shape then
      check_no_object(x)
      if type(x) ~= 'number' then fail('expected a number, found %s', type(x)) end
      flat[#flat + 1] = x
      return
    end
    if type(x) ~= 'table' or #x ~= shape[d] then
      fail('rows differ in length: expected %d, found %s', shape[d],
           type(x) == 'table' and #x or type(x))
    end
    for i = 1, #x do add(x[i], d + 1) end
  end
  add(list, 1)
  return shape, flat
end
