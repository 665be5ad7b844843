--- The settings of `tinykg run`, checked before anything is loaded. With --resume, settings that
--- are not on the command line come from the folder.
local lfs = require 'lfs'
local tables = require 'tinykg.base.tables'
local begun_folder = require 'tinykg.cli.begun_folder'
local folder = require 'tinykg.run.folder'
local format_options = require 'tinykg.run.format_options'
local one_point = require 'tinykg.cli.one_point'
local options = require 'tinykg.cli.options'
local rounding = require 'tinykg.engine.rounding'
local space = require 'tinykg.sweep.space'
local trust = require 'tinykg.run.trust'
local usage, whole = options.usage, options.whole

local BITS = {'auto', 32, 8, 4, 2, 1}

--- A width as a number, or 'auto'.
local function width_of(text, what)
  return options.choice(tonumber(text) or text, BITS, what .. ": '%s' is not valid")
end

local function minutes(text)
  local n = tonumber(text)
  if not n or n < 0 then usage("--checkpoint: '%s' is not a number of minutes", text) end
  return n
end

local function seeds_of(text)
  local seeds, seen = options.numbers(text, '--seed'), {}
  for _, s in ipairs(seeds) do
    whole(s, '--seed', 0, 2 ^ 53)
    if seen[s] then usage('--seed: %d is given twice', s) end
    seen[s] = true
  end
  return seeds
end

local function rounding_of(text, what)
  return options.choice(text, rounding.NAMES, what .. ': %s is not ' .. rounding.CHOICES)
end

-- ---- grids and searches ----

--- Settings as the options of a recipe, bits and rounding. ---@param point Point
---@param where string that gives them, for messages ---@return Point
local function applied(point, where)
  point.options = tables.merged(point.settings, {})
  local o = point.options
  point.bits = o.bits and width_of(o.bits, where .. ' bits')
  point.rounding = o.rounding and rounding_of(o.rounding, where .. ' rounding')
  o.bits, o.rounding = nil, nil
  return point
end

--- The axes of --grid. ---@param taken table<string, any> keys that other options give
local function axes_of(given, taken)
  local seen = {}
  return tables.map(given, function(item)
    local axis, message = space.axis(item)
    if not axis then usage('--grid: %s', message) end
    if seen[axis.key] then usage('--grid: %s is given twice', axis.key) end
    if taken[axis.key] then usage('--grid: %s is given by another option too', axis.key) end
    seen[axis.key] = true
    return axis
  end)
end

local POINTS = 20 -- of a search by default

--- {kind, points} of --search. ---@return table?
local function search_of(text)
  if not text then return nil end
  local kind, count = text:match('^(%l+)=?(.*)$')
  if kind == 'ask' and count == '' then return {kind = kind} end
  if kind ~= 'random' and kind ~= 'asha' then
    usage("--search: '%s' is not random, random=N, asha=N or ask", text)
  end
  return {kind = kind, points = count == '' and POINTS or whole(count, '--search ' .. kind, 1)}
end

--- The points of a grid, of which there is one without settings if there are no axes, or of a
--- search.
local function points_of(axes, search, seed)
  for _, axis in ipairs(axes) do
    if not search and axis.low then
      usage('--grid %s: a range is for --search; a grid is a list: %s=%g,%g', axis.key, axis.key,
            axis.low, axis.high)
    end
  end
  if search and search.kind == 'ask' then
    if #axes > 0 then usage('--search ask: points come from standard input, not from --grid') end
    return {applied(space.point{}, '--grid')}
  elseif search and #axes == 0 then
    usage('--search: --grid says among what: --grid lr=1e-4..1e-2:log --grid dim=32,64')
  end
  local points = search and space.draw(axes, search.points, seed) or space.grid(axes)
  return tables.map(points, function(point) return applied(point, '--grid') end)
end

--- Keys that the points of a grid must not give again.
local function taken_of(a, set)
  local taken = {bits = a.bits, rounding = a.rounding}
  for key in pairs(set) do taken[key] = true end
  return taken
end

--- How many jobs the arguments of a sweep stand for, at least: another program may ask for more.
local function jobs_of(a)
  local search, seeds = search_of(a.search), seeds_of(a.seed)
  if search and search.kind == 'ask' then return 0 end
  return #a.recipe * #seeds * #points_of(axes_of(a.grid, {}), search, seeds[1])
end

-- ---- settings of a folder ----

--- The arguments that a run or a sweep was begun with. Refuses a recipe that is not trusted.
local function arguments_of(path, trusted)
  local sweep = folder.read(path, folder.SWEEP)
  if sweep then
    trust.sweep(path, trusted)
    return sweep
  end
  local c = folder.config(path)
  local asked = tables.merged(c.options, c.chosen and c.chosen.asked) -- chosen to fit its budget
  for name in pairs(c.scaled or {}) do asked[name] = nil end -- nobody asked for them
  local set = format_options(asked)
  local data_set = format_options(c.data_options or {})
  return {recipe = {trust.recipe(path, c, trusted)},
          shown = c.recipe_file, data = c.data, set = set, data_set = data_set, grid = {},
          bits = tostring(c.bits_asked or c.bits), rounding = c.rounding,
          seed = ('%.0f'):format(c.seed), device = c.device, threads = tostring(c.threads),
          extend = c.extend, steps = c.steps and tostring(c.steps), check = c.check,
          tensorboard = c.tensorboard,
          checkpoint = c.checkpoint and tostring(c.checkpoint / 60),
          budget = c.budget and ('%.0fB'):format(c.budget)}
end

local function check_resume(a)
  if a.resume and a.force then usage('--resume goes on, --force begins anew: take one') end
  if a.from and not a.resume then usage('--from: it is for --resume') end
  options.choice(a.from or 'last', {'last', 'last-1'}, '--from: %s is not last or last-1')
end

--- Whether two paths lead to the same folder, which is there.
local function same_folder(a, b)
  local one, other = lfs.attributes(a), lfs.attributes(b)
  return one and other and one.ino == other.ino and one.dev == other.dev
end

local OF_MODEL = {'recipe', 'shown', 'data', 'data_set', 'bits', 'rounding'}

--- Fills in what --extend takes from the run that is extended: recipe, data set, options.
local function extend(a)
  if a.extend == nil then return a end
  local known = arguments_of(a.extend, a.trust)
  if type(known.recipe) ~= 'table' or folder.has(a.extend, folder.SWEEP) then
    usage('--extend: %s is a sweep: name one of its runs', a.extend)
  end
  if #a.recipe > 1 then usage('--extend: one recipe, that of the run') end
  if a.out and same_folder(a.out, a.extend) then
    usage('--extend: %s is that run\'s own folder: name another --out', a.out)
  end
  for _, key in ipairs(OF_MODEL) do
    local given = a[key]
    if given == nil or type(given) == 'table' and #given == 0 then a[key] = known[key] end
  end
  a.set = options.overridden(known.set, a.set, '--set')
  return a
end

--- The bits of a run that was begun with a budget are those that it chose, and need not be given.
local function keep_budget(a)
  if a.bits or a.budget or not folder.has(a.out, 'config.json') then return a end
  local config = folder.config(a.out)
  if not config.budget then return a end
  a.budget, a.bits = ('%.0fB'):format(config.budget), tostring(config.bits_asked or config.bits)
  return a
end

--- Finds the folder of --resume without --out. ---@return string path
local function find_begun(a)
  local path = begun_folder(a, jobs_of)
  if not (a.quiet or a.json) then print('going on in ' .. path) end
  return path
end

--- Fills in settings that were not given.
local function complete(a)
  check_resume(a)
  local is_named = a.out ~= nil
  if a.resume and not is_named then a.out = find_begun(a) end
  if not (a.resume and folder.has(a.out, folder.SWEEP)) then a = one_point(a) end
  a.typed = {unpack(a.set)}
  if not a.resume then return extend(a) end
  if #a.recipe > 0 and is_named then return keep_budget(a) end
  local known = arguments_of(a.out, a.trust)
  for key, value in pairs(known) do
    local given = a[key]
    if key == 'set' then a.set = options.overridden(value, given, '--set')
    elseif given == nil or type(given) == 'table' and #given == 0 then a[key] = value end
  end
  return a
end

--- The settings for parsed arguments.
---@param a table from the parser of cli/commands/run.lua
---@return table settings {recipes, data, data_options, options, grid (points),
---  search {kind, points}, point_of(settings), bits, budget (bytes),
---  rounding, device, seeds, threads, jobs, steps, checkpoint (seconds), out, resume, from, force,
---  quiet, report, profile, tensorboard, check, of_sweep, arguments}
return function(a)
  a = complete(a)
  if #a.recipe == 0 then
    usage('run: a recipe is needed: tinykg run recipes/kgcn.lua --data DIR')
  end
  if not a.data or a.data == '' then
    usage('run: --data DIR is needed (%s)', a.resume and 'not with --resume --out DIR without a '
          .. 'recipe, which goes on with the settings there' or 'tinykg data demo DIR makes one')
  end
  if a.out == '' then usage('--out: a folder is needed') end
  local set, seeds, search = options.pairs(a.set, '--set'), seeds_of(a.seed or '1'),
    search_of(a.search)
  local bits = width_of(a.bits or (a.budget or a.device_memory) and 'auto' or '32',
                        '--bits (32, 8, 4, 2, 1, auto)')
  if a.sensitivity and bits ~= 'auto' then
    usage('--sensitivity: it is for choosing bits: with --bits auto, or a --budget')
  end
  if search and #a.recipe > 1 then usage('--search: one recipe at a time') end
  return {
    recipes = a.recipe, shown = a.shown, data = a.data, out = a.out, resume = a.resume,
    from = a.from, force = a.force,
    data_options = options.of_data(a.data_set), options = set, extend = a.extend,
    typed = options.pairs(a.typed or a.set, '--set'), -- without what --extend fills in
    grid = points_of(axes_of(a.grid, taken_of(a, set)), search, seeds[1]), seeds = seeds,
    search = search, point_of = function(asked) return applied(space.point(asked), 'settings:') end,
    bits = bits,
    budget = a.budget and options.bytes(a.budget, '--budget'),
    device_memory = a.device_memory and options.bytes(a.device_memory, '--device-memory'),
    sensitivity = a.sensitivity and require('tinykg.cli.sensitivity_file')(a.sensitivity),
    rounding = rounding_of(a.rounding or 'dither', '--rounding'),
    device = options.device(a.device or 'auto'),
    threads = whole(a.threads or '0', '--threads', 0),
    jobs = whole(a.jobs or '1', '--jobs', 1),
    steps = a.steps and whole(a.steps, '--steps', 1),
    checkpoint = a.checkpoint and 60 * minutes(a.checkpoint),
    quiet = a.quiet, json = a.json, report = a.report, profile = a.profile,
    tensorboard = a.tensorboard, check = a.check, of_sweep = a.of_sweep, arguments = a,
  }
end
