--- Which word of a list a misspelled one probably stands for.

local close_word = {}

--- Edit distance of two texts, at most `most`: characters inserted, deleted, replaced or exchanged
--- with their neighbour (optimal string alignment; Damerau 1964).
---@return integer? distance nil if it is more
function close_word.distance(a, b, most)
  if math.abs(#a - #b) > most then return nil end
  local before, last, row = {}, {}, {}
  for j = 0, #b do last[j] = j end
  for i = 1, #a do
    local least = i
    row[0] = i
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      local d = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same and 0 or 1))
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        d = math.min(d, before[j - 2] + 1)
      end
      row[j] = d
      least = math.min(least, d)
    end
    if least > most then return nil end
    before, last, row = last, row, before
  end
  return last[#b] <= most and last[#b] or nil
end

local MOST = 2 -- letters that may be wrong, but no more than half of a word

--- How far a word is from another; nil: too far. The beginning of a word, of three letters or more,
--- stands for it like a misspelling of two.
local function apart(text, word)
  local d = close_word.distance(text, word, math.min(MOST, math.floor(#text / 2)))
  if not d and #text >= 3 and word:sub(1, #text) == text then d = MOST end
  return d
end

--- The word of a list that is closest to a text, upper and lower case alike; the first of equals;
--- nil: none is close.
---@param text any what is no text is made one ---@param words string[]
---@return string?
function close_word.of(text, words)
  local lower, best, least = tostring(text):lower(), nil, nil
  for _, word in ipairs(words) do
    local d = apart(lower, word:lower())
    if d and (not least or d < least) then best, least = word, d end
  end
  return best
end

--- ': did you mean WORD?' for a message, or nothing. ---@param text any ---@param words string[]
---@return string
function close_word.hint(text, words)
  local word = close_word.of(text, words)
  return word and (': did you mean %s?'):format(word) or ''
end

--- The end of a message about a name that is not in a list: the closest one, then all.
---@param text any ---@param words string[]
---@return string
function close_word.among(text, words)
  local hint = close_word.hint(text, words)
  return ('%s has: %s'):format(hint ~= '' and hint .. ' It' or '; it',
                               #words > 0 and table.concat(words, ' ') or 'none')
end

return close_word
