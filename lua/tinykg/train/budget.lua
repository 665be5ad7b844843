--- Makes a run fit into a limit of memory: chooses what was not asked for.
local format = require 'tinykg.base.format'
local free_memory = require 'tinykg.engine.free_memory'
local gpu_memory = require 'tinykg.engine.gpu_memory'
local json = require 'tinykg.base.json'
local plan = require 'tinykg.train.memory.plan'
local ranks = require 'tinykg.engine.ranks'
local progress = require 'tinykg.base.progress'
local tables = require 'tinykg.base.tables'
local train = require 'tinykg.train'
local value_bits = require 'tinykg.train.memory.value_bits'

local runtime = require 'tinykg.engine.runtime'
local C = require 'tinykg.engine.lib'

local budget = {}

--- The share of free memory that tensors may take. Interactions, the lists of an evaluation, and
--- the file of the best parameters need some too.
budget.SHARE = 0.9

---@class Room
---@field bytes number that a run may take
---@field name string what they are, for messages
---@field takes fun(width: WidthPlan): number what a run takes of them
---@field device boolean? they are a GPU's, all of them
---@field more string what gives a run more of them

local function peak_of(width) return width.memory.peak end

--- The bytes that a run may take: a budget, the memory of a GPU, or nine tenths of what is free.
---@param s {budget: number?, device_memory: number?} bytes
---@return Room? nil if nothing is given and what is free is not known
function budget.room(s)
  if s.budget then
    return {bytes = s.budget, name = 'the budget', takes = peak_of, more = 'a larger budget'}
  elseif s.device_memory then
    return {bytes = s.device_memory, name = "the GPU's memory", device = true,
            more = 'a GPU with more memory',
            takes = function(width) return peak_of(width) + gpu_memory.beside(width) end}
  end
  local free = free_memory()
  if free and ranks.size() > 1 then
    local own = C.tkg_memory_device(runtime.engine, 'total') > 0 -- a GPU is not shared
    free = math.floor((free - gpu_memory.nccl()) /
      (own and 1 or C.tkg_engine_local_ranks(runtime.engine)))
    free = ranks.least(free)
  end
  return free and {bytes = math.floor(budget.SHARE * free), takes = peak_of,
                   name = 'nine tenths of what is free',
                   more = 'more free memory, or a higher limit where one is set (ulimit -v)'}
end

--- 'the budget, 2.0 GiB'. ---@param room Room
function budget.name_of(room) return room.name .. ', ' .. format.bytes(room.bytes) end

-- ---- a search ----

-- A setup is what a run does: {options, evaluation, tiles, bits, value_bits}, where `options` are
-- those of the recipe that differ from what was asked. A change is a part of a setup.

local Search = {}
Search.__index = Search

--- The recipe's options with some of them changed.
local function options_of(self, setup)
  return setmetatable(tables.merged(self.o, setup.options), getmetatable(self.o))
end

local function settings_of(self, setup)
  return {rounding = self.settings.rounding, small = self.settings.small, quiet = true,
          steps = self.settings.steps, tiles = setup.tiles,
          bits = setup.bits, value_bits = setup.value_bits, evaluation = setup.evaluation}
end

local function changed(setup, change)
  local out = tables.merged(setup, change)
  out.options = tables.merged(setup.options, change.options)
  return out
end

function Search:plan(setup)
  self.line.update(function() return 'planning to fit' end)
  local key = json.encode(setup)
  self.plans[key] = self.plans[key] or plan.one(self.recipe, self.data, options_of(self, setup),
                                                settings_of(self, setup))
  return self.plans[key]
end

function Search:fits(width) return self.room.takes(width) <= self.room.bytes end

-- ---- bits of saved values ----

--- The fewest of the moves, from the first on, with which the run fits; nil if it does with none.
local function fewest(moves, fits)
  local low, high = 0, #moves
  if not fits(moves) then return nil end
  while high - low > 1 do
    local middle = math.floor((low + high) / 2)
    if fits(tables.first(moves, middle)) then high = middle else low = middle end
  end
  return tables.first(moves, high)
end

local function moved_later(list, i)
  for k = i + 1, #list do
    if list[k].key == list[i].key then return true end
  end
end

--- Takes back the moves that the run fits without, those that cost most first: not all values are
--- there when memory is fullest.
local function without_needless(list, fits)
  for i = #list - 1, 1, -1 do
    if not moved_later(list, i) then
      local move = table.remove(list, i)
      if not fits(list) then table.insert(list, i, move) end
    end
  end
  return list
end

--- The width with the lowest peak of those at which all values have the same.
local function lowest(widths)
  local best = 32
  for _, bits in ipairs(plan.WIDTHS) do
    if peak_of(widths[bits]) < peak_of(widths[best]) then best = bits end
  end
  return best
end

local function bits_change(bits, by_phase) return {bits = bits, value_bits = by_phase or false} end

--- Chooses bits for each value; the lowest that there are if the run fits with none.
local function choose_bits(self, setup)
  if self.settings.bits ~= 'auto' then return nil end
  return plan.rehearsing(self.recipe, self.data, options_of(self, setup), settings_of(self, setup),
                         function(try)
    local widths = {}
    for _, bits in ipairs(plan.WIDTHS) do widths[bits] = try(bits) end
    local moves = value_bits.moves(widths, plan.WIDTHS, self.settings.sensitivity)
    local function fits(list)
      self.line.update(function() return 'choosing bits' end)
      return self:fits(try(value_bits.after(list, moves)))
    end
    local list = fewest(moves, fits)
    if not list then return bits_change(lowest(widths)) end
    return bits_change(value_bits.after(without_needless(list, fits), moves))
  end)
end

--- '2 bits', or '2 to 8 bits' if single values have others.
function budget.bits_text(bits, by_phase)
  local most = bits
  for _, values in pairs(by_phase or {}) do
    for _, own in pairs(values) do most = math.max(most, own) end
  end
  return most > bits and ('%d to %d bits'):format(bits, most) or format.count(bits, 'bit')
end

-- ---- what can be chosen ----

--- A knob that changes an option of the recipe, if it has that and it was not asked for.
---@param change fun(value: any, o: table): any what the option becomes; nil: it stays
local function option(name, change)
  return {name = name, of = function(self)
    local meta, to = getmetatable(self.o), change(self.o[name], self.o)
    local asked = meta and meta.asked and meta.asked[name]
    if not asked and to ~= nil then return {options = {[name] = to}} end
  end, value = function(self, setup) return tostring(options_of(self, setup)[name]) end}
end

local SMALLEST = {size = 256, block = 16} -- pairs and users scored at once

budget.TILES = 'tiles of rows at once'

--- The most tiles at a time, of a half of the threads, a quarter, ..., with which the run fits; one
--- if it does with none.
local function fewer_tiles(self, setup)
  local tiles = self.threads
  repeat tiles = math.floor(tiles / 2)
  until tiles <= 1 or self:fits(self:plan(changed(setup, {tiles = tiles})))
  return tiles >= 1 and {tiles = tiles} or nil
end

-- In the order of what they cost. The first three are exact and take some time. 8-bit moments,
-- fewer bits of saved values and tables of 16 bits keep the mean of each gradient and update, but
-- scatter them: moments come first, as all recipes train as well with them; bits of saved values
-- are lowered no further than needed. The last two are another optimizer, whose accuracy differs.
local KNOBS = {
  option('recompute', function(value)
    if type(value) == 'boolean' then return not value end
  end),
  {name = 'evaluation', of = function(_, _, width)
    local sets_peak = width.evaluation.peak == width.memory.peak
    return sets_peak and {evaluation = SMALLEST} or nil
  end, value = function(self, setup)
    local at_once = train.evaluation_size(self.o, setup)
    if self.data.task == 'ctr' then return at_once.size .. ' pairs at once' end
    return (at_once.block or self.block) .. ' users at once'
  end},
  {name = budget.TILES, of = fewer_tiles, value = function(self, setup)
    return tostring(setup.tiles or self.threads)
  end},
  option('optimizer_bits', function(value) if value == 32 then return 8 end end),
  {name = 'bits of saved values', of = choose_bits, value = function(_, setup)
    return budget.bits_text(setup.bits, setup.value_bits)
  end},
  option('parameter_bits', function(value, o)
    if value == 32 and o.ema == 0 then return 16 end -- averages of parameters have 32
  end),
  option('optimizer_rowwise', function(value) if value == false then return true end end),
  tables.merged(option('optimizer_lazy', function(value)
    if value == false then return true end
  end), {refused = 'lazy: '}), -- of parameters that more than a batch's rows read
}
local BITS = tables.filter(KNOBS, function(knob) return knob.of == choose_bits end)

local function setup_after(first, turned)
  local setup = first
  for _, t in ipairs(turned) do setup = changed(setup, t.change) end
  return setup
end

local LEAST = 0.99 -- a knob must lower the peak to this share of it

--- The plan with a knob turned; nil where the model refuses that.
local function plan_with(self, knob, setup)
  local ok, width = pcall(self.plan, self, setup)
  if ok then return width end
  if not (knob.refused and tostring(width):find(knob.refused, 1, true)) then error(width, 0) end
end

--- Turns one knob after the other until the run fits. One that lowers the peak by little stays.
---@return {knob: table, change: table}[] turned
local function turn(self, knobs, first)
  local turned = {}
  for _, knob in ipairs(knobs) do
    local setup = setup_after(first, turned)
    local width = self:plan(setup)
    if self:fits(width) then break end
    local change = knob.of(self, setup, width)
    local after = change and plan_with(self, knob, changed(setup, change))
    if after and (self:fits(after) or peak_of(after) <= LEAST * peak_of(width)) then
      turned[#turned + 1] = {knob = knob, change = change}
    end
  end
  return turned
end

--- Turns those back that the later ones have made needless.
local function turn_back(self, first, turned)
  for i = #turned - 1, 1, -1 do
    local fewer = tables.filter(turned, function(t) return t ~= turned[i] end)
    if self:fits(self:plan(setup_after(first, fewer))) then turned = fewer end
  end
  return turned
end

--- The table's rows: what was chosen, what it saves of the peak, and by how much it changes the
--- bytes that an epoch moves.
local function rows_of(self, first, turned)
  return tables.map(turned, function(t, i)
    local from = setup_after(first, tables.first(turned, i - 1))
    local to = changed(from, t.change)
    local before, after = self:plan(from), self:plan(to)
    return {name = t.knob.name, from = t.knob.value(self, from), to = t.knob.value(self, to),
            saved = peak_of(before) - peak_of(after), moved = after.moved / before.moved - 1}
  end)
end

-- ---- what would fit ----

--- The largest of an option's half, quarter, ... with which a setup fits; nil if there is none.
local function smaller(self, setup, name, from, least)
  local value = math.floor(from / 2)
  while value >= least do
    local other = changed(setup, {options = {[name] = value}})
    if self:fits(self:plan(other)) then return value end
    value = math.floor(value / 2)
  end
end

--- What would fit, as the command line says it. ---@return string[]
local function advice(self, setup)
  local list, o = {}, self.o
  local function add(...) list[#list + 1] = string.format(...) end
  for _, bits in ipairs(plan.WIDTHS) do
    if self.settings.bits ~= 'auto' and bits < setup.bits and #list == 0
      and self:fits(self:plan(changed(setup, bits_change(bits)))) then
      add('--bits %d', bits)
    end
  end
  if #list > 0 then return list end
  local size = smaller(self, setup, 'batch_size', math.min(o.batch_size, self.data.train.n), 16)
  if size then add('--set batch_size=%d', size) end
  local dim = type(o.dim) == 'number' and smaller(self, setup, 'dim', o.dim, 4)
  if dim then add('--set dim=%d', dim) end
  return list
end

--- What to try where none of that fits alone.
local function last_advice(self, setup)
  local o = self.o
  local least = {batch_size = math.min(o.batch_size, 16),
                 dim = type(o.dim) == 'number' and math.min(o.dim, 4) or nil}
  if self:fits(self:plan(changed(setup, {options = least}))) then
    return 'a smaller batch_size or dim takes less'
  end
  return 'it needs ' .. self.room.more
end

local function refusal(self, setup)
  local list, room = advice(self, setup), self.room
  return string.format('%s: the run takes %s%s, more than %s; %s', self.recipe.name,
    self.settings.bits == 'auto' and 'at least ' or '',
    format.bytes(room.takes(self:plan(setup))), budget.name_of(room),
    #list == 0 and last_advice(self, setup)
    or table.concat(list, ' or ') .. (#list == 1 and ' fits' or ' would fit'))
end

-- ---- choosing ----

---@class Choice
---@field plan WidthPlan
---@field bits integer of saved values that have none of their own
---@field value_bits table<string, table<string, integer>>? of the others, by phase and name
---@field options table<string, any> the recipe's options that were changed
---@field evaluation {size: integer, block: integer}? what is scored at once, if that was changed
---@field tiles integer? how many run at a time, if that was changed
---@field rows {name: string, from: string, to: string, saved: number, moved: number}[] what was
---  changed, the bytes that each saves of the peak and by which share it changes the bytes moved
---@field room Room? nil if nothing is given and what is free is not known
---@field refusal string? why the run does not fit, in one line

--- Chooses what a run does to fit. What was asked for stays: --bits, and options that were given.
--- Without a budget only bits are chosen, and only if they are 'auto'.
---@param recipe Recipe ---@param data tinykg.Data ---@param o table options (Recipe:complete)
---@param settings {bits: integer|'auto', rounding: string, small: integer?, quiet: boolean?,
---  budget: number?, device_memory: number?, sensitivity: table?}
---@return Choice
function budget.choose(recipe, data, o, settings)
  local room = budget.room(settings)
  local first = {options = {}, bits = settings.bits == 'auto' and 32 or settings.bits}
  local self = setmetatable({recipe = recipe, data = data, o = o, settings = settings, plans = {},
                             room = room or {bytes = math.huge, takes = peak_of},
                             block = require('tinykg.train.evaluate').block_of(data),
                             threads = C.tkg_engine_threads(runtime.engine),
                             line = progress.line(settings.quiet)}, Search)
  local given = settings.budget or settings.device_memory
  local turned = turn(self, given and KNOBS or BITS, first)
  if self:fits(self:plan(setup_after(first, turned))) then
    turned = turn_back(self, first, turned)
  end
  local setup = setup_after(first, turned)
  local out = tables.merged(setup, {plan = self:plan(setup), room = room,
                                    value_bits = setup.value_bits or nil,
                                    rows = rows_of(self, first, turned)})
  if not self:fits(out.plan) then out.refusal = refusal(self, setup) end
  self.line.clear()
  return out
end

return budget
