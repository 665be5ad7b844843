--- Writes a data set in any of the formats that data.load reads. It writes the data set as loaded:
--- split, filters, sampled negatives. A note names what a format has no place for. With each format
--- go features of items, in features.npz.

local folder = require 'tinykg.data.write.folder'
local tables = require 'tinykg.base.tables'
local write_features = require 'tinykg.data.write.features'

local write = {}

--- The writers by the format's name.
write.formats = {
  kgat = require 'tinykg.data.write.kgat',
  kgcn = require 'tinykg.data.write.kgcn',
  plain = require 'tinykg.data.write.plain',
  recbole = require 'tinykg.data.write.recbole',
}

--- Writes a data set to a new or empty folder: all files or none. Errors: they cannot be written.
---@param data tinykg.Data
---@param dir string
---@param options {format: string, gzip: boolean?, force: boolean?, whole: boolean?} force: into a
---  folder with other files, replacing those of this format; whole: one file without the split,
---  which kgat does not have
---@return string[] lines what was left out or changed, and what readers should know
function write.write(data, dir, options)
  local writer = write.formats[options.format]
  folder.check(dir, options.force)
  local out = folder.begin(dir, options)
  local ok, message = pcall(function()
    writer.write(data, out, options)
    local owned = write_features(data, out, writer.name_of)
    out:finish(tables.append(writer.files(dir), owned))
  end)
  if not ok then
    out:abandon()
    error(message, 0)
  end
  return out.lines
end

return write
