-- make install and uninstall, through DESTDIR: what is installed works without the checkout.
local fixtures = require 'tests.support.fixtures'
local lfs = require 'lfs'
local shell = require 'tests.support.shell'

local home = os.getenv('TINYKG_HOME') or lfs.currentdir()
local library = os.getenv('TINYKG_LIB') or home .. '/build/libtinykg.so'
local build = library:match('^(.*)/') or '.'

--- Runs a command in a folder without the project's environment variables. Returns what it prints.
local function succeeds(dir, command)
  return shell.gives(0, 'env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u TINYKG_LIB -u TINYKG_HOME ' ..
                     '-u LUA_PATH ' .. command, nil, dir)
end

--- Every file and link below a folder, sorted.
local function all_files(dir)
  local list = {}
  for line in shell.gives(0, 'find . -not -type d | sort', nil, dir):gmatch('[^\n]+') do
    list[#list + 1] = line
  end
  return list
end

local function make(target, dest, more)
  return succeeds(home, ("make --no-print-directory -s %s BUILD='%s' DESTDIR='%s' %s"):format(
    target, build, dest, more or 'PREFIX=/usr'))
end

local function version()
  return fixtures.bytes(home .. '/engine/tinykg.h'):match('TKG_VERSION "(.-)"')
end

describe('make install', function()
  local dest, elsewhere, pkg_config
  setup(function()
    dest, elsewhere = fixtures.dir(), fixtures.dir()
    make('install-built', dest)
    pkg_config = ('PKG_CONFIG_PATH=%s/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=%s '):format(dest,
      dest)
  end)
  teardown(fixtures.clean)

  it('gives a tinykg that needs no checkout, with its recipes', function()
    local tinykg = dest .. '/usr/bin/tinykg '
    assert.equal('tinykg ' .. version() .. '\n', succeeds(elsewhere, tinykg .. '--version'))
    assert.matches('neighbors +8', succeeds(elsewhere, tinykg .. 'run recipes/kgcn.lua --help'))
    succeeds(elsewhere, tinykg .. 'data demo films --users 40 --items 40')
    local text = succeeds(elsewhere, tinykg .. 'run recipes/kgcn.lua --data films --quiet ' ..
                          '--bits 2 --set epochs=1 --out run')
    assert.matches('kept for backward', text)
    assert.is_nil(text:find(home, 1, true))
  end)

  it('gives a module to a plain luajit', function()
    local text = succeeds(elsewhere, ("LUA_PATH='%s/usr/share/lua/5.1/?.lua;;' luajit -e \"%s\"")
      :format(dest, "local tk = require 'tinykg' print(tk.version, tk.ones(2):sum():item(), " ..
              "tk.data.load, package.path)"))
    assert.matches('^' .. version():gsub('%p', '%%%0') .. '\t2\tfunction', text)
    assert.matches(dest .. '/usr/share/lua/5.1/?.lua', text, 1, true)
  end)

  it('gives a plain luajit modules of the system, not those of the folder it is run in', function()
    local there = fixtures.dir{['interactions.csv'] = 'user,item\na,x\na,y\nb,x\nb,z\n',
                               ['mine.lua'] = "return 'mine'"}
    for _, name in ipairs{'lfs', 'cjson', 'posix', 'bit', 'ffi'} do
      fixtures.write(('%s/%s.lua'):format(there, name), "error 'run'")
    end
    local text = succeeds(there, ("LUA_PATH='%s/usr/share/lua/5.1/?.lua;;' luajit -e \"%s\"")
      :format(dest, "local tk = require 'tinykg' print(tk.data.load('.').users, require 'mine', " ..
              "pcall(require, 'nothing'))"))
    assert.matches("^2\tmine\tfalse\tmodule 'nothing' not found", text)
  end)

  it('writes what was asked for into the files with paths', function()
    local pc = fixtures.bytes(dest .. '/usr/lib/pkgconfig/tinykg.pc')
    assert.matches('^prefix=/usr\n', pc)
    for _, path in ipairs(all_files(dest .. '/usr')) do
      if not path:match('%.so[%d.]*$') then
        local text = fixtures.bytes(dest .. '/usr/' .. path)
        assert(not text:find(home .. '/', 1, true), path .. ' names the checkout')
        assert(not text:find(dest, 1, true), path .. ' names DESTDIR')
      end
    end
  end)

  it('takes each folder by itself', function()
    local other = fixtures.dir()
    local folders = ("PREFIX='@' BINDIR='@/b' LUADIR='@/lua' LIBDIR='@/lib64' INCDIR='@/inc' " ..
      "MANDIR='@/man' HOMEDIR='@/share/t'"):gsub('@', other)
    make('install-built', '', folders)
    assert.equal('tinykg ' .. version() .. '\n', succeeds(elsewhere, other .. '/b/tinykg ' ..
                                                          '--version'))
    assert.equal('2\n', succeeds(elsewhere, ("LUA_PATH='%s/lua/?.lua;;' luajit -e \"%s\""):format(
      other, "print(require('tinykg').ones(2):sum():item())")))
    make('uninstall', '', folders)
    assert.same({}, all_files(other))
  end)

  it('writes whole paths, and refuses others before it does anything', function()
    for _, prefix in ipairs{'~/mine', 'mine', './mine'} do
      shell.gives(2, ("make --no-print-directory -s check-folders PREFIX='%s'"):format(prefix),
                  "^'" .. prefix .. "/bin' does not begin with /: PREFIX")
    end
    shell.gives(2, 'make --no-print-directory -s check-folders HOMEDIR="$PWD"',
                '^HOMEDIR is this tree itself')
    assert.is_nil(lfs.attributes(home .. '/~'))
  end)

  it('can be read by others, whatever the umask, in folders with blanks', function()
    local other = fixtures.dir() .. '/my programs'
    succeeds(home, ("sh -c 'umask 077; make --no-print-directory -s install-built " ..
                    "BUILD=%s PREFIX=\"%s\"'"):format(build, other))
    assert.equal('', succeeds(elsewhere, ("find '%s' -not -type l -not -perm -444"):format(other)))
    assert.equal('tinykg ' .. version() .. '\n',
      succeeds(elsewhere, ("'%s/bin/tinykg' --version"):format(other)))
    if not fixtures.has_tool('pkg-config') then return end
    local flags = succeeds(elsewhere, ("env PKG_CONFIG_PATH='%s/lib/pkgconfig' pkg-config " ..
                                       '--cflags tinykg'):format(other))
    assert.equal('-I' .. other:gsub(' ', '\\ ') .. '/include\n', (flags:gsub(' +\n', '\n')))
    local moved = fixtures.dir() .. '/moved'
    assert(os.rename(other, moved))
    assert.matches('-I' .. moved .. '/include', succeeds(elsewhere, ("env PKG_CONFIG_PATH=" ..
      '%s/lib/pkgconfig pkg-config --define-prefix --cflags tinykg'):format(moved)), 1, true)
  end)

  it('finds its version where the tree lies in a folder with a blank', function()
    local tree = fixtures.dir() .. '/my tree'
    for _, path in ipairs{'Makefile', 'engine/tinykg.h', 'kernels/build.mk',
                          'tests/faults/build.mk', 'tests/tools/packages.mk'} do
      succeeds(home, ("install -D '%s' '%s/%s'"):format(path, tree, path))
    end
    local text = succeeds("'" .. tree .. "'", 'make -n --no-print-directory uninstall')
    assert.matches('libtinykg%.so%.%d+', text)
    assert.is_nil(text:find('sed:', 1, true))
    text = shell.gives(2, "env -u MAKEFLAGS GIT_DIR=/dev/null make -s dist", nil,
                       "'" .. tree .. "'")
    assert.matches('^make dist packs a commit: this tree is no git repository', text)
    assert.is_nil(lfs.attributes(tree .. '/build/tinykg-' .. version() .. '.tar.gz'))
  end)

  -- The C API: headers, library and pkg-config file are enough for a program in C or C++.
  local function compiles(compiler)
    if not fixtures.has_tool(compiler:match('%S+')) then return pending('no ' .. compiler) end
    if os.getenv('TINYKG_CHECK') then return pending('the library needs the checker\'s own') end
    local flags = ('-I%s/usr/include -L%s/usr/lib -ltinykg'):format(dest, dest)
    if fixtures.has_tool('pkg-config') then
      flags = succeeds(elsewhere, pkg_config .. 'pkg-config --cflags --libs tinykg')
    end
    succeeds(elsewhere, ('%s -Wall -Wextra -Wshadow -Wconversion -Werror -o train ' ..
      '%s/engine/example/train.c %s'):format(compiler, home, flags:gsub('\n', '')))
    local text = succeeds(elsewhere, 'LD_LIBRARY_PATH=' .. dest .. '/usr/lib ./train')
    local first, last = text:match('^step +1  loss ([%d.]+)\n.*step +300  loss ([%d.]+)\n')
    assert.is_true(math.abs(first - math.log(2)) < 0.01) -- scores are about equal at first
    assert.is_true(tonumber(last) < 0.2)
    assert.matches('\ngather +quantize +2 ', text)
    assert.matches('\nleaky_relu +mask +1 +38400 +1200\n', text) -- 300 x 32: floats, bits
    local stored, reference = text:match('kept for backward: (%d+) bytes of (%d+)')
    assert.is_true(stored * 10 < reference * 1)
  end

  it('gives a C API that a program in C99 is built with', function()
    compiles('cc -std=c99 -pedantic')
  end)

  it('gives a C API that a program in C++ is built with', function() compiles('c++ -x c++') end)

  it('has headers that stand alone', function()
    if not fixtures.has_tool('c++') then return pending('no c++') end
    for _, name in ipairs(fixtures.names(dest .. '/usr/include/tinykg')) do
      for _, how in ipairs(name:match('%.h$') and {'cc -std=c99 -x c', 'c++ -x c++'} or {}) do
        succeeds(elsewhere, ('%s -Wall -Wextra -Wno-unused -Werror -fsyntax-only ' ..
          '-I%s/usr/include -include tinykg/%s /dev/null'):format(how, dest, name))
      end
    end
  end)

  it('installs a manual page that says what --help says', function()
    assert.equal('', succeeds(home, './tinykg tests/tools/manpage.lua --check'))
    local page = dest .. '/usr/share/man/man1/tinykg.1'
    assert.matches('\n.It \\-\\-rounding <rounding>\n', fixtures.bytes(page), 1, true)
    if fixtures.has_tool('mandoc') then
      assert.equal('', succeeds(elsewhere, 'mandoc -Tlint -Wwarning ' .. page))
    elseif fixtures.has_tool('man') then
      assert.equal('', succeeds(elsewhere, 'man --warnings -l -E UTF-8 ' .. page .. ' >/dev/null'))
    end
  end)

  it('installs completions for bash, zsh and fish that know every command', function()
    assert.equal('', succeeds(home, './tinykg tests/tools/completion.lua --check'))
    local share = dest .. '/usr/share/'
    local bash = share .. 'bash-completion/completions/tinykg'
    for _, path in ipairs{bash, share .. 'zsh/site-functions/_tinykg',
                          share .. 'fish/vendor_completions.d/tinykg.fish'} do
      local text = fixtures.bytes(path)
      assert(text:find('sensitivity', 1, true) and text:find('device-memory', 1, true), path)
      assert.is_nil(text:find('of-sweep', 1, true)) -- hidden
    end
    if not fixtures.has_tool('bash') then return pending('no bash') end
    local function completed(...)
      local words = {...}
      local quoted = "'" .. table.concat(words, "' '") .. "'"
      fixtures.write(elsewhere .. '/complete.bash', {
        "source '" .. bash .. "'", 'COMP_WORDS=(' .. quoted .. ')', 'COMP_CWORD=' .. #words - 1,
        '_tinykg', 'echo "${COMPREPLY[*]}"'})
      return succeeds(elsewhere, 'bash complete.bash')
    end
    assert.equal('run runs\n', completed('tinykg', 'ru'))
    assert.equal('--tensorboard\n', completed('tinykg', 'run', '--te'))
    assert.equal('--whole\n', completed('tinykg', 'data', 'convert', '--wh'))
    assert.equal('users items both\n', completed('tinykg', 'export', '--vectors', ''))
    assert.equal('data\n', completed('tinykg', 'help', 'da'))
    assert.equal('kgin\n', completed('tinykg', 'run', 'kgi'))
    assert.equal('step\n', completed('tinykg', 'bench', 'st'))
    fixtures.write(elsewhere .. '/my films', '')
    assert.equal('\n', completed('tinykg', 'run', '--data', 'my')) -- bash's own knows blanks
  end)

  it('has one version: the header\'s in the rockspec and the changelog', function()
    local name = 'tinykg-' .. version()
    local rockspec = fixtures.bytes(('%s/lua/%s-1.rockspec'):format(home, name))
    assert.equal(version() .. '-1', rockspec:match("version = '(.-)'"))
    assert.equal(name .. '.tar.gz', rockspec:match("url = '(.-)'"))
    assert.equal(version(), fixtures.bytes(home .. '/.github/CHANGELOG.md'):match('\n## ([%d.]+)'))
    assert.matches('\nVersion: ' .. version():gsub('%p', '%%%0') .. '\n',
      fixtures.bytes(dest .. '/usr/lib/pkgconfig/tinykg.pc'))
  end)

  it('gives the library a name for run time, which is that of its file', function()
    local abi = fixtures.bytes(home .. '/engine/tinykg.h'):match('#define TKG_ABI (%d+)')
    local lib = dest .. '/usr/lib/libtinykg.so'
    assert.equal('libtinykg.so.' .. abi .. '\n', succeeds(elsewhere, 'readlink ' .. lib))
    if not fixtures.has_tool('readelf') then return pending('no readelf') end
    assert.matches('soname: [libtinykg.so.' .. abi .. ']', succeeds(elsewhere, 'readelf -d ' ..
      lib), 1, true)
  end)

  it('is packed by make deb', function()
    if os.getenv('TINYKG_CHECK') then return pending('the library needs the checker\'s own') end
    for _, tool in ipairs{'dpkg-deb', 'dpkg-shlibdeps', 'git'} do
      if not fixtures.has_tool(tool) then return pending('no ' .. tool) end
    end
    local out = fixtures.dir()
    local text = succeeds(home, ("env LINTIAN=no BUILD='%s' OUT='%s' VERSION=%s tests/tools/deb.sh")
      :format(build, out, version()))
    local file = text:match('(%S+%.deb)\n')
    succeeds(elsewhere, 'dpkg-deb -x ' .. file .. ' ' .. out .. '/root')
    assert.equal('tinykg ' .. version() .. '\n', succeeds(elsewhere, out ..
                                                         '/root/usr/bin/tinykg --version'))
    local depends = succeeds(elsewhere, 'dpkg-deb -f ' .. file .. ' Depends')
    for _, name in ipairs{'libc6', 'luajit', 'lua-cjson', 'zlib1g'} do
      assert(depends:find(name, 1, true), depends)
    end
  end)

  it('is undone by make uninstall, but for what it did not put there', function()
    assert.is_true(#all_files(dest) > 50)
    assert(lfs.mkdir(dest .. '/usr/lib/tinykg/runs'))
    fixtures.write(dest .. '/usr/lib/tinykg/runs/mine', 'mine')
    make('uninstall', dest)
    assert.same({'./usr/lib/tinykg/runs/mine'}, all_files(dest))
  end)
end)
