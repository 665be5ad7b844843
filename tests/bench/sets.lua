--- The data sets of the benchmarks: the published ones where they are, else generated ones of their
--- sizes.
local lfs = require 'lfs'
local power_law = require 'tinykg.bench.power_law'

local LAST = {users = 23566, items = 48123, entities = 106389, relations = 9,
              interactions = 425000, triples = 464567, seed = 1}
local MUSIC = {users = 1872, items = 3846, entities = 9366, relations = 60,
               interactions = 42000, triples = 15518, seed = 1}

local SETS = {['last-fm'] = {folder = 'kgat-last-fm', write = power_law.write_kgat, like = LAST},
              music = {folder = 'kgcn-music', write = power_law.write_kgcn, like = MUSIC}}

local sets = {}

-- Sizes to try programs out with: of make bench QUICK=1, and where kernels run on a CPU.
sets.SMALL = {users = 300, items = 200, entities = 500, relations = 5, interactions = 3000,
              triples = 2000, seed = 1}
sets.TINY = {users = 60, items = 50, entities = 120, relations = 3, interactions = 500,
             triples = 300, seed = 1}

--- The folder of a set and what it is called: that of $TINYKG_DATA (../shared/data), or a generated
--- one below `folder`. `sizes`: a generated one of these sizes.
---@param name 'last-fm'|'music' ---@param folder string ---@param sizes table?
---@return string dir ---@return string called
function sets.find(name, folder, sizes)
  local set, home = SETS[name], os.getenv 'TINYKG_HOME' or '.'
  local real = (os.getenv 'TINYKG_DATA' or home .. '/../shared/data') .. '/' .. set.folder
  if not sizes and lfs.attributes(real, 'mode') == 'directory' then return real, name end
  local made = ('%s/%s%s'):format(folder, set.folder, sizes and '-' .. sizes.users or '')
  if not lfs.attributes(made, 'mode') then set.write(made, sizes or set.like) end
  return made, 'generated'
end

return sets
