--- The data set of a run: loads it and tells whether it has changed since.
local data = require 'tinykg.data'
local fingerprint = require 'tinykg.data.fingerprint'
local folder = require 'tinykg.run.folder'
local names = require 'tinykg.run.folder.names'
local restore = require 'tinykg.data.restore'
local tk = require 'tinykg'

local data_set = {}

--- Loads the data set. ---@param config {data: string, data_options: table} config.json
---@param dir? string where the data set is now, if it has moved
---@return tinykg.Data
function data_set.load(config, dir) return data.load(dir or config.data, config.data_options) end

--- Says what has changed since the run began, as a clause; nil if nothing is known to have changed.
---@param config table config.json ---@param now table fingerprint of the data set now
function data_set.changed(config, now)
  if not config.data_set then return nil end
  local why = fingerprint.difference(config.data_set, now)
  local version = why and config.version ~= tk.version and config.version
  return version and ('%s (the run is of tinykg %s, which may have read it otherwise)')
    :format(why, tostring(version)) or why
end

--- The message for a data set that has changed. ---@param path string ---@param dir string
---@param why string from `changed` ---@return string
function data_set.refusal(path, dir, why)
  return ('%s: its data set %s has changed since: %s (--data DIR names a copy of it as it was)')
    :format(path, dir, why)
end

--- The note for a run of an older version.
function data_set.unknown(path)
  return path .. ' is of an older version, which did not note what its data set was: whether that '
    .. 'has changed since is not known'
end

--- Writes names and split of a data set into a run's folder.
function data_set.write(path, set)
  names.write(path, set)
  folder.write_text(path, 'split.bin', restore.split_of(set))
end

--- The data set with its former numbers and split if only the order of its rows has changed, else
--- nil.
local function restored(path, config, found)
  local all, codes = names.read(path, config), folder.text(path, 'split.bin')
  local set = all and codes and restore.of(found, all, codes)
  return set and fingerprint.same_numbers(config.data_set, fingerprint.of(set)) and set or nil
end

--- Loads the data set with the numbers that the model was trained with. Rows in another order get
--- back their former numbers and split. Raises one line when anything else has changed.
---@param path string the run's folder ---@param config table ---@param dir? string
---@return tinykg.Data data, string? note
function data_set.unchanged(path, config, dir)
  local found = data_set.load(config, dir)
  if not config.data_set then
    return found, data_set.unknown(path)
  end
  local why = data_set.changed(config, fingerprint.of(found))
  local as_was = why and restored(path, config, found)
  if as_was then
    return as_was, ('%s: its data set %s has changed since: %s: the numbers and the split that it '
      .. 'had are used'):format(path, dir or config.data, why)
  elseif why then
    error(data_set.refusal(path, dir or config.data, why), 0)
  end
  return found
end

return data_set
