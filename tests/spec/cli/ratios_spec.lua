-- make bench and make bench-check: ratios follow from times, PyTorch's steps are asked for, what
-- fell is named.
local fixtures = require 'tests.support.fixtures'
local json = require 'tinykg.base.json'
local shell = require 'tests.support.shell'

local RATIOS, CHECK = './tinykg tests/bench/ratios.lua ', './tinykg tests/bench/check.lua '

-- Stands for a Python with PyTorch: it has each step done in 1,000 ms, and needs torch no more than
-- `-c 'import torch'` does.
local STAND_IN = [[#!/bin/sh
[ "$1" = -c ] && exit 0
[ "$2" = serve ] || exit 1
echo loading
echo "@ ready step"
while read -r what count; do
  if [ "$what" = threads ]; then echo "@ threads $count"; continue; fi
  times=
  while [ "$count" -gt 0 ]; do times="$times 1000"; count=$((count - 1)); done
  echo "@$times"
done
]]

local function bench_of(environment, words, dir)
  local out = dir .. '/bench.json'
  local text = shell.gives(0, environment .. ' ' .. RATIOS .. words .. ' --out ' .. out)
  return assert(json.decode(fixtures.bytes(out), out)), text
end

describe('make bench', function()
  teardown(fixtures.clean)

  it('compares widths without PyTorch, and says that it is not there', function()
    local bench, text = bench_of('PYTHON=none', '--quick --only lightgcn', fixtures.dir())
    assert.truthy(text:find('no comparison with PyTorch: PYTHON=none', 1, true))
    assert.is_true(bench.quick)
    assert.truthy(bench.machine.cpu and bench.machine.vector_code)
    assert.is_true(#bench.ratios > 0)
    for _, r in ipairs(bench.ratios) do
      assert.equal('own 32 bits', r.of)
      assert.truthy(r.name:find('^LightGCN, generated, %d threads?, 2 bits$'))
      assert.is_true(r.ratio > 0 and r.ours_ms > 0)
    end
  end)

  it('keeps the lower of two ratios with --best', function()
    local dir = fixtures.dir()
    local name = 'LightGCN, generated, 1 thread, 2 bits'
    fixtures.write(dir .. '/bench.json', json.encode{ratios = {
      {name = name, of = 'own 32 bits', ratio = 1e-9}, {name = 'other', of = 'a copy', ratio = 2}}})
    local bench = bench_of('PYTHON=none', '--quick --only lightgcn --best', dir)
    local found = {}
    for _, r in ipairs(bench.ratios) do found[r.name] = r.ratio end
    assert.equal(1e-9, found[name])
    assert.equal(2, found.other)
    assert.is_true(not found['LightGCN, generated, 2 threads, 2 bits']
                   or found['LightGCN, generated, 2 threads, 2 bits'] > 0.01)
  end)

  it('compares with PyTorch in turns', function()
    local dir = fixtures.dir{python = STAND_IN}
    shell.gives(0, 'chmod +x ' .. dir .. '/python')
    local bench = bench_of('PYTHON=' .. dir .. '/python', '--quick --only lightgcn', dir)
    local found = 0
    for _, r in ipairs(bench.ratios) do
      if r.of == 'PyTorch' then
        found = found + 1
        assert.equal(1000, r.other_ms)
        assert.is_true(math.abs(r.ratio - r.ours_ms / 1000) < 1e-9)
      end
    end
    assert.is_true(found >= 2)
  end)

  it('says why a program of PyTorch does not run, and goes on', function()
    local dir = fixtures.dir{python = '#!/bin/sh\n[ "$1" = -c ] && exit 0\necho it broke >&2\n'}
    shell.gives(0, 'chmod +x ' .. dir .. '/python')
    local bench, text = bench_of('PYTHON=' .. dir .. '/python', '--quick --only lightgcn', dir)
    assert.truthy(text:find('PyTorch: lightgcn: it broke', 1, true))
    assert.is_true(#bench.ratios > 0)
  end)
end)

describe('make bench-check', function()
  teardown(fixtures.clean)

  local function bench(ratios, more)
    local list = {}
    for name, ratio in pairs(ratios) do
      list[#list + 1] = {name = name, of = 'a copy', ratio = ratio}
    end
    local machine = {cpu = more and more.cpu or 'one', vector_code = 'avx2', commit = 'c0ffee'}
    return json.encode{machine = machine, quick = more and more.quick or false, ratios = list}
  end

  --- Keeps ratios and compares others with them; returns what is printed.
  local function checked(status, kept, ratios, more)
    local dir = fixtures.dir{['kept.json'] = bench(kept), ['now.json'] = bench(ratios, more)}
    shell.gives(0, ('%s --keep %s/kept.json %s/ratios.json'):format(CHECK, dir, dir))
    return shell.gives(status, ('%s %s/now.json %s/ratios.json'):format(CHECK, dir, dir)), dir
  end

  it('names what fell by more than 15 %, and fails', function()
    local text = checked(1, {add = 1, gather = 2, sum = 3}, {add = 1.14, gather = 2.31, sum = 2})
    assert.truthy(text:find('fell   gather, of a copy +2.000 %-> 2.310'))
    assert.truthy(text:find('better sum, of a copy', 1, true))
    assert.is_nil(text:find('add', 1, true))
    assert.truthy(text:find('1 ratio fell by more than 15 %', 1, true))
  end)

  it('is content with what is within 15 %, and says what is missing', function()
    local text = checked(0, {add = 1, gather = 2}, {add = 1.14})
    assert.truthy(text:find('not measured: gather, of a copy', 1, true))
    assert.truthy(text:find('nothing fell', 1, true))
  end)

  it('does not count what another CPU does', function()
    local text = checked(0, {add = 1}, {add = 5}, {cpu = 'two'})
    assert.truthy(text:find('fell   add', 1, true))
    assert.truthy(text:find('another CPU', 1, true))
  end)

  it('does not compare tiny sizes with others', function()
    assert.truthy(checked(0, {add = 1}, {add = 5}, {quick = true}):find('nothing to compare with'))
  end)

  it('keeps one list for each machine', function()
    local _, dir = checked(0, {add = 1}, {add = 1})
    local function keep(name, ratio, cpu)
      fixtures.write(dir .. '/more.json', bench({[name] = ratio}, {cpu = cpu}))
      shell.gives(0, ('%s --keep %s/more.json %s/ratios.json'):format(CHECK, dir, dir))
    end
    keep('add', 2, 'one')
    keep('add', 3, 'two')
    local of = {}
    for _, entry in ipairs(assert(json.decode(fixtures.bytes(dir .. '/ratios.json')))) do
      assert.is_nil(of[entry.cpu])
      of[entry.cpu] = entry.ratios['add, of a copy']
    end
    assert.same({one = 2, two = 3}, of)
  end)

  it('says what to do without a file', function()
    shell.gives(2, CHECK .. 'no-such.json', 'make bench writes it')
  end)
end)

describe('bench growth', function()
  teardown(fixtures.clean)

  it('measures each axis alone, and draws it', function()
    local dir = fixtures.dir()
    local at = {}
    for line in shell.prints('bench growth --quick --json --threads 1 --out ' .. dir .. '/g')
      :gmatch('[^\n]+') do
      local r = assert(json.decode(line, line))
      if r.part == 'growth' then
        at[r.axis] = at[r.axis] or {}
        table.insert(at[r.axis], r)
        assert.is_true(r.ms > 0 and r.bytes > 0)
      end
    end
    for _, axis in ipairs{'edges', 'nodes', 'width', 'layers', 'batch'} do
      assert.is_true(#at[axis] >= 8, axis) -- two points, models and widths each
      local svg = fixtures.bytes(('%s/g/growth-%s-time.svg'):format(dir, axis))
      assert.truthy(svg:find('^<svg'))
      assert.truthy(svg:find('>KGAT, 2 bits<', 1, true))
      assert.truthy(svg:find('>' .. axis .. '<', 1, true))
    end
    local paper = 0
    for _, r in ipairs(at.edges) do paper = paper + (r.paper and 1 or 0) end
    assert.equal(4, paper)
    assert.truthy(fixtures.bytes(dir .. '/g/growth.html'):find('</html>', 1, true))

    -- in the report of runs
    local _, set = shell.demo(40, 40)
    shell.prints(('run recipes/bpr-mf.lua --data %s --out %s/run --set epochs=1'):format(set, dir))
    shell.prints(('report %s/run -o %s/report.html --growth %s/g/growth.json')
      :format(dir, dir, dir))
    local page = fixtures.bytes(dir .. '/report.html')
    assert.truthy(page:find('<h2>Growth</h2>', 1, true))
    assert.truthy(page:find('>LightGCN, 32 bits<', 1, true))
    shell.gives(1, ('./tinykg report %s/run -o %s/no.html --growth %s/run/summary.json'):format(
      dir, dir, dir), 'not what tinykg bench growth writes')
  end)
end)
