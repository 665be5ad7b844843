--- The command that trains a run again, from the one that trained it: without what it need not say.
local format = require 'tinykg.base.format'
local recipe_file = require 'tinykg.train.recipe_file'
local tables = require 'tinykg.base.tables'

-- Options that it need not have: with a value if there is one they default to.
local LEFT_OUT = {['--out'] = true, ['--seed'] = true, ['--threads'] = true, ['--device'] = 'auto',
                  ['--bits'] = '32', ['--rounding'] = 'dither'}
local FLAGS = {['--'] = true, ['--of-sweep'] = true, ['--force'] = true, ['--quiet'] = true}

local command = {}

--- A recipe that comes with the program, by its name.
local function named(word)
  local name = word:match('/recipes/([^/]+)%.lua$')
  return name and recipe_file.of_name(name) == word and name or word
end

--- The words of a command line that format.quoted wrote.
---@param line string ---@return string[]
function command.words(line)
  local list, word, at = {}, nil, 1
  while at <= #line do
    local quoted, behind_quote = line:match("^'([^']*)'()", at)
    local escaped, behind_escape = line:match('^\\(.)()', at)
    local plain, behind = line:match("^([^'\\ ]+)()", at)
    local part = quoted or escaped or plain
    if part then
      word, at = (word or '') .. part, behind_quote or behind_escape or behind
    else
      list[#list + 1] = word
      word, at = nil, at + 1
    end
  end
  list[#list + 1] = word
  return list
end

--- '--out=a' as '--out', 'a', of the options that are looked for. ---@param words string[]
local function separated(words)
  local list = {}
  for _, word in ipairs(words) do
    local name, value = word:match('^(%-%-[%l-]+)=(.*)$')
    tables.append(list, LEFT_OUT[name] and {name, value} or {word})
  end
  return list
end

--- The command of runs that differ in their seeds only, as it is typed.
---@param words string[] of one of them, the program's name first ---@param seeds any[]
---@return string
function command.again(words, seeds)
  local kept, at = {'tinykg'}, 2
  words = separated(words)
  while at <= #words do
    local word, value = words[at], words[at + 1]
    local left_out = LEFT_OUT[word]
    if left_out then
      if left_out ~= true and left_out ~= value then tables.append(kept, {word, value}) end
      at = at + 1
    elseif not FLAGS[word] then kept[#kept + 1] = named(word) end
    at = at + 1
  end
  tables.append(kept, {'--seed', table.concat(tables.map(seeds, tostring), ',')})
  return table.concat(tables.map(kept, format.quoted), ' ')
end

return command
