--- Finds the recipe's line for an error: the nearest one on the stack outside the library.
local source_line = {}

local here = debug.getinfo(1, 'S').source:match('^(@.*)base/source_line%.lua$')

-- A tail call, `return f(...)`, drops the frame of its function. Where no recipe's frame is left,
-- the place is that of `origin`, the recipe's function that is being called.
local origin

local function path_of(info) return info.source:match('^@(.*)') or info.short_src end

local function is_ours(info) return info.source:sub(1, #here) == here end

--- The nearest caller outside the library as "path:line"; without a line for a whole file.
local function caller()
  local level = 3 -- 1 is this function, 2 the one of this module that calls it
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

--- Sets the origin to `fn`, if that is a recipe's function. Returns the argument for leave().
function source_line.enter(fn)
  local outer, info = origin, type(fn) == 'function' and debug.getinfo(fn, 'S')
  if info and not is_ours(info) then origin = info end
  return outer
end
function source_line.leave(outer) origin = outer end

--- Calls fn(...) with `owner`, a recipe's function, as the origin. Returns what fn returns. An
--- error leaves the origin as it is, for its message.
function source_line.within(owner, fn, ...)
  local outer = source_line.enter(owner)
  local function left(...)
    origin = outer
    return ...
  end
  return left(fn(...))
end

---@return string? where "file:line", without folders
function source_line.short()
  local where = caller()
  return where and where:match('[^/]*$')
end

--- The message with the recipe's line before it.
function source_line.message(message)
  local where = caller()
  return where and where .. ': ' .. message or message
end

--- A handler for xpcall. An error that Lua raises inside the library, such as an operation on nil,
--- gets the recipe's line, with the library's behind it.
function source_line.handler(e)
  if type(e) ~= 'string' then return e end
  local at, message = e:match('^[^\n:]*lua/(tinykg/[%w_/]+%.lua:%d+): (.*)')
  local where = at and caller()
  return where and string.format('%s: %s (%s)', where, message, at) or e
end

local SHOWN = 10 -- lines at either end of a long stack, as after a recursion without end

--- The stack without the library's functions, for a handler of xpcall: after a stack overflow there
--- is no room for more calls. ---@return string[] lines for source_line.trace_text
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
  return lines
end

--- The lines of a stack as a text, of a long one both ends; nil if it is one line, which the
--- message has already. ---@param lines string[]? ---@return string?
function source_line.trace_text(lines)
  if not lines or #lines < 2 then return nil end
  if #lines <= 2 * SHOWN + 1 then return table.concat(lines, '\n') end
  return ('%s\n  ... %d more calls\n%s'):format(table.concat(lines, '\n', 1, SHOWN),
    #lines - 2 * SHOWN, table.concat(lines, '\n', #lines - SHOWN + 1))
end

return source_line
