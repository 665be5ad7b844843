-- The first page and the tutorial of recipes/README.md, as a reader follows them: their files are
-- written and their commands run in their order, in an empty folder. What is printed there as
-- `text` must be printed here.
local fixtures = require 'tests.support.fixtures'
local lfs = require 'lfs'
local shell = require 'tests.support.shell'

local home = os.getenv('TINYKG_HOME') or lfs.currentdir()
local page = home .. '/recipes/README.md'
local QUICK = ' --set epochs=2 --threads 1' -- of every run: what it finds is not looked at

--- Returns the fenced blocks of a page: {kind, text, line}.
local function blocks_of(path)
  local list, block, number = {}, nil, 0
  for line in io.lines(path) do
    number = number + 1
    local kind = line:match('^```(.*)$')
    if kind and not block then
      block = {kind = kind, line = number, lines = {}}
    elseif kind then
      block.text = table.concat(block.lines, '\n') .. '\n'
      list[#list + 1], block = block, nil
    elseif block then
      block.lines[#block.lines + 1] = line
    end
  end
  assert(not block, path .. ': a block is not closed')
  return list
end

--- Splits a Lua file at the definitions that begin in the first column:
--- a list of {name, text}. The name is that of a function, or 'return'.
local function parts_of(text)
  local parts, part = {}, nil
  for line in text:gmatch('([^\n]*)\n') do
    local starts = line:match('^function ([%w_.:]+)') or line:match('^local function ([%w_]+)')
      or line:match('^(return) ') or line:match('^%-%-%-') and '---' or line:match('^local ')
    if starts and not (part and part.name == '---') then
      part = {lines = {}}
      parts[#parts + 1] = part
    end
    if starts then part.name = starts end
    if part then part.lines[#part.lines + 1] = line end
  end
  for _, p in ipairs(parts) do p.text = table.concat(p.lines, '\n'):gsub('\n*$', '\n\n') end
  return parts
end

--- The file with the parts of `change` in place of those of the same name; new ones come before
--- the recipe.
local function changed(file, change)
  local parts = parts_of(file)
  for _, new in ipairs(parts_of(change)) do
    local at
    for i, old in ipairs(parts) do
      if old.name == new.name then at = i end
    end
    if at then parts[at] = new else table.insert(parts, #parts, new) end
  end
  local out = {}
  for i, p in ipairs(parts) do out[i] = p.text end
  return table.concat(out)
end

--- Returns a line with single spaces between its words and none at its ends.
local function plain(line) return (line:gsub('^%s+', ''):gsub('%s+$', ''):gsub('%s+', ' ')) end

--- Returns the first line of `wanted` that is missing in `got`, in this order; nil if none is.
local function missing(wanted, got)
  local next_line = got:gmatch('[^\n]+')
  for line in wanted:gmatch('[^\n]+') do
    local found
    repeat
      found = next_line()
    until not found or plain(found) == plain(line)
    if not found then return line end
  end
end

local function follow(dir, block, printed)
  if block.kind == 'lua' then
    local how, path = block.text:match('^%-%- (i?n? ?)([%w_/-]+%.lua)\n')
    assert(path, 'line ' .. block.line .. ': the file of a block of Lua is named in its first line')
    local full = dir .. '/' .. path
    local text = how == 'in ' and changed(fixtures.bytes(full), block.text) or block.text
    assert(loadstring(text, '@' .. path))
    fixtures.write(full, text)
    return printed
  elseif block.kind == 'text' then
    local line = missing(block.text, printed)
    assert(not line, ('line %d: not printed: %s\n%s'):format(block.line, tostring(line), printed))
    return printed
  end
  local all = {}
  for command in block.text:gmatch('[^\n]+') do
    local quick = command:match('tinykg run') and not command:match('%-%-help')
    local short = quick and command:gsub(' %-%-set epochs=%d+', '') .. QUICK or command
    all[#all + 1] = shell.gives(0, short, nil, dir)
  end
  return table.concat(all)
end

--- Makes an empty folder with ./tinykg.
local function new_folder()
  local dir = fixtures.dir()
  assert(lfs.link(home .. '/tinykg', dir .. '/tinykg', true))
  return dir
end

--- Follows a whole page. Returns the number of its blocks of each kind.
local function follow_page(dir, path)
  local printed, kinds = '', {lua = 0, sh = 0, text = 0}
  for _, block in ipairs(blocks_of(path)) do
    kinds[block.kind] = assert(kinds[block.kind], block.kind) + 1
    printed = follow(dir, block, printed)
  end
  return kinds
end

describe('the first page', function()
  teardown(fixtures.clean)

  it('does what it says', function()
    local kinds = follow_page(new_folder(), home .. '/README.md')
    assert.is_true(kinds.lua > 0 and kinds.sh > 1)
  end)

  it('names every command', function()
    local text = fixtures.bytes(home .. '/README.md')
    for name in shell.prints('help'):gmatch('\n  tinykg (%l+)') do
      assert(name == 'help' or text:find('`tinykg ' .. name .. '[ `]'), name)
    end
  end)
end)

describe('the guides', function()
  teardown(fixtures.clean)

  for _, name in ipairs{'own-data', 'study', 'memory', 'performance'} do
    it('do what they say: ' .. name, function()
      assert.is_true(follow_page(new_folder(), home .. '/recipes/guides/' .. name .. '.md').sh > 0)
    end)
  end
end)

describe('the tutorial', function()
  local dir
  setup(function() dir = new_folder() end)
  teardown(fixtures.clean)

  it('does what it says, from the first line to the last', function()
    local kinds = follow_page(dir, page)
    assert.is_true(kinds.lua > 5 and kinds.sh > 5 and kinds.text > 2)
  end)

  --- Replaces `from` by `to` in the tutorial's first recipe. Fails unless the run says `said` with
  --- the line of `to`, of the text `by`, or of none if by is false; the page must have `said` too.
  local function mistaken(from, to, said, by)
    local recipe = fixtures.bytes(dir .. '/films/mf.lua')
    local first, last = recipe:find(from, 1, true)
    assert(first, from)
    recipe = recipe:sub(1, first - 1) .. to .. recipe:sub(last + 1)
    local at = by == false and 0 or assert(recipe:find(by or to, 1, true))
    local line = select(2, recipe:sub(1, at):gsub('\n', '')) + 1
    local place = 'films/wrong.lua:' .. (at > 0 and line .. ':' or '')
    fixtures.write(dir .. '/films/wrong.lua', recipe)
    assert.equal(('tinykg: %s %s\n'):format(place, said), shell.gives(1,
      './tinykg run films/wrong.lua --data films --quiet --out wrong', nil, dir))
    assert(fixtures.bytes(page):find('`' .. said .. '`', 1, true), 'not on the page: ' .. said)
  end

  it('has a recipe whose mistakes are told by their line', function()
    mistaken('interactions(u, i, j)', 'interactions(u, self.items.weight, j)',
             'dot: f32 [1024, 32] and f32 [400, 32] do not fit: they must be equal',
             'function Films:loss')
    mistaken('batch.negatives', 'batch.negative', "attempt to index field 'negative' (a nil value)")
    mistaken('self.users(batch', 'self.user(batch', "attempt to call field 'user' (a nil value)")
    mistaken('interactions(u, i, j)', 'interactions(u, i)',
             'loss.interactions: neither rows of sampled items nor labels',
             'function Films:loss')
    mistaken('return tk.loss.interactions(u, i, j)', 'return tk.dot(u, i)',
             'backward: a loss is one number, not f32 [1024]: take its mean() or sum()',
             'function Films:loss')
    mistaken("'size of embeddings'", '32',
             "recipe films-mf: option 1 is not {'name', default, 'help'}", false)
  end)
end)
