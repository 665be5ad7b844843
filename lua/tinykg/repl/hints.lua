--- Hints for what Lua cannot do with tensors, or says badly.
local close_word = require 'tinykg.base.arguments.close_word'
local member_names = require 'tinykg.repl.member_names'
local tables = require 'tinykg.base.tables'
local tensor = require 'tinykg.engine.tensor'

local hints = {}

--- 'a:gt(b), a:lt(b)', of the comparisons that tensors have.
local function comparisons()
  local list = tables.map({'gt', 'ge', 'lt', 'le', 'eq', 'ne'}, function(name)
    return tensor.methods[name] and ('a:%s(b)'):format(name)
  end)
  return table.concat(list, ', ')
end

--- The message of an error with what to do behind it, if that is known.
---@param message string ---@return string
function hints.explain(message)
  if message:find('attempt to compare', 1, true) and comparisons() ~= '' then
    return message .. ': tensors are compared by ' .. comparisons()
  end
  local field = message:match("attempt to [%a ]+ field '([%w_]+)' %(a nil value%)")
  local tk = require 'tinykg'
  if field and tk[field] == nil then
    local close = close_word.of(field, tables.sorted_keys(member_names(tk)))
    if close then return ('%s: did you mean tk.%s?'):format(message, close) end
  end
  return message
end

--- Says that `#` of a tensor is no length: LuaJIT, as Lua 5.1, counts a table itself and asks no
--- metatable, unless it was built for Lua 5.2's rules. ---@param text string that was typed
function hints.length(text)
  for name in text:gmatch('#%s*([%a_][%w_]*)') do
    local value = rawget(_G, name)
    if tensor.is(value) and #value ~= value:size(1) then
      io.stderr:write(('note: #%s is %d: Lua does not ask a tensor for its length; %s:size(1) is '
                         .. '%d\n'):format(name, #value, name, value:size(1)))
      return
    end
  end
end

return hints
