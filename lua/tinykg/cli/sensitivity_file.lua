--- Reads --sensitivity: how sensitive gradients are to noise in each saved value, measured before.
-- The file is JSON: {"values": {PHASE: {"model.lua:8 #2": number}}}, phases and values named as in
-- kept.json.
local json = require 'tinykg.base.json'
local options = require 'tinykg.cli.options'
local read_file = require 'tinykg.base.read_file'

--- The phases and values of a file. ---@param path string
---@return {values: table<string, table<string, number>>, mean: number}
return function(path)
  local text, why = read_file(path)
  if not text then options.usage('--sensitivity: %s', tostring(why)) end
  local file, message = json.decode(text, path)
  if file == nil then options.usage('--sensitivity: %s', message) end
  local values, sum, n = type(file) == 'table' and file.values, 0, 0
  if type(values) ~= 'table' then
    options.usage('--sensitivity: %s: no object "values" of phases', path)
  end
  for phase, of_phase in pairs(values) do
    for name, c in pairs(type(of_phase) == 'table' and of_phase or {[''] = of_phase}) do
      if type(c) ~= 'number' or not (c >= 0 and c < math.huge) then
        options.usage('--sensitivity: %s: values.%s.%s is not a number from 0', path,
                      tostring(phase), tostring(name))
      end
      sum, n = sum + c, n + 1
    end
  end
  return {values = values, mean = n > 0 and sum / n or 1}
end
