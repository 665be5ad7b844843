--- Speed on this machine, as ratios within one run: cases that are compared are timed in turns.
local format = require 'tinykg.base.format'
local tables = require 'tinykg.base.tables'
local inputs = require 'tinykg.bench.inputs'
local output = require 'tinykg.bench.output'
local system_info = require 'tinykg.bench.system_info'

local bench = {}

--- The parts that `all` runs, in order; `growth` and `ranks` are left out.
bench.parts = {'ops', 'codec', 'step', 'overhead', 'load', 'eval'}

-- Seconds of timing; step: per phase; growth: per point.
local SECONDS = {ops = 14, codec = 5, step = 6, overhead = 2, load = 6, eval = 4, growth = 1}
local QUICK = 0.4

local function print_machine(out)
  local m = system_info.describe()
  out:heading('tinykg %s, device %s%s, %s, vector code %s', m.version, m.device,
    m.gpu and m.device ~= 'cpu' and ' (' .. m.gpu .. ')' or '', format.count(m.threads, 'thread'),
    m.vector_code)
  if out.json then out:table('machine', {}, {m}) end
end

--- Runs parts and prints their results.
---@param parts string[] of bench.parts
---@param o {json: boolean?, quick: boolean?, data: string?, recipe: string[]?, set: table?,
---  bits: integer[], steps: integer?, traffic: boolean?, out: string?} data: a folder instead of
---  generated data; quick: tiny sizes; recipe, set, bits, steps, traffic: for the part step; out: a
---  folder for what growth draws
function bench.run(parts, o)
  local out = output(o.json)
  print_machine(out)
  inputs.with_folder(function(folder)
    for _, part in ipairs(parts) do
      local given = {folder = folder, seconds = o.quick and QUICK or SECONDS[part]}
      require('tinykg.bench.' .. part)(tables.merged(given, o), out)
      out.line.clear()
      collectgarbage()
    end
  end)
end

return bench
