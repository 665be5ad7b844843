--- The command line under a launcher (mpirun, srun) that has started several processes: which
--- commands they run together, who prints, and how they end.
local clock = require 'tinykg.base.clock'

local ranks = {}

--- Commands that all ranks run; rank 0 runs others alone.
local TOGETHER = {run = true, eval = true, recommend = true, doctor = true, ['-e'] = true}

local function runs_together(command, first)
  return command and (TOGETHER[command] or command == 'bench' and first == 'ranks'
                      or command:match('%.lua$')) or false
end

--- Whether a launcher's variables are there: without them the engine need not be loaded.
local function is_launched()
  return os.getenv('OMPI_COMM_WORLD_SIZE') or os.getenv('PMI_SIZE')
    or os.getenv('SLURM_STEP_NUM_TASKS')
end

--- This process's rank and their number by the launcher's variables, nothing if there are none.
local function launched()
  if os.getenv('TINYKG_RANKS') == 'none' or not is_launched() then return nil end
  local C = require 'tinykg.engine.lib'
  if C.tkg_launcher_ranks() > 1 then return C.tkg_launcher_rank(), C.tkg_launcher_ranks() end
end

--- How many processes a launcher has started; 1 without one.
function ranks.count() return select(2, launched()) or 1 end

--- The launcher's name, such as 'mpirun of Open MPI'.
function ranks.launcher()
  return require('ffi').string(require('tinykg.engine.lib').tkg_launcher_name())
end

--- Whether the engine has joined the ranks.
local function has_joined()
  local runtime = package.loaded['tinykg.engine.runtime']
  return type(runtime) == 'table' and runtime.engine
    and require('tinykg.engine.lib').tkg_engine_ranks(runtime.engine) > 1
end

--- Prepares a command. A command of tinykg prints once, a user's Lua file as it likes.
---@param command string? ---@param first string? its first argument
---@return boolean go false: rank 0 does it
function ranks.begin(command, first)
  local rank = launched()
  if not rank then return true end
  if not runs_together(command, first) then
    require('tinykg.base.posix').setenv('TINYKG_RANKS', 'none', true)
    return rank == 0
  end
  if command ~= '-e' and not command:match('%.lua$') then
    ranks.silence(rank)
  end
  return true
end

--- Makes a rank that is not the first print nothing: what it would print, rank 0 does.
function ranks.silence(rank)
  if rank == 0 then return end
  local posix = require 'tinykg.base.posix'
  local nowhere = posix.open('/dev/null', posix.O_APPEND)
  if nowhere then posix.dup2(nowhere, 1) end
  ranks.stderr = io.stderr
  rawset(io, 'stderr', io.open('/dev/null', 'w'))
  require('tinykg.base.progress').silence()
end

local PATIENCE = 2 -- seconds in which a launcher ends the others after rank 0 has failed

--- Whether this process prints why it fails: rank 0 does. One that fails before it has joined the
--- others joins them to tell them; if it cannot, it prints unless the launcher ends it first.
function ranks.prints()
  local rank = launched()
  if rank and not has_joined() then pcall(require, 'tinykg.engine.runtime') end
  if not rank or rank == 0 then return true end
  if has_joined() then return false end
  clock.sleep(PATIENCE)
  rawset(io, 'stderr', ranks.stderr or io.stderr)
  return true
end

--- Leaves the ranks before the process exits with `code` (tinykg.engine.ranks).
function ranks.leave(code, message)
  if has_joined() then require('tinykg.engine.ranks').leave(code, message) end
end

return ranks
