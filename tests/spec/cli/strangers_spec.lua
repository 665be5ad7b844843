-- Files from other people: code in the current folder is not run, and names with control characters
-- do not reach the terminal.
local lfs = require 'lfs'
local fixtures = require 'tests.support.fixtures'
local json = require 'tinykg.base.json'
local shell = require 'tests.support.shell'

local home = os.getenv('TINYKG_HOME') or lfs.currentdir()

local ROWS = 'user,item\na,x\na,y\na,z\na,w\nb,x\nb,y\nb,z\nb,v\n'

-- Modules that the program loads, and some that it could.
local MODULES = {'lfs', 'cjson', 'argparse', 'posix', 'posix/stdlib', 'posix/poll', 'posix/errno',
  'posix/fcntl', 'posix/signal', 'posix/stdio', 'posix/time', 'posix/unistd', 'posix/sys/utsname',
  'posix/sys/wait', 'zlib', 'readline', 'yaml',
  'C-readline', 'tinykg', 'tinykg/lib', 'tinykg/init', 'term', 'system', 'ffi', 'bit', 'jit/util',
  'socket'}

--- Makes a folder with a data set, modules and recipes; each of these writes the file RUN if run.
local function hostile()
  local dir = fixtures.dir{['interactions.csv'] = ROWS}
  local code = ("io.open('%s/RUN', 'a'):write((...) or '?', '\\n'):close()\n"):format(dir)
  for _, name in ipairs{'tinykg', 'posix', 'posix/sys', 'jit', 'recipes'} do
    lfs.mkdir(dir .. '/' .. name)
  end
  for _, name in ipairs(MODULES) do fixtures.write(('%s/%s.lua'):format(dir, name), code) end
  for _, name in ipairs{'kgcn', 'kgat', 'bpr-mf'} do
    fixtures.write(('%s/recipes/%s.lua'):format(dir, name), code)
  end
  return dir
end

--- Adds a library that writes the file RUN when it is loaded. Returns false without a compiler.
local function add_library(dir, name)
  fixtures.write(dir .. '/evil.c', ('#include <stdio.h>\n__attribute__((constructor)) ' ..
    'static void run(void) { FILE *f = fopen("%s/RUN", "a"); fclose(f); }\n'):format(dir))
  return fixtures.has_tool('cc')
    and os.execute(('cc -shared -fPIC -o %s/%s.so %s/evil.c'):format(dir, name, dir)) == 0
end

--- Runs a command line in a folder. Fails unless it ends with this status; returns what it prints.
local function gives(status, dir, command)
  return shell.gives(status, 'env -u LUA_PATH -u LUA_CPATH ' .. command, nil, dir)
end

--- As where nothing names OpenBLAS's kernels, which the program then asks for first.
local function tinykg(dir, command)
  return gives(0, dir, 'env -u OPENBLAS_CORETYPE ' .. home .. '/tinykg ' .. command)
end

describe('a folder that somebody else filled', function()
  teardown(fixtures.clean)

  it('is data: no module, library or recipe in it is run', function()
    local dir = hostile()
    add_library(dir, 'cjson')
    add_library(dir, 'lfs')
    local out = fixtures.dir()
    local recipe = home .. '/recipes/bpr-mf.lua'
    local train = 'run ' .. recipe .. ' --data . --quiet --set epochs=1 --out ' .. out
    for _, command in ipairs{
      'help', '--version', 'doctor', 'data info .',
      'data demo ' .. out .. '/d --users 20 --items 20', train .. '/r', train .. '/b --seed 1,2',
      'eval ' .. out .. '/r', 'recommend ' .. out .. '/r --user a',
      'export ' .. out .. '/r --to ' .. out .. '/r.tsv',
      'report ' .. out .. '/r -o ' .. out .. '/r.html', 'bench step --quick --bits 2',
      'memory ' .. recipe .. ' --data . --bits 2',
      "-e 'print(tk.ones(1), pcall(require, \"yaml\"))'", "-i -e 'print(1)' </dev/null",
      '</dev/null',
    } do
      tinykg(dir, command)
      assert.is_nil(lfs.attributes(dir .. '/RUN', 'mode'), command .. ' ran what lies there')
    end
  end)

  it('is not let in by entries of LUA_PATH and LUA_CPATH either, which name no folder', function()
    local dir = hostile()
    add_library(dir, 'cjson')
    for _, path in ipairs{';;', './?.lua;;', '?.lua;;'} do
      gives(0, dir, ("LUA_PATH='%s' LUA_CPATH='./?.so;;' %s/tinykg data info .")
        :format(path, home))
      assert.is_nil(lfs.attributes(dir .. '/RUN', 'mode'), path)
    end
  end)

  it('gives modules, if no system has them, to a script or recipe there that is named', function()
    local dir = fixtures.dir{['sub/helper.lua'] = "return 'found'", ['sub/lfs.lua'] = "error 'run'",
      ['sub/script.lua'] = "print(require 'helper', type(require('lfs').dir))"}
    for _, command in ipairs{'sub/script.lua', dir .. '/sub/script.lua',
                             '-i sub/script.lua </dev/null'} do
      assert.equal('found\tfunction\n', tinykg(dir, command))
    end
    assert.equal('found\tfunction\n', tinykg(dir .. '/sub', 'script.lua'))
    fixtures.write(dir .. '/interactions.csv', ROWS)
    -- A recipe with a module beside it, which eval finds as well.
    local recipe = fixtures.bytes(home .. '/recipes/bpr-mf.lua')
    fixtures.write(dir .. '/sub/mine.lua', "assert(require 'helper' == 'found')\n" .. recipe)
    tinykg(dir, 'run sub/mine.lua --data . --quiet --set epochs=1 --out run')
    tinykg('/', 'eval ' .. dir .. '/run')
  end)
end)

describe('a name with control characters', function()
  -- Sets the terminal's title, clears it, returns to the start of the line; then the same in C1.
  local EVIL = '\27]0;owned\7\27[2J\r\194\155\50J\194\157title\127'
  local HARMLESS = 'Zo\195\171 \230\151\165\230\156\172 \216\185\217\132\217\138'
  local dir
  setup(function()
    dir = fixtures.dir()
    local rows, kg = {'user,item,rating'}, {'head,relation,tail'}
    for u = 1, 8 do
      for i = 1, 6 do
        local item = (u * 3 + i * i) % 9
        rows[#rows + 1] = ('%s user %d,%s item %d,5'):format(u % 2 == 0 and EVIL or HARMLESS, u,
                                                           item % 2 == 0 and EVIL or HARMLESS, item)
      end
    end
    for i = 0, 8 do
      kg[#kg + 1] = ('%s item %d,%s,%s entity %d'):format(i % 2 == 0 and EVIL or HARMLESS, i, EVIL,
                                                        EVIL, i % 3)
    end
    fixtures.write(dir .. '/data' .. EVIL .. '/interactions.csv', rows)
    fixtures.write(dir .. '/data' .. EVIL .. '/kg.csv', kg)
  end)
  teardown(fixtures.clean)

  --- Runs a command. Fails if it prints control characters other than line ends and tabs, and what
  --- tinykg itself draws a line with: to its beginning, empty it.
  local function harmless(command, code, program)
    local text = gives(code or 0, dir, (program or home .. '/tinykg ') .. command)
    assert.is_nil(text:gsub('\r?\27%[K', ''):gsub('[\n\t]', ''):find('%c'), text)
    assert.is_nil(text:find('\194[\128-\159]'), text)
    return text
  end

  it('is shown without them by every command', function()
    local data = ("\"%s/data%s\""):format(dir, EVIL)
    local recipe = home .. '/recipes/kgat.lua'
    harmless('data info ' .. data)
    harmless('data convert ' .. data .. ' converted --to kgat')
    harmless(('run %s --data %s --set epochs=1 --set dim=4 --out run'):format(recipe, data))
    harmless(('run %s --data %s --set epochs=1 --set dim=4 --seed 1,2 --out batch'):format(recipe,
                                                                                         data))
    harmless(('memory %s --data %s --bits 2'):format(recipe, data))
    harmless('eval run')
    local text = harmless('recommend run --id --user 0')
    assert.is_truthy(text:find(HARMLESS .. ' user 1: the best', 1, true), text)
    assert.is_truthy(text:find('?]0;owned??[2J??2J?title? item', 1, true), text)
    harmless('recommend run --id --user 1 --all')
    harmless('recommend run --user "' .. EVIL .. '"', 1)
    harmless('recommend run --users converted/item_list.txt', 1)
    harmless('explain run --id --user 1 --item 2')
    harmless('explain run --id --user 0 --item 3')
    harmless('explain run --user x --item "' .. EVIL .. '"', 1)
    harmless('export run --to run.tsv')
    harmless('data info nowhere' .. "\"" .. EVIL .. "\"", 1)
    harmless("-e 'local d = tk.data.load(...) print(tostring(d)) error(d.names.users:name(1))' " ..
             data, 1)
    fixtures.write(dir .. '/begin.lua', "d = tk.data.load(...)")
    fixtures.write(dir .. '/typed', {'d.names.users:name(1)', '{d.names.users:name(1)}', 'd',
                                     'd:info()', 'error(d.names.users:name(1))'})
    text = harmless('-i begin.lua ' .. data .. ' <typed', 1)
    assert.is_truthy(text:find([["\27]0;owned\7\27[2J\13\194\1552J]], 1, true), text)
    if fixtures.has_tool('script') then -- a table on a terminal
      text = harmless(("script -qec '%s/tinykg recommend run --users all -k 2' /dev/null " ..
        "</dev/null | tr -d '\\r'"):format(home), 0, '')
      assert.is_truthy(text:find('?]0;owned??[2J??2J?title? user 2', 1, true), text)
    end
    local first = json.decode(tinykg(dir, 'recommend run --id --user 1 --json'))
    assert.equal(EVIL .. ' user 2', first.name) -- JSON has the name itself
    assert.is_truthy(fixtures.bytes(dir .. '/run.tsv'):find(EVIL:gsub('\r', ' '), 1, true))
  end)
end)
