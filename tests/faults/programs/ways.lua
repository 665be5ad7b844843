--- The ways to run a program, and what each must agree with.
--
--   reference   double precision, up to rounding, forward and gradients
--   bits        the run in a plain step at 32 bits, bit by bit
--   forward     the same, forward values alone: gradients have noise
--   forward_reference   double precision, forward values alone
local ways = {}

ways.plain = {name = 'a step at 32 bits', agrees = 'reference', options = {}}

local function way(name, agrees, fields)
  fields.name, fields.agrees = name, agrees
  return fields
end

ways.all = {
  way('the second call', 'bits', {again = true, options = {}}),
  way('checked', 'bits', {options = {check = true}}),
  way('profiled', 'bits', {profiled = true, options = {}}),
  way('2 threads', 'bits', {threads = 2, options = {}}),
  way('3 threads', 'bits', {threads = 3, options = {}}),
  way('no_grad', 'forward_reference', {kind = 'no_grad'}), -- products may be of other rows
  way('outside of steps', 'reference', {kind = 'eager'}),
  way('tiles off', 'bits', {options = {tiles = false}}),
  way('fuse off', 'reference', {options = {fuse = false}}),
  way('rows off', 'reference', {options = {rows = false}}),
  way('save off', 'reference', {options = {save = false}}),
  way('all passes off', 'reference',
      {options = {save = false, fuse = false, rows = false, tiles = false}}),
  way('8 bits', 'forward', {options = {bits = 8, small = 0}}),
  way('4 bits', 'forward', {options = {bits = 4, small = 0}}),
  way('1 bit', 'forward', {options = {bits = 1, small = 0}}),
  way('2 bits, stochastic', 'forward', {options = {bits = 2, small = 0, rounding = 'stochastic'}}),
  way('2 bits, nearest', 'forward', {options = {bits = 2, small = 0, rounding = 'nearest'}}),
  way('2 bits of large values', 'forward', {options = {bits = 2}}),
}

ways.packed = way('2 bits', 'forward', {options = {bits = 2, small = 0}})

-- What must be the bits of ways.packed, gradients included.
ways.like_packed = {
  way('2 bits, 2 threads', 'bits', {threads = 2, options = {bits = 2, small = 0}}),
  way('2 bits, 3 threads', 'bits', {threads = 3, options = {bits = 2, small = 0}}),
  way('2 bits, profiled', 'bits', {profiled = true, options = {bits = 2, small = 0}}),
  way('2 bits, checked', 'bits', {options = {bits = 2, small = 0, check = true}}),
  way('2 bits, tiles off', 'bits', {options = {bits = 2, small = 0, tiles = false}}),
}

ways.emulated = {
  way('emu', 'reference', {device = 'emu', options = {}}),
  way('emu, 2 bits', 'forward_reference', {device = 'emu', options = {bits = 2, small = 0}}),
}

--- The options of a way as Lua text.
function ways.text(way_)
  local list = {}
  for _, key in ipairs{'bits', 'small', 'rounding', 'save', 'fuse', 'rows', 'tiles', 'check'} do
    local value = way_.options and way_.options[key]
    if value ~= nil then
      list[#list + 1] = type(value) == 'string' and ("%s = '%s'"):format(key, value)
        or ('%s = %s'):format(key, tostring(value))
    end
  end
  return '{' .. table.concat(list, ', ') .. '}'
end

return ways
