--- Lists of names in text files, one per line.
local format = require 'tinykg.base.format'
local must = require 'tinykg.base.must'
local read_file = require 'tinykg.base.read_file'
local utf8 = require 'tinykg.base.utf8'

--- The lines of a file that are not empty, without blanks around them, as names in tables are read:
--- {text, where = 'file:line: '} each.
---@param path string '-' is standard input
---@return table[]
return function(path)
  local text = path == '-' and io.stdin:read('*a') or must(read_file(path))
  local shown, list, number = path == '-' and 'standard input' or path, {}, 0
  for line in (utf8.unmarked(text) .. '\n'):gmatch('([^\n]*)\n') do
    number = number + 1
    if line:find('%S') then
      list[#list + 1] = {text = format.trimmed(line),
                         where = ('%s:%d: '):format(shown, number)}
    end
  end
  return list
end
