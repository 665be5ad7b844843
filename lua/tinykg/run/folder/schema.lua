--- Schemas of the JSON files of a run, and checking values against a schema.
local format = require 'tinykg.base.format'
local json = require 'tinykg.base.json'
local sorted_keys = require('tinykg.base.tables').sorted_keys

local schema = {}

local function described(value)
  if value == nil or value == json.null then return 'is not there' end
  if type(value) == 'table' then return 'is a table' end
  return ('is %s'):format(type(value) == 'string'
    and "'" .. format.line(value:sub(1, 40)) .. "'" or tostring(value))
end

local WORDS = {number = 'a number', string = 'a text', boolean = 'true or false',
               table = 'an object', count = 'a whole number'}

local function fits(kind, value)
  if kind == 'count' then return type(value) == 'number' and value >= 0 and value % 1 == 0 end
  return type(value) == kind
end

--- Says what is wrong with a value, as a clause that begins with where it is; nil if nothing is.
-- A schema is 'number', 'string', 'boolean', 'table' or 'count' (with ? behind it: optional), a
-- table of schemas by field, or {each = schema [, n = how many]} for the entries of a list or an
-- object.
---@param value any ---@param expected string|table ---@param where? string
---@return string?
function schema.mismatch(value, expected, where)
  where = where or ''
  local at = where == '' and 'it' or where
  if type(expected) == 'string' then
    local kind, optional = expected:match('^(%a+)(%??)$')
    local none = value == nil or value == json.null
    if none and optional == '?' or fits(kind, value) then return nil end
    return ('%s %s, expected %s'):format(at, described(value), WORDS[kind])
  end
  if type(value) ~= 'table' then
    return ('%s %s, expected %s'):format(at, described(value),
                                         expected.each and 'a list' or 'an object')
  end
  if expected.n and #value ~= expected.n then
    return ('%s has %d entries, expected %d'):format(at, #value, expected.n)
  end
  for _, key in ipairs(expected.each and {} or sorted_keys(expected)) do
    local inner = (where == '' and '' or where .. '.') .. key
    local why = schema.mismatch(value[key], expected[key], inner)
    if why then return why end
  end
  for key, inner in pairs(expected.each and value or {}) do
    local why = schema.mismatch(inner, expected.each, where .. '.' .. tostring(key))
    if why then return why end
  end
end

schema.CONFIG = {recipe = 'string', recipe_file = 'string?', data = 'string', options = 'table',
               data_options = 'table?', data_set = 'table?', seed = 'count', bits = 'count',
               ways = 'table?', modules = 'table?'}

schema.SUMMARY = {recipe = 'string', epochs = 'count', best_epoch = 'count', valid = 'table?',
                test = 'table?', kept = {reference_bytes = 'number', stored_bytes = 'number'},
                memory = {peak = 'number'}, time = {step_ms = 'number'}, columns = 'table?',
                metric = 'string?', popularity = 'table?', advice = 'string?'}

schema.KEPT = {phases = {each = {name = 'string', values = 'table'}}}

--- The schema of a checkpoint's state. ---@param phases? integer ---@param optimizers? integer
function schema.state(phases, optimizers)
  return {at = {epoch = 'count', phase = 'count', done = 'count', total = 'number',
                losses = {each = 'number'}, seconds = 'number', draws = 'count',
                waits = 'count?', drops = 'count?', owed = 'count?', waiting = 'table?',
                from = 'count?', begun = 'boolean?'},
          best = {epoch = 'count?', value = 'number?', metrics = 'table?'},
          steps = {each = 'count', n = phases}, times = {each = 'number', n = phases},
          updates = {each = 'count', n = optimizers}, memory = {each = 'number'}, held = 'table',
          gone = 'table?', epoch_times = {each = 'number'}, eval_times = {each = 'number'}}
end

return schema
