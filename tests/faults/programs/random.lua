--- Numbers drawn by a program's seed: Park and Miller's minimal standard generator.
local random = {}
random.__index = random

local MODULUS, MULTIPLIER = 2147483647, 48271

function random.new(seed)
  local self = setmetatable({state = seed % (MODULUS - 1) + 1}, random)
  for _ = 1, 4 do self:unit() end -- neighbouring seeds begin alike
  return self
end

--- A number in (0, 1).
function random:unit()
  self.state = self.state * MULTIPLIER % MODULUS
  return self.state / MODULUS
end

--- A whole number in 0 .. n - 1.
function random:below(n) return math.floor(self:unit() * n) end
--- A whole number in low .. high.
function random:from(low, high) return low + self:below(high - low + 1) end
--- True once in n times.
function random:one_in(n) return self:below(n) == 0 end
function random:of(list) return list[1 + self:below(#list)] end

return random
