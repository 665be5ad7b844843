--- The MPI launchers of this machine, for specs of ranks.
local fixtures = require 'tests.support.fixtures'
local shell = require 'tests.support.shell'
local small_options = require 'tests.support.small_options'

local mpi = {}

--- Open MPI refuses root, and more ranks than cores, unless it is told. Its hwloc complains where
--- there is no /sys.
local QUIET = 'HWLOC_HIDE_ERRORS=2 '
local AS_ROOT = QUIET .. 'OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 '
local FORMS = {['Open MPI'] = AS_ROOT .. '%s --oversubscribe -n %d', MPICH = QUIET .. '%s -n %d'}

local function kind_of(command)
  local code, text = shell.sh(AS_ROOT .. command .. ' --version')
  if code ~= 0 then return nil end
  return (text:find 'Open MPI' or text:find 'OpenRTE') and 'Open MPI'
    or text:find 'HYDRA' and 'MPICH'
end

--- All kinds that are there: {name, of(n)}, where of(n) begins the command line of n ranks.
mpi.launchers = {}

for _, command in ipairs{'mpirun.openmpi', 'mpirun.mpich', 'mpirun'} do
  local kind = kind_of(command)
  if kind and not mpi.launchers[kind] then
    local found = {name = kind, of = function(n) return FORMS[kind]:format(command, n) end}
    mpi.launchers[#mpi.launchers + 1], mpi.launchers[kind] = found, found
  end
end

--- The first of them; nil, and a reason to skip a test.
mpi.first = mpi.launchers[1]
mpi.MISSING = 'no mpirun (apt-get install openmpi-bin)'

--- The command line that begins n ranks; one is a process alone.
function mpi.of(n) return n > 1 and mpi.first.of(n) or '' end

--- The command line of a shell for `./tinykg arguments` on n ranks.
function mpi.tinykg(n, arguments, launcher)
  return ('%s ./tinykg %s'):format((launcher or mpi.first).of(n), arguments)
end

--- Small options of a recipe, as arguments.
function mpi.small(name)
  local list = {}
  for key, value in pairs(small_options(('recipes/%s.lua'):format(name))) do
    list[#list + 1] = ('--set %s=%s'):format(key, tostring(value))
  end
  table.sort(list)
  return table.concat(list, ' ')
end

--- Trains a recipe on n ranks. ---@return string folder of the run
function mpi.train(name, n, data, more)
  local out = ('%s/%s-%d'):format(fixtures.dir(), name, n)
  shell.gives(0, ('%s ./tinykg run recipes/%s.lua --quiet --data %s %s --out %s'):format(
    mpi.of(n), name, data, more, out))
  return out
end

return mpi
