--- Reads text files of ids and of names, and a data set, compared with reading their bytes.
local lfs = require 'lfs'
local arrays = require 'tinykg.engine.arrays'
local folder_entries = require 'tinykg.base.folder_entries'
local inputs = require 'tinykg.bench.inputs'
local measure = require 'tinykg.bench.measure'
local must = require 'tinykg.base.must'
local random = require 'tinykg.base.random'

local COLUMNS = {{'what', 'what'}, {'megabytes', 'MB', '%.1f'}, {'min_ms', 'min ms', '%.1f'},
  {'median_ms', 'median', '%.1f'}, {'mb_s', 'MB/s', '%.0f'}, {'x_read', 'x read', '%.1f'}}

-- Writes a file of n lines; line(generator) returns one.
local function made_file(path, n, line)
  local generator, file = random.new(1, 0x42454E43), assert(io.open(path, 'wb'))
  for _ = 1, n do file:write(line(generator)) end
  file:close()
  return path
end

local function read_bytes(path)
  local file = assert(io.open(path, 'rb'))
  repeat until not file:read(2 ^ 20)
  file:close()
end

-- Files in a folder and in the folders in it.
local function files_below(dir, list, deep)
  for _, name in ipairs(folder_entries(dir)) do
    local path = dir .. '/' .. name
    local mode = lfs.attributes(path, 'mode')
    if mode == 'file' then list[#list + 1] = path
    elseif mode == 'directory' and not deep and name:sub(1, 1) ~= '.' then
      files_below(path, list, true)
    end
  end
  return list
end

-- Adds a case, and before it one that reads the same bytes.
local function add_pair(cases, what, paths, run)
  local bytes = 0
  for _, path in ipairs(paths) do bytes = bytes + lfs.attributes(path, 'size') end
  cases[#cases + 1] = {run = function()
    for _, path in ipairs(paths) do read_bytes(path) end
  end}
  cases[#cases + 1] = {what = what, bytes = bytes, run = run}
end

local function generated(o, cases)
  local n = o.quick and 20000 or 500000
  local function id(generator) return generator:below(1000000) end
  local triples = made_file(o.folder .. '/triples.txt', n, function(g)
    return ('%d %d %d\n'):format(id(g), g:below(40), id(g))
  end)
  local ragged = made_file(o.folder .. '/ragged.txt', math.ceil(n / 8), function(g)
    return ('%d %d %d %d %d %d\n'):format(id(g), id(g), id(g), id(g), id(g), id(g))
  end)
  local named = made_file(o.folder .. '/names.tsv', n, function(g)
    return ('m.%05x\tfilm.r%d\tm.%05x\n'):format(g:below(100000), g:below(40), g:below(100000))
  end)
  add_pair(cases, 'triples of ids', {triples}, function()
    must(arrays.read(triples, {kinds = 'iii'})):free()
  end)
  add_pair(cases, 'users and their items', {ragged}, function()
    must(arrays.ragged(ragged)):free()
  end)
  add_pair(cases, 'triples of names', {named}, function()
    local nodes = arrays.dictionary()
    must(arrays.read(named, {kinds = 'sss', separator = '\t',
                              names = {nodes, arrays.dictionary(), nodes}})):free()
  end)
end

---@param o table {data, quick, seconds, folder}
---@param out tinykg.BenchOutput
return function(o, out)
  local cases, data = {}, require 'tinykg.data'
  out:doing('reading text')
  generated(o, cases)
  local set = inputs.data(o, {seed = 0})
  local dir = o.data or o.folder .. '/demo'
  add_pair(cases, 'data set ' .. set.name .. ', split and checked', files_below(dir, {}),
       function() data.load(dir, {seed = 0, cache = 'off'}) end)
  measure.turns(cases, {seconds = o.seconds})
  local records = {}
  for k = 2, #cases, 2 do
    local case = cases[k]
    records[#records + 1] = {what = case.what, megabytes = case.bytes / 1e6, min_ms = case.min,
      median_ms = case.median, mb_s = case.bytes / 1e3 / case.min,
      x_read = case.min / cases[k - 1].min}
  end
  out:heading('reading text; x read: ratio to reading the same bytes, minima')
  out:table('load', COLUMNS, records)
end
