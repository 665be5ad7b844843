--- tinykg report: one page that compares runs.
local options = require 'tinykg.cli.options'

local function parser()
  local p = options.parser('tinykg report', 'Compare runs on one self-contained page: metrics, ' ..
                           'learning curves, memory, settings.',
                           'tinykg report runs -o report.html')
  p:argument('run', "a run's folder, or one that holds run folders, such as a sweep's"):args('+')
  p:option('-o --output', 'the page to write (report.html)'):argname('FILE')
  p:flag('--json', 'print the comparison as JSON; without -o, write no page')
  return p
end

local function write_page(path, runs)
  local page = require('tinykg.report.page').render(runs)
  require('tinykg.base.must')(require('tinykg.base.atomic_file').write(path, page))
end

return function(...)
  local a = options.parse(parser(), ...)
  if a.output == '' then options.usage('-o: a file is needed') end
  local runs = require('tinykg.report.read_runs')(a.run)
  local path = a.output or not a.json and 'report.html'
  if path then write_page(path, runs) end
  if a.json then
    local comparison = require('tinykg.report.comparison_json')(runs)
    print(require('tinykg.base.json').encode(comparison, {indent = 2}))
  else
    print(('%s: %s'):format(path, require('tinykg.report.format').count(#runs, 'run')))
  end
end
