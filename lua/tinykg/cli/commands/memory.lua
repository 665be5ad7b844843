--- tinykg memory: plans a training step and prints its memory by kind and by kept value.
local format = require 'tinykg.base.format'
local tables = require 'tinykg.base.tables'
local options = require 'tinykg.cli.options'
local recipe_file = require 'tinykg.train.recipe_file'
local rounding = require 'tinykg.engine.rounding'
local run_args = require 'tinykg.cli.run_args'
local settings = require 'tinykg.cli.settings'

local FOCUS = 2 -- the bits whose kept values are listed if several widths are shown

local function parser()
  local p = options.parser('tinykg memory',
    'Plan a step of a recipe at 32, 8, 4, 2 and 1 bits and show what memory it takes and whether '
    .. 'that is free. Nothing is trained.',
    'tinykg memory recipes/kgcn.lua --data DIR --set dim=64')
  p:argument('recipe', 'a recipe: a Lua file that returns tk.recipe{...}')
  options.add_data(p)
  p:option('--bits', 'this width only: 32, 8, 4, 2, 1, or auto: the most that fit')
  p:option('--budget', 'what a step may take: 2GiB, 500MB, ... (without: a run has nine tenths ' ..
           'of what is free)')
  p:option('--rounding', rounding.CHOICES, 'dither')
  options.add_engine(p)
  p:option('--seed', 'seed of the model\'s random constants', '1')
  p:flag('--all', 'list all kept values, not only the largest')
  p:flag('--json', 'print an object with memory, kept and columns as in summary.json, and all ' ..
         'widths')
  return p
end

--- The settings of a run with the same arguments, checked.
local function settings_from(a)
  if not a.data then
    options.usage('memory: --data DIR is needed (tinykg data demo DIR makes one)')
  end
  local s = settings{recipe = {a.recipe}, data = a.data, set = a.set, data_set = a.data_set,
                     grid = {}, bits = a.bits, budget = a.budget, seed = a.seed,
                     rounding = a.rounding, device = a.device, threads = a.threads}
  s.auto, s.one_width = a.bits == 'auto', a.bits and a.bits ~= 'auto'
  return s
end

--- The widths that fit, the most exact first.
local function fitting(memory_plan, found)
  local list = tables.filter(memory_plan.WIDTHS, function(bits)
    local width = found.widths[bits]
    return width and found.limit and memory_plan.takes(width, found.budget) <= found.limit
  end)
  return list, list[1]
end

local function fit_text(found)
  if not found.limit then return 'how much memory is free here is not known' end
  local room = (found.budget and 'the budget of ' or 'nine tenths of what is free, ')
    .. format.bytes(found.limit)
  local what = found.budget and 'a step' or 'the run'
  if #found.fits > 0 then
    local whole = found.widths[found.fits[1]].memory.peak
    return string.format('%s fits in %s, with bits: %s%s', what, room,
      table.concat(found.fits, ', '), whole > found.limit
      and string.format('; evaluating takes more: %s', format.bytes(whole)) or '')
  end
  local smaller = found.batch_size
  return string.format('%s does not fit in %s%s', what, room, smaller
    and string.format('; with --bits %d --set batch_size=%d it would', found.smallest, smaller)
    or '')
end

--- Plans the widths and finds those that fit, or the batch size with which the smallest would.
local function find(recipe, data, o, s)
  local memory_plan = require 'tinykg.train.memory_plan'
  local found = {budget = s.budget, limit = memory_plan.limit(s.budget),
                 widths = memory_plan.of(recipe, data, o, s, s.one_width and {s.bits} or nil),
                 smallest = s.one_width and s.bits or 1}
  found.exact = found.widths[32] or memory_plan.of(recipe, data, o, s, {32})[32]
  local most
  found.fits, most = fitting(memory_plan, found)
  found.bits = s.auto and (most or 1) or s.bits
  if not most and found.limit then
    found.batch_size = memory_plan.batch_size(recipe, data, o, s, found.smallest, s.budget)
  end
  return found
end

--- `memory`, `kept` and `columns` are those of summary.json of such a run; `step` is memory without
--- evaluations; `widths` has all planned widths, with the kept values of each phase.
local function print_json(recipe, data, s, found)
  local json, tk = require 'tinykg.base.json', require 'tinykg'
  local memory_plan = require 'tinykg.train.memory_plan'
  local columns = require('tinykg.train.memory_columns').of(found.widths[found.bits], found.exact)
  local chosen = found.widths[found.bits]
  local widths = tables.map(memory_plan.WIDTHS, function(bits) return found.widths[bits] end)
  print(json.encode{
    recipe = recipe.name, data = data.name, device = tk.device(), threads = tk.threads(),
    rounding = s.rounding, bits = found.bits, memory = chosen.memory, kept = chosen.kept,
    step = chosen.step, columns = columns, widths = widths, limit = found.limit,
    fits = json.array(found.fits), batch_size = found.batch_size})
end

local function print_text(recipe, data, s, found, all)
  local tk, memory_table = require 'tinykg', require 'tinykg.cli.memory_table'
  print(('%s on %s, %s, %s'):format(recipe.name, tostring(data), tk.device(),
                                    format.count(tk.threads(), 'thread')))
  print()
  print(memory_table.in_all(found.widths, found.exact))
  print()
  print(memory_table.by_kind(found.widths))
  print()
  print(memory_table.by_value(found.widths, (s.one_width or s.auto) and found.bits or FOCUS, all))
  print()
  print(fit_text(found))
end

return function(...)
  local a = options.parse(parser(), ...)
  local s = settings_from(a)
  local tk = require 'tinykg'
  run_args.set_engine(s)
  tk.seed(s.seeds[1])
  local recipe = recipe_file.load(s.recipes[1])
  local o = options.usage_of(recipe.complete, recipe, s.options)
  local data = tk.data.load(s.data, s.data_options)
  local found = find(recipe, data, o, s)
  if a.json then return print_json(recipe, data, s, found) end
  print_text(recipe, data, s, found, a.all)
end
