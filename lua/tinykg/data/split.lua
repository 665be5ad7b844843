--- Splits interactions into train, validation and test. A split depends on the rows, the options
-- and the seed alone.

local arrays = require 'tinykg.engine.arrays'
local rows = require 'tinykg.data.rows'

local split = {}

--- Names of the parts, by their numbers from 0.
split.parts = { 'train', 'valid', 'test' }

local STREAM = 0x53504C31
local VALID_STREAM = 0x53504C32

-- How many of n rows go to validation and to test. Train gets what rounding down leaves. But if a
-- share is less than one row and train has more than one, one row goes to test, then to validation
-- (as in RecBole).
local function shares(n, ratios)
  local valid, test = math.floor(ratios[2] * n), math.floor(ratios[3] * n)
  local train = n - valid - test
  if train > 1 and test == 0 and ratios[3] * n > 0 then test, train = 1, train - 1 end
  if train > 1 and valid == 0 and ratios[2] * n > 0 then valid = 1 end
  return valid, test
end

-- Rows of the three parts, by part[i] = 0, 1, 2; the order of the rows stays.
local function separate(all, part)
  local parts = {}
  for k = 0, 2 do
    parts[k + 1] = rows.filter(all, function(i) return part[i] == k end)
  end
  return parts[1], parts[2], parts[3]
end

-- Marks the last rows of order[first .. last) as validation and, after them, as test.
local function mark(part, order, first, last, valid, test)
  for i = last - test - valid, last - test - 1 do
    if i >= first then part[order[i]] = 1 end
  end
  for i = last - test, last - 1 do part[order[i]] = 2 end
end

--- The inverse of a permutation.
local function inverse(order, n)
  local rank = arrays.ints(n)
  for i = 0, n - 1 do rank[order[i]] = i end
  return rank
end

-- rank[i]: the place of row i in a random order.
local function random_rank(n, seed, stream)
  local order = arrays.permutation(n, seed, 0, stream)
  local rank = inverse(order, n)
  arrays.free(order)
  return rank
end

local function time_rank(all)
  if not all.times then error("split by time: the interactions have no times", 0) end
  return inverse(arrays.argsort(all.n, all.times), all.n)
end

-- Marks each user's rows in the order of their ranks, which it frees; count(n) returns how many go
-- to validation and test.
local function per_user(all, users, rank, count)
  local part = arrays.ints(all.n)
  local csr = arrays.csr(all.n, all.users, rank, users)
  for user = 0, users - 1 do
    local first, last = csr.offsets[user], csr.offsets[user + 1]
    local valid, test = count(last - first)
    mark(part, csr.order, first, last, valid, test)
  end
  csr:free()
  arrays.free(rank)
  return separate(all, part)
end

local function whole(all, rank, ratios)
  local part, order = arrays.ints(all.n), inverse(rank, all.n)
  local valid, test = shares(all.n, ratios)
  mark(part, order, 0, all.n, valid, test)
  return separate(all, part)
end

local methods = {}

function methods.ratio(all, users, ratios, seed)
  return per_user(all, users, random_rank(all.n, seed, STREAM),
    function(n) return shares(n, ratios) end)
end

function methods.ratio_global(all, _, ratios, seed)
  return whole(all, random_rank(all.n, seed, STREAM), ratios)
end

-- The last row of each user (by time, else a random one) for test, the one before for validation.
function methods.leave_one_out(all, users, _, seed)
  if all.labels then
    error("split 'leave_one_out' needs positives only: use task = 'ranking'", 0)
  end
  local rank = all.times and time_rank(all) or random_rank(all.n, seed, STREAM)
  return per_user(all, users, rank, function(n) return n > 2 and 1 or 0, n > 1 and 1 or 0 end)
end

local DAYS = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

local function days_in(year, month)
  local leap = year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
  return month == 2 and leap and 29 or DAYS[month] or 0
end

-- Seconds since 1970 of a date '2024-01-31' (UTC) or a number; nil for what is neither.
local function seconds_of(date)
  if type(date) == 'number' then return date end
  local year, month, day = tostring(date):match('^(%d%d%d%d)%-(%d%d)%-(%d%d)$')
  if not year then return nil end
  year, month, day = tonumber(year), tonumber(month), tonumber(day)
  if day < 1 or day > days_in(year, month) then return nil end
  local y = month > 2 and year or year - 1 -- years that begin in March, as leap days end them
  local days = 365 * y + math.floor(y / 4) - math.floor(y / 100) + math.floor(y / 400)
    + math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1
  return 86400 * (days - 719468)
end

local function list_of(dates) return type(dates) == 'table' and dates or { dates } end

--- Whether a value is one date or two, the earlier first. ---@return boolean
function split.is_dates(value)
  local list = list_of(value)
  local first, second = seconds_of(list[1]), seconds_of(list[2])
  return first ~= nil and #list <= 2 and (#list == 1 or second ~= nil and first < second)
end

-- Test is what is as late as the last date, validation as the first of two; of one, the latest of
-- what is earlier, ratios[2] of ratios[1] + ratios[2].
local function at_dates(all, ratios, at)
  if not all.times then error('split by time: the interactions have no times', 0) end
  local list, part, early = list_of(at), arrays.ints(all.n), {}
  local from, test = seconds_of(list[1]), seconds_of(list[#list])
  for i = 0, all.n - 1 do
    part[i] = all.times[i] >= test and 2 or #list == 2 and all.times[i] >= from and 1 or 0
    if part[i] == 0 then early[#early + 1] = i end
  end
  if #list == 1 then
    table.sort(early, function(a, b)
      if all.times[a] ~= all.times[b] then return all.times[a] > all.times[b] end
      return a > b
    end)
    for k = 1, math.floor(#early * ratios[2] / (ratios[1] + ratios[2])) do part[early[k]] = 1 end
  end
  return separate(all, part)
end

function methods.time(all, users, ratios)
  return per_user(all, users, time_rank(all), function(n) return shares(n, ratios) end)
end

function methods.time_global(all, _, ratios) return whole(all, time_rank(all), ratios) end

--- Names of the methods:
--  ratio          of each user's rows, at random
--  ratio_global   of all rows, at random
--  leave_one_out  each user's last row for test, the one before for validation
--  time           of each user's rows, the latest for test; or by dates
--  time_global    of all rows, the latest for test
split.methods = methods

--- The methods that need times.
split.by_time = { time = true, time_global = true, leave_one_out = true }

local LAST = 253402300800 -- seconds of the year 10000

--- The first and the last time, as dates where they are seconds since 1970.
local function span_of(all)
  local first, last = math.huge, -math.huge
  for i = 0, all.n - 1 do
    first, last = math.min(first, all.times[i]), math.max(last, all.times[i])
  end
  if first < 0 or last >= LAST then
    return ('%.14g to %.14g, which are no seconds since 1970'):format(first, last)
  end
  return os.date('!%Y-%m-%d', first) .. ' to ' .. os.date('!%Y-%m-%d', last)
end

--- Splits rows by a method.
---@param all table
---@param users number
---@param method string
---@param ratios number[] train, validation, test
---@param seed number
---@param at? string|number|table a date, or two, of split 'time' ---@return table train, table
---  valid, table test, string? name of a split that has no shares
function split.apply(all, users, method, ratios, seed, at)
  local name = method == 'leave_one_out' and method or nil
  if not at then
    local train, valid, test = methods[method](all, users, ratios, seed)
    return train, valid, test, name
  end
  if method ~= 'time' then error("option at: it is for split=time, not " .. method, 0) end
  local train, valid, test = at_dates(all, ratios, at)
  name = 'time at ' .. table.concat(list_of(at), ', ')
  for k, part in ipairs { train, valid, test } do
    if part.n == 0 then
      error(('%s: %s has no rows: times are %s'):format(name, split.parts[k], span_of(all)), 0)
    end
  end
  return train, valid, test, name
end

--- The parts that the rows name.
---@param all table with the column parts
---@return table train, table valid, table test
function split.given(all)
  local parts = all.parts
  all.parts = nil
  return separate(all, parts)
end

--- Splits a share of each user's rows off train, rounded to the nearest; at least one stays.
---@param train table
---@param users number
---@param ratio number
---@param seed number
---@return table train
---@return table valid
function split.take_valid(train, users, ratio, seed)
  local rest, valid = per_user(train, users, random_rank(train.n, seed, VALID_STREAM), function(n)
    return math.min(math.floor(n * ratio + 0.5), math.max(n - 1, 0)), 0
  end)
  return rest, valid
end

return split
