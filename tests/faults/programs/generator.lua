--- Makes random programs: what forms use to find inputs and to add nodes.
--
-- Each node is evaluated when it is added, once more perturbed, and refused where its value would
-- be made of roundings or lie at a kink: what is left has one right answer.
local arrays = require 'tests.support.arrays'
local program = require 'tests.faults.programs.program'
local random = require 'tests.faults.programs.random'

local generator = {}
generator.__index = generator

local COLS = {1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33}
local RULES = {'recompute', 'exact', 'mask', 'quantize'}

--- `options`: big (some hundred rows, so that threads and tiles share them).
function generator.new(seed, options)
  local r = random.new(seed)
  local self = setmetatable({
    r = r, options = options or {}, values = {}, others = {}, noise = random.new(seed + 77),
    p = {seed = seed, nodes = {}, constants = {}, prologue = {}, outputs = {},
         draw_seed = 1 + seed % 100000},
  }, generator)
  self.most = self.options.big and 40000 or 700
  self.cols = r:of(COLS)
  self.rows = self.options.big and r:from(500, 2200) or r:from(1, 14)
  return self
end

-- ---- nodes ----

--- Adds a node if its value is sound; its number, or nil.
function generator:push(node)
  local p = self.p
  if node.op ~= 'leaf' then
    node.a = node.a or {}
    node.a.stream, node.a.seed = program.number_streams(p), p.draw_seed
    if not program.is_away_from_kinks(node, self.values, self.others) then return nil end
  end
  local value = program.value(node, self.values)
  if value.n > self.most then return nil end
  local other = program.value(node, self.others, self.noise)
  if not program.is_sound(value, other) then return nil end
  local at = #p.nodes + 1
  p.nodes[at], self.values[at], self.others[at] = node, value, other
  return at
end

--- Adds an op; nil where an input is missing (it was refused itself) or the value is not sound.
function generator:add(op, args, code, a)
  for k in code:gmatch '%$(%d+)' do
    if not args[tonumber(k)] then return nil end
  end
  local at = self:push{op = op, args = args, code = code, a = a}
  if not at then return nil end
  local node, r = self.p.nodes[at], self.r
  if r:one_in(25) then node.rule = r:of(RULES) end
  if r:one_in(40) then node.bits = r:of{32, 8, 4, 2, 1} end
  return at
end

function generator:leaf(shape, low, high, parameter)
  return self:push{op = 'leaf', shape = shape, seed = self.r:from(1, 99999), low = low or -1,
                   high = high or 1, parameter = parameter ~= false and not self.r:one_in(8)}
end

--- A constant of the program: its name in codes.
function generator:constant(text, ...)
  local list = self.p.constants
  list[#list + 1] = select('#', ...) > 0 and text:format(...) or text
  return '@' .. #list
end

-- ---- inputs ----

--- What a form raises that has found no input.
generator.MISSING = {}

function generator:shape(i)
  if not i then error(generator.MISSING, 0) end
  return self.values[i].shape
end

--- Some value that `fits`, more often a late one; nil without any. Values without elements (scores
--- of no edges) are found only by who asks for `none`.
function generator:find(fits, none)
  local found = {}
  for i, value in ipairs(self.values) do
    local there = value.n > 0 or none
    if there and (not fits or fits(value.shape, value)) then found[#found + 1] = i end
  end
  if #found == 0 then return nil end
  if self.r:one_in(2) then return found[math.max(1, #found - self.r:below(3))] end
  return self.r:of(found)
end

function generator:new_rows()
  return self.r:one_in(3) and self.r:from(1, self.options.big and 300 or 14) or self.rows
end

function generator:new_cols() return self.r:one_in(4) and self.r:of(COLS) or self.cols end

--- A part of a matrix, or the same numbers in another shape: views are what goes wrong.
function generator:view(i)
  local shape, r = self:shape(i), self.r
  if #shape ~= 2 then return i end
  local n, d, kind = shape[1], shape[2], r:below(6)
  if kind <= 1 then
    local count = r:from(1, n)
    local first = kind == 0 and 0 or r:below(n - count + 1)
    return self:add('narrow', {i}, ('$1:narrow(1, %d, %d)'):format(first + 1, count),
                    {dim = 1, first = first, count = count}) or i
  elseif kind == 2 then
    return self:add('narrow', {i}, '$1:rows(1, 1)', {dim = 1, first = 0, count = 1}) or i
  elseif kind == 3 then
    return self:add('transpose', {i}, '$1:transpose()') or i
  elseif kind == 4 then
    return self:add('reshape', {i}, ('$1:reshape(%d, %d)'):format(d, n), {shape = {d, n}}) or i
  end
  local count = r:from(1, d)
  local first = r:below(d - count + 1)
  return self:add('narrow', {i}, ('$1:narrow(2, %d, %d)'):format(first + 1, count),
                  {dim = 2, first = first, count = count}) or i
end

local function is_matrix(shape) return #shape == 2 and shape[1] > 0 end

--- Any value, now and then a view of one.
function generator:any()
  local i = self:find() or self:matrix()
  self:shape(i)
  return self.r:one_in(5) and self:view(i) or i
end

--- A matrix, now and then a view.
function generator:matrix(fits)
  local i = self:find(function(shape, v)
    return is_matrix(shape) and (not fits or fits(shape, v))
  end)
  if not i then
    i = self:leaf{self:new_rows(), self:new_cols()}
    self:shape(i)
    return i
  end
  if self.r:one_in(5) then
    local view = self:view(i)
    if not fits or fits(self:shape(view), self.values[view]) then return view end
  end
  return i
end

--- A value of this shape, made if there is none.
function generator:like(shape, low)
  local i = not low and not self.r:one_in(6) and self:find(function(other)
    return arrays.same_shape(shape, other)
  end, true)
  return i or self:leaf(shape, low, low and low + 1)
end

--- A matrix with so many columns, of at least `least` rows.
function generator:of_cols(cols, least)
  local i = self:find(function(s) return #s == 2 and s[2] == cols and s[1] >= (least or 1) end)
  return i or self:leaf{math.max(least or 1, self:new_rows()), cols}
end

-- ---- ids ----

local function list_text(ids, first, n)
  local list = {}
  for i = first, first + n - 1 do list[#list + 1] = ids[i] end
  return '{' .. table.concat(list, ', ') .. '}'
end

--- n ids below a number, as FFI ints. Often one id comes several times, others never.
function generator:numbers(n, below)
  local ids, r = arrays.ints(n + 1), self.r
  local few = r:one_in(4) and math.min(below, 2) or below
  for i = 0, n - 1 do ids[i] = r:below(few) end
  return ids
end

--- Of a flat constant: itself, or what int ops make of others.
function generator:ids_text(ids, n, below)
  local r, kind = self.r, self.r:below(8)
  if kind == 0 and n > 0 then -- part of a longer list
    local before = self:numbers(3, below)
    local text = list_text(before, 0, 3):sub(1, -2) .. ', ' .. list_text(ids, 0, n):sub(2)
    return self:constant('tk.ids%s', text) .. (':narrow(1, 4, %d)'):format(n)
  elseif kind == 1 and n > 1 then
    local half = r:from(1, n - 1)
    return ('tk.cat({%s, %s}, 1)'):format(
      self:constant('tk.ids%s', list_text(ids, 0, half)),
      self:constant('tk.ids%s', list_text(ids, half, n - half)))
  elseif kind == 2 and n > 0 then -- by the places of a shuffled table
    local table_of, places = arrays.ints(n + 1), arrays.ints(n + 1)
    for i = 0, n - 1 do table_of[n - 1 - i], places[i] = ids[i], n - 1 - i end
    return ('%s:gather(%s)'):format(self:constant('tk.ids%s', list_text(table_of, 0, n)),
                                    self:constant('tk.ids%s', list_text(places, 0, n)))
  end
  return self:constant('tk.ids%s', list_text(ids, 0, n))
end

--- Ids that the step draws itself, where there are fit ones.
function generator:drawn_ids(n, below)
  local fit = {}
  for _, draw in ipairs(self.p.prologue) do
    for k, value in ipairs(draw.values) do
      if value.n >= n and value.below <= below then
        fit[#fit + 1] = {name = draw.names[k], value = value}
      end
    end
  end
  if #fit == 0 or n == 0 then return nil end
  local from = self.r:of(fit)
  local first, ids = self.r:below(from.value.n - n + 1), arrays.ints(n + 1)
  for i = 0, n - 1 do ids[i] = from.value.v[first + i] end
  return ids, ('%s:reshape(-1):narrow(1, %d, %d)'):format(from.name, first + 1, n)
end

--- Ids of a shape of one or two dimensions, below a number: FFI ints and the expression for them.
function generator:ids(shape, below)
  local n = arrays.count(shape)
  local ids, text
  if #self.p.prologue > 0 then ids, text = self:drawn_ids(n, below) end
  if not ids then
    ids = self:numbers(n, below)
    text = self:ids_text(ids, n, below)
  end
  if #shape == 2 then text = ('%s:reshape(%d, %d)'):format(text, shape[1], shape[2]) end
  return ids, text
end

generator.list_text = list_text

return generator
