-- tk.plot: what is drawn, in the terminal and in files; and what is refused.
local fixtures = require 'tests.support.fixtures'
local sh = require('tests.support.shell').sh
local tk = require 'tinykg'

local test = fixtures.has_tool('gnuplot') and it or pending

--- Runs Lua; returns what it prints, errors included.
local function printed(code, environment)
  local dir = fixtures.dir{['plot.lua'] = {"local tk = require 'tinykg'", code}}
  return (select(2, sh(('%s ./tinykg %s/plot.lua'):format(environment or '', dir))))
end

--- The x of each point drawn in an svg's only curve, left to right, and the y.
local function points_of(svg)
  local path = svg:match("<path stroke='rgb%(148,%s*0, 211%)'%s*d='([^']*)'")
  local xs, ys = {}, {}
  for x, y in path:gmatch('[ML]([%d.]+),([%d.]+)') do
    xs[#xs + 1], ys[#ys + 1] = tonumber(x), tonumber(y)
  end
  return xs, ys
end

describe('tk.plot', function()
  teardown(fixtures.clean)

  test('draws text of the width of a page where there is no terminal', function()
    local text = printed("tk.plot({1, 4, 9}, {title = \"it's a_b\", x = 'epoch'})")
    assert.matches("it's a_b\n", text)
    assert.matches('epoch', text)
    assert.matches('%*%*%*', text)
    for line in text:gmatch('[^\n]+') do assert.is_true(#line <= 79, line) end
  end)

  test('writes files', function()
    local dir = fixtures.dir()
    local svg, png = dir .. "/it's.svg", dir .. '/b.png'
    assert.equal(svg, tk.plot({1, 2, 3}, {1, 4, 9}, {file = svg, title = 'squares'}))
    local text = fixtures.bytes(svg)
    assert.matches('<svg', text)
    assert.matches('squares', text)
    local xs, ys = points_of(text)
    assert.equal(3, #xs)
    assert.near(xs[2] - xs[1], xs[3] - xs[2], 0.2)
    assert.near((ys[1] - ys[2]) * 5 / 3, ys[2] - ys[3], 0.2) -- 3 and 5 apart, downwards
    tk.plot(tk.tensor{1, 2, 3}, {file = png})
    assert.equal('\137PNG', fixtures.bytes(png):sub(1, 4))
    assert.same({'b.png', "it's.svg"}, fixtures.names(dir))
  end)

  test('takes several series and tensors', function()
    local file = fixtures.dir() .. '/a.svg'
    tk.plot(tk.tensor{1, 2, 3}, {train = {3, 2, 1}, valid = tk.tensor{3, 2.5, 2.4}}, {file = file})
    local text = fixtures.bytes(file)
    assert.matches('train', text)
    assert.matches('valid', text)
  end)

  test('draws logarithms', function()
    local file = fixtures.dir() .. '/a.svg'
    tk.plot({1, 10, 100}, {file = file, log = 'y'})
    local _, ys = points_of(fixtures.bytes(file))
    assert.near(ys[1] - ys[2], ys[2] - ys[3], 0.2)
  end)

  test('leaves gaps and says so', function()
    assert.matches('1 of the values cannot be drawn', printed('tk.plot{1, 0/0, 3}'))
    assert.matches('2 of the values', printed("tk.plot({-1, 0, 3, 4}, {log = 'y'})"))
    assert.not_matches('range', printed('tk.plot{2, 2, 2} tk.plot{5}')) -- nor does gnuplot complain
  end)

  it('refuses what it cannot draw', function()
    local function refuses(pattern, ...)
      assert.matches(pattern, fixtures.message(tk.plot, ...))
    end
    refuses('plot: 2 values of x and 3 of y', {1, 2}, {1, 2, 3})
    refuses('plot: 1 values of x and 2 of loss', {1}, {loss = {1, 2}})
    refuses('y: there is no number to draw', {0 / 0, 1 / 0})
    refuses('y: there is no number to draw', {})
    refuses('y: element 2 is a string', {1, 'b'})
    refuses('y: a tensor %[2, 2%], expected a vector', tk.ones(2, 2))
    refuses('plot: xs is 3, expected a tensor or a list', 3)
    refuses('unknown option colour', {1}, {colour = 'red'})
    refuses('log is z', {1}, {log = 'z'})
    refuses('file is a.gif, expected a name that ends in .svg or .png', {1}, {file = 'a.gif'})
  end)

  test('says why a file cannot be written', function()
    assert.matches('plot: /proc/nowhere/a.svg: ',
                   fixtures.message(tk.plot, {1, 2}, {file = '/proc/nowhere/a.svg'}))
  end)

  it('says how to get gnuplot', function()
    local dir = fixtures.dir()
    for _, tool in ipairs{'sh', 'readlink', 'dirname', 'luajit'} do
      os.execute(('ln -s "$(command -v %s)" %s/%s'):format(tool, dir, tool))
    end
    local text = printed('tk.plot{1, 2}', 'PATH=' .. dir)
    assert.matches('plot%.lua:2: plot: needs gnuplot: apt%-get install gnuplot%-nox', text)
  end)
end)
