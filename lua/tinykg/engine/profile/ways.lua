--- What the precision 'fast' chose on a GPU: by which kernel or library a sum over edges of a shape
--- is computed.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local runtime = require 'tinykg.engine.runtime'

local ways = {}

--- The choices so far: {['sum over edges [N,D] of [M,D], E edges'] = 'own' or an algorithm of
--- cuSPARSE}; empty if there was none. ---@return table<string, string>
function ways.chosen()
  local list = {}
  for shape, way in ffi.string(C.tkg_engine_ways(runtime.engine)):gmatch '([^\n:]+): ([^\n]+)\n' do
    list[shape] = way
  end
  return list
end

--- Takes the choices of an earlier run in place of those so far; devices that choose nothing ignore
--- them. Errors: an unknown way. ---@param list table<string, string>
function ways.set(list)
  local lines = {}
  for shape, way in pairs(list) do lines[#lines + 1] = ('%s: %s\n'):format(shape, way) end
  runtime.check(C.tkg_engine_set_ways(runtime.engine, table.concat(lines)))
end

return ways
