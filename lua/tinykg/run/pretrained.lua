--- Maps ids of a data set to rows of another run's parameters, by name.
local arrays = require 'tinykg.engine.arrays'
local fingerprint = require 'tinykg.data.fingerprint'
local folder = require 'tinykg.run.folder'
local names = require 'tinykg.run.folder.names'
local runtime = require 'tinykg.engine.runtime'

--- The rows for a parameter file in a run's folder. Raises one line when a user or item is not in
--- that run.
---@param path string the file ---@param data tinykg.Data ---@param kind string 'users' or 'items'
---@return ffi.cdata*? rows int32 by id; nil: rows equal ids, or names are not known
---@return integer? count rows of the parameter
return function(path, data, kind)
  local dir = path:match('^(.*)/[^/]*$') or '.'
  if not folder.has(dir, 'config.json') then return nil end -- a file of another program
  local config = folder.config(dir)
  local theirs = names.read(dir, config)
  if not theirs then
    io.stderr:write('note: ', path, ': its run is of an older version, which did not note its ',
                    kind, ': rows are taken by number\n')
    return nil
  end
  if fingerprint.of_names(data.names) == config.data_set.numbering then return nil end
  local own, rows, missing, first = data.names[kind], arrays.ints(data[kind]), 0, nil
  for id = 0, data[kind] - 1 do
    local row = theirs[kind]:id(own:name(id))
    if not row then missing, first = missing + 1, first or own:name(id) end
    rows[id] = row or -1
  end
  if missing > 0 then
    runtime.fail("%s: %d of %d %s are not in the data set of its run, '%s' for one: train that " ..
                 'run on this data set first', path, missing, data[kind], kind, first)
  end
  return rows, theirs[kind].count
end
