--- Checks what a model's on_epoch did to the record of an epoch, before that is written: a run that
--- logged what its own lines cannot show could not go on.
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'

local PLAIN = {number = true, string = true, boolean = true}

--- Errors: a value that has no place in JSON. ---@param at string where it is: 'record.x'
local function check_plain(value, at, seen)
  local kind = tensor.is(value) and 'tensor' or type(value)
  if kind ~= 'table' then
    if PLAIN[kind] then return end
    runtime.fail('on_epoch: %s is a %s, expected a number: item() gives a tensor\'s', at, kind)
  end
  if seen[value] then return end
  seen[value] = true
  for key, part in pairs(value) do check_plain(part, at .. '.' .. tostring(key), seen) end
end

local BUILT_IN = {'epoch', 'step', 'loss', 'losses', 'valid', 'metric', 'seconds', 'memory'}

--- Errors: on_epoch put something into its record that has no place in JSON, or under a name that
--- the record has anyway something that is not what a reader of log.jsonl expects there.
---@param record table ---@param was table a copy of it from before on_epoch
return function(record, was)
  check_plain(record, 'record', {})
  local function expect(value, kind, at)
    if type(value) == kind then return end
    runtime.fail('on_epoch: %s is %s%s, expected %s%s, as the run wrote it: other names are free',
                 at, value == nil and '' or 'a ', type(value), kind == 'nil' and '' or 'a ', kind)
  end
  for _, name in ipairs(BUILT_IN) do
    local value = record[name]
    expect(value, type(was[name]), 'record.' .. name)
    for key, part in pairs(type(value) == 'table' and value or {}) do
      expect(part, 'number', ('record.%s.%s'):format(name, tostring(key)))
    end
  end
  for _, name in ipairs{'epoch', 'step'} do
    if record[name] ~= was[name] then
      runtime.fail('on_epoch: record.%s was %g and is %g now: the run goes on from there', name,
                   was[name], record[name])
    end
  end
end
