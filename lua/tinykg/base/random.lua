--- A random generator for loading and generating data; training draws from the engine's Philox.
-- sfc32 of Chris Doty-Humphrey's PractRand: 128 bits of state, and integer operations only, so that
-- every machine draws the same numbers. Not Philox: neighbours, ripple sets and negatives of runs
-- that exist were drawn by it, and are drawn again when such a run goes on or is opened.
local bit = require 'bit'

local tobit, bxor, rol, rshift, lshift = bit.tobit, bit.bxor, bit.rol, bit.rshift, bit.lshift

---@class tinykg.Random
local Random = {}
Random.__index = Random

local random = {}

--- A generator whose numbers depend on seed and stream alone.
---@param seed number
---@param stream number?
---@return tinykg.Random
function random.new(seed, stream)
  local self = setmetatable({
    a = tobit(seed % 4294967296),
    b = tobit(math.floor(seed / 4294967296)),
    c = tobit(stream or 0),
    counter = 1,
  }, Random)
  for _ = 1, 15 do self:word() end
  return self
end

--- 32 random bits as a number of 0 .. 2^32 - 1.
function Random:word()
  local a, b, c, counter = self.a, self.b, self.c, self.counter
  local out = tobit(a + b + counter)
  self.counter = tobit(counter + 1)
  self.a = bxor(b, rshift(b, 9))
  self.b = tobit(c + lshift(c, 3))
  self.c = tobit(rol(c, 21) + out)
  return out % 4294967296
end

--- A number of [0, 1).
function Random:uniform() return self:word() / 4294967296 end

--- An integer of 0 .. n - 1; n at most 2^31.
---@param n number
function Random:below(n)
  return math.min(math.floor(self:word() * n / 4294967296), n - 1)
end

--- Draws `size` integers of 0 .. total - 1 into out[0 .. size - 1]: distinct ones if size <= total
--- (Floyd's algorithm), else each at least once, or freely with `replacement`.
---@param total number ---@param size integer ---@param out ffi.cdata*
---@param replacement? boolean
function Random:some(total, size, out, replacement)
  local seen, least = {}, replacement and total < size and math.huge or 0
  for k = 0, size - 1 do
    local x = total - size + k
    local at = self:below(x >= least and x + 1 or total)
    if x >= least and seen[at] then at = x end
    seen[at], out[k] = true, at
  end
end

return random
