--- tinykg report: one page that compares runs.
local options = require 'tinykg.cli.options'

local function parser()
  local p = options.parser('tinykg report', 'Compare runs on one self-contained page: metrics, ' ..
                           'learning curves, memory, settings.',
                           'tinykg report runs/* -o report.html')
  p:argument('run', "a run's folder, or one that holds run folders, such as a batch's"):args('+')
  p:option('-o --output', 'the page to write', 'report.html'):argname('FILE')
  return p
end

return function(...)
  local a = options.parse(parser(), ...)
  if a.output == '' then error({usage = '-o: a file is needed'}, 0) end
  local atomic, format = require 'tinykg.atomic', require 'tinykg.report.format'
  local runs = require('tinykg.report.read').runs(a.run)
  local ok, message = atomic.write(a.output, require('tinykg.report.page').render(runs))
  if not ok then error(message, 0) end
  print(('%s: %s'):format(a.output, format.count(#runs, 'run')))
end
