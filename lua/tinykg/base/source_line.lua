--- Whose line an error is: the nearest one outside the library, which is where the recipe is.
local source_line = {}

local here = debug.getinfo(1, 'S').source:match('^(@.*)base/source_line%.lua$')

-- Lua drops the frame of a function that ends in `return f(...)`. Where that leaves nobody to
-- blame, it is the function on whose behalf things are done.
local origin

local function path_of(info) return info.source:match('^@(.*)') or info.short_src end

local function is_ours(info) return info.source:sub(1, #here) == here end

--- Place of the nearest caller outside the library: "path:line". No line for a whole file.
local function caller()
  local level = 3
  while true do
    local info = debug.getinfo(level, 'Sl')
    if not info then break end
    if info.currentline > 0 and not is_ours(info) then
      return path_of(info) .. ':' .. info.currentline
    end
    level = level + 1
  end
  if not origin then return nil end
  return path_of(origin) .. (origin.linedefined > 0 and ':' .. origin.linedefined or '')
end

--- What is called from here on is done for `fn`, if that is a function of a recipe's. Returns what
--- leave takes.
function source_line.enter(fn)
  local outer, info = origin, type(fn) == 'function' and debug.getinfo(fn, 'S')
  if info and not is_ours(info) then origin = info end
  return outer
end
function source_line.leave(outer) origin = outer end

---@return string? where "file:line", without folders
function source_line.short()
  local where = caller()
  return where and where:match('[^/]*$')
end

--- The message with the place of the recipe before it.
function source_line.message(message)
  local where = caller()
  return where and where .. ': ' .. message or message
end

--- For xpcall: a mistake that Lua notices inside the library (a nil where a number must be) is the
--- recipe's line too; the library's is added.
function source_line.handler(e)
  if type(e) ~= 'string' then return e end
  local at, message = e:match('^[^\n:]*lua/(tinykg/[%w_/]+%.lua:%d+): (.*)')
  local where = at and caller()
  return where and string.format('%s: %s (%s)', where, message, at) or e
end

--- The calls that led here, without the library's; nil where the message says as much.
---@return string?
function source_line.trace()
  local lines, level = {}, 3
  while true do
    local info = debug.getinfo(level, 'Sln')
    if not info then break end
    if info.currentline > 0 and not is_ours(info) then
      lines[#lines + 1] = string.format('  %s:%d%s', path_of(info), info.currentline,
                                        info.what ~= 'main' and info.name and ': in ' .. info.name
                                        or '')
    end
    level = level + 1
  end
  return #lines > 1 and table.concat(lines, '\n') or nil
end

return source_line
