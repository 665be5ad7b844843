-- tinykg report, through the command line: the page for run folders that are written here, whose
-- figures are worked out by hand.
local cjson = require 'cjson'
local fixtures = require 'tests.support.fixtures'
local markup = require 'tests.support.markup'
local shell = require 'tests.support.shell'

local refuses = shell.refuses
local dir

--- Makes the report of some folders. Returns the page parsed, its text, and what was printed.
local function report(folders)
  local page = dir .. '/report.html'
  os.remove(page)
  local out, err = shell.works(('report %s -o %s'):format(folders, page))
  assert.equal('', err)
  local text = fixtures.bytes(page)
  return markup.parse(text), text, out
end

-- ---- run folders ----

local merged = fixtures.merged

local function config_of(o)
  return merged({recipe = 'KGCN', recipe_file = 'recipes/kgcn.lua', data = 'sets/films', seed = 1,
                 data_options = {}, bits = 32, rounding = 'dither', device = 'cpu', threads = 2,
                 version = '0.1.0', options = {dim = 16, lr = 0.01, epochs = 2}}, o)
end

local function summary_of(o)
  return merged({epochs = 2, best_epoch = 2, test = {auc = 0.7, f1 = 0.6},
                 memory = {peak = 3 * 2 ^ 20, parameter = 2 ^ 20, gradient = 0, optimizer = 2 ^ 21},
                 kept = {reference_bytes = 4000000, stored_bytes = 250000},
                 time = {step_ms = 1.25, epoch_s = 2.5, eval_s = 0.1, load_s = 0.2}}, o)
end

local function log_of(losses, aucs)
  local lines = {}
  for epoch, loss in ipairs(losses) do
    lines[epoch] = cjson.encode{epoch = epoch, step = 10 * epoch, loss = loss, seconds = 1,
                                memory = 1000, valid = aucs and {auc = aucs[epoch]}}
  end
  return lines
end

--- Writes a run folder. config: false for none; summary, kept: nil for none.
local function run(folder, config, log, summary, kept)
  local made = dir
  for part in folder:gmatch('[^/]+') do
    made = made .. '/' .. part
    require('lfs').mkdir(made)
  end
  if config then fixtures.write(made .. '/config.json', cjson.encode(config_of(config))) end
  if log then fixtures.write(made .. '/log.jsonl', log) end
  if summary then
    fixtures.write(made .. '/summary.json', cjson.encode(summary_of(summary)))
  end
  if kept then fixtures.write(made .. '/kept.json', cjson.encode(kept)) end
  return made
end

--- Writes a group of runs with these test AUCs, one run per seed.
local function seeds(folder, config, aucs, f1)
  for seed, auc in ipairs(aucs) do
    run(('%s-%d'):format(folder, seed), merged({seed = seed}, config), log_of{0.7, 0.6},
        {test = {auc = auc, f1 = f1 or 0.6}})
  end
end

local function comparison(page) return markup.tables(page, 'recipe', 'runs', 'peak')[1] end
local function marked(cell) return cell.attributes.class == 'n best' end

describe('tinykg report', function()
  before_each(function() dir = fixtures.dir() end)
  teardown(fixtures.clean)

  it('compares groups of seeds: mean, deviation, memory, time', function()
    run('a/1', {}, log_of{0.7, 0.6}, {test = {auc = 0.70, f1 = 0.6}, best_epoch = 1})
    run('a/2', {seed = 2}, log_of{0.7, 0.6}, {test = {auc = 0.72, f1 = 0.6}})
    run('a/3', {seed = 3}, log_of{0.7, 0.6}, {test = {auc = 0.74, f1 = 0.6}})
    run('b', {bits = 2}, log_of{0.7, 0.6}, {})
    local page, _, out = report(dir)
    assert.equal(dir .. '/report.html: 4 runs\n', out)
    assert.equal('KGCN on films', markup.text(markup.all(page, 'h1')[1]))
    local t = comparison(page)
    assert.same({'recipe', 'bits', 'runs', 'auc', 'f1', 'best epoch', 'kept', 'less', 'peak',
                 'step ms', 'epoch s'}, t.head)
    assert.same({recipe = 'KGCN', bits = '32', runs = '3', auc = '0.7200 ± 0.0200',
                 f1 = '0.6000 ± 0.0000', ['best epoch'] = '1.7', kept = '244.1 KiB',
                 less = '16.0×', peak = '3.0 MiB', ['step ms'] = '1.25', ['epoch s'] = '2.50'},
                t.rows[1])
    assert.equal('0.7000', t.rows[2].auc)
    assert.equal('2', t.rows[2].bits)
    assert.equal('seeds 1, 2, 3', t.cells[1].runs.attributes.title)
  end)

  --- Four groups whose figures are known; a name that CSV, Markdown and LaTeX have to escape.
  local function tabled(ending)
    seeds('a', {bits = 32}, {0.70, 0.72, 0.74})
    seeds('b', {bits = 2}, {0.60, 0.61, 0.62})
    for _, name in ipairs{'a-1', 'a-2', 'a-3', 'b-1', 'b-2', 'b-3'} do
      local config = cjson.decode(fixtures.bytes(('%s/%s/config.json'):format(dir, name)))
      config.data = '/x/big_"films", all'
      fixtures.write(('%s/%s/config.json'):format(dir, name), cjson.encode(config))
    end
    local file = dir .. '/t.' .. ending
    assert.equal(file .. ': 6 runs\n', shell.prints(('report %s -o %s'):format(dir, file)))
    return fixtures.bytes(file)
  end

  it('writes the comparison as CSV, with figures as they are', function()
    local lines = {}
    for line in tabled('csv'):gmatch('([^\n]*)\n') do lines[#lines + 1] = line end
    assert.equal('data,recipe,bits,runs,auc,auc sd,f1,f1 sd,best_epoch,kept_bytes,peak_bytes,' ..
                 'step_ms,epoch_s', lines[1])
    assert.equal(3, #lines)
    local data, auc, sd, rest = lines[2]:match('^(".*"),KGCN,32,3,([%d.]+),([%d.]+),(.*)$')
    assert.equal('"big_""films"", all"', data)
    assert.is_true(math.abs(auc - 0.72) < 1e-12 and math.abs(sd - 0.02) < 1e-12)
    assert.matches('^0.6,0,[%d.]+,250000,', rest:gsub('0.6%d*,[%d.e-]+', '0.6,0', 1)) -- 244.1 KiB
    assert.matches(',KGCN,2,3,0.61', lines[3], 1, true)
  end)

  it('writes it as Markdown and LaTeX, the best marked', function()
    local text = tabled 'md'
    assert.matches('**big\\_"films", all**', text, 1, true)
    assert.matches('| recipe | bits | runs | auc | f1 | best epoch | kept | peak | step ms | ' ..
                   'epoch s |' .. '\n| --- | --- | ---: | ---: |', text, 1, true)
    assert.matches('| KGCN | 32 | 3 | **0.7200 \194\177 0.0200** | 0.6000 \194\177 0.0000 |', text,
                   1, true)
    text = tabled 'tex'
    assert.matches('\\begin{tabular}{llrrrrrrrr}\n\\hline\nrecipe & bits & runs & auc &', text,
                   1, true)
    assert.matches('KGCN & 32 & 3 & \\textbf{0.7200 $\\pm$ 0.0200} & 0.6000 $', text, 1, true)
    assert.matches(' \\\\\n\\hline\n\\end{tabular}\n', text, 1, true)
    local escaped = require('tinykg.report.table_file').text('tex', {{
      label = 'x', columns = {}, groups = {{recipe = 'a_b&c\\^', settings = {}, runs = {},
                                            finished = {}}}}})
    assert.matches('a\\_b\\&c\\textbackslash{}\\textasciicircum{} & 0 & ', escaped, 1, true)
  end)

  it('calls no difference within the deviation better', function()
    seeds('a', {bits = 32}, {0.70, 0.72, 0.74})  -- 0.72, deviation 0.02: the highest
    seeds('b', {bits = 8}, {0.705, 0.710, 0.715}) -- 0.71: not told from it
    seeds('c', {bits = 2}, {0.698, 0.699, 0.700}) -- 0.699: 0.021 below
    local t = comparison((report(dir)))
    local found = {}
    for i, cells in ipairs(t.cells) do
      found[t.rows[i].bits] = marked(cells.auc)
      assert.is_false(marked(cells.f1)) -- all the same: nothing to mark
    end
    assert.same({['32'] = true, ['8'] = true, ['2'] = false}, found)
  end)

  it('names what differs, and of other recipes only how they were run', function()
    run('a', {options = {dim = 16, lr = 0.01}}, log_of{1}, {})
    run('b', {options = {dim = 16, lr = 0.001}}, log_of{1}, {})
    run('c', {recipe = 'KGAT', recipe_file = 'recipes/kgat.lua', options = {dim = 64, lr = 0.01}},
        log_of{1}, {})
    local page = report(dir)
    local t = comparison(page)
    assert.equal('lr', t.head[2])
    assert.equal('runs', t.head[3])
    assert.same({'KGCN 0.001', 'KGCN 0.01', 'KGAT 0.01'}, {
      t.rows[1].recipe .. ' ' .. t.rows[1].lr, t.rows[2].recipe .. ' ' .. t.rows[2].lr,
      t.rows[3].recipe .. ' ' .. t.rows[3].lr})
    local between = markup.tables(page, 'KGCN', 'KGAT')[1]
    local dims = {}
    for _, row in ipairs(between.rows) do
      if row[''] == 'dim' then dims = row end
    end
    assert.same({[''] = 'dim', KGCN = '16', KGAT = '64'}, dims)
  end)

  it('keeps data sets apart', function()
    run('a', {}, log_of{1}, {})
    run('b', {data_options = {task = 'ranking', columns = {user = 'who'}}}, log_of{1},
        {test = {['recall@20'] = 0.25, ['ndcg@20'] = 0.125, ['hit@20'] = 0.5, ['map@20'] = 0.1,
                 ['mrr@20'] = 0.2, users = 99}})
    local page = report(dir)
    local tables = markup.tables(page, 'recipe', 'runs', 'peak')
    assert.equal(2, #tables)
    assert.equal('0.7000', tables[1].rows[1].auc)
    assert.equal('0.2500', tables[2].rows[1]['recall@20'])
    assert.is_nil(tables[2].rows[1].users)
    local heads = {}
    for i, h2 in ipairs(markup.all(page, 'h2')) do heads[i] = markup.text(h2) end
    assert.same({'films', 'films (task ranking)', 'Runs'}, heads)
    local rest = markup.tables(page, 'hit@20', 'map@20', 'mrr@20')[1]
    assert.equal('0.5000', rest.rows[1]['hit@20'])
  end)

  it('takes runs before and after a data set changed for no seeds of one model', function()
    local function on(data, users)
      return {data = data, data_set = {users = users, items = 9, train = 5, valid = 2, test = 2,
                                       triples = 7, interactions = 'hash ' .. users}}
    end
    local folders = {run('set-1', merged({seed = 1}, on('a/ml', 43)), log_of{0.5}, {}),
                     run('set-2', merged({seed = 2}, on('a/ml', 83)), log_of{0.5}, {}),
                     run('set-3', merged({seed = 3}, on('b/ml', 43)), log_of{0.5}, {}),
                     run('set-4', merged({seed = 4}, on('b/ml', 43)), log_of{0.5}, {})}
    local csv = dir .. '/sets.csv'
    shell.works(('report %s -o %s'):format(table.concat(folders, ' '), csv))
    local text = fixtures.bytes(csv)
    local of = '%d users, 9 items, 5 + 2 + 2 interactions, 7 triples'
    for label, runs in pairs{['ml, a/ml, ' .. of:format(43)] = 1,
                             ['ml, a/ml, ' .. of:format(83)] = 1, ['ml, b/ml'] = 2} do
      local line = text:match('\n([^\n]*' .. label:gsub('%p', '%%%0') .. '"[^\n]*)')
      assert(line, text)
      assert.matches('KGCN[^,]*,' .. runs .. ',', line)
    end
  end)

  it('counts a second run of a seed apart', function()
    run('a', {}, log_of{1}, {test = {auc = 0.5}})
    run('b', {}, log_of{1}, {test = {auc = 0.7}})
    local t = comparison((report(dir)))
    assert.equal(2, #t.rows)
    assert.equal(dir .. '/b', t.rows[1].folder)
    assert.equal('0.7000', t.rows[1].auc)
  end)

  it('counts seeds with other threads as one group, which has no times then', function()
    run('a', {seed = 1, threads = 1}, log_of{1}, {test = {auc = 0.5}})
    run('b', {seed = 2, threads = 1}, log_of{1}, {test = {auc = 0.7}})
    assert.equal('1.25', comparison((report(dir))).rows[1]['step ms'])
    run('c', {seed = 3, threads = 2}, log_of{1}, {test = {auc = 0.6}})
    local page, text = report(dir)
    local t = comparison(page)
    assert.equal(1, #t.rows)
    assert.same({'3', '\226\128\147'}, {t.rows[1].runs, t.rows[1]['step ms']})
    assert.matches('No times of a group whose runs differ in threads%.', text)
    assert.matches('device cpu, 1, 2 threads', text)
    local group = cjson.decode(shell.prints('report ' .. dir .. ' --json'))[1].groups[1]
    assert.near(0.6, group.test.auc.mean, 1e-12)
    assert.same({3, {}}, {group.test.auc.n, group.time})
  end)

  it('keeps times of each number of threads apart where seeds were run with both', function()
    for threads = 1, 2 do
      for seed = 1, 2 do
        run(('t%d-%d'):format(threads, seed), {seed = seed, threads = threads}, log_of{1},
            {time = {step_ms = 4 / threads}})
      end
    end
    local t = comparison((report(dir)))
    for threads, step in ipairs{'4.00', '2.00'} do
      local row = t.rows[threads]
      assert.same({tostring(threads), step}, {row.threads, row['step ms']})
    end
  end)

  -- ---- three columns, and accuracy against memory ----

  local MIB = 2 ^ 20

  --- A run at a width: its AUC, the peak and kept bytes of the three columns in MiB.
  local function at_width(folder, bits, seed, auc, peak, kept)
    run(folder, {bits = bits, seed = seed}, log_of{0.7, 0.6},
        {test = {auc = auc}, memory = {peak = peak * MIB},
         kept = {reference_bytes = 80 * MIB, stored_bytes = kept * MIB},
         columns = {op_by_op = {kept = 80 * MIB, peak = 200 * MIB},
                    bits_32 = {kept = 20 * MIB, peak = 100 * MIB},
                    chosen = {bits = bits, kept = kept * MIB, peak = peak * MIB}}})
  end

  it('has op-by-op FP32 and 32 bits beside the memory of a run', function()
    at_width('a', 32, 1, 0.7, 100, 20)
    at_width('b', 2, 1, 0.7, 50, 2)
    run('old', {bits = 4}, log_of{1}, {}) -- before there were columns
    local t = markup.tables((report(dir)), 'peak, here')[1]
    assert.same({'', 'kept, op-by-op', 'kept, 32 bits', 'kept, here', 'less', 'peak, op-by-op',
                 'peak, 32 bits', 'peak, here', 'less'}, t.head)
    assert.equal(2, #t.rows)
    local two = t.rows[2]
    assert.same({'KGCN, 2 bits', '80.0 MiB', '20.0 MiB', '2.0 MiB', '200.0 MiB', '100.0 MiB',
                 '50.0 MiB', '4.0×'},
                {two[''], two['kept, op-by-op'], two['kept, 32 bits'], two['kept, here'],
                 two['peak, op-by-op'], two['peak, 32 bits'], two['peak, here'], two.less})
    local found = cjson.decode(shell.prints('report ' .. dir .. ' --json'))
    assert.equal(200 * MIB, found[1].groups[3].columns.op_by_op.peak.mean)
    assert.equal(20 * MIB, found[1].groups[3].columns.bits_32.kept.mean)
  end)

  --- Points of a chart: {x, y, text under the pointer, label, length of its bar}.
  local function points_of(page, title)
    for _, svg in ipairs(markup.all(page, 'svg')) do
      if svg.attributes['aria-label'] == title then
        local points, texts = {}, {}
        for _, text in ipairs(markup.all(svg, 'text')) do
          texts[#texts + 1] = {x = tonumber(text.attributes.x), text = markup.text(text)}
        end
        for i, circle in ipairs(markup.all(svg, 'circle', 'dot')) do
          local a = circle.attributes
          points[i] = {x = tonumber(a.cx), y = tonumber(a.cy),
                       title = markup.text(markup.all(circle, 'title')[1])}
          for _, t in ipairs(texts) do
            if math.abs(t.x - points[i].x - 8) < 1e-3 then points[i].label = t.text end
          end
        end
        return points, svg
      end
    end
  end

  it('draws accuracy against memory, a point per width, to scale', function()
    for seed = 1, 2 do
      at_width('x' .. seed, 32, seed, 0.70 + 0.02 * seed, 100, 20) -- 0.73, deviation 0.0141
      at_width('y' .. seed, 8, seed, 0.71 + 0.02 * seed, 75, 5)    -- 0.74
      at_width('z' .. seed, 2, seed, 0.68 + 0.02 * seed, 50, 2)    -- 0.71
    end
    local page = report(dir)
    local p, svg = points_of(page, 'auc and peak')
    assert.equal(3, #p)
    assert.same({'32', '8', '2'}, {p[1].label, p[2].label, p[3].label})
    assert.equal('32 bits: auc 0.7300 ± 0.0141, 100.0 MiB', p[1].title)
    assert.near(p[1].x - p[2].x, p[2].x - p[3].x, 0.01) -- 25 MiB each
    assert.near(2 * (p[1].y - p[2].y), p[3].y - p[1].y, 0.01) -- 0.01 up, 0.02 down
    assert.is_true(p[2].y < p[1].y)
    local bars = {}
    for _, path in ipairs(markup.all(svg, 'path', 'thin')) do
      local x0, y0, x1, y1 = path.attributes.d:match('^M([%d.]+) ([%d.]+)L([%d.]+) ([%d.]+)$')
      if x0 == x1 and x0 then bars[#bars + 1] = y0 - y1 end
    end
    assert.equal(3, #bars) -- two deviations long
    for _, length in ipairs(bars) do
      assert.near(2 * math.sqrt(2) * 0.01 * (p[1].y - p[2].y) / 0.01, length, 0.15)
    end
    local kept = points_of(page, 'auc and kept bytes')
    assert.near((kept[2].x - kept[3].x) * 6, kept[1].x - kept[3].x, 0.05) -- 3 and 18 MiB
  end)

  it('joins no points of runs that differ in more than bits, and draws no lonely one', function()
    run('a', {bits = 32}, log_of{1}, {})
    assert.is_nil(points_of((report(dir)), 'auc and peak'))
    run('b', {bits = 2, options = {dim = 64}}, log_of{1}, {})
    local p, svg = points_of((report(dir)), 'auc and peak')
    assert.equal(2, #p)
    assert.equal(2, #markup.all(svg, 'g'))
  end)

  -- ---- curves ----

  --- The points of a path, which begins with a place; the others are relative to the one before.
  local function places_of(path)
    local points, x, y = {}, 0, 0
    for dx, dy in path:gmatch('(%-?%d+) (%-?%d+)') do
      x, y = x + dx, y + dy
      points[#points + 1] = {x / 10, y / 10}
    end
    return points
  end

  --- What the script says of the points of a path.
  local function said_of(attributes)
    local list, epoch = {}, 0
    local texts = (attributes['data-v'] .. ';'):gmatch('([^;]*);')
    for step in attributes['data-x']:gmatch('[^,]+') do
      epoch = epoch + step
      list[#list + 1] = ('%s, epoch %d: %s'):format(attributes['data-name'], epoch, texts())
    end
    return list
  end

  --- Finds a chart by its title. Returns its lines as lists of {x, y}, its points' texts, and it.
  local function curves_of(page, title)
    for _, svg in ipairs(markup.all(page, 'svg')) do
      if svg.attributes['aria-label'] == title then
        local lines, says = {}, {}
        for _, path in ipairs(markup.all(svg, 'path', 'line')) do
          lines[#lines + 1] = places_of(path.attributes.d)
          for _, text in ipairs(path.attributes['data-x'] and said_of(path.attributes) or {}) do
            says[#says + 1] = text
          end
        end
        return lines, says, svg
      end
    end
  end

  it('draws learning curves to scale', function()
    run('a', {}, log_of({0.8, 0.6, 0.5, 0.45}, {0.5, 0.6, 0.65, 0.7}), {})
    local page = report(dir)
    local lines, says = curves_of(page, 'loss')
    assert.equal(1, #lines)
    local p = lines[1]
    assert.equal(4, #p)
    for i = 2, 4 do assert.near((p[4][1] - p[1][1]) / 3, p[i][1] - p[i - 1][1], 0.2) end
    local scale = (p[4][2] - p[1][2]) / (0.8 - 0.45) -- down the page is down in loss
    assert.is_true(scale > 0)
    assert.near(scale * 0.2, p[2][2] - p[1][2], 0.2)
    assert.near(scale * 0.1, p[3][2] - p[2][2], 0.2)
    assert.equal('KGCN, epoch 3: 0.5000', says[3])
    local auc = curves_of(page, 'validation auc')[1]
    assert.is_true(auc[4][2] < auc[1][2])
  end)

  it('shows the mean of seeds with its band, then each seed as far as it goes', function()
    run('a', {}, log_of{0.8, 0.6}, {})
    run('b', {seed = 2}, log_of{0.6, 0.5, 0.4, 0.3}, {})
    local lines, says, svg = curves_of((report(dir)), 'loss')
    assert.equal(2, #lines)
    assert.equal('KGCN, epoch 1: 0.7000 ± 0.1414', says[1])
    assert.equal('KGCN, epoch 2: 0.5500 ± 0.0707', says[2])
    assert.equal(1, #markup.all(svg, 'path', 'band'))
    local thin = markup.all(svg, 'path', 'thin')
    assert.equal(1, #thin)
    assert.equal(3, #places_of(thin[1].attributes.d)) -- epochs 2, 3 and 4
  end)

  it('breaks a line where the loss was no number', function()
    run('a', {}, {'{"epoch": 1, "loss": 0.5}', '{"epoch": 2, "loss": 0.4}',
                  '{"epoch": 3, "loss": null}', '{"epoch": 4, "loss": 0.3}'}, {})
    local lines, _, svg = curves_of((report(dir)), 'loss')
    assert.equal(2, #lines)
    assert.equal(1, #markup.all(svg, 'path', 'dot')) -- the lonely one can be seen
  end)

  it('has a curve a phase', function()
    run('a', {}, {'{"epoch": 1, "loss": 0.5, "losses": {"cf": 0.5, "kg": 0.9}}',
                  '{"epoch": 2, "loss": 0.4, "losses": {"cf": 0.4, "kg": 0.8}}'}, {})
    local page = report(dir)
    assert.matches('epoch 2: 0.4000', select(2, curves_of(page, 'loss, first phase'))[2])
    assert.matches('epoch 2: 0.8000', select(2, curves_of(page, 'loss, phase kg'))[2])
  end)

  -- ---- memory ----

  local function value(where, op, rule, exact, kept, shape)
    return {where = where, op = op, rule = rule, bits = rule == 'quantize' and 2 or 32,
            exact_bytes = exact, kept_bytes = kept, shape = shape or {exact / 4}}
  end

  local KIB = 1024
  local KEPT = {phases = {{name = 'loss', reference_bytes = 1000 * KIB, stored_bytes = 36 * KIB,
    values = {value('kgat.lua:41', 'normalize', 'exact', 20 * KIB, 20 * KIB, {320, 16}),
              value('kgat.lua:13', 'leaky_relu', 'mask', 64 * KIB, 2 * KIB, {1024, 16}),
              value('kgat.lua:41', 'normalize', 'exact', 10 * KIB, 10 * KIB, {160, 16}),
              value('kgat.lua:38', 'aggregate', 'quantize', 60 * KIB, 4 * KIB, {960, 16}),
              value('kgat.lua:38', 'aggregate', 'recompute', 100 * KIB, 0, {1600, 16}),
              value(nil, 'leaf', 'resident', 50 * KIB, 0)}}}}

  it('shows what is kept by rule and by line, the largest first', function()
    run('a', {bits = 2}, log_of{1},
        {kept = {reference_bytes = 1000 * KIB, stored_bytes = 36 * KIB}}, KEPT)
    local page, text = report(dir)
    local rules = {}
    for i, row in ipairs(markup.tables(page, 'rule', 'values')[1].rows) do
      rules[i] = {row.rule, row.values, row.exact, row.kept}
    end
    assert.same({{'exact', '2', '30.0 KiB', '30.0 KiB'}, {'quantize', '1', '60.0 KiB', '4.0 KiB'},
                 {'mask', '1', '64.0 KiB', '2.0 KiB'}, {'recompute', '1', '100.0 KiB', '0 B'},
                 {'resident', '1', '50.0 KiB', '0 B'}}, rules)
    local lines = {}
    for i, row in ipairs(markup.tables(page, 'line', 'op')[1].rows) do
      lines[i] = {row.line, row.value, row.shape, row.as, row.exact, row.kept}
    end
    assert.same({{'kgat.lua:41', '1 of 2', '320×16', 'exact', '20.0 KiB', '20.0 KiB'},
                 {'kgat.lua:41', '2 of 2', '160×16', 'exact', '10.0 KiB', '10.0 KiB'},
                 {'kgat.lua:38', '1 of 2', '960×16', 'INT2', '60.0 KiB', '4.0 KiB'},
                 {'kgat.lua:13', '', '1024×16', 'mask', '64.0 KiB', '2.0 KiB'}}, lines)
    assert.matches('36.0 KiB of 1000.0 KiB, 27.8× less', text, 1, true)
  end)

  it('draws bars to scale', function()
    run('a', {bits = 2}, log_of{1},
        {kept = {reference_bytes = 800 * KIB, stored_bytes = 200 * KIB}})
    for _, svg in ipairs(markup.all((report(dir)), 'svg', 'wide')) do
      if svg.attributes['aria-label']:match('op%-by%-op') then
        local whole = markup.all(svg, 'rect', 'outline')[1].attributes
        local kept = markup.all(svg, 'rect', 'segment')[1].attributes
        assert.near(0.25, kept.width / whole.width, 0.002)
        assert.equal(whole.x, kept.x)
        return
      end
    end
    error('no such chart')
  end)

  it('shortens what a bar is of before its phase', function()
    local options, others = {}, {}
    for k = 1, 6 do options['option' .. k], others['option' .. k] = k, k + 1 end
    local phases = {phases = {KEPT.phases[1], {name = 'triples', reference_bytes = 9,
                                               stored_bytes = 1, values = {}}}}
    for i, o in ipairs{options, others} do
      run('run' .. i, {options = o}, log_of{1},
          {kept = {reference_bytes = 1000 * KIB, stored_bytes = i * KIB}}, phases)
    end
    local seen = 0
    for _, svg in ipairs(markup.all((report(dir)), 'svg', 'wide')) do
      for _, label in ipairs(markup.all(svg, 'text')) do
        local text = markup.text(label)
        if text:find('\226\128\166: triples', 1, true) then seen = seen + 1 end
      end
    end
    assert.is_true(seen >= 2, seen)
  end)

  it('shows peak memory by kind, once for groups that take the same', function()
    for i, lr in ipairs{0.1, 0.2, 0.3} do
      run('lr' .. i, {options = {lr = lr, dim = 16}}, log_of{1}, {})
    end
    run('wide', {options = {lr = 0.1, dim = 64}}, log_of{1},
        {kept = {reference_bytes = 9e6, stored_bytes = 1e6},
         memory = {peak = 9 * 2 ^ 20, parameter = 2 ^ 22, graph = 2048}})
    local t = markup.tables((report(dir)), 'parameter', 'peak')[1]
    assert.same({'', 'parameter', 'optimizer', 'graph', 'peak'}, t.head) -- no gradient anywhere
    assert.same({{[''] = 'KGCN, dim 16', parameter = '1.0 MiB', optimizer = '2.0 MiB',
                  graph = '–', peak = '3.0 MiB'},
                 {[''] = 'KGCN, dim 64, lr 0.1', parameter = '4.0 MiB', optimizer = '–',
                  graph = '2.0 KiB', peak = '9.0 MiB'}}, t.rows)
  end)

  -- ---- what is missing, odd or wrong ----

  it('shows what there is of runs that did not finish', function()
    seeds('batch/done', {}, {0.7})
    run('batch/cut', {seed = 2}, {'{"epoch": 1, "loss": 0.5}', '{"epoch": 2, "lo'}, nil,
        {phases = {{values = {'x'}}}})
    fixtures.write(dir .. '/batch/cut/output.txt', 'epoch 1\ntinykg: interrupted\n')
    run('batch/failed', {seed = 3}, {})
    fixtures.write(dir .. '/batch/failed/output.txt', 'epoch 1\ntinykg: out of <memory>\n')
    run('batch/early', false)
    fixtures.write(dir .. '/batch/early/output.txt', 'loading \255\27[1m\ntinykg: no data\n')
    fixtures.write(dir .. '/batch/batch.json', '{}')
    fixtures.write(dir .. '/elsewhere/output.txt', 'not of a sweep')
    local page = report(dir)
    local text = markup.text(page)
    assert.matches('4 runs, 1 not finished, 2 failed', text, 1, true)
    local t = comparison(page)
    assert.equal('1 of 3', t.rows[1].runs)
    assert.equal('0.7000', t.rows[1].auc)
    assert.matches('not finished: interrupted, or running still; epoch 1 was its last', text,
                   1, true)
    assert.matches('log.jsonl:2: not a record of an epoch', text, 1, true)
    assert.matches('no kept.json', text, 1, true)
    assert.matches('kept.json: not a list of phases with their values', text, 1, true)
    assert.matches('failed: out of <memory>; no epoch is logged', text, 1, true)
    assert.matches('failed: no data; no epoch is logged', text, 1, true)
    local printed = {}
    for i, pre in ipairs(markup.all(page, 'pre')) do printed[i] = markup.text(pre) end
    assert.same({'epoch 1 tinykg: interrupted',
                 'loading \239\191\189\239\191\189[1m tinykg: no data',
                 'epoch 1 tinykg: out of <memory>'}, printed)
  end)

  it('is a page of failures where all failed', function()
    fixtures.write(dir .. '/batch.json', '{}')
    fixtures.write(dir .. '/early/output.txt', 'tinykg: no data\n')
    assert.equal('Runs that failed', markup.text(markup.all((report(dir)), 'h1')[1]))
  end)

  it('takes what a resumed run did again as it went last', function()
    run('a', {}, {'{"epoch": 1, "loss": 0.5}', '{"epoch": 2, "loss": 9}',
                  '{"epoch": 2, "loss": 0.25}'}, {})
    local _, says = curves_of((report(dir)), 'loss')
    assert.same({'KGCN, epoch 1: 0.5000', 'KGCN, epoch 2: 0.2500'}, says)
  end)

  it('has the best by validation first, and where it comes from', function()
    for i, auc in ipairs{0.6, 0.8, 0.7} do -- on test the other way round
      run('r' .. i, {options = {dim = i}, origin = {
        command = "tinykg run kgcn --out 'it'\\''s' --data 'my set' --seed 4 --quiet --set dim="
          .. i, commit = '0123456789abcdef', machine = 'M'},
        data_set = {users = 1, items = 20, train = 5, valid = 6, test = 7}}, log_of{1},
        {metric = 'auc', valid = {auc = auc}, test = {auc = 1 - auc}})
    end
    local page = report(dir)
    local rows = comparison(page).rows
    assert.same({'2', '3', '1'}, {rows[1].dim, rows[2].dim, rows[3].dim})
    local text = markup.text(page)
    assert.matches('1 user, 20 items; interactions: train 5, valid 6, test 7 · M · commit ' ..
                   '0123456789', text, 1, true)
    assert.matches("The first row again: tinykg run kgcn --data 'my set' --set dim=2 --seed ", text,
                   1, true)
  end)

  it('says each setting that all runs of a recipe have once', function()
    for seed = 1, 3 do run('r' .. seed, {seed = seed}, log_of{1}, {}) end
    local _, text = report(dir)
    assert.equal(1, select(2, text:gsub('>option lr<', '')))
    assert.equal(3, select(2, text:gsub('>seed<', '')))
    assert.matches('What all 3 runs of KGCN share', text)
  end)

  it('draws means that are equal but for rounding', function()
    for i, auc in ipairs{0.1, 0.2, 0.3, 0.2} do -- the mean of the first three is no 0.2
      run('r' .. i, {seed = i, bits = i < 4 and 2 or 32}, log_of{1}, {test = {auc = auc}})
    end
    assert.equal(2, #points_of((report(dir)), 'auc and peak'))
  end)

  it('takes at most 300 KB for 30 runs of many epochs', function()
    local metrics = {}
    for _, k in ipairs{10, 20} do
      for _, name in ipairs{'recall', 'ndcg', 'hit', 'precision', 'mrr', 'map'} do
        metrics[name .. '@' .. k] = 0.123456789
      end
    end
    local options = {}
    for i = 1, 40 do options['option_' .. i] = i end
    for i = 1, 30 do
      local lines = {}
      for epoch = 1, 700 do
        lines[epoch] = cjson.encode{epoch = epoch, loss = 1 / (epoch + i), seconds = 1,
                                    memory = 1000, valid = metrics}
      end
      options.dim = math.ceil(i / 3)
      run('r' .. i, {seed = i, options = options}, lines, {test = metrics, valid = metrics}, KEPT)
    end
    local _, text = report(dir)
    assert(#text <= 300000, #text .. ' bytes')
  end)

  it('escapes what comes from files, and needs nothing from elsewhere', function()
    local bad = '<script>alert("1")</script> & \'so\' <b'
    run('a', {recipe = bad, options = {metric = bad, lr = 0.1}, data = 'x/' .. bad}, log_of{1},
        {test = {['<i>@20'] = 0.5}}, KEPT)
    run('b', {recipe = bad, options = {metric = '"', lr = 0.2}, data = 'x/' .. bad}, log_of{1}, {})
    local page, text = report(dir) -- and the parser found it well-formed
    assert.matches(bad, markup.text(markup.all(page, 'h1')[1]), 1, true)
    local scripts = markup.all(page, 'script')
    assert.equal(1, #scripts)
    local own = require('tinykg.report.page.script'):gsub('%s+', ' ')
    assert.equal(own:gsub(' $', ''), (markup.text(scripts[1]):gsub('%s+', ' ')))
    for _, name in ipairs{'link', 'img', 'iframe'} do assert.equal(0, #markup.all(page, name)) end
    assert.is_nil(text:find('https?:'))
    assert.is_nil(text:find('url%('))
    assert.equal('0.5000', comparison(page).rows[1]['<i>@20'])
  end)

  it('finds runs one and two folders down, each once, and none inside a run', function()
    run('a', {}, log_of{1}, {})
    run('a/previous', {seed = 9}, log_of{1}, {})
    run('batch/b', {seed = 2}, log_of{1}, {})
    run('.hidden/c', {seed = 3}, log_of{1}, {})
    local _, _, out = report(('%s %s/a/ %s/batch'):format(dir, dir, dir))
    assert.matches(': 2 runs', out, 1, true)
  end)

  -- Differences of b from the mean of a's two seeds are tied, and two are zero. scipy 1.17.1, of
  -- them rounded to 9 digits: ttest_1samp 0.02132140213976553, wilcoxon 0.009765625.
  it('tests groups against the best, over users paired by name', function()
    local users = {
      {0.5, 0.25, 0, 1, 0.75, 0.1, 0.3, 0.9, 0.2, 0.4, 0.6, 0.35},
      {0.4, 0.25, 0.1, 0.8, 0.75, 0.2, 0.35, 0.7, 0.15, 0.45, 0.6, 0.3},
      {0.35, 0.2, 0.05, 0.5, 0.7, 0.15, 0.2, 0.6, 0.1, 0.3, 0.65, 0.3}}
    for i, name in ipairs{'a1', 'a2', 'b'} do
      local sum, lines = 0, {'user\trecall@20\tndcg@20'}
      for u, x in ipairs(users[i]) do
        sum = sum + x / 12
        table.insert(lines, i == 3 and 2 or #lines + 1, ('user %d\t%.9g\t0.5'):format(u, x))
      end
      local config = {bits = i == 3 and 2 or 32, seed = i, data_options = {task = 'ranking'}}
      local test = {['recall@20'] = sum, ['ndcg@20'] = 0.5, users = 12}
      local made = run(name, config, log_of{1}, {test = test})
      fixtures.write(made .. '/per_user.tsv', lines)
    end
    local page, text = report(dir)
    local t = markup.tables(page, 'recall@20', 'p, Wilcoxon', 'users')[1]
    assert.matches('Differences from KGCN, 32 bits', text, 1, true)
    assert.equal(1, #t.rows)
    assert.equal('KGCN, 2 bits', t.rows[1][''])
    assert.equal('-0.0917', t.rows[1]['recall@20'])
    assert.equal('12', t.rows[1].users)
    local found = cjson.decode(shell.prints('report ' .. dir .. ' --json'))[1].paired_tests
    assert.equal('KGCN, 32 bits', found.best)
    local tests = found.against[1].tests['recall@20']
    assert.near(0.02132140213976553, tests.p_t, 1e-9)
    assert.near(0.009765625, tests.p_wilcoxon, 1e-12)
    assert.near(-0.0916666667, tests.difference, 1e-9)
    assert.equal(1, found.against[1].tests['ndcg@20'].p_t)
    fixtures.write(dir .. '/b/per_user.tsv', {'user\trecall@20', 'user 1'})
    refuses('report ' .. dir .. ' --json', 1, 'per_user.tsv:2: not the metrics of a user')
  end)

  it('makes no tests without metrics of each user', function()
    run('a', {}, log_of{1}, {})
    run('b', {bits = 2}, log_of{1}, {})
    local _, text = report(dir)
    assert.is_nil(text:find('Differences from', 1, true))
    assert.is_nil(cjson.decode(shell.prints('report ' .. dir .. ' --json'))[1].paired_tests)
  end)

  it('prints the comparison as JSON', function()
    seeds('a', {bits = 32}, {0.70, 0.72})
    run('b', {bits = 2}, log_of{1}, {})
    local found = cjson.decode(shell.prints('report ' .. dir .. ' --json'))
    assert.equal(1, #found)
    local first = found[1].groups[1]
    assert.equal('films', found[1].data)
    assert.equal('KGCN, 32 bits', first.name)
    assert.same({bits = 32}, first.settings)
    assert.near(0.71, first.test.auc.mean, 1e-12)
    assert.near(math.sqrt(2 * 0.01 ^ 2), first.test.auc.sd, 1e-12)
    assert.equal(2, first.test.auc.n)
    assert.equal(3 * 2 ^ 20, found[1].groups[2].memory.peak.mean)
    assert.equal('finished', first.runs[2].state)
  end)

  it('refuses with one line', function()
    run('a', {}, log_of{1}, {})
    fixtures.write(dir .. '/plain', 'x')
    fixtures.write(dir .. '/broken/config.json', '{"recipe": ')
    require('lfs').mkdir(dir .. '/empty')
    assert.matches('Example: tinykg report runs %-o report%.html', shell.prints('report --help'))
    refuses('report', 2, "missing argument 'run'")
    refuses('report ' .. dir .. '/a -o ""', 2, '%-o: a file is needed')
    refuses('report ' .. dir .. '/a -o x.pdf', 2, 'x.pdf: a page ends in .html, a table in .csv')
    refuses('report ' .. dir .. '/none', 1, '/none: no such folder')
    refuses('report ' .. dir .. '/plain', 1, '/plain: not a folder')
    refuses('report ' .. dir .. '/empty', 1, '/empty: not a run folder: no config.json')
    refuses('report ' .. dir .. '/broken', 1, '/broken/config%.json: not JSON')
    refuses(('report %s/a -o %s/none/report.html'):format(dir, dir), 1,
            '/none/report%.html: cannot be written: No such file or directory')
    refuses(('report %s/a -o %s/a'):format(dir, dir), 1, '/a: cannot be written: it is a folder')
  end)

  it('has ticks at round numbers', function()
    local scale = require 'tinykg.report.chart.scale'
    local function labels(s)
      local list = {}
      for i, tick in ipairs(s.ticks) do list[i] = tick.label end
      return table.concat(list, ' ')
    end
    assert.equal('0.2 0.4 0.6 0.8', labels(scale.values(0.13, 0.87)))
    assert.equal('0.690 0.692 0.694', labels(scale.values(0.6893, 0.6948, {ticks = 3})))
    assert.equal('-1 0 1', labels(scale.values(-1, 1, {ticks = 2})))
    assert.equal('1 2 3', labels(scale.values(1, 3, {whole = true})))
    assert.equal('20 40 60 80 100', labels(scale.values(1, 100, {whole = true})))
    assert.equal('0 10 MiB 20 MiB 30 MiB', labels(scale.bytes(37 * 2 ^ 20)))
    assert.equal('0 100 B 200 B', labels(scale.bytes(299)))
    assert.equal('0.1 1 10 100', labels(scale.logarithmic(0.1, 100)))
    for _, x in ipairs{0, 0.5, -3} do -- a flat line has an axis too
      local s = scale.values(x, x)
      assert.near(0.5, s.place(x), 1e-9)
      assert.is_true(#s.ticks >= 2)
    end
  end)

  it('shows a run of tinykg run', function()
    local folder, _, data = dir .. '/run', shell.demo(60, 80)
    shell.prints('run recipes/kgcn.lua --quiet --data ' .. data ..
      ' --bits 2 --set epochs=2 --threads 1 --out ' .. folder)
    local summary = cjson.decode(fixtures.bytes(folder .. '/summary.json'))
    local page = report(folder)
    local row = comparison(page).rows[1]
    assert.equal(('%.4f'):format(summary.test.auc), row.auc)
    assert.equal(tostring(summary.best_epoch), row['best epoch'])
    assert.equal(2, #curves_of(page, 'validation f1')[1])
  end)
end)
