--- Lists of names in text files, one per line.
local name_list = {}

local BOM = '\239\187\191' -- some editors begin a file with it

local function opened(path)
  if path == '-' then return io.stdin end
  local file, message = io.open(path, 'rb')
  return file or error(message, 0)
end

--- The lines of a file that are not empty: {text, where = 'file:line: '} each.
---@param path string '-' is standard input
---@return table[]
function name_list.lines(path)
  local file, list, number = opened(path), {}, 0
  local shown = path == '-' and 'standard input' or path
  for line in file:lines() do
    number = number + 1
    line = line:gsub('\r$', '')
    if number == 1 and line:sub(1, #BOM) == BOM then line = line:sub(#BOM + 1) end
    if line:find('%S') then
      list[#list + 1] = {text = line, where = ('%s:%d: '):format(shown, number)}
    end
  end
  if path ~= '-' then file:close() end
  return list
end

return name_list
