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
    'Plan a run of a recipe at 32, 8, 4, 2 and 1 bits and show what memory it takes and whether '
    .. 'that is free, or what would be chosen to fit a budget. Nothing is trained.',
    'tinykg memory recipes/kgcn.lua --data DIR --set dim=64')
  p:argument('recipe', 'a recipe: a Lua file that returns tk.recipe{...}, or one of ' ..
             'tinykg\'s own by name: kgat, kgcn, kgin, ...')
  options.add_data(p)
  p:option('--bits', 'this width only: 32, 8, 4, 2, 1; or auto: the most that fit, for each ' ..
           'kept value')
  options.add_budget(p)
  p:option('--device-memory', 'plan for a GPU with so much memory, which need not be there; ' ..
           'what its driver takes is part of that')
  p:option('--sizes', 'instead of --data, of a set that is not there: users, items, ' ..
           'interactions and entities, relations, triples; from plans of two generated sets')
    :count('*'):argname('KEY=NUMBER')
  p:option('--ranks', 'plan for one of so many processes of mpirun, which need not be there')
  p:option('--rounding', rounding.CHOICES, 'dither')
  options.add_engine(p)
  p:option('--seed', 'seed of the model\'s random constants', '1')
  p:flag('--traffic', 'also, by op, what the step that moves most moves through memory, what no ' ..
         'plan of its ops does without, and what it launches')
  p:flag('--all', 'list all kept values, not only the largest')
  p:flag('--json', 'print an object with memory, kept and columns as in summary.json, and all ' ..
         'widths')
  return p
end

--- The settings of a run with the same arguments, checked.
local function settings_from(a)
  local sized = #a.sizes > 0
  if sized and (a.data or a.budget or a.device_memory or a.traffic or a.bits == 'auto') then
    options.usage('memory: --sizes goes without --data, --budget, --device-memory, --traffic ' ..
                  'and --bits auto')
  end
  if not a.data and not sized then
    options.usage('memory: --data DIR is needed (tinykg data demo DIR makes one)')
  end
  local s = settings{recipe = {a.recipe}, data = a.data or '.', set = a.set, data_set = a.data_set,
                     grid = {}, bits = a.bits, budget = a.budget, seed = a.seed,
                     device_memory = a.device_memory, sensitivity = a.sensitivity,
                     rounding = a.rounding, device = a.device, threads = a.threads}
  s.ranks = a.ranks and options.whole(a.ranks, '--ranks', 1, 65536)
  s.sizes = sized and require('tinykg.cli.on_paper').sizes(a.sizes) or nil
  s.one_width = a.bits and a.bits ~= 'auto'
  return s
end

--- The widths that fit as they are, the most exact first.
local function fitting(found)
  local memory_plan, room = require 'tinykg.train.memory.plan', found.room
  return tables.filter(memory_plan.WIDTHS, function(bits)
    local width = found.widths[bits]
    return width and room and room.takes(width) <= room.bytes
  end)
end

local function fit_text(found)
  if found.choice then return require('tinykg.run.budget_table').text(found.choice) end
  if found.sizes then return 'on paper: drawn out from plans of two generated sets' end
  if not found.room then return 'how much memory is free here is not known' end
  return ('the run fits in %s, with bits: %s'):format(
    require('tinykg.train.budget').name_of(found.room), table.concat(found.fits, ', '))
end

--- Plans the widths, and makes the run fit if there is a budget, or if nothing fits as it is.
local function find(recipe, data, o, s)
  local memory_plan, budget = require 'tinykg.train.memory.plan', require 'tinykg.train.budget'
  local found = {room = budget.room(s), bits = s.bits,
                 widths = memory_plan.of(recipe, data, o, s, s.one_width and {s.bits} or nil)}
  found.exact = found.widths[32] or memory_plan.of(recipe, data, o, s, {32})[32]
  found.fits = fitting(found)
  if s.budget or s.device_memory or s.bits == 'auto' or found.room and #found.fits == 0 then
    found.choice = budget.choose(recipe, data, o, s)
    found.bits = found.choice.bits
  end
  found.chosen = found.choice and found.choice.plan or found.widths[found.bits]
  return found
end

--- The same for a set of which only the sizes are known.
local function find_on_paper(recipe, o, s)
  local on_paper = require 'tinykg.cli.on_paper'
  local widths = on_paper.plan(recipe, o, s, s.one_width and {s.bits, 32} or nil)
  local exact, bits = widths[32], s.bits or 32
  if bits ~= 32 and s.one_width then widths[32] = nil end
  return {bits = bits, widths = widths, exact = exact, fits = {}, sizes = s.sizes,
          chosen = widths[bits]}
end

--- Bytes of NCCL's buffers.
local function nccl() return require('tinykg.engine.gpu_memory').nccl() end

--- Bytes of cuSPARSE's matrices; nil without any.
local function cusparse(found)
  return found.chosen.cusparse > 0 and found.chosen.cusparse or nil
end

--- `memory`, `kept` and `columns` are those of summary.json of such a run; `step` is memory without
--- evaluations; `widths` has all planned widths, with the kept values of each phase; `chosen` what
--- was changed to fit a budget; with --ranks, `exchanged` what a rank sends in a step of each
--- phase; `cusparse` bytes beside `memory`, with the precision 'fast'; with `traffic`, what a step
--- moves and launches.
local function print_json(recipe, data, s, found, traffic)
  local json, tk = require 'tinykg.base.json', require 'tinykg'
  local memory_plan, choice = require 'tinykg.train.memory.plan', found.choice
  local columns = require('tinykg.train.memory.columns').of(found.chosen, found.exact)
  local moves, exchanged = found.chosen.traffic, found.chosen.exchanged
  local widths = tables.map(memory_plan.WIDTHS, function(bits) return found.widths[bits] end)
  for _, width in pairs(widths) do width.traffic, width.exchanged = nil, nil end
  print(json.encode{
    recipe = recipe.name, data = data.name, device = tk.device(), threads = tk.threads(),
    rounding = s.rounding, ranks = s.ranks, nccl = s.ranks and nccl() or nil,
    cusparse = cusparse(found),
    bits = found.bits, memory = found.chosen.memory,
    kept = found.chosen.kept, step = found.chosen.step, columns = columns, widths = widths,
    limit = found.room and found.room.bytes, fits = json.array(found.fits),
    traffic = traffic and moves, exchanged = s.ranks and json.array(exchanged),
    chosen = choice and {options = choice.options, bits = choice.bits,
                         value_bits = choice.value_bits, evaluation = choice.evaluation,
                         tiles = choice.tiles, rows = json.array(choice.rows)},
    refusal = choice and choice.refusal})
end

local function print_text(recipe, data, s, found, a)
  local tk, memory_table = require 'tinykg', require 'tinykg.cli.memory_table'
  local on = s.sizes and require('tinykg.cli.on_paper').text(s.sizes) or tostring(data)
  print(('%s on %s, %s, %s%s'):format(recipe.name, on, tk.device(),
                                      format.count(tk.threads(), 'thread'),
                                      s.ranks and (', one of %d ranks'):format(s.ranks) or ''))
  for _, warning in ipairs(data.warnings or {}) do format.print('note: ' .. warning) end
  print()
  print(memory_table.in_all(found.widths, found.exact))
  print()
  print(memory_table.by_kind(found.widths))
  print()
  print(memory_table.by_value(found.widths, s.one_width and found.bits or FOCUS, a.all))
  print()
  if s.ranks then print(memory_table.sent(found.chosen.exchanged) .. '\n') end
  if a.traffic then print(require('tinykg.cli.traffic_table')(found.chosen.traffic) .. '\n') end
  if nccl() > 0 then
    print(("NCCL's buffers: at most %s of the GPU beside that"):format(format.bytes(nccl())))
  end
  if cusparse(found) then
    print(("cuSPARSE's matrices: at most %s of the GPU beside that"):format(
      format.bytes(cusparse(found))))
  end
  print(fit_text(found))
end

return function(...)
  local a = options.parse(parser(), ...)
  local s = settings_from(a)
  local tk = require 'tinykg'
  local planned = s.device_memory or s.ranks and s.device:find '^cuda'
  if planned then run_args.set_planned_gpu(s) else run_args.set_engine(s) end
  if s.ranks then
    local runtime = require 'tinykg.engine.runtime'
    runtime.check(require('tinykg.engine.lib').tkg_engine_plan_ranks(runtime.engine, s.ranks))
  end
  tk.seed(s.seeds[1])
  local recipe = recipe_file.load(s.recipes[1])
  local o = options.usage_of(recipe.complete, recipe, s.options)
  local data = s.sizes and {name = 'on paper', warnings = {}} or
    tk.data.load(s.data, s.data_options)
  local found = s.sizes and find_on_paper(recipe, o, s) or find(recipe, data, o, s)
  if a.json then return print_json(recipe, data, s, found, a.traffic) end
  print_text(recipe, data, s, found, a)
end
