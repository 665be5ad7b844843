--- Files of vectors that a model begins with. Where its parameters then come from a trained run, a
--- file that cannot be read is not needed: it may have moved since, or be another one.
local C = require 'tinykg.engine.lib'
local runtime = require 'tinykg.engine.runtime'

local start_files = {}

local spared -- {all = true} or {names = set}, while a model is built whose parameters come later

--- Spares all files: each parameter will be set, so that those which a file lacks are NaN until
--- then, and a model that used them for something else shows it.
function start_files.spare_all() spared = {all = true} end

--- Spares files that some options name; rows that are not read stay as they began.
---@param options table<string, any> of the run whose parameters come later
function start_files.spare(options)
  spared = {names = {}}
  for _, value in pairs(options) do spared.names[value] = true end
end

--- Ends what spare or spare_all began.
function start_files.need() spared = nil end

--- Whether all files are spared.
function start_files.all_spared() return spared ~= nil and spared.all == true end

--- Calls read(), which reads the file or files that an option names. Its errors are raised unless
--- the files are spared. ---@param name string as in the option ---@param read fun()
---@param weight? Tensor the table that it sets
function start_files.read(name, read, weight)
  if not spared or not (spared.all or spared.names[name]) then return read() end
  local ok, why = pcall(read)
  if ok then return end
  if type(why) ~= 'string' then error(why, 0) end -- Ctrl-C
  if spared.all and weight then runtime.check(C.tkg_tensor_fill(weight.kept, 0 / 0)) end
end

return start_files
