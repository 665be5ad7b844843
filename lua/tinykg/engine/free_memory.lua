--- Memory that is free for training: the GPU's, or on the CPU what the machine, the limits of this
--- process's control groups and its own (ulimit) leave.
local ffi = require 'ffi'
local runtime = require 'tinykg.engine.runtime'
local C = require 'tinykg.engine.lib'
local read_file = require 'tinykg.base.read_file'

local function number_of(path) return tonumber((read_file(path) or ''):match('^%d+')) end

--- Bytes that a control group may still allocate; nil without a limit. Pages of files, which the
--- kernel drops when memory is short, count as free.
local function left_in(folder, limit, usage, inactive)
  local most, taken = number_of(folder .. limit), number_of(folder .. usage)
  if not most or not taken then return nil end
  local stat = read_file(folder .. '/memory.stat') or ''
  local files = tonumber(stat:match('^' .. inactive .. ' (%d+)')
                         or stat:match('\n' .. inactive .. ' (%d+)')) or 0
  return math.max(0, most - taken + math.min(files, taken))
end

--- The least that a group and those above it may still allocate.
local function least(root, group, ...)
  local best = math.huge
  while true do
    best = math.min(best, left_in(root .. group, ...) or math.huge)
    if group == '' then return best end
    group = group:match('^(.*)/[^/]*$') or ''
  end
end

--- Limits of a process, and what it has of each, in /proc/self.
local OWN = {{'Max address space', 'VmSize'}, {'Max data size', 'VmData'}} -- ulimit -v, -d

ffi.cdef 'const char *tkg__narrow_kernels(void);'

local BLAS = 128 * 2 ^ 20 -- what OpenBLAS takes for each thread, at its first product

--- What products will take. Where libxsmm makes those of at most 128 columns, as all of most models
--- and of rankings are, none is left for OpenBLAS; one that is and finds no memory says so.
local function blas_bytes()
  return C.tkg__narrow_kernels() == nil and BLAS * C.tkg_engine_threads(runtime.engine) or 0
end

--- The least that the process's own limits leave.
local function left_to_process(root)
  local limits = read_file(root .. '/proc/self/limits') or ''
  local status, best = read_file(root .. '/proc/self/status') or '', math.huge
  for _, pair in ipairs(OWN) do
    local most = tonumber(limits:match(pair[1] .. ' +(%d+)'))
    local taken = tonumber(status:match(pair[2] .. ':%s+(%d+) kB'))
    if most and taken then best = math.min(best, math.max(0, most - 1024 * taken)) end
  end
  return math.max(0, best - blas_bytes())
end

--- Free bytes of the machine; nil if unknown. `root`: where the file system begins, for tests.
local function of_machine(root)
  local bytes = math.huge
  local kib = (read_file(root .. '/proc/meminfo') or ''):match('MemAvailable:%s+(%d+) kB')
  if kib then bytes = 1024 * kib end
  local groups = root .. '/sys/fs/cgroup'
  for controllers, group in (read_file(root .. '/proc/self/cgroup') or ''):gmatch(
    '%d+:([^:\n]*):([^\n]*)') do
    group = group:gsub('/+$', '')
    if controllers == '' then
      bytes = math.min(bytes, least(groups, group, '/memory.max', '/memory.current',
                                    'inactive_file'))
    elseif (',' .. controllers .. ','):find(',memory,', 1, true) then
      bytes = math.min(bytes, least(groups .. '/memory', group, '/memory.limit_in_bytes',
                                    '/memory.usage_in_bytes', 'total_inactive_file'))
    end
  end
  bytes = math.min(bytes, left_to_process(root))
  return bytes < math.huge and bytes or nil
end

--- Bytes that are free on the device that computes; nil if unknown.
---@param root? string a folder with the machine's files, for tests
---@return number? bytes
local function free_memory(root)
  local function device(what) return C.tkg_memory_device(runtime.engine, what) end
  if not root and device('total') > 0 then
    return device('free') + device('held') - device('used')
  end
  return of_machine(root or '')
end

return free_memory
