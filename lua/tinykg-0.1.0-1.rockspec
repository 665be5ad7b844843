rockspec_format = '3.0'
package = 'tinykg'
version = '0.1.0-1'
source = {
  url = 'tinykg-0.1.0.tar.gz', -- a release's archive, beside this file
}
description = {
  summary = 'Train knowledge-graph recommenders in a fraction of the memory',
  detailed = [[
    A C engine with CUDA kernels, scripted from LuaJIT: recipes describe models and training; what
    backward needs is recomputed, kept as one bit or kept in few bits. It needs LuaJIT, a C compiler,
    GNU make, a CBLAS, zlib and liblzma.]],
  license = 'not chosen yet',
}
supported_platforms = {'linux'}
dependencies = {
  'lua == 5.1', -- LuaJIT
  'argparse',
  'lua-cjson',
  'luafilesystem',
  'luaposix',
}
external_dependencies = {
  ZLIB = {header = 'zlib.h'},
  LZMA = {header = 'lzma.h'},
}
-- The engine, the Lua files and the recipes stay in the rock; the launcher and the module of a few
-- lines that finds them go where LuaRocks puts such files.
build = {
  type = 'make',
  build_target = 'build',
  install_target = 'install',
  install_variables = {
    PREFIX = '$(PREFIX)', BINDIR = '$(BINDIR)', LUADIR = '$(LUADIR)',
    LIBDIR = '$(PREFIX)/engine', HOMEDIR = '$(PREFIX)/home',
    INCDIR = '$(PREFIX)/include', MANDIR = '$(PREFIX)/man',
  },
}
