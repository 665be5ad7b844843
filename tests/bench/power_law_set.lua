--- Writes a set whose items and entities are popular by a power law: sizes matter, nothing is to be
--- learnt from it. The same files for the same sizes on every machine.
--   tinykg tests/bench/power_law_set.lua DIR [users=18000 items=15000 entities=78000 ..]
-- The defaults are about Book-Crossing's sizes, as in the papers of KGCN and RippleNet.
local atomic = require 'tinykg.base.atomic_file'
local must = require 'tinykg.base.must'
local random = require 'tinykg.base.random'

local SIZES = {users = 18000, items = 15000, entities = 78000, triples = 151500, relations = 25,
               per_user = 8}

local function write_lines(path, n, line)
  local file = assert(io.open(path, 'wb'))
  for i = 0, n - 1 do file:write(line(i)) end
  assert(file:close())
end

--- Half of the draws fall on a sixteenth of the ids.
local function popular(generator, n) return math.floor(n * generator:uniform() ^ 4) end

--- kg_final.txt: each entity is the head of about as many triples; tails are popular ones.
local function write_graph(folder, s, generator)
  write_lines(folder .. '/kg_final.txt', s.triples, function(i)
    return ('%d %d %d\n'):format(i % s.entities, generator:below(s.relations),
                                 (popular(generator, s.entities) + 1) % s.entities)
  end)
end

--- KGCN's format: as many items that a user disliked as those liked, which are popular ones.
local function write_labelled(folder, s, generator)
  write_lines(folder .. '/ratings_final.txt', s.users * s.per_user, function(i)
    local user = i % s.users
    return ('%d\t%d\t1\n%d\t%d\t0\n'):format(user, popular(generator, s.items), user,
                                             generator:below(s.items))
  end)
end

--- KGAT's format, with an item to test for the first hundred users: what evaluates few of them.
local function write_lists(folder, s, generator)
  write_lines(folder .. '/train.txt', s.users, function(user)
    local line = {user}
    for k = 1, s.per_user do line[k + 1] = (popular(generator, s.items) + 7919 * k) % s.items end
    return table.concat(line, ' ') .. '\n'
  end)
  write_lines(folder .. '/test.txt', math.min(100, s.users), function(user)
    return ('%d %d\n'):format(user, generator:below(s.items))
  end)
end

---@param folder string made if missing
---@param sizes? table as SIZES, and `lists`: KGAT's format instead of KGCN's
local function write(folder, sizes)
  local s = setmetatable(sizes or {}, {__index = SIZES})
  must(atomic.mkdirs(folder))
  local generator = random.new(s.entities, 0x504F5745)
  write_graph(folder, s, generator)
  if s.lists then write_lists(folder, s, generator) else write_labelled(folder, s, generator) end
end

if (arg and arg[0] or ''):match('power_law_set%.lua$') then
  local sizes = {}
  for k = 2, #arg do
    local name, value = arg[k]:match('^(%a[%w_]*)=(%d+)$')
    if not SIZES[name or ''] then error('no size ' .. arg[k], 0) end
    sizes[name] = tonumber(value)
  end
  write(assert(arg[1], 'usage: tinykg tests/bench/power_law_set.lua DIR [users=N ..]'), sizes)
end
return write
