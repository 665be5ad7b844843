--- The proof on README's first screen: a table and a picture of memory and time beside PyTorch's.
--   tinykg tests/bench/first_screen.lua BENCH.json [--keep]
-- Times come from BENCH.json, which make bench writes; bytes from `tinykg memory`, planned here;
-- Recall from recipes/ACCURACY.md. Prints the table; --keep puts it into README.md and draws
-- .github/memory.svg. Status 1, and what is missing, where a figure cannot be had.
local atomic_file = require 'tinykg.base.atomic_file'
local format = require 'tinykg.base.format'
local html = require 'tinykg.report.page.html'
local json = require 'tinykg.base.json'
local must = require 'tinykg.base.must'
local read_file = require 'tinykg.base.read_file'
local home = os.getenv 'TINYKG_HOME' or '.'

local DATA = (os.getenv 'TINYKG_DATA' or home .. '/../shared/data') .. '/kgat-last-fm'
local SMALLEST = ' --set optimizer_bits=8 --set optimizer_rowwise=true --set parameter_bits=16'
local MODELS = {{recipe = 'kgin', name = 'KGIN', step = 'KGIN'},
                {recipe = 'kgat', name = 'KGAT', step = 'KGAT CF'}}
local FIRST, LAST = '<!-- tests/bench/first_screen.lua -->\n', '<!-- end of the table -->'

local function stop(...)
  io.stderr:write('first screen: ', format.line((...):format(select(2, ...))), '\n')
  os.exit(1)
end

-- ---- figures ----

--- Bytes that a run is planned to take. ---@return table columns of `memory --json`
local function planned(recipe, settings)
  local command = ("'%s/tinykg' memory %s --data '%s' --bits 2 --json%s")
    :format(home, recipe, DATA, settings)
  local pipe = must(io.popen(command))
  local plan, why = json.decode(pipe:read '*a', command)
  pipe:close()
  if not plan then stop('%s', why) end
  return plan.columns
end

--- The largest number of threads that steps were timed with.
local function most_threads(bench)
  local most = 1
  for _, ratio in ipairs(bench.ratios) do
    most = math.max(most, tonumber(ratio.name:match ', (%d+) threads?, %d+ bits$') or 1)
  end
  return most
end

--- The version of PyTorch that make bench installs.
local function pytorch_version()
  local script = must(read_file(home .. '/tests/bench/pytorch_venv.sh'))
  return script:match 'version=[^\n%d]*([%d.]+)'
end

--- The ratio of a step at a width to another program's, with both times.
local function step_of(bench, step, threads, bits)
  local name = ('%s, last-fm, %s, %d bits'):format(step, format.count(threads, 'thread'), bits)
  for _, ratio in ipairs(bench.ratios) do
    if ratio.name == name and ratio.of == 'PyTorch' then return ratio end
  end
  stop('no step "%s" beside PyTorch: make bench with its data (%s) and PyTorch', name, DATA)
end

local function cells(row)
  local list = {}
  for cell in row:gmatch '| ([^|]*) ' do list[#list + 1] = cell end
  return list
end

--- Recall@20 at 32 and at 2 bits: a row of ACCURACY.md's tuned study, without the number of
--- seeds.
local function recall_of(label)
  local text = must(read_file(home .. '/recipes/ACCURACY.md'))
  local study = text:match '<!%-%- study tuned %-%->(.-)<!%-%- end of study' or ''
  local head, rows = study:match '\n(| recall@20 [^\n]+)\n[^\n]+(.-\n)\n'
  local row = rows and rows:match('\n(| ' .. label .. ' |[^\n]+)\n')
  local found = {}
  for k, width in ipairs(row and cells(head) or {}) do
    found[width] = cells(row)[k]:gsub(' %(%d+%)$', '')
  end
  local wide, narrow = found['32 bits'] or '', found['2 bits'] or ''
  if wide == '' or narrow == '' then
    stop('recipes/ACCURACY.md has no row "%s" in its tuned study', label)
  end
  return wide, narrow
end

local function figures(bench, threads)
  local found = {}
  for i, model in ipairs(MODELS) do
    found[i] = {
      name = model.name,
      bytes = planned(model.recipe, ''),
      smallest = planned(model.recipe, SMALLEST).chosen.peak,
      wide = step_of(bench, model.step, threads, 32),
      narrow = step_of(bench, model.step, threads, 2),
    }
  end
  return found
end

-- ---- the table ----

local function row(...) return '| ' .. table.concat({...}, ' | ') .. ' |\n' end

local function milliseconds(x) return ('%.0f ms'):format(x) end

local function table_of(found, bench, threads)
  local lines = {
    ('Last-FM with its knowledge graph, 129,955 nodes, batch 1,024, %s of an %s:\n\n')
      :format(format.count(threads, 'thread'), bench.machine.cpu),
    row('', 'PyTorch ' .. pytorch_version(), 'tinykg, 32 bits', 'tinykg, 2 bits'),
    row('---', '---', '---', '---'),
  }
  for _, f in ipairs(found) do
    local b = f.bytes
    lines[#lines + 1] = row(f.name .. ', kept for backward', format.bytes(b.op_by_op.kept),
                            format.bytes(b.bits_32.kept), format.bytes(b.chosen.kept))
    lines[#lines + 1] = row(f.name .. ', peak of a whole run', format.bytes(b.op_by_op.peak),
                            format.bytes(b.bits_32.peak), format.bytes(b.chosen.peak))
    lines[#lines + 1] = row(f.name .. ', the same with small tables and moments', '', '',
                            format.bytes(f.smallest))
    lines[#lines + 1] = row(f.name .. ', a step', milliseconds(f.wide.other_ms),
                            milliseconds(f.wide.ours_ms), milliseconds(f.narrow.ours_ms))
  end
  lines[#lines + 1] = row('KGIN, Recall@20 on dbbook2014', '', recall_of 'kgin')
  return table.concat(lines)
end

-- ---- the picture ----

local STYLE = [[
svg { font: 13px system-ui, sans-serif; } text { fill: #5c626b; } .name { fill: #1b1d21; }
.pytorch { fill: #b9bec5; } .wide { fill: #56b4e9; }
.narrow { fill: #0072b2; } .smallest { fill: #009e73; }
@media (prefers-color-scheme: dark) {
  text { fill: #9aa1ab; } .name { fill: #e6e8eb; } .pytorch { fill: #5d636d; }
}
]]
local WIDTH, LEFT, BAR, GAP = 760, 200, 18, 14

local function bars_of(f)
  return {{'pytorch', 'PyTorch, op by op', f.bytes.op_by_op.peak},
          {'wide', 'tinykg, 32 bits', f.bytes.bits_32.peak},
          {'narrow', 'tinykg, 2 bits', f.bytes.chosen.peak},
          {'smallest', 'and small tables, moments', f.smallest}}
end

local function picture(found)
  local most, y, parts = 0, 8, {}
  for _, f in ipairs(found) do most = math.max(most, f.bytes.op_by_op.peak) end
  for _, f in ipairs(found) do
    parts[#parts + 1] = html.text{class = 'name', x = 0, y = y + 13, f.name .. ': peak of a run'}
    y = y + BAR
    for _, bar in ipairs(bars_of(f)) do
      local class, label, bytes = unpack(bar)
      local length = (WIDTH - LEFT - 90) * bytes / most
      parts[#parts + 1] = {
        html.text{x = LEFT - 8, y = y + 13, ['text-anchor'] = 'end', label},
        html.rect{class = class, x = LEFT, y = y, width = length, height = BAR - 3},
        html.text{class = 'name', x = LEFT + length + 6, y = y + 13, format.bytes(bytes)}}
      y = y + BAR
    end
    y = y + GAP
  end
  return html.svg{xmlns = 'http://www.w3.org/2000/svg', viewBox = ('0 0 %d %d'):format(WIDTH, y),
                  width = WIDTH, height = y, role = 'img', html.style{STYLE}, parts}
end

-- ---- README ----

local function keep(text, svg)
  local path = home .. '/README.md'
  local readme = must(read_file(path))
  local from, to = readme:find(FIRST, 1, true), readme:find(LAST, 1, true)
  if not from or not to then stop('%s has no place for the table', path) end
  must(atomic_file.write(path, readme:sub(1, from - 1) .. FIRST .. text .. readme:sub(to)))
  must(atomic_file.write(home .. '/.github/memory.svg', html.markup(svg)))
end

local path, kept
for _, word in ipairs(arg) do
  if word == '--keep' then kept = true else path = word end
end
if not path then stop('usage: tinykg tests/bench/first_screen.lua BENCH.json [--keep]') end
local bench = json.decode(read_file(path) or stop('%s: make bench writes it', path), path)
local threads = most_threads(bench)
local found = figures(bench, threads)
local text = table_of(found, bench, threads)
io.write(text)
if kept then keep(text, picture(found)) end
