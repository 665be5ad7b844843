-- A run's folder holds a recipe, which is a program: its owner and its hash are checked, and links
-- in the folder are not written through.
local ffi = require 'ffi'
local lfs = require 'lfs'
local fixtures = require 'tests.support.fixtures'
local runs = require 'tests.support.runs'
local sha256 = require 'tinykg.engine.sha256'
local shell = require 'tests.support.shell'

ffi.cdef 'unsigned geteuid(void); int chown(const char *path, unsigned owner, unsigned group);'

local RECIPE = 'recipes/bpr-mf.lua'
local STRANGER = 54321

local function sh(...) assert(os.execute((...):format(select(2, ...))) == 0, (...)) end

local function give_away(path)
  if ffi.C.geteuid() ~= 0 then pending('only root can give files away') end
  assert(ffi.C.chown(path, STRANGER, STRANGER) == 0)
end

describe('SHA-256', function()
  -- FIPS 180-4's examples (csrc.nist.gov, "Examples with Intermediate Values"), the empty message
  -- of NIST's test vectors, and what `sha256sum` says where one block becomes two.
  it('is that of published vectors', function()
    for text, digits in pairs{
      [''] = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
      abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
      abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq =
        '248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1',
      [('a'):rep(1e6)] = 'cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0',
      [('a'):rep(55)] = '9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318',
      [('a'):rep(64)] = 'ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb',
    } do
      assert.equal(digits, sha256(text))
    end
  end)
end)

describe('the folder of a run', function()
  local dir, data, made
  setup(function()
    dir, data = shell.demo(30, 30)
    made = dir .. '/made'
    shell.prints(('run %s --data %s --quiet --set epochs=1 --set dim=4 --out %s')
      :format(RECIPE, data, made))
  end)
  teardown(fixtures.clean)

  local run
  before_each(function()
    run = dir .. '/run'
    sh('rm -rf %s && cp -r %s %s', run, made, run)
  end)

  --- The commands that run a folder's recipe.
  local function commands()
    return {'eval ' .. run, 'recommend ' .. run .. ' --new',
            'explain ' .. run .. ' --user 0 --id --item 0',
            'run --resume --quiet --out ' .. run}
  end

  local function config(change)
    local c = runs.read(run .. '/config.json')
    c.checksum = nil -- as somebody who changes it by hand
    change(c)
    runs.write(run .. '/config.json', c)
  end

  it('notes its recipe by its hash', function()
    local digits = select(2, shell.sh('sha256sum < ' .. run .. '/recipe.lua')):match('^%x+')
    assert.equal(digits or sha256(fixtures.bytes(run .. '/recipe.lua')),
                 runs.read(run .. '/config.json').recipe_sha256)
  end)

  it('is opened without a word when all is as it was, with or without a hash', function()
    for _ = 1, 2 do
      for _, command in ipairs(commands()) do
        assert.equal('', (select(2, shell.works(command))))
      end
      config(function(c) c.recipe_sha256 = nil end)
    end
  end)

  it('says that its recipe has changed', function()
    local file = assert(io.open(run .. '/recipe.lua', 'a'))
    file:write('-- changed\n')
    file:close()
    shell.gives(1, './tinykg check ' .. run,
                'recipe.lua +NOT ok: not the recipe that the run began with')
    for _, command in ipairs(commands()) do
      assert.equal('note: ' .. run .. '/recipe.lua has changed since the run began\n',
                   (select(2, shell.works(command))))
    end
  end)

  it('does not run whatever file config.json names where it has no recipe', function()
    local evil = fixtures.write(dir .. '/evil.lua',
      ("io.open('%s/RUN', 'w'):close()\n"):format(dir) .. fixtures.bytes(RECIPE))
    os.remove(run .. '/recipe.lua')
    for _, command in ipairs(commands()) do -- the original, whose hash is known, is the same recipe
      shell.prints(command)
      os.remove(run .. '/recipe.lua')
    end
    config(function(c) c.recipe_file = evil end)
    for _ = 1, 2 do
      for _, command in ipairs(commands()) do
        shell.refuses(command, 1, 'no recipe.lua, and ' .. evil:gsub('%p', '%%%0') ..
                      ' is not known to be the same')
      end
      config(function(c) c.recipe_sha256 = nil end)
    end
    assert.is_nil(lfs.attributes(dir .. '/RUN'))
    shell.prints('eval --trust ' .. run)
    assert.is_truthy(lfs.attributes(dir .. '/RUN'))
    os.remove(dir .. '/RUN')
  end)

  it('that belongs to another user wants --trust', function()
    for _, path in ipairs{run, run .. '/recipe.lua', run .. '/config.json'} do
      sh('rm -rf %s && cp -r %s %s', run, made, run)
      give_away(path)
      for _, command in ipairs(commands()) do
        shell.refuses(command, 1, 'belongs to another user %(number 54321%), .*%-%-trust')
        shell.prints(command .. ' --trust')
        give_away(path)
      end
      shell.prints(('export %s --to %s/x.npz'):format(run, dir)) -- runs no recipe
    end
  end)

  it('is no place for links to a recipe or its configuration', function()
    for _, name in ipairs{'recipe.lua', 'config.json'} do
      sh('rm -rf %s && cp -r %s %s', run, made, run)
      sh('mv %s/%s %s/moved && ln -s %s/moved %s/%s', run, name, dir, dir, run, name)
      for _, command in ipairs(commands()) do
        shell.refuses(command, 1, name .. ': is a link')
      end
      shell.prints('eval --trust ' .. run)
    end
  end)

  it('of a sweep wants --trust as well', function()
    local out = dir .. '/batch'
    shell.prints(('run %s --data %s --quiet --set epochs=1 --seed 1,2 --out %s')
      :format(RECIPE, data, out))
    give_away(out .. '/batch.json')
    shell.refuses('run --resume --out ' .. out, 1, 'belongs to another user')
    shell.prints('run --resume --trust --out ' .. out)
  end)

  it('has links replaced, not followed, when it is written to', function()
    local precious = fixtures.write(dir .. '/precious', 'precious')
    local elsewhere = fixtures.dir{['config.json'] = '{"mine": 1}', ['log.jsonl'] = 'mine'}
    local names = {'config.json', 'recipe.lua', 'log.jsonl', 'kept.json', 'summary.json',
                   'best.safetensors', 'last.safetensors'}
    local function all_links(list)
      for _, name in ipairs(list) do
        sh('rm -f %s/%s && ln -s %s %s/%s', run, name, precious, run, name)
      end
    end
    -- A resumed run; the two files that it reads first are no links.
    os.remove(run .. '/summary.json')
    all_links{'log.jsonl', 'kept.json'}
    shell.prints(('run %s --data %s --resume --set epochs=2 --set dim=4 --out %s')
      :format(RECIPE, data, run))
    assert.equal('precious', fixtures.bytes(precious))
    -- A new run, which moves the files of the last one to previous/, a link.
    os.remove(run .. '/summary.json')
    all_links{'recipe.lua', 'log.jsonl', 'kept.json', 'best.safetensors', 'last.safetensors'}
    sh('ln -s %s %s/previous', elsewhere, run)
    shell.prints(('run %s --data %s --tensorboard --set epochs=1 --set dim=4 --force --out %s')
      :format(RECIPE, data, run))
    assert.equal('precious', fixtures.bytes(precious))
    assert.same({'config.json', 'log.jsonl'}, fixtures.names(elsewhere))
    assert.equal('mine', fixtures.bytes(elsewhere .. '/log.jsonl'))
    for _, name in ipairs(names) do
      assert.equal('file', lfs.symlinkattributes(run .. '/' .. name, 'mode'), name)
    end
  end)
end)
