--- All tables of ../ACCURACY.md that are of studies, by one command.
--   tinykg recipes/reproduce/all.lua [--data DIR] [--only NAME,..] [--jobs 2] [--out DIR]
--     [--file FILE] [--records FILE] [--plan] [--write]
-- It says first how long each table takes and all of them (--plan: no more than that), makes the
-- runs that are missing (--write: none), table by table, and writes each between its two markers in
-- the file. Runs that are there are not made again; one that was stopped goes on. DIR has the
-- folders of the data.
local atomic_file = require 'tinykg.base.atomic_file'
local format = require 'tinykg.base.format'
local must = require 'tinykg.base.must'
local read_file = require 'tinykg.base.read_file'
local study = require 'study'

local home = os.getenv 'TINYKG_HOME' or '.'

-- Those whose runs take least come first. Where bits and seeds are not given they are the study's.
local TABLES = {
  {name = 'music', file = 'music.lua'},
  {name = 'last-fm', file = 'last-fm.lua', bits = '32,2'},
  {name = 'dbbook2014', file = 'ranking.lua'},
  {name = 'tuned', file = 'tuned.lua'},
  {name = 'ml-100k', file = 'ranking.lua', data = 'recbole-ml-100k', bits = '32,8,4,2'},
  {name = 'amazon-book', file = 'amazon-book.lua'},
}

local function stop(text, ...)
  io.stderr:write(format.line(text:format(...)), '\n')
  os.exit(2)
end

local o = {data = os.getenv 'TINYKG_DATA' or home .. '/../shared/data', out = 'runs/reproduce',
           file = home .. '/recipes/ACCURACY.md', jobs = '2', only = ''}
local NAMES = {data = true, out = true, file = true, jobs = true, only = true, records = true}
local k = 1
while arg[k] do
  local name = arg[k]:match '^%-%-(%a+)$'
  if name == 'plan' or name == 'write' then o[name] = true
  elseif NAMES[name] and arg[k + 1] then o[name], k = arg[k + 1], k + 1
  else
    stop('no option %s; there are --data DIR --only NAME,.. --jobs N --out DIR --file FILE '
      .. '--records FILE --plan --write', arg[k])
  end
  k = k + 1
end

local function prepared(t)
  local description = study.described(home .. '/recipes/reproduce/' .. t.file)
  local data = t.data or description.data
  local words = {'--data', o.data .. '/' .. data,
                 '--out', o.out .. '/' .. (description.folder or data), '--jobs', o.jobs}
  for name, value in pairs{bits = t.bits, seeds = t.seeds, records = o.records} do
    words[#words + 1], words[#words + 2] = '--' .. name, value
  end
  return study.prepare(description, words)
end

--- The tables that --only names, or all, each with its study. Errors: it names another.
local function chosen()
  local wanted, list = {}, {}
  for name in o.only:gmatch '[^,]+' do wanted[name] = true end
  for _, t in ipairs(TABLES) do
    if o.only == '' or wanted[t.name] then
      t.study, list[#list + 1] = prepared(t), t
    end
    wanted[t.name] = nil
  end
  if next(wanted) then stop('--only %s: there is no such table', next(wanted)) end
  return list
end

local function say_how_long(list)
  local all = 0
  for _, t in ipairs(list) do
    local runs, seconds = t.study.missing()
    all = all + seconds
    io.stderr:write(('%-12s %s missing, about %s\n'):format(t.name, format.count(runs, 'run'),
                                                          study.duration(seconds, o.jobs)))
  end
  io.stderr:write(('all: about %s on %s quiet cores\n'):format(study.duration(all, o.jobs), o.jobs))
end

--- Writes a table between its markers. Errors: the file has none.
local function write(t)
  local text = must(read_file(o.file))
  local first, last = ('<!-- study %s -->'):format(t.name), '<!-- end of study -->'
  local _, from = text:find(first, 1, true)
  local to = from and text:find(last, from, true)
  if not to then stop('%s: there is no %s with %s behind it', o.file, first, last) end
  must(atomic_file.write(o.file, text:sub(1, from) .. t.study.tables() .. '\n\n' .. text:sub(to)))
end

local list = chosen()
say_how_long(list)
for _, t in ipairs(o.plan and {} or list) do
  if not o.write then t.study.run() else t.study.note() end
  write(t)
end
