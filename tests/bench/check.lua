--- make bench-check: compares the ratios of make bench with those kept in ratios.json, and names
--- what fell by more than 15 %. Status 1 if anything did.
--   tinykg tests/bench/check.lua [--keep] BENCH.json [RATIOS.json]
-- Ratios depend on the machine, so they are kept by CPU model, instruction set and size (--quick or
-- not). On another machine differences are shown and not counted. --keep stores those of BENCH.json
-- in place of the ones kept for this machine.
local atomic_file = require 'tinykg.base.atomic_file'
local format = require 'tinykg.base.format'
local json = require 'tinykg.base.json'
local read_file = require 'tinykg.base.read_file'
local sorted_keys = require('tinykg.base.tables').sorted_keys
local home = os.getenv 'TINYKG_HOME' or '.'

local MOST = 1.15 -- times the kept ratio

local function fail(...)
  io.stderr:write(format.line((...):format(select(2, ...))), '\n')
  os.exit(2)
end

local function options(words)
  local o = {}
  for _, word in ipairs(words) do
    if word == '--keep' then o.keep = true else o[#o + 1] = word end
  end
  if #o < 1 or #o > 2 then
    fail('usage: tinykg tests/bench/check.lua [--keep] BENCH.json [RATIOS.json]')
  end
  return o[1], o[2] or home .. '/tests/bench/ratios.json', o.keep
end

local function read(path)
  local text = read_file(path)
  local value, why = nil, path .. ': cannot be read; make bench writes it'
  if text then value, why = json.decode(text, path) end
  if not value then fail('%s', why) end
  return value
end

--- Ratios by name. ---@param bench table what ratios.lua wrote
local function by_name(bench)
  local found = {}
  for _, r in ipairs(bench.ratios) do found[r.name .. ', of ' .. r.of] = r.ratio end
  return found
end

--- The kept entry of this machine, else one of the same instruction set, else any; of this size.
---@return table? entry ---@return boolean? same whether it is of this machine
local function entry_for(kept, bench)
  local best, points = nil, 0
  for _, entry in ipairs(kept) do
    local same_code = entry.vector_code == bench.machine.vector_code
    local p = 1 + (same_code and 1 or 0) + (entry.cpu == bench.machine.cpu and same_code and 1 or 0)
    if entry.quick == bench.quick and p > points then best, points = entry, p end
  end
  return best, points == 3
end

local function keep(path, kept, bench)
  local entry = {cpu = bench.machine.cpu, vector_code = bench.machine.vector_code,
                 quick = bench.quick, commit = bench.machine.commit, ratios = by_name(bench)}
  for name, ratio in pairs(entry.ratios) do
    entry.ratios[name] = tonumber(('%.4g'):format(ratio))
  end
  local was, same = entry_for(kept, bench)
  for k, other in ipairs(kept) do
    if same and other == was then table.remove(kept, k) break end
  end
  kept[#kept + 1] = entry
  assert(atomic_file.write(path, json.encode(kept, {indent = 1}) .. '\n'))
  print(('%s: %d ratios of %s, %s'):format(path, #bench.ratios, entry.cpu, entry.vector_code))
end

--- Prints what differs by more than 15 %, and what was not measured; returns how many fell.
local function compare(was, now)
  local fell, missing = 0, {}
  for _, name in ipairs(sorted_keys(was)) do
    local before, after = was[name], now[name]
    if not after then missing[#missing + 1] = name
    elseif after > MOST * before then
      fell = fell + 1
      format.print(('fell   %-60s %.3f -> %.3f'):format(name, before, after))
    elseif before > MOST * after then
      format.print(('better %-60s %.3f -> %.3f'):format(name, before, after))
    end
  end
  for _, name in ipairs(missing) do format.print('not measured: ' .. name) end
  return fell
end

local bench_path, kept_path, to_keep = options(arg)
local bench = read(bench_path)
local kept = read_file(kept_path) and read(kept_path) or {}
if to_keep then return keep(kept_path, kept, bench) end
local entry, same = entry_for(kept, bench)
if not entry then
  return format.print('nothing to compare with: no ratios of this size in ' .. kept_path ..
                      '; --keep stores these')
end
format.print(('compared with %s, %s, commit %s'):format(entry.cpu, entry.vector_code, entry.commit))
local fell = compare(entry.ratios, by_name(bench))
if fell == 0 then
  print('nothing fell by more than 15 %')
elseif same then
  print(('%s by more than 15 %%'):format(fell == 1 and '1 ratio fell' or fell .. ' ratios fell'))
  os.exit(1)
else
  print('those are ratios of another CPU, so nothing is counted; --keep stores the ones of this')
end
