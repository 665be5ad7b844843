--- tinykg check: checks that the files of runs are whole and fit each other and their data set.
local format = require 'tinykg.base.format'
local tables = require 'tinykg.base.tables'
local options = require 'tinykg.cli.options'
local run_args = require 'tinykg.cli.run_args'

local HELP = [[
Checks each file of a run: whether it is whole (checksums; a damaged tensor is named) and fits the
others, and whether the data set is what it was when the run began. Changes nothing and runs none of
the recipe's code. Exit status 0: all is well; 1: something is not.]]

local function parser()
  local p = options.parser('tinykg check', HELP, 'tinykg check runs/kgcn')
  p:argument('run', 'the folder of a run, or of a sweep: each of its runs'):args('+')
  p:option('--data', 'where the data set of the run is now, if it has moved'):argname('DIR')
  p:flag('--no-data', 'do not load the data set')
  p:flag('--json', 'print an object per run')
  return p
end

--- The folder of a run itself, or those of the jobs of a sweep.
local function runs_of(path)
  local folder = require 'tinykg.run.folder'
  if not folder.has(path, folder.SWEEP) then return {path} end
  local list = tables.map(require 'tinykg.base.folder_entries'(path), function(name)
    return folder.has(path .. '/' .. name, 'config.json') and path .. '/' .. name or nil
  end)
  if #list == 0 then error(path .. ': a sweep without runs', 0) end
  return list
end

--- Checks one run and prints the findings. ---@return integer bad how many are wrong
local function check(path, a)
  local json, list, bad = require 'tinykg.base.json', nil, nil
  require('tinykg.base.progress').during(function(update)
    list, bad = require 'tinykg.run.check'(path, {
      data = a.data, no_data = a.no_data,
      progress = function(name)
        update(function() return path .. ': ' .. name end)
        run_args.check_interrupt()
      end})
  end)
  for _, found in ipairs(list) do found.text = run_args.with_data_hint(found.text, a.data) end
  if a.json then
    print(json.encode{run = path, wrong = bad, files = json.array(list)})
    return bad
  end
  format.print(path)
  for _, found in ipairs(list) do
    local text = (found.wrong and 'NOT ok: ' or '') .. found.text
    format.print(('  %-20s %s'):format(found.name, text))
  end
  return bad
end

return function(...)
  local a = options.parse(parser(), ...)
  if a.data and a.no_data then options.usage('--data, --no-data: take one') end
  require('tinykg.engine.lib').tkg_interrupt_watch(1)
  local bad, of = 0, {}
  for _, given in ipairs(a.run) do
    for _, path in ipairs(runs_of((given:gsub('(.)/+$', '%1')))) do
      local count = check(path, a)
      if count > 0 then bad, of[#of + 1] = bad + count, path end
    end
  end
  if bad > 0 then
    error(('%s: %s not ok'):format(table.concat(of, ', '), format.count(bad, 'thing')), 0)
  end
end
