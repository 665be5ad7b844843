/* LuaJIT in a program that ThreadSanitizer watches: host SCRIPT ARGUMENTS... as `luajit` takes
 * them. Lua is interpreted: the sanitizer knows nothing of code that LuaJIT makes. */
#include <lauxlib.h>
#include <lua.h>
#include <luajit.h>
#include <lualib.h>
#include <stdio.h>

/* Runs arguments[1] with the others as `arg` and `...`. Returns a status. */
static int run(lua_State *lua, int count, char **arguments) {
  lua_createtable(lua, count, 1);
  for (int i = 0; i < count; i++) {
    lua_pushstring(lua, arguments[i]);
    lua_rawseti(lua, -2, i - 1);
  }
  lua_setglobal(lua, "arg");
  int status = luaL_loadfile(lua, arguments[1]);
  if (status) return status;
  for (int i = 2; i < count; i++) lua_pushstring(lua, arguments[i]);
  return lua_pcall(lua, count - 2, 0, 0);
}

int main(int count, char **arguments) {
  lua_State *lua = luaL_newstate();
  if (count < 2 || !lua) return 2;
  luaL_openlibs(lua);
  luaJIT_setmode(lua, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
  int status = run(lua, count, arguments);
  if (status) fprintf(stderr, "%s\n", lua_tostring(lua, -1));
  lua_close(lua);
  return status != 0;
}
