--- tinykg report: one page that compares runs.
local options = require 'tinykg.cli.options'

local function parser()
  local p = options.parser('tinykg report', 'Compare runs on one self-contained page: metrics, ' ..
                           'learning curves, memory, settings; or in a table.',
                           'tinykg report runs -o report.html')
  p:argument('run', "a run's folder, or one that holds run folders, such as a sweep's"):args('+')
  p:option('-o --output', 'the page to write (report.html); FILE.csv, FILE.md, ' ..
           'FILE.tex: the comparison as a table'):argname('FILE')
  p:option('--growth', 'growth.json of tinykg bench growth --out: its charts go on the page')
    :argname('FILE')
  p:flag('--json', 'print the comparison as JSON; without -o, write no page')
  return p
end

--- The records of growth.json. Raises one line if that is something else.
local function growth_of(path)
  local must, json = require 'tinykg.base.must', require 'tinykg.base.json'
  local records = must(json.decode(must(require('tinykg.base.read_file')(path)), path))
  local first = type(records) == 'table' and records[1]
  if type(first) ~= 'table' or not (first.axis and first.ms and first.bytes) then
    error(path .. ': not what tinykg bench growth writes', 0)
  end
  return records
end

--- The ending of a file in lower case. Refuses one of something else than a page or a table.
local function ending_of(path)
  local ending = (path:match('%.(%w+)$') or 'html'):lower()
  if ending == 'html' or ending == 'htm' then return 'html' end
  if require('tinykg.report.table_file').knows(ending) then return ending end
  options.usage('-o: %s: a page ends in .html, a table in .csv, .md or .tex', path)
end

local function text_of(ending, runs, growth)
  if ending == 'html' then
    return require('tinykg.report.page').render(runs, growth and growth_of(growth))
  end
  if growth then options.usage('--growth: its charts need a page: -o FILE.html') end
  return require('tinykg.report.table_file').text(ending,
                                                  require('tinykg.report.groups').sections(runs))
end

return function(...)
  local a = options.parse(parser(), ...)
  if a.output == '' then options.usage('-o: a file is needed') end
  local path = a.output and options.output(a.output, '-o') or not a.json and 'report.html'
  local ending = path and ending_of(path)
  local runs = require('tinykg.report.read_runs')(a.run)
  if path then
    require('tinykg.base.must')(require('tinykg.base.atomic_file').write(
      path, text_of(ending, runs, a.growth)))
  end
  if a.json then
    local comparison = require('tinykg.report.comparison_json')(runs)
    print(require('tinykg.base.json').encode(comparison, {indent = 2}))
  else
    print(('%s: %s'):format(path, require('tinykg.report.format').count(#runs, 'run')))
  end
end
