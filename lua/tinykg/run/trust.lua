--- Decides whether the recipe in a run's folder, which is a program, may be run: if the folder
--- belongs to the user.
local lfs = require 'lfs'
local folder = require 'tinykg.run.folder'
local modules = require 'tinykg.run.folder.modules'
local posix = require 'tinykg.base.posix'
local read_file = require 'tinykg.base.read_file'
local sha256 = require 'tinykg.engine.sha256'

local trust = {}

local function refuse(...) error((...):format(select(2, ...)), 0) end

--- Whether files of a user are trusted: the own ones and root's, and for root under sudo also those
--- of the user who called it.
local function is_own(user)
  local me = posix.geteuid()
  return user == me or user == 0 or me == 0 and user == tonumber(os.getenv('SUDO_UID'))
end

--- Refuses a folder that belongs to another user, and links in the place of files that decide what
--- is run. ---@param path string ---@param names string[] files in it, which may be missing
local function check_owners(path, names)
  local owner = lfs.attributes(path, 'uid')
  for _, name in ipairs(names) do
    local file = path .. '/' .. name
    local found = lfs.symlinkattributes(file)
    if found and found.mode == 'link' then
      refuse('%s: is a link; a recipe is a program: look where it leads, then --trust follows it',
             file)
    end
    if owner and is_own(owner) then owner = found and found.uid end
  end
  if owner and not is_own(owner) then
    refuse('%s: belongs to another user (number %d), and its recipe is a program: look at it, then '
             .. '--trust runs it', path, owner)
  end
end

--- The same for the folder of a sweep, whose settings name recipes.
---@param path string ---@param trusted? boolean
function trust.sweep(path, trusted)
  if not trusted then check_owners(path, {folder.SWEEP}) end
end

--- The file that a missing recipe.lua was copied from. Raises a message when it cannot be trusted.
local function original(path, config, trusted)
  local file = config.recipe_file
  local text = type(file) == 'string' and read_file(file)
  if not text then refuse('%s: it has no recipe.lua, nor is %s there', path, tostring(file)) end
  if not trusted and sha256(text) ~= config.recipe_sha256 then
    refuse('%s: it has no recipe.lua, and %s is not known to be the same: --trust runs that', path,
           file)
  end
  return file
end

--- The recipe of a run's folder. Notes a changed one on standard error; raises a message when it
--- may be somebody else's.
---@param path string the folder ---@param config table its config.json
---@param trusted? boolean --trust: no checks
---@return string file
function trust.recipe(path, config, trusted)
  if not trusted then check_owners(path, {'config.json', 'recipe.lua'}) end
  local text = folder.text(path, 'recipe.lua')
  if not text then return original(path, config, trusted) end
  if config.recipe_sha256 and sha256(text) ~= config.recipe_sha256 then
    io.stderr:write('note: ', path, '/recipe.lua has changed since the run began\n')
  end
  local module = modules.changed(config.modules, config.recipe_file)
  if module then
    io.stderr:write('note: ', module, ', which its recipe reads, has changed since the run began\n')
  end
  return path .. '/recipe.lua'
end

return trust
