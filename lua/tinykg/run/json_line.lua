--- The result of a run as a line of JSON, for programs: summary.json's fields, and folder, state,
--- message.
local json = require 'tinykg.base.json'
local tables = require 'tinykg.base.tables'

---@param path string the run's folder ---@param state string such as 'done' or 'failed'
---@param summary table? of a finished run ---@param message string? why it is not finished
---@return string
return function(path, state, summary, message)
  return json.encode(tables.merged(summary or {}, {folder = path, state = state,
                                                   message = message}))
end
