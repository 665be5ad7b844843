--- Lays out a text that was written for another width: paragraphs, lists of names and what they
--- mean, code.

--- Words in lines of at most `width` columns: the first begins with `first`, the others with
--- `rest`. A word that is longer has a line of its own.
local function wrapped(words, width, first, rest)
  local lines, current, empty = {}, first, true
  for word in words:gmatch('%S+') do
    local blank = empty and '' or ' '
    if not empty and #current + 1 + #word > width then
      lines[#lines + 1] = current
      current, blank = rest, ''
    end
    current, empty = current .. blank .. word, false
  end
  lines[#lines + 1] = current
  return table.concat(lines, '\n')
end

--- Parts of a line: its indent, a name with two blanks or more behind it, or nothing, and the rest.
local function parts_of(line)
  local indent, rest = line:match('^(%s*)(.-)%s*$')
  local name, gap, text = rest:match('^(%S.-)(%s%s+)(%S.*)$')
  if indent == '' or not name then return indent, '', rest end
  return indent, name .. gap, text
end

--- Whether a line goes on with a block: prose without an indent, or what stands below the text of
--- an entry.
local function continues(block, indent)
  return block and #indent == block.column and (block.column == 0 or block.name ~= '')
end

---@param text string ---@param width integer columns
---@return string
return function(text, width)
  local out, block = {}, nil
  local function close()
    if not block then return end
    local first = block.indent .. block.name
    local column = math.min(block.column, math.floor(width / 2))
    out[#out + 1] = wrapped(block.text, width, first, (' '):rep(column))
    block = nil
  end
  for line in (text .. '\n'):gmatch('([^\n]*)\n') do
    local indent, name, rest = parts_of(line)
    if rest == '' then
      close()
      out[#out + 1] = ''
    elseif continues(block, indent) then
      block.text = block.text .. ' ' .. line:match('^%s*(.-)%s*$')
    else
      close()
      if name == '' and indent ~= '' then -- code, which keeps its blanks if it fits
        out[#out + 1] = #line <= width and line
          or wrapped(rest, width, indent, indent .. '  ')
      else
        block = {indent = indent, name = name, text = rest, column = #indent + #name}
      end
    end
  end
  close()
  return table.concat(out, '\n')
end
