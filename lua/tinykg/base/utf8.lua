--- UTF-8. Names come from files of any encoding.
local utf8 = {}

-- The well-formed sequences (RFC 3629, section 4), each anchored at a position.
local sequences = {
  '^[\194-\223][\128-\191]', '^\224[\160-\191][\128-\191]',
  '^[\225-\236\238\239][\128-\191][\128-\191]',
  '^\237[\128-\159][\128-\191]', '^\240[\144-\191][\128-\191][\128-\191]',
  '^[\241-\243][\128-\191][\128-\191][\128-\191]', '^\244[\128-\143][\128-\191][\128-\191]',
}

--- The text with each byte that is not UTF-8 replaced by U+FFFD; the text itself where all is.
---@param text string
---@return string
function utf8.valid(text)
  if not text:find('[\128-\255]') then return text end
  local parts, at = {}, 1
  while at <= #text do
    local last = text:match('^[%z\1-\127]+()', at)
    last = last and last - 1
    for k = 1, last and 0 or #sequences do
      last = select(2, text:find(sequences[k], at))
      if last then break end
    end
    parts[#parts + 1] = last and text:sub(at, last) or '\239\191\189'
    at = (last or at) + 1
  end
  return table.concat(parts)
end

return utf8
