--- Profiles: where the time of steps goes, by op, beside what the machine can do.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local atomic_file = require 'tinykg.base.atomic_file'
local format = require 'tinykg.base.format'
local json = require 'tinykg.base.json'
local must = require 'tinykg.base.must'
local runtime = require 'tinykg.engine.runtime'
local tables = require 'tinykg.base.tables'
local trace = require 'tinykg.engine.profile.trace'
local ways = require 'tinykg.engine.profile.ways'

---@class Profile
---@field seconds number from begin to end ---@field runs integer steps and other runs
---@field in_runs number seconds within them ---@field in_ops number seconds within ops
---@field device string ---@field threads integer
---@field copy number? bytes a second that copying moves here ---@field flops number? multiply-adds
---@field ops table[] most seconds first: {op, calls, seconds, bytes, cached, flops, share (of
---  in_ops), gb_s, gflop_s, and of_copy, of_flops: shares of what the machine can do}
---@field ways table<string, string> tk.ways() at its end
local Profile = {}
Profile.__index = Profile

local function figure(self, name) return C.tkg_profile_figure(self.c, name) end

-- ---- by op ----

--- The share of a peak, nil where that is not known.
local function share_of(rate, peak) return peak and rate / peak or nil end

local function record_of(self, op, sum)
  local r = {op = ffi.string(C.tkg_op_name(op)), calls = sum.calls, seconds = sum.seconds,
             bytes = sum.bytes, cached = sum.cached, flops = sum.flops,
             share = sum.seconds / self.in_ops, gb_s = sum.bytes / sum.seconds / 1e9,
             gflop_s = sum.flops / sum.seconds / 1e9}
  r.of_copy = share_of(1e9 * r.gb_s, self.copy)
  r.of_flops = share_of(1e9 * r.gflop_s, self.flops)
  return r
end

local function read_ops(self)
  local sums = {}
  self.in_ops, self.ops = 0, {}
  for op = 0, C.tkg_op_count() - 1 do
    local sum = ffi.new('tkg_profile_op')
    runtime.check(C.tkg_profile_of(self.c, op, sum))
    if sum.calls > 0 and sum.seconds > 0 then
      sums[op], self.in_ops = sum, self.in_ops + sum.seconds
    end
  end
  for op, sum in pairs(sums) do self.ops[#self.ops + 1] = record_of(self, op, sum) end
  table.sort(self.ops, function(a, b)
    if a.seconds ~= b.seconds then return a.seconds > b.seconds end
    return a.op < b.op
  end)
end

--- Measures them once for each device and number of threads.
local measured = {}

local function read_peaks(self)
  local key = self.device .. self.threads
  if not measured[key] then
    local copy, flops = ffi.new('double[1]'), ffi.new('double[1]')
    runtime.check(C.tkg_peaks(self.engine, copy, flops))
    measured[key] = {copy = copy[0] > 0 and copy[0] or nil,
                     flops = flops[0] > 0 and flops[0] or nil}
  end
  self.copy, self.flops = measured[key].copy, measured[key].flops
end

-- ---- begin and end ----

local profile = {}

--- Begins a profile of all that this engine runs. Errors: one is going on.
function profile.begin()
  local out = ffi.new('tkg_profile *[1]')
  runtime.check(C.tkg_profile_begin(runtime.engine, out))
  return setmetatable({c = ffi.gc(out[0], C.tkg_profile_release), engine = runtime.engine,
                       device = ffi.string(C.tkg_engine_device(runtime.engine)),
                       threads = C.tkg_engine_threads(runtime.engine)}, Profile)
end

--- Ends it. The first time, what the machine can do is measured, in a fraction of a second.
---@return Profile self with its fields
function Profile:finish()
  C.tkg_profile_end(self.c)
  self.seconds, self.runs = figure(self, 'seconds'), figure(self, 'runs')
  self.in_runs = figure(self, 'in_runs')
  self.ways = ways.chosen()
  read_peaks(self)
  read_ops(self)
  return self
end

--- Runs fn with a profile of all steps and other runs within it. Results are the same bits. print
--- shows it as a table: time by op, bytes and flops per second, and their shares of copying and of
--- multiply-adds on this machine, measured the first time. Bytes are those that an op cannot do
--- without moving: through the cache, where a row is read for each edge, and through memory. So a
--- fast kernel comes near 100 % of copying, and one whose inputs lie in the cache to more. Values
--- of ops that run together in tiles do not go through memory; the time of such an op is its share
--- of the group's. On a GPU each op is waited for, which takes time by itself.
---
--- Fields: seconds, runs (steps and others), in_runs and in_ops (seconds within them), copy and
--- flops (per second, of the machine), and ops, most time first: {op, calls, seconds, bytes,
--- cached, flops, share (of in_ops), gb_s, gflop_s, of_copy, of_flops}. trace(FILE) writes the
--- steps with their ops for a trace viewer, write(FILE) the table as JSON.
---
---   local x = tk.randn(1000, 64)
---   local profile = tk.profile(function() tk.no_grad(function() return x:normalize() end) end)
---   print(profile.ops[1].calls)                       --> 1
---@param fn fun(...): ... ---@param ... any its arguments
---@return Profile profile, any ... what fn returns
function profile.of(fn, ...)
  local self = profile.begin()
  local results = {pcall(fn, ...)}
  self:finish()
  if not results[1] then error(results[2], 0) end
  return self, unpack(results, 2, table.maxn(results))
end

-- ---- as text ----

local function percent(share) return share and ('%.0f %%'):format(100 * share) or '' end

local function cells(r)
  return {r.op, ('%.0f'):format(r.calls), ('%.2f'):format(1e3 * r.seconds), percent(r.share),
          ('%.1f'):format(r.cached / r.seconds / 1e9), ('%.1f'):format(r.gb_s),
          percent(r.of_copy), ('%.1f'):format(r.gflop_s), percent(r.of_flops)}
end

local function peaks_text(self)
  local parts = {('%s, %s'):format(self.device, format.count(self.threads, 'thread'))}
  if self.copy then parts[#parts + 1] = ('copying %.1f GB/s'):format(self.copy / 1e9) end
  if self.flops then
    parts[#parts + 1] = ('multiply-adds %.0f GFLOP/s'):format(self.flops / 1e9)
  end
  return table.concat(parts, ', ')
end

function Profile:__tostring()
  local rows = {{'op', 'calls', 'ms', 'share', 'cache GB/s', 'GB/s', 'of copy', 'GFLOP/s',
                 'of peak'}}
  for _, r in ipairs(self.ops) do rows[#rows + 1] = cells(r) end
  local function rest(what, seconds)
    rows[#rows + 1] = {what, '', ('%.2f'):format(1e3 * seconds)}
  end
  rest('between ops', self.in_runs - self.in_ops)
  rest('outside of steps', self.seconds - self.in_runs)
  local lines = {peaks_text(self), format.table(rows)}
  for _, shape in ipairs(tables.sorted_keys(self.ways)) do
    lines[#lines + 1] = ('%s: %s'):format(shape, self.ways[shape])
  end
  return table.concat(lines, '\n')
end

-- ---- as files ----

--- The table as one JSON object.
---@param path string
function Profile:write(path)
  must(atomic_file.write(path, json.encode{
    device = self.device, threads = self.threads, seconds = self.seconds, runs = self.runs,
    in_runs = self.in_runs, copy = self.copy, flops = self.flops, ops = json.array(self.ops),
    ways = next(self.ways) and self.ways or nil,
    events_dropped = figure(self, 'dropped')} .. '\n'))
end

--- Writes the events as a Chrome trace, for https://ui.perfetto.dev or chrome://tracing: steps,
--- within them ops and groups, with recipe lines. Of a group each op has one piece, as long as all
--- of its tiles took. Only the first 131,072 events are there.
---@param path string
function Profile:trace(path)
  trace.write(path, self.c, figure(self, 'events'))
end

return profile
