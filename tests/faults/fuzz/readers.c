/* The readers written in Lua, each a function of readers.lua; FUZZ_READER says which one runs.
 *
 * LuaJIT interprets, and each line of Lua counts for the fuzzer: the counters tell it which input
 * reached a new pair of lines. An error that the function raises ends the process. */
#include <lauxlib.h>
#include <lua.h>
#include <luajit.h>
#include <lualib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNTERS = 1 << 14, REST_EVERY = 4096 };

__attribute__((used, section("__libfuzzer_extra_counters"))) static uint8_t counters[COUNTERS];

static lua_State *lua;
static int function = LUA_NOREF;

/* A number that is the same in every process: chunks of Lua are known by their names. */
static uint32_t hash_of(const char *text) {
  uint32_t hash = 2166136261u;
  for (; *text; text++) hash = (hash ^ (uint8_t)*text) * 16777619u;
  return hash;
}

/* Counts the step from the line before to this one. */
static void count_line(lua_State *state, lua_Debug *at) {
  static const char *chunk;
  static uint32_t chunk_hash, before;
  lua_getinfo(state, "S", at);
  if (at->source != chunk) {
    chunk = at->source;
    chunk_hash = hash_of(chunk);
  }
  uint32_t here = (chunk_hash + (uint32_t)at->currentline) * 2654435761u;
  uint8_t *counter = &counters[((here ^ before) >> 8) % COUNTERS];
  if (*counter < 255) ++*counter;
  before = here >> 1;
}

static void fail(const char *what) {
  fprintf(stderr, "violated: %s\n", what ? what : "(no message)");
  abort();
}

int LLVMFuzzerInitialize(int *count, char ***arguments) {
  (void)count, (void)arguments;
  const char *reader = getenv("FUZZ_READER");
  lua = luaL_newstate();
  if (!lua || !reader) fail("FUZZ_READER names a function of readers.lua");
  luaL_openlibs(lua);
  luaJIT_setmode(lua, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
  if (luaL_dofile(lua, "tests/faults/fuzz/readers.lua")) fail(lua_tostring(lua, -1));
  lua_getfield(lua, -1, reader);
  if (!lua_isfunction(lua, -1)) fail("FUZZ_READER names a function of readers.lua");
  function = luaL_ref(lua, LUA_REGISTRYINDEX);
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static int runs;
  lua_rawgeti(lua, LUA_REGISTRYINDEX, function);
  lua_pushlstring(lua, (const char *)bytes, size);
  lua_sethook(lua, count_line, LUA_MASKLINE, 0);
  int status = lua_pcall(lua, 1, 0, 0);
  lua_sethook(lua, NULL, 0, 0);
  if (status) fail(lua_tostring(lua, -1));
  if (++runs % REST_EVERY == 0) lua_gc(lua, LUA_GCCOLLECT, 0);
  return 0;
}
