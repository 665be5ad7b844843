--- Where a run comes from, for config.json: the command, the commit of the folder that it was typed
--- in, the machine.
local lfs = require 'lfs'
local format = require 'tinykg.base.format'
local read_file = require 'tinykg.base.read_file'

local origin = {}

--- The command line of this process; nil where it is not tinykg's.
local function command()
  local words = {'tinykg'}
  if not (arg and arg[0] and arg[0]:find('cli/main%.lua$')) then return nil end
  for _, word in ipairs(arg) do
    if word ~= '--of-sweep' then words[#words + 1] = format.quoted(word) end
  end
  return table.concat(words, ' ')
end

local function first_line(path)
  local text = read_file(path)
  return text and text:match('^[^\r\n]*')
end

--- The commit that HEAD of a repository is, from its files: no process is started.
---@param git string its .git
local function head_of(git)
  if lfs.attributes(git, 'mode') == 'file' then -- a work tree beside its repository
    git = (first_line(git) or ''):match('^gitdir: (.*)') or git
  end
  local head = first_line(git .. '/HEAD') or ''
  local ref = head:match('^ref: (.*)')
  if not ref then return head:match('^%x+$') end
  local common = first_line(git .. '/commondir')
  common = common and (common:find('^/') and common or git .. '/' .. common) or git
  local packed = '\n' .. (read_file(common .. '/packed-refs') or '')
  return first_line(common .. '/' .. ref)
    or packed:match('\n(%x+) ' .. ref:gsub('%p', '%%%0') .. '\n')
end

--- The commit of the repository that a folder is in, nil if there is none.
---@param folder? string the current one by default ---@return string?
function origin.commit(folder)
  folder = folder or lfs.currentdir()
  while folder do
    if lfs.attributes(folder .. '/.git', 'mode') then return head_of(folder .. '/.git') end
    folder = folder:match('^(.*)/[^/]+$')
  end
end

--- 'Intel(R) Xeon(R) CPU, 2 cores, 8 GiB, Linux x64', as far as the system says.
local function machine()
  local cpu = (read_file('/proc/cpuinfo') or ''):match('model name%s*:%s*([^\n]+)')
  local memory = (read_file('/proc/meminfo') or ''):match('MemTotal:%s*(%d+) kB')
  local cores = select(2, ('\n' .. (read_file('/proc/cpuinfo') or '')):gsub('\nprocessor%s*:', ''))
  local parts = {}
  local function add(text) parts[#parts + 1] = text end
  if cpu then add(cpu) end
  if cores > 0 then add(cores == 1 and '1 core' or cores .. ' cores') end
  if memory then add(('%.0f GiB'):format(memory / 2 ^ 20)) end
  add(jit.os .. ' ' .. jit.arch)
  return table.concat(parts, ', ')
end

--- {command, commit, machine}, each nil where it is not known.
function origin.of()
  return {command = command(), commit = origin.commit(), machine = machine()}
end

return origin
