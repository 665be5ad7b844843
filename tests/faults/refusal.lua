--- Whether a message is one that a person can read, or an error of Lua that went through.
local RAW = {
  'attempt to ', 'bad argument', 'cannot convert', 'stack overflow', 'stack traceback',
  'table index is', 'invalid value', 'malformed ', 'not enough memory', "'for' %a+ value must",
  'invalid option', 'missing declaration', 'tinykg/[%w_/]+%.lua:%d',
}

--- Nil where the text is fine, else what is wrong with it.
---@param text any what was raised or printed
---@return string? complaint
return function(text)
  if type(text) ~= 'string' then return 'not a text: ' .. tostring(text) end
  if text == '' then return 'an empty message' end
  for _, pattern in ipairs(RAW) do
    if text:find(pattern) then return 'a raw error of Lua: ' .. text end
  end
end
