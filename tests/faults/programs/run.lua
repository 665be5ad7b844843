--- Many programs: which kind each is, counts, reports.
local session = require 'tinykg.engine.runtime'
local tk = require 'tinykg'
local check = require 'tests.faults.programs.check'
local coverage = require 'tests.faults.programs.coverage'
local engine = require 'tests.faults.programs.engine'
local make = require 'tests.faults.programs.make'
local mean = require 'tests.faults.programs.mean'
local minimise = require 'tests.faults.programs.minimise'
local program = require 'tests.faults.programs.program'
local random = require 'tests.faults.programs.random'
local source = require 'tests.faults.programs.source'
local ways = require 'tests.faults.programs.ways'
local emulation = require 'tests.support.emulation'

local run = {}

-- Each program is code of its own, so there are many more short traces than LuaJIT expects.
jit.opt.start('maxtrace=10000', 'maxmcode=65536', 'hotloop=200', 'hotexit=40')

local MOST_REPORTS = 5
local APART = 1000003 -- seeds of programs whose gradients are averaged begin so far on

--- The date as a number, 20260131.
function run.seed_of_today() return tonumber(os.date '!%Y%m%d') end

--- What kind of program a seed is.
local function kind_of(seed, with_emu)
  local r = random.new(seed + 12345)
  local kind = {big = r:one_in(40), draws = r:one_in(12), optimizer = r:one_in(12)}
  kind.emulated = with_emu and not kind.big and r:one_in(30)
  kind.table = r:one_in(60) -- a parameter large enough for moments in 8 bits
  if kind.table then kind.optimizer, kind.draws = true, false end
  return kind
end
run.kind_of = kind_of

local Result = {}
Result.__index = Result

--- Tells of a failure: the first few as small programs to paste.
local function report(self, p, way, wrong)
  self.failures = self.failures + 1
  self.failed_ways[way.name] = (self.failed_ways[way.name] or 0) + 1
  self.first = self.first or {seed = p.seed, way = way, wrong = wrong}
  if self.failures > MOST_REPORTS then return end
  self.print(('seed %d, %s: %s'):format(p.seed, way.name, wrong))
  if way.agrees == 'draws' then return end
  local fails = way.fails or function(q) return check.fails(q, way) end
  local small, text = minimise(p, fails)
  self.print(text and 'smallest program found: ' .. text or 'it does not fail by itself')
  self.print(source.to_paste(small, ways.text(way)))
end

local function one(self, seed)
  local totals = self.totals
  local kind = kind_of(seed, self.with_emu)
  kind.form = self.form
  check.seed(seed, kind, totals, function(p, way, wrong) report(self, p, way, wrong) end,
             function(step) self.coverage:note_step(step, seed) end)
end

local WIDTHS = {{bits = 2, small = 0}, {bits = 2, small = 0}, {bits = 2, small = 0},
                {bits = 2, small = 0, rounding = 'stochastic'}, {bits = 1, small = 0},
                {bits = 4, small = 0}}

local function one_mean(self, seed)
  local p = make(seed, {form = self.form})
  if not p or program.draws(p) then return end
  for _, node in ipairs(p.nodes) do node.bits = nil end -- what is exact must be
  local options = random.new(seed):of(WIDTHS)
  local wrong, noisy = mean.check(engine.load(source.of(p)), p, options)
  self.averaged = self.averaged + 1
  if noisy then
    self.means = self.means + 1
    self.of_width[options.bits] = (self.of_width[options.bits] or 0) + 1
  end
  if wrong then
    local way = {name = ('%d bits on average'):format(options.bits), options = options}
    function way.fails(q) return (mean.check(engine.load(source.of(q)), q, options)) end
    report(self, p, way, wrong)
  end
end

local function tidy(k)
  if k % 64 == 0 then
    collectgarbage()
    session.compact(true)
  end
end

--- Runs programs of seeds `seed`, `seed` + 1, ...
---@param o table programs, means (how many), seed, print, progress(result, done), form (one that
--- each program begins with), keep_going()
function run.all(o)
  local self = setmetatable({
    seed = o.seed, print = o.print or function() end, form = o.form, coverage = coverage.new(),
    failures = 0, failed_ways = {}, means = 0, averaged = 0, of_width = {},
    with_emu = emulation.is_there(),
    totals = {programs = 0, nodes = 0, runs = 0, empty = 0, failures = 0},
  }, Result)
  local threads, going = tk.threads(), o.keep_going or function() return true end
  local k = 0
  while k < o.programs and going() do
    one(self, o.seed + k)
    k = k + 1
    tidy(k)
    if o.progress and k % 1000 == 0 then o.progress(self, k) end
  end
  k = 0
  while self.means < o.means and going() do
    one_mean(self, o.seed + APART + k)
    k = k + 1
    tidy(k)
  end
  tk.threads(threads)
  return self
end

function Result:summary()
  local t, lines = self.totals, {}
  local widths = {}
  for bits, n in pairs(self.of_width) do widths[#widths + 1] = ('%d at %d bits'):format(n, bits) end
  table.sort(widths)
  lines[1] = ('%d programs from seed %d, %d nodes, %d runs, %d failures'):format(
    t.programs, self.seed, t.nodes, t.runs, self.failures)
  lines[2] = ('%d programs with 64 noisy gradients (%s), of %d tried'):format(
    self.means, table.concat(widths, ', '), self.averaged)
  for name, n in pairs(self.failed_ways) do lines[#lines + 1] = ('  %s: %d'):format(name, n) end
  lines[#lines + 1] = 'programs that used each op of engine/base/ops.def:'
  lines[#lines + 1] = tostring(self.coverage)
  return table.concat(lines, '\n')
end

return run
