--- Which ops programs have used: of ops.def all, counted in the tape as recorded and in the program
--- after all passes.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'

local coverage = {}
coverage.__index = coverage

--- Names of all ops that one process runs, in the order of ops.def.
coverage.ops = {}
for op = 0, C.tkg_op_count() - 1 do
  local name = ffi.string(C.tkg_op_name(op))
  if name ~= 'exchange' then coverage.ops[#coverage.ops + 1] = name end
end

function coverage.new()
  local self = setmetatable({programs = {}, last = {}}, coverage)
  for _, name in ipairs(coverage.ops) do self.programs[name] = 0 end
  return self
end

--- Counts each op of a printed tape or program, once for program number `n`.
function coverage:note(text, n)
  for name in text:gmatch '%d+  ([%l_%d]+)' do
    if self.programs[name] and self.last[name] ~= n then
      self.last[name] = n
      self.programs[name] = self.programs[name] + 1
    end
  end
end

function coverage:note_step(step, n)
  self:note(step:recorded(), n)
  self:note(step:program(), n)
end

--- Ops that fewer programs than `least` have used.
function coverage:missing(least)
  local list = {}
  for _, name in ipairs(coverage.ops) do
    if self.programs[name] < (least or 1) then list[#list + 1] = name end
  end
  return list
end

function coverage:__tostring()
  local lines = {}
  for k, name in ipairs(coverage.ops) do
    lines[#lines + 1] = ('%-24s %9d%s'):format(name, self.programs[name],
                                               k % 3 == 0 and '\n' or '   ')
  end
  return table.concat(lines)
end

return coverage
