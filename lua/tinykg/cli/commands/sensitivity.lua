--- tinykg sensitivity: measures how sensitive gradients are to noise in each kept value of a run.
local options = require 'tinykg.cli.options'

local function parser()
  local p = options.parser('tinykg sensitivity',
    'Measure how sensitive the gradients of a trained model are to noise in each kept value, ' ..
    'for --sensitivity of run and memory. Nothing is trained.',
    'tinykg sensitivity RUN --to kgin.json')
  p:argument('run', 'the folder of a run')
  p:option('--to', 'the file to write, JSON'):argname('FILE'):count(1)
  p:option('--batches', 'how many batches to measure', '4')
  p:option('--data', 'where the data set of the run is now, if it has moved'):argname('DIR')
  options.add_trust(p)
  options.add_engine(p)
  return p
end

local function table_of(values)
  local format, tables = require 'tinykg.base.format', require 'tinykg.base.tables'
  local list = {}
  for phase, of_phase in pairs(values) do
    for name, c in pairs(of_phase) do list[#list + 1] = {phase = phase, name = name, c = c} end
  end
  tables.sort_largest(list, 'c', 'name')
  local rows = {{'kept value', 'phase', 'sensitivity'}}
  for _, v in ipairs(list) do rows[#rows + 1] = {v.name, v.phase, ('%.3g'):format(v.c)} end
  return format.table(rows, function(column) return column < 3 end)
end

return function(...)
  local a = options.parse(parser(), ...)
  local batches = options.whole(a.batches, '--batches', 1)
  options.output(a.to, '--to')
  local run_args = require 'tinykg.cli.run_args'
  run_args.set_engine(a)
  local run = run_args.open(a.run, a)
  local values = require('tinykg.base.progress').during(function(update)
    return require('tinykg.train.sensitivity')(run, {
      rounding = run.config.rounding, batches = batches}, function(phase, share)
      update(function() return ('%s: %3.0f %%'):format(phase, 100 * share) end)
      run_args.check_interrupt()
    end)
  end)
  local json = require 'tinykg.base.json'
  require('tinykg.base.must')(require('tinykg.base.atomic_file').write(a.to, json.encode({
    recipe = run.recipe.name, run = run.folder, batches = batches, values = values},
    {indent = 2}) .. '\n'))
  print(table_of(values))
  print('written: ' .. a.to)
end
