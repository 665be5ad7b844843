--- tinykg runs: lists runs.
local lfs = require 'lfs'
local folder = require 'tinykg.run.folder'
local folder_entries = require 'tinykg.base.folder_entries'
local format = require 'tinykg.base.format'
local messages = require 'tinykg.run.messages'
local options = require 'tinykg.cli.options'
local tables = require 'tinykg.base.tables'

local DEFAULT = 'runs'

local function parser()
  local p = options.parser('tinykg runs', 'List runs, the latest last: recipe, data set, bits, ' ..
    'seed, a metric of the test part, when they began, and bytes of the folder.', 'tinykg runs')
  p:argument('dir', "a run's folder, or one that holds run folders (default: runs)"):args('*')
  p:flag('--json', 'print an object per run')
  return p
end

--- Bytes of the files of a folder and of those in it.
local function bytes_of(path)
  local sum = 0
  for _, name in ipairs(folder_entries(path)) do
    local file = path .. '/' .. name
    local found = lfs.symlinkattributes(file) or {}
    if found.mode == 'directory' then sum = sum + bytes_of(file)
    elseif found.mode == 'file' then sum = sum + found.size end
  end
  return sum
end

--- Name and value of the metric that a finished run goes by; no value: it is not defined there.
local function metric_of(run)
  local test = run.summary and run.summary.test
  local name = test and messages.main_metric(run.summary)
  if type(name) ~= 'string' then return nil end
  return name, type(test[name]) == 'number' and test[name] or nil
end

--- What is listed of a run that tinykg.report.read_runs has read.
local function entry_of(run)
  local c = run.config or {}
  local last = run.log[#run.log]
  local name, value = metric_of(run)
  return {folder = run.folder, recipe = c.recipe, data = c.data, bits = c.bits, seed = c.seed,
          state = run.state, metric = name, value = value, message = run.failure,
          epochs = last and last.epoch or 0, begun = run.written, bytes = bytes_of(run.folder)}
end

local LEVELS = 2 -- how far below a folder read_runs finds runs

local add

--- Adds the runs at and below each folder in a folder.
local function add_each(list, path, levels)
  for _, name in ipairs(folder_entries(path)) do
    local inner = path:gsub('(.)/+$', '%1') .. '/' .. name
    if lfs.attributes(inner, 'mode') == 'directory' then add(list, inner, levels) end
  end
end

--- Adds the runs at and below a path, and those that cannot be read, with the reason: where one is
--- damaged, each folder is read by itself, so that it hides no other.
---@param levels integer how far below the path a damaged run may be
function add(list, path, levels)
  local ok, found = pcall(require 'tinykg.report.read_runs', {path})
  if ok then return tables.append(list, tables.map(found, entry_of)) end
  if type(found) ~= 'string' then error(found, 0) end -- Ctrl-C
  if found:find(': not a run folder: ', 1, true) then return end
  local before = #list
  if levels > 0 and not folder.has(path, 'config.json') then add_each(list, path, levels - 1) end
  if #list > before then return end
  list[#list + 1] = {folder = path, state = 'damaged', message = found, epochs = 0,
                     begun = lfs.attributes(path, 'modification'), bytes = bytes_of(path)}
end

--- The runs of a folder: its own, or, so that one that is damaged hides no other, of each in it.
local function add_all(list, path)
  if lfs.attributes(path, 'mode') ~= 'directory' then
    error(path .. ': no such folder' .. (path == DEFAULT and ': tinykg runs DIR lists the runs of '
      .. 'another' or ''), 0)
  end
  if folder.has(path, 'config.json') then return add(list, path, 0) end
  local before = #list
  add_each(list, path, LEVELS)
  if #list == before then error(path .. ': no runs there', 0) end
end

local function result_of(run)
  if run.message then return run.state .. ': ' .. run.message end
  if run.metric then return run.metric .. ' ' .. messages.metric(run.value) end
  return run.state == 'finished' and '-' or ('%s, %s'):format(run.state,
                                                              format.count(run.epochs, 'epoch'))
end

local function print_all(list)
  local rows = {{'folder', 'recipe', 'data', 'bits', 'seed', 'test', 'begun', 'size'}}
  for _, run in ipairs(list) do
    local function text(value) return value == nil and '-' or format.line(tostring(value)) end
    rows[#rows + 1] = {
      format.line(run.folder), text(run.recipe),
      text(run.data and run.data:gsub('/+$', ''):match('[^/]*$')), text(run.bits),
      run.seed and ('%.0f'):format(run.seed) or '-', format.line(result_of(run)),
      os.date('%Y-%m-%d %H:%M', run.begun), format.bytes(run.bytes)}
  end
  print(format.table(rows, function(column) return column <= 3 or column == 6 or column == 7 end))
end

return function(...)
  local a = options.parse(parser(), ...)
  local list = {}
  for _, path in ipairs(#a.dir > 0 and a.dir or {DEFAULT}) do add_all(list, path) end
  table.sort(list, function(x, y)
    if x.begun ~= y.begun then return x.begun < y.begun end
    return x.folder < y.folder
  end)
  if not a.json then return print_all(list) end
  for _, run in ipairs(list) do print(require('tinykg.base.json').encode(run)) end
end
