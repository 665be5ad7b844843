--- Generated data sets with a power law of degrees, in the published programs' formats, which
--- PyTorch's programs read too.
local lfs = require 'lfs'
local atomic_file = require 'tinykg.base.atomic_file'
local must = require 'tinykg.base.must'
local random = require 'tinykg.base.random'

local power_law = {}

---@class tinykg.PowerLaw
---@field users integer ---@field items integer the first entities ---@field entities integer
---@field relations integer ---@field interactions integer rows asked for, before repeated ones are
---  taken together ---@field triples integer ---@field seed integer
---@field tested? integer the first users, who have an item to test (default: all)

local POWER = 3 -- the share of the first x of all ids is x^(1/3)

local function low(generator, n) return math.floor(n * generator:uniform() ^ POWER) end

local function write(dir, name, fill)
  must(atomic_file.write(dir .. '/' .. name, function(file)
    local lines, n = {}, 0
    local function put(line)
      n = n + 1
      lines[n] = line
      if n < 4096 then return end
      file:write(table.concat(lines, '\n', 1, n), '\n')
      n = 0
    end
    fill(put)
    return file:write(table.concat(lines, '\n', 1, n), n > 0 and '\n' or '')
  end))
end

local function make_folder(dir)
  local ok, why = lfs.mkdir(dir)
  if not ok then error(('%s: cannot be made: %s'):format(dir, why), 0) end
end

local function write_triples(dir, o)
  local g = random.new(o.seed, 2)
  write(dir, 'kg_final.txt', function(put)
    for e = 0, o.entities - 1 do
      put(('%d %d %d'):format(e, e % o.relations, low(g, o.entities)))
    end
    for _ = 1, o.triples - o.entities do
      put(('%d %d %d'):format(g:below(o.entities), g:below(o.relations), low(g, o.entities)))
    end
  end)
end

--- KGAT's: train.txt, test.txt with an item of each user, kg_final.txt. Each user has about as many
--- items, popular ones more often; tails of triples likewise.
---@param dir string a new folder ---@param o tinykg.PowerLaw
function power_law.write_kgat(dir, o)
  make_folder(dir)
  local g, each = random.new(o.seed, 1), o.interactions / o.users
  local function rows(name, count, first)
    write(dir, name, function(put)
      for user = 0, (first and o.users or o.tested or o.users) - 1 do
        local items = {user}
        for k = 1, count(user) do
          items[k + 1] = first and k == 1 and user % o.items or low(g, o.items)
        end
        put(table.concat(items, ' '))
      end
    end)
  end
  rows('train.txt', function(user)
    return math.max(1, math.floor(each * (user + 1)) - math.floor(each * user))
  end, true)
  rows('test.txt', function() return 1 end)
  write_triples(dir, o)
end

--- KGCN's: ratings_final.txt with as many labels 0 as 1, kg_final.txt.
---@param dir string a new folder ---@param o tinykg.PowerLaw
function power_law.write_kgcn(dir, o)
  make_folder(dir)
  local g = random.new(o.seed, 1)
  write(dir, 'ratings_final.txt', function(put)
    for k = 0, o.interactions - 1 do
      put(('%d %d %d'):format(k % o.users, k < o.items and k or low(g, o.items), k % 2))
    end
  end)
  write_triples(dir, o)
end

return power_law
