--- Whose line an error is: the nearest one outside the library, which is where the recipe is.
local blame = {}

local here = debug.getinfo(1, 'S').source:match('^(@.*)blame%.lua$')

-- Lua drops the frame of a function that ends in `return f(...)`. Where that leaves nobody to blame,
-- it is the function whose recording goes on.
local origin

local function path_of(info) return info.source:match('^@(.*)') or info.short_src end

local function is_ours(info) return info.source:sub(1, #here) == here end

--- Path and line of the nearest caller outside the library.
local function caller()
  local level = 3
  while true do
    local info = debug.getinfo(level, 'Sl')
    if not info then break end
    if info.currentline > 0 and not is_ours(info) then return path_of(info), info.currentline end
    level = level + 1
  end
  if origin then return path_of(origin), origin.linedefined end
end

--- Calls fn, which belongs to the function `on_behalf` where that is a recipe's. As pcall; an error
--- names the recipe's line.
---@param on_behalf function
function blame.call(on_behalf, fn, ...)
  local info, outer = debug.getinfo(on_behalf, 'S'), origin
  if not is_ours(info) then origin = info end
  local results = {xpcall(fn, blame.handler, ...)}
  origin = outer
  return results
end

---@return string? where "file:line", without folders
function blame.short()
  local path, line = caller()
  return path and path:match('[^/]*$') .. ':' .. line
end

--- The message with the place of the recipe before it.
function blame.message(message)
  local path, line = caller()
  return path and path .. ':' .. line .. ': ' .. message or message
end

--- For xpcall: a mistake that Lua notices inside the library (a nil where a number must be) is the
--- recipe's line too; the library's is added.
function blame.handler(e)
  if type(e) ~= 'string' then return e end
  local at, message = e:match('^[^\n:]*lua/(tinykg/[%w_/]+%.lua:%d+): (.*)')
  if not at then return e end
  local path, line = caller()
  return path and string.format('%s:%d: %s (%s)', path, line, message, at) or e
end

--- The calls that led here, without the library's; nil where the message says as much.
---@return string?
function blame.trace()
  local lines, level = {}, 3
  while true do
    local info = debug.getinfo(level, 'Sln')
    if not info then break end
    if info.currentline > 0 and not is_ours(info) then
      lines[#lines + 1] = string.format('  %s:%d%s', path_of(info), info.currentline,
                                        info.name and ': in ' .. info.name or '')
    end
    level = level + 1
  end
  return #lines > 1 and table.concat(lines, '\n') or nil
end

return blame
