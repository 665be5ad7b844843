--- The events of a profile as a Chrome trace: complete events, times in microseconds.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local atomic_file = require 'tinykg.base.atomic_file'
local json = require 'tinykg.base.json'
local must = require 'tinykg.base.must'
local runtime = require 'tinykg.engine.runtime'

local trace = {}

local function op_arguments(e)
  return {shape = ('%d x %d'):format(tonumber(e.rows), tonumber(e.cols)),
          gb_s = e.bytes / e.seconds / 1e9, gflop_s = e.flops / e.seconds / 1e9,
          where = e.where[0] ~= 0 and ffi.string(e.where) or nil}
end

local function event_of(e)
  local name, args
  if e.op == C.TKG_PROFILE_RUN then name = runtime.step_name(e.count)
  elseif e.op == C.TKG_PROFILE_GROUP then
    name, args = ('%d ops in tiles'):format(e.count), {rows = tonumber(e.rows)}
  else
    name, args = ffi.string(C.tkg_op_name(e.op)), op_arguments(e)
  end
  return {name = name, ph = 'X', pid = 1, tid = 1, ts = 1e6 * e.at, dur = 1e6 * e.seconds,
          args = args}
end

--- Writes a trace file. ---@param path string ---@param c ffi.cdata* the profile
---@param count integer of its events
function trace.write(path, c, count)
  local e = ffi.new('tkg_profile_event')
  must(atomic_file.write(path, function(file)
    local ok, why = file:write('{"traceEvents": [\n')
    for i = 0, count - 1 do
      runtime.check(C.tkg_profile_event_at(c, i, e))
      if ok then ok, why = file:write(i > 0 and ',\n' or '', json.encode(event_of(e))) end
    end
    if ok then ok, why = file:write('\n]}\n') end
    return ok, why
  end))
end

return trace
