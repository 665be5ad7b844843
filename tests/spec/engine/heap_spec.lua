-- LuaJIT maps machine code near the heap, which then cannot grow for a while. When it could again,
-- malloc of glibc 2.36 returned NULL, as lib.lua says.
local fixtures = require 'tests.support.fixtures'
local shell = require 'tests.support.shell'

local PROGRAM = [[
local ffi = require 'ffi'
ffi.cdef 'void *sbrk(intptr_t bytes); void *malloc(size_t bytes);'
local C = ffi.C
local brk = tonumber(ffi.cast('uintptr_t', C.sbrk(0)))
local behind = ffi.cast('void *', math.ceil(brk / 4096) * 4096)
local PRIVATE_ANONYMOUS_FIXED = 0x22 + 0x100000
local block = C.mmap(behind, 65536, 0, PRIVATE_ANONYMOUS_FIXED, -1, 0)
assert(block == behind, 'the place behind the heap is taken')
assert(C.malloc(900000) ~= nil, 'elsewhere')
C.munmap(block, 65536)
assert(C.malloc(820224) ~= nil, 'where the heap is')
print 'given'
]]

describe('the heap', function()
  teardown(fixtures.clean)

  it('grows again when what was in its way is gone', function()
    local path = fixtures.dir() .. '/heap.lua'
    fixtures.write(path, PROGRAM)
    assert.matches('given', shell.gives(0, './tinykg ' .. path))
  end)
end)
