--- One program run in several ways and compared.
local compare = require 'tests.faults.programs.compare'
local engine = require 'tests.faults.programs.engine'
local make = require 'tests.faults.programs.make'
local program = require 'tests.faults.programs.program'
local random = require 'tests.faults.programs.random'
local source = require 'tests.faults.programs.source'
local updates = require 'tests.faults.programs.updates'
local ways = require 'tests.faults.programs.ways'

local check = {}

--- What is wrong with a result: a text, or nil.
local function judge(way, result, message, reference, base)
  if not result then return message end
  if way.agrees == 'bits' then return compare.bits(base, result) end
  if way.agrees == 'forward' then return compare.bits(base, result, true) end
  if way.agrees == 'forward_reference' then result.gradients = nil end
  return compare.with_reference(reference, result)
end

--- Runs a loaded program one way: its result, and what is wrong with it.
function check.run(load, p, way, reference, base)
  local result, message = engine.run(load, p, way)
  return result, judge(way, result, message, reference, base)
end

--- Whether a program fails in this way, alone: for the minimiser and for reports.
function check.fails(p, way)
  local load = engine.load(source.of(p))
  if way.agrees == 'updates' then
    local ok, wrong = pcall(updates.run, load, p, way.optimizer, function() end)
    return not ok and tostring(wrong) or wrong
  end
  local reference = compare.reference(p)
  if way.agrees == 'reference' or way.agrees == 'forward_reference' then
    local _, wrong = check.run(load, p, way, reference)
    return wrong
  end
  local of = way.agrees == 'bits' and way.options.bits == 2 and ways.packed or ways.plain
  local base = engine.run(load, p, of)
  if not base then return nil end
  local _, wrong = check.run(load, p, way, reference, base)
  return wrong
end

--- The ways of this program besides the plain and the packed one.
local function choose(r, p, options)
  local list = {}
  for _ = 1, options.ways or 2 do list[#list + 1] = r:of(ways.all) end
  if options.big then
    for _, way in ipairs(ways.all) do if way.threads then list[#list + 1] = way end end
  end
  local chosen = {}
  for _, way in ipairs(list) do
    -- what is drawn has other numbers there; so has noise in a second step
    local drawn = (way.kind == 'eager' or way.again) and program.draws(p)
    if not drawn and not (way.again and program.is_noisy(p)) then chosen[#chosen + 1] = way end
  end
  if options.emulated then for _, way in ipairs(ways.emulated) do chosen[#chosen + 1] = way end end
  return chosen
end

--- Checks a program in some ways: note(way, wrong) is called with what is wrong, covered(step) with
--- steps.
local function run_all(p, options, note, covered)
  local r, reference = random.new(p.seed + 5), compare.reference(p)
  local load = engine.load(source.of(p))
  local base, wrong = check.run(load, p, ways.plain, reference)
  if wrong then note(ways.plain, wrong) end
  if not base then return 1 end
  covered(base.step)
  local runs, packed, unlike = 2, check.run(load, p, ways.packed, reference, base)
  if unlike then note(ways.packed, unlike) end
  if packed then covered(packed.step) end
  if packed and (options.big or r:one_in(4)) then
    local way = r:of(ways.like_packed)
    runs, wrong = runs + 1, select(2, check.run(load, p, way, reference, packed))
    if wrong then note(way, wrong) end
  end
  for _, way in ipairs(choose(r, p, options)) do
    runs, wrong = runs + 1, select(2, check.run(load, p, way, reference, base))
    if wrong then note(way, wrong) end
  end
  if options.optimizer and not program.draws(p) and not program.is_noisy(p) then
    local kind
    wrong, kind = updates.check(load, p, r, covered)
    if wrong then note({name = kind.name, agrees = 'updates', optimizer = kind}, wrong) end
  end
  return runs
end

--- Makes and checks the program of a seed. failure(p, way, wrong) is called for each; counts are
--- added to `totals`.
---@param options table of run.kind_of
function check.seed(seed, options, totals, failure, covered)
  local p, wrong = make(seed, options)
  if wrong then failure(p, {name = 'what steps draw', agrees = 'draws'}, wrong) end
  if not p then
    totals.empty = totals.empty + 1
    return
  end
  totals.programs, totals.nodes = totals.programs + 1, totals.nodes + #p.nodes
  totals.runs = totals.runs + run_all(p, options, function(way, text)
    totals.failures = totals.failures + 1
    failure(p, way, text)
  end, covered)
  return p
end

return check
