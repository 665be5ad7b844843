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

--- The text without a byte order mark, with which some editors and spreadsheets begin a file.
---@param text string ---@return string
function utf8.unmarked(text) return (text:gsub('^\239\187\191', '')) end

-- First and last code points that a terminal shows in two columns (East Asian wide characters, most
-- pictographs), and in none (combining marks, joiners, selectors).
local WIDE = {{0x1100, 0x115F}, {0x2E80, 0xA4CF}, {0xAC00, 0xD7A3}, {0xF900, 0xFAFF},
              {0xFE30, 0xFE6F}, {0xFF00, 0xFF60}, {0xFFE0, 0xFFE6}, {0x1F300, 0x1FAFF},
              {0x20000, 0x3FFFD}}
local NONE = {{0x0300, 0x036F}, {0x200B, 0x200F}, {0x202A, 0x202E}, {0x20D0, 0x20FF},
              {0xFE00, 0xFE0F}}

local function is_in(ranges, code)
  for _, range in ipairs(ranges) do
    if code >= range[1] and code <= range[2] then return true end
  end
  return false
end

--- How many columns of a terminal a line takes.
---@param text string without control characters; bytes that are not UTF-8 take one each
---@return integer
function utf8.columns(text)
  if not text:find('[\128-\255]') then return #text end
  local n = 0
  for first, rest in utf8.valid(text):gmatch('([%z\1-\127\192-\255])([\128-\191]*)') do
    local code = first:byte() % 2 ^ math.max(1, 6 - #rest)
    if #rest == 0 then code = first:byte() end
    for byte in rest:gmatch('.') do code = code * 64 + byte:byte() % 64 end
    n = n + (is_in(WIDE, code) and 2 or is_in(NONE, code) and 0 or 1)
  end
  return n
end

return utf8
