--- Arguments that the commands on a trained model share, and opening its run.
local format = require 'tinykg.base.format'
local json = require 'tinykg.base.json'
local options = require 'tinykg.cli.options'
local progress = require 'tinykg.base.progress'
local source_line = require 'tinykg.base.source_line'

local run_args = {}

--- Adds --data, --trust, --device, --threads and --json to a parser.
function run_args.add_options(p)
  p:option('--data', 'where the data set of the run is now, if it has moved'):argname('DIR')
  options.add_trust(p)
  options.add_engine(p)
  p:flag('--json', 'print JSON')
end

--- Sets device and threads from the arguments, and lets Ctrl-C stop what follows.
---@param signals? integer that stop the call that runs: 1 (default) SIGINT, 2 SIGTERM too, 0 none
function run_args.set_engine(a, signals)
  local device = options.device(a.device)
  local threads = options.whole(a.threads, '--threads', 0)
  local tk = require 'tinykg'
  require('tinykg.engine.lib').tkg_interrupt_watch(signals or 1)
  if device ~= 'auto' then tk.device(device) end
  tk.threads(threads)
end

--- Sets threads and a device that plans as a GPU does: the GPU, or where there is none, its
--- emulation, which has the same plan.
function run_args.set_planned_gpu(s)
  if s.device == 'cpu' then
    options.usage('--device-memory: it is of a GPU (--device cuda); --budget is for the CPU')
  elseif s.budget and s.device_memory then
    options.usage('--device-memory, --budget: take one')
  end
  local tk = require 'tinykg'
  local device = s.device == 'auto' and 'cuda' or s.device
  local there, why = pcall(tk.device, device)
  local planned = there or pcall(tk.device, 'emu')
  if not planned then
    error(('%s; planning for a GPU that is not there needs libtinykg_emu.so, which make emu builds')
      :format(format.line(tostring(why))), 0)
  end
  tk.threads(s.threads)
end

--- Prints a note on standard error. ---@param text string?
function run_args.note(text)
  if text then io.stderr:write('note: ', format.line(text), '\n') end
end

--- Calls fn, which writes JSON, and notes if names in it are no UTF-8.
function run_args.noting_replaced(fn, ...)
  local before = json.replaced
  fn(...)
  if json.replaced == before then return end
  run_args.note('some names are no UTF-8: JSON has U+FFFD for their other bytes (ids tell them '
    .. 'apart, .tsv files have them as they are)')
end

--- Prints a value as JSON.
function run_args.print_json(value)
  run_args.noting_replaced(function() print(json.encode(value)) end)
end

--- A message, with what to do where it says that the data set of a run is gone.
---@param message any ---@param given string? --data: that folder has not moved, it is wrong
function run_args.with_data_hint(message, given)
  local moved = type(message) == 'string' and not given and message:match(': no such folder$')
  return moved and message .. ' (--data DIR says where the data set is now)' or message
end

--- Calls a function that loads the data set of a run. Raises its error, with what to do where the
--- data set has moved. ---@param given string? --data ---@return any what it returns
function run_args.finding_data(given, fn, ...)
  local ok, result = xpcall(fn, function(e)
    return source_line.handler(run_args.with_data_hint(e, given))
  end, ...)
  if not ok then error(result, 0) end
  return result
end

--- Opens a run.
---@return OpenRun
function run_args.open(path, a)
  local run = run_args.finding_data(a.data, progress.during, function(update)
    update(function() return path .. ': opening' end)
    return require('tinykg.run.open')(path, {data = a.data, trust = a.trust})
  end)
  run_args.note(run.note)
  return run
end

--- Raises runtime.interrupted after Ctrl-C.
function run_args.check_interrupt()
  require('tinykg.engine.runtime').check_interrupt()
end

return run_args
