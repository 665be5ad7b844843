--- Curves, drawn by gnuplot as text in the terminal or into an .svg or .png file.
local posix = require 'tinykg.base.posix'
local read_file = require 'tinykg.base.read_file'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'
local fail = runtime.fail

local FORMATS = {
  svg = "set terminal svg noenhanced size 800,500 background 'white'",
  png = 'set terminal png noenhanced size 800,500',
}
local LOGS = {x = 'x', y = 'y', xy = 'xy', [true] = 'y'}

-- ---- arguments ----

--- A list of numbers, or a tensor that is a vector, as a Lua list.
local function numbers(what, values)
  if tensor.is(values) then
    if values:rank() > 0 and values:count() ~= values:size(1) then
      fail('plot: %s: a tensor [%s], expected a vector: draw a column with narrow, or reshape(-1)',
           what, table.concat(values:size(), ', '))
    end
    return values:reshape(-1):totable()
  end
  if type(values) ~= 'table' then
    fail('plot: %s: a %s, expected a list of numbers or a tensor', what, type(values))
  end
  for i = 1, #values do
    if type(values[i]) ~= 'number' then
      fail('plot: %s: element %d is a %s, expected a number', what, i, type(values[i]))
    end
  end
  return values
end

local function is_options(t)
  if type(t) ~= 'table' or tensor.is(t) or #t > 0 then return false end
  for _, value in pairs(t) do
    if type(value) == 'table' then return false end
  end
  return true
end

--- Series {name, ys} in the order of their names; a single one needs no name.
local function series_of(ys)
  if tensor.is(ys) or type(ys) ~= 'table' or next(ys) == nil or #ys > 0 then
    return {{ys = numbers('y', ys)}}
  end
  local list = {}
  for name, values in pairs(ys) do
    list[#list + 1] = {name = tostring(name), ys = numbers(tostring(name), values)}
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

local function is_finite(x) return x - x == 0 end

--- Sets s.points, pairs of numbers or false for a gap, and returns how many were left out.
local function set_points(s, xs, log)
  if xs and #xs ~= #s.ys then
    fail('plot: %d values of x and %d of %s', #xs, #s.ys, s.name or 'y')
  end
  local points, left_out, drawn = {}, 0, 0
  for i, y in ipairs(s.ys) do
    local x = xs and xs[i] or i
    local shown = is_finite(x) and is_finite(y) and not (log:find('x') and x <= 0)
      and not (log:find('y') and y <= 0)
    points[i] = shown and {x, y}
    if shown then drawn = drawn + 1 else left_out = left_out + 1 end
  end
  if drawn == 0 then fail('plot: %s: there is no number to draw', s.name or 'y') end
  s.points, s.drawn = points, drawn
  return left_out
end

-- ---- gnuplot's side ----

local function quoted(text)
  return "'" .. tostring(text):gsub('[%c]', ' '):gsub("'", "''") .. "'"
end

--- Sets a range if all values are equal, which gnuplot would complain about.
local function range_of(axis, all, k)
  local low, high = math.huge, -math.huge
  for _, s in ipairs(all) do
    for _, p in ipairs(s.points) do
      if p then low, high = math.min(low, p[k]), math.max(high, p[k]) end
    end
  end
  if low ~= high then return '' end
  local by = low == 0 and 1 or math.abs(low) / 2
  return ('set %srange [%.9g:%.9g]\n'):format(axis, low - by, high + by)
end

--- The terminal's size; 79 x 24 if unknown.
local function window()
  local rows, columns = posix.window(1)
  if not rows or columns < 20 or rows < 10 then return 79, 24 end
  return columns - 1, rows - 3
end

local function program(all, o, output)
  local format = o.file and FORMATS[o.file:match('%.(%w+)$')]
  local text = {format or ('set terminal dumb noenhanced size %d,%d'):format(window()),
                'set output ' .. quoted(output)}
  local function add(...) text[#text + 1] = string.format(...) end
  for k, s in ipairs(all) do
    add('$data%d << end', k)
    for _, p in ipairs(s.points) do
      text[#text + 1] = p and ('%.9g %.9g'):format(p[1], p[2]) or ''
    end
    text[#text + 1] = 'end'
  end
  if o.title then add('set title %s', quoted(o.title)) end
  if o.x then add('set xlabel %s', quoted(o.x)) end
  if o.y then add('set ylabel %s', quoted(o.y)) end
  if o.log then add('set logscale %s', LOGS[o.log]) end
  text[#text + 1] = range_of('x', all, 1) .. range_of('y', all, 2) .. (format and 'set grid' or '')
  local curves = {}
  for k, s in ipairs(all) do
    curves[k] = ('$data%d with %s %s'):format(k, s.drawn == 1 and 'points' or 'lines',
                                              s.name and 'title ' .. quoted(s.name) or 'notitle')
  end
  add('plot %s', table.concat(curves, ', '))
  return table.concat(text, '\n') .. '\n'
end

--- Runs gnuplot on a program and returns its output. The shell sees names of temporary files only.
--- Errors: gnuplot is not installed, or its message.
local function drawn(all, o)
  local script, output, errors = os.tmpname(), os.tmpname(), os.tmpname()
  local file = assert(io.open(script, 'w'))
  file:write(program(all, o, output))
  file:close()
  local status = os.execute(('gnuplot %s >%s 2>&1'):format(script, errors))
  local picture, message = read_file(output) or '', read_file(errors) or ''
  os.remove(script) os.remove(output) os.remove(errors)
  if status == 0 and picture ~= '' then return picture end
  if os.execute('command -v gnuplot >/dev/null 2>&1') ~= 0 then
    fail('plot: needs gnuplot: apt-get install gnuplot-nox')
  end
  fail('plot: gnuplot: %s', message:gsub('%s+', ' '))
end

local function check_options(o)
  runtime.options('plot', o, 'title x y file log')
  if o.log and not LOGS[o.log] then
    fail("plot: log is %s, expected 'x', 'y' or 'xy'", tostring(o.log))
  end
  if not o.file then return end
  local ending = type(o.file) == 'string' and o.file:match('%.(%w+)$')
  if not FORMATS[ending] then
    fail('plot: file is %s, expected a name that ends in .svg or .png', tostring(o.file))
  end
end

--- Draws ys over xs as a line: tk.plot(xs, ys, options), or tk.plot(ys, options) over 1, 2, 3...
--- ys may be several series by name: tk.plot{train = {...}, valid = {...}}. Numbers that are not
--- finite, and those that a logarithm does not take, leave gaps, and a note says how many.
---@param xs Tensor|number[] or ys, if there are no xs
---@param ys? Tensor|number[]|table<string, Tensor|number[]>
---@param options? {title: string, x: string, y: string, file: string, log: string} names of the
---  axes; a file *.svg or *.png instead of the terminal; log 'x', 'y' or 'xy'
---@return string? file
return function(xs, ys, options)
  if ys == nil or is_options(ys) then xs, ys, options = nil, xs, ys or options end
  options = options or {}
  check_options(options)
  local all, left_out = series_of(ys), 0
  xs = xs and numbers('x', xs)
  for _, s in ipairs(all) do
    left_out = left_out + set_points(s, xs, options.log and LOGS[options.log] or '')
  end
  local picture = drawn(all, options)
  if left_out > 0 then
    io.stderr:write(('plot: %d of the values cannot be drawn\n'):format(left_out))
  end
  if not options.file then
    io.write((picture:gsub('[ \f]+\n', '\n'):gsub('^%s-( *%S)', '%1')))
    return
  end
  local ok, message = require('tinykg.base.atomic_file').write(options.file, picture)
  if not ok then fail('plot: %s', message) end
  return options.file
end
