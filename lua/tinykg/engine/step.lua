--- Training steps: record, plan once, run. And backward outside of steps.
local ffi = require 'ffi'
local tables = require 'tinykg.base.tables'
local C = require 'tinykg.engine.lib'
local format = require 'tinykg.base.format'
local arguments = require 'tinykg.base.arguments'
local source_line = require 'tinykg.base.source_line'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'
local rounding = require 'tinykg.engine.rounding'
local check = runtime.check

---@class Step
---@field number integer steps run so far; random numbers depend on it
local Step = {}
local methods = {}
Step.__index = methods

local function is_checked(options)
  if options.check == nil then return runtime.checked end
  return options.check
end

local function create(options)
  local c = runtime.create('step')
  local name = options.rounding or 'dither'
  if not rounding.NUMBERS[name] then
    runtime.fail("rounding '%s' is not %s", tostring(name), rounding.CHOICES)
  end
  check(C.tkg_step_set(c, 'bits', options.bits or 32))
  check(C.tkg_step_set(c, 'rounding', rounding.NUMBERS[name]))
  if options.rank_bits then check(C.tkg_step_set(c, 'rank_bits', options.rank_bits)) end
  if options.small then check(C.tkg_step_set(c, 'small', options.small)) end
  for _, pass in ipairs{'save', 'fuse', 'rows', 'tiles', 'sums_in_place'} do
    if options[pass] == false then check(C.tkg_step_set(c, pass, 0)) end
  end
  for value, bits in pairs(options.value_bits or {}) do
    local where, nth = tostring(value):match('^(.*) #(%d+)$')
    if not where or type(bits) ~= 'number' or bits % 1 ~= 0 then
      runtime.fail("value_bits: ['%s'] = %s is not ['FILE:LINE #NUMBER'] = bits", tostring(value),
                   tostring(bits))
    end
    check(C.tkg_step_set_value(c, where, tonumber(nth), bits))
  end
  check(C.tkg_step_set(c, 'check', is_checked(options) and 1 or 0))
  return c
end

local KNOWN = {optimizer = 'table', bits = 'number', rounding = 'string', small = 'number',
               save = 'boolean', fuse = 'boolean', rows = 'boolean', tiles = 'boolean',
               check = 'boolean', value_bits = 'table', rank_bits = 'number',
               sums_in_place = 'boolean'}

local function check_options(options)
  runtime.options('step', options,
                  'optimizer bits value_bits rounding small save fuse rows tiles check rank_bits '
                    .. 'sums_in_place')
  runtime.fields('step', options, '', KNOWN)
  if options.optimizer and not options.optimizer.update then
    runtime.fail('step: optimizer is not one of tk.optim')
  end
end

--- Makes a step: forward, backward and update as one plan. A call takes the arguments of `fn` and
--- returns the loss as a number, then the other results of `fn` as tensors.
---
---   local w = tk.parameter(tk.zeros(2, 1))
---   local step = tk.step(function(x, y) return (x:matmul(w) - y):square():mean() end,
---                        {optimizer = tk.optim.sgd{lr = 0.5}})
---   local x, y = tk.tensor{{1, 0}, {0, 1}}, tk.tensor{{1}, {3}}
---   print(step(x, y))                                 --> 5
---   for _ = 1, 50 do step(x, y) end
---   print(('%.3f'):format(w:totable()[2][1]))         --> 3.000
---
--- Lines of the recipe, in messages and in value_bits, are noted when a step runs first, and again
--- from the first op on that differs from those of its last run. Other lines that record the same
--- ops on the same values are not told apart from them, but with `check`.
---
--- Options:
---   optimizer  one of tk.optim, applied by the step; without it gradients are left in .grad
---   bits       of saved values: 32 (exact, the default), 8, 4, 2 or 1
---   value_bits bits of single values instead, by name: {['model.lua:8 #2'] = 4} is that of the
---              second op that line 8 of model.lua recorded; kept() has these names
---   rounding   'dither' (default), 'dither-independent' (a random number per element, slower) or
---              'stochastic', all unbiased; or 'nearest'
---   small      values of at most so many bytes are saved exactly (4096)
---   check      looks at each value: the first NaN or infinity stops the step with its recipe
---              line, op and place, and no parameter is updated. Results are the same bits, in
---              more memory and time
---   fuse       false: sums over neighbours read gathered copies of rows instead of their table
---   rows       false: computes all rows of a layer, even if only some are gathered
---   tiles      false: runs one op after another, each over all rows
---   sums_in_place  false: sums over edges have memory of their own. Else those that multiply by
---              relation vectors are written over what they read where the step then takes less
---              memory, which takes longer. The same bits
---   rank_bits  8: gradients that travel between ranks as columns or rows do so in 8 bits, rounded
---              at random, unbiased; forward stays exact. Results then depend on how many ranks
---              there are
---   save       false: saves all that backward reads exactly
---@param fn fun(...): Tensor, ... records the loss
---@param options? table as above ---@return Step
local function new_step(fn, options)
  options = options or {}
  check_options(options)
  return setmetatable({name = 'step', fn = fn, c = create(options), number = 0,
                       first = runtime.draws(), tape = runtime.new_tape(true),
                       bits = options.bits or 32, optimizer = options.optimizer,
                       checked = is_checked(options)}, Step)
end

--- Lets go of the tensors that a tape has recorded, such as weights of a graph that are made anew
--- between two steps.
local function finish(tape)
  C.tkg_tape_end(tape.c)
  tape.generation = tape.generation + 1
end

--- Records fn on the step's tape. Returns a list: true, then fn's results.
local function record(self, ...)
  if runtime.tape ~= runtime.ambient then runtime.fail('a step cannot run inside another') end
  local tape = self.tape
  C.tkg_tape_begin(tape.c)
  C.tkg_tape_set_bits(tape.c, 0)
  tape.bits = 0
  tape.generation = tape.generation + 1
  tape.wanted = {}
  runtime.tape = tape
  runtime.capture = not self.seen or self.checked -- later steps repeat the lines
  local results = {source_line.within(self.fn, runtime.call, self.name, self.fn, ...)}
  runtime.tape, runtime.capture = runtime.ambient, true
  if not results[1] then error(results[2], 0) end
  self.seen = true
  for i = 2, table.maxn(results) do
    if not tensor.is(results[i]) then
      runtime.fail('%s: the function must return tensors%s, not a %s', self.name,
                   self.name == 'step' and ' (the loss first)' or '', type(results[i]))
    end
  end
  if not results[2] and self.name == 'step' then
    runtime.fail('step: the function must return the loss')
  end
  return results
end

--- The outputs: the loss, the other results, values that keep() asked for. Returns a list of them
--- and their nodes.
local function outputs_of(self, results)
  local tape = self.tape
  local asked = tables.append({unpack(results, 2)}, tape.wanted)
  local nodes = ffi.new('int32_t[?]', #asked)
  runtime.tape = tape
  local ok, message = pcall(function()
    for i, t in ipairs(asked) do nodes[i - 1] = tensor.node_of(t) end
  end)
  runtime.tape = runtime.ambient
  if not ok then error(message, 0) end
  return asked, nodes
end

--- Gives the results from number `first` on their tensors, whose bytes count as allocated.
local function keep_results(asked, outputs, first)
  local elements = 0
  for i = first, #asked do
    local t, kept = asked[i], ffi.gc(outputs[i - 1], C.tkg_tensor_release)
    if not t.kept then
      t.kept, t.tape, t.node = kept, nil, nil
      elements = elements + C.tkg_tensor_size(kept, -1)
    end
  end
  runtime.allocated(4 * elements)
end

--- The number of a loss, its value before the update even if it is a parameter. Frees its tensor:
--- the bytes of a step must not depend on when Lua's collector runs.
local function take_loss(output)
  local loss = ffi.new('float[1]')
  local status = C.tkg_tensor_read(output, loss, 0, 1)
  C.tkg_tensor_release(output)
  check(status)
  return loss[0]
end

local function optimizer_of(self)
  if not self.optimizer then return nil end
  return self.optimizer.c or runtime.fail('step: its optimizer has lost its state')
end

function Step.__call(self, ...)
  local results = record(self, ...)
  local asked, nodes = outputs_of(self, results)
  local outputs = ffi.new('tkg_tensor *[?]', #asked)
  check(C.tkg_step_set(self.c, 'number', self.first + self.number + 1))
  check(C.tkg_step_run(self.c, self.tape.c, nodes[0], optimizer_of(self), nodes, #asked, outputs))
  self.number = self.number + 1 -- one that fails or is interrupted has not happened
  keep_results(asked, outputs, 2)
  finish(self.tape)
  return take_loss(outputs[0]), unpack(results, 3)
end

--- Plans the step for these arguments but does not run it. figure(), kept() and report() then work.
---@param ... any the function's arguments ---@return Step self
function methods:plan(...)
  local results = record(self, ...)
  local asked, nodes = outputs_of(self, results)
  check(C.tkg_step_plan(self.c, self.tape.c, nodes[0], optimizer_of(self), nodes, #asked))
  return self
end

--- A figure of the largest plan: reference_bytes stored_bytes exact_bytes arena_bytes kept_exact
--- kept_quantized gradient transient moved_bytes (read and written by its ops) nodes values; of
--- all: reference_peak (what an op-by-op FP32 program of the same ops holds at its fullest), plans
--- made, steps replayed (tk.replay).
---@param name string ---@return number bytes or a count; -1 if there is no such figure
function methods:figure(name) return C.tkg_step_figure(self.c, name) end

--- What a step moves through memory and gives the device to do, of the plan that moves most. Runs
--- nothing. `bytes` are those of this plan on this device, `compulsory` those that no plan
--- of the same ops does without, even if all row-wise ops ran in tiles; `launches` counts kernels,
--- copies, memsets and calls of libraries. `ops` has the same by op, most bytes first; the row
--- 'tiles' has the launches of groups that run in tiles.
---@return {launches: number, bytes: number, compulsory: number, ops: table[]} traffic ops: {op, ops
---  (how many), launches, bytes, compulsory}
function methods:traffic()
  local count = C.tkg_op_count()
  local rows, out = ffi.new('tkg_moved[?]', count + 1), {launches = 0, bytes = 0, compulsory = 0}
  check(C.tkg_step_traffic(self.c, rows))
  out.ops = {}
  for op = 0, count do
    local row = rows[op]
    for _, name in ipairs{'launches', 'bytes', 'compulsory'} do
      out[name] = out[name] + row[name]
    end
    if row.ops > 0 then
      out.ops[#out.ops + 1] = {op = op < count and ffi.string(C.tkg_op_name(op)) or 'tiles',
                               ops = row.ops, launches = row.launches, bytes = row.bytes,
                               compulsory = row.compulsory}
    end
  end
  table.sort(out.ops, function(a, b)
    if a.bytes ~= b.bytes then return a.bytes > b.bytes end
    return a.op < b.op
  end)
  return out
end

--- Values saved for backward: a list of {where, value, op, rule, shape, bits, rounding, readers,
--- exact_bytes, kept_bytes}. `where` is the recipe's line, `value` its name for value_bits, `rule`
--- as of saved_as, or 'resident' (a parameter or an input), `rounding` that of codes: a value whose
--- codes are read twice has dither; `readers` says how often backward reads it, twice
--- where codes are read as they are.
---@return table[]
function methods:kept()
  local list, row = {}, ffi.new('tkg_kept')
  for i = 0, self:figure('values') - 1 do
    check(C.tkg_step_kept(self.c, i, row))
    local shape = {}
    for d = 1, row.rank do shape[d] = tonumber(row.shape[d - 1]) end
    local where = row.where ~= nil and ffi.string(row.where) or nil
    list[#list + 1] = {
      where = where, value = row.nth > 0 and ('%s #%d'):format(where, row.nth) or nil,
      op = ffi.string(row.op), rule = ffi.string(row.rule), shape = shape, bits = row.bits,
      rounding = rounding.BY_NUMBER[row.rounding], readers = row.readers,
      exact_bytes = row.exact_bytes, kept_bytes = row.kept_bytes,
    }
  end
  return list
end

--- The same as text, one line per value, with totals beside those of an op-by-op FP32 tape.
---@return string
function methods:report()
  if self:figure('nodes') < 0 then return 'step: not run yet' end
  local rows = {{'recipe line', 'op', 'shape', 'rule', 'exact bytes', 'kept bytes'}}
  for _, v in ipairs(self:kept()) do
    if v.rule ~= 'resident' then
      rows[#rows + 1] = {
        v.where or '', v.op, table.concat(v.shape, 'x'),
        v.rule == 'quantize' and 'INT' .. v.bits or v.rule, ('%.0f'):format(v.exact_bytes),
        ('%.0f'):format(v.kept_bytes)}
    end
  end
  local reference, stored = self:figure('reference_bytes'), self:figure('stored_bytes')
  return format.table(rows, function(column) return column <= 4 end) .. '\n' .. string.format(
    'kept for backward: %.0f bytes, %.1f times less than the %.0f of op-by-op FP32',
    stored, reference / math.max(stored, 1), reference)
end

local function text_of(print_function, c)
  local size = print_function(c, nil, 0)
  local buffer = ffi.new('char[?]', size)
  print_function(c, buffer, size)
  return ffi.string(buffer)
end

--- The program after all passes, node by node in the order of running. ---@return string
function methods:program() return text_of(C.tkg_step_print, self.c) end
--- The tape of the last recording. ---@return string
function methods:recorded() return text_of(C.tkg_tape_print, self.tape.c) end

arguments.class(Step, 'Step', 'a step', methods)

function Step.__tostring(self)
  return string.format('step(%d bits, %d run)', self.bits, self.number)
end

-- ---- forward only ----

--- Runs fn forward only on a step of the cache, made at its first use; both have the random numbers
--- of no_grad's next run.
local function run_forward(name, fn, ...)
  local cache = runtime.cache
  cache[name] = cache[name] or new_step(fn)
  local forward, counter = cache[name], cache.forward
  forward.fn, forward.name = fn, 'no_grad'
  -- The tape has the lines of its last function, and of the way that its first argument, a model,
  -- made it take.
  local last = forward.last or setmetatable({}, {__mode = 'v'})
  forward.last, forward.seen = last, last.fn == fn and last.model == (...)
  last.fn = nil
  local results = record(forward, ...)
  last.fn, last.model = fn, (...)
  local asked, nodes = outputs_of(forward, results)
  local outputs = ffi.new('tkg_tensor *[?]', #asked)
  counter.number = counter.number + 1
  check(C.tkg_step_set(forward.c, 'number', counter.first + counter.number))
  check(C.tkg_step_run(forward.c, forward.tape.c, -1, nil, nodes, #asked, outputs))
  keep_results(asked, outputs, 1)
  forward.fn = nil -- what it refers to may go
  finish(forward.tape)
  return unpack(results, 2)
end

--- Runs fn forward only and returns its tensors, computed. Plans are cached, so another call with
--- data of the same shapes is cheap. Inside a step it only calls fn.
---@param fn fun(...): Tensor, ... ---@param ... any its arguments ---@return Tensor ...
local function no_grad(fn, ...)
  if runtime.tape ~= runtime.ambient then return fn(...) end
  return run_forward('forward', fn, ...)
end

--- The same; of results that are matrices of many rows each rank gets some columns, if their number
--- allows. Not inside of a step.
---@param fn fun(...): Tensor, ... ---@param ... any its arguments ---@return Tensor ...
local function no_grad_divided(fn, ...)
  local cache = runtime.cache
  cache.forward = cache.forward or new_step(function() end)
  if not cache.forward_divided then
    cache.forward_divided = new_step(fn)
    check(C.tkg_step_set(cache.forward_divided.c, 'divide', 1))
  end
  return run_forward('forward_divided', fn, ...)
end

--- The same as no_grad, also within a function that no_grad runs, such as a model's begin_epoch,
--- where other values have no numbers yet. Errors: inside a step that trains.
---@param fn fun(...): Tensor, ... ---@param ... any its arguments ---@return Tensor ...
local function compute_now(fn, ...)
  local tape, capture, forward = runtime.tape, runtime.capture, runtime.cache.forward
  if tape == runtime.ambient then return run_forward('forward', fn, ...) end
  if not forward or tape ~= forward.tape then
    runtime.fail('this cannot be done inside a step: do it before, in begin_epoch for one')
  end
  runtime.tape = runtime.ambient
  local results = {pcall(run_forward, 'forward_within', fn, ...)}
  runtime.tape, runtime.capture = tape, capture
  if not results[1] then error(results[2], 0) end
  return unpack(results, 2, table.maxn(results))
end

--- Sets whether each value is checked (default false): the first NaN or infinity is then an error
--- that names its recipe line, op and place. It holds outside of steps, and in steps made from here
--- on without an option `check`. Without an argument: returns the setting.
---@param on? boolean
---@return boolean
local function set_check(on)
  if on == nil then return runtime.checked end
  runtime.checked = on
  local cache = runtime.cache
  for _, c in ipairs{cache.ambient_step or false, cache.exact_step or false,
                     cache.forward and cache.forward.c or false,
                     cache.forward_within and cache.forward_within.c or false,
                     cache.forward_divided and cache.forward_divided.c or false} do
    if c then check(C.tkg_step_set(c, 'check', on and 1 or 0)) end
  end
  for _, name in ipairs{'forward', 'forward_within', 'forward_divided'} do
    if cache[name] then cache[name].checked = on end
  end
  return on
end

-- ---- backward outside of steps ----

--- Computes the gradients of all parameters that this loss depends on; they replace those in .grad
--- (PyTorch adds them up); other parameters keep theirs, until an update. A script may set that
--- field: a tensor of the parameter's shape is copied, nil drops it.
--- All that backward reads is saved exactly: use tk.step to train in little memory. Errors: inside
--- a step; the value was computed before.
---
---   local w = tk.parameter(tk.tensor{1, 2, 3})
---   w:square():sum():backward()
---   print(w.grad:totable()[3])        --> 6
function tensor.methods:backward()
  if self.kept then runtime.fail('backward: this value has been computed and forgotten how; ' ..
                                 'call backward before looking at it') end
  tensor.check_generation(self)
  if self.tape.step then runtime.fail('backward: inside tk.step it is done for you') end
  if self.cut then
    runtime.fail('backward: a value that this one is made of was looked at before, which makes ' ..
                 'it a constant: call backward first, or use its clone() if a constant is meant')
  end
  local exact_step = runtime.cache.exact_step or create{}
  runtime.cache.exact_step = exact_step
  local node, outputs = ffi.new('int32_t[1]', self.node), ffi.new('tkg_tensor *[1]')
  check(C.tkg_step_run(exact_step, self.tape.c, self.node, nil, node, 1, outputs))
  self.kept = ffi.gc(outputs[0], C.tkg_tensor_release)
  self.tape, self.node = nil, nil
  self.cut, self.derived = true, nil
  return self
end

--- Runs fn; values recorded inside are saved in so many bits, whatever the step's are.
---@param bits 32|8|4|2|1 ---@param fn fun(): ... ---@return any what fn returns
local function with_bits(bits, fn)
  local tape = runtime.tape
  local outside = tape.bits or 0
  check(C.tkg_tape_set_bits(tape.c, bits))
  tape.bits = bits
  local results = {runtime.call('bits', fn)}
  tape.bits = outside
  C.tkg_tape_set_bits(tape.c, outside)
  if not results[1] then error(results[2], 0) end
  return unpack(results, 2)
end

--- How often no_grad has run; random numbers inside it depend on that. With an argument: continues
--- from there, as a resumed run must.
---@param n? integer
---@return integer
local function draws(n)
  local forward = runtime.cache.forward
  if n and n > 0 and not forward then
    forward = new_step(function() end)
    runtime.cache.forward = forward
  end
  if n and forward then forward.number = n end
  return forward and forward.number or 0
end

--- Calls fn without counting what it runs by no_grad: random numbers that are drawn afterwards are
--- the same whatever it does, and where an error or Ctrl-C ends it. ---@return any of fn
local function uncounted(fn, ...)
  local before = draws()
  local results = {pcall(fn, ...)}
  draws(before)
  if not results[1] then error(results[2], 0) end
  return unpack(results, 2)
end

return {new = new_step, bits = with_bits, no_grad = no_grad, no_grad_divided = no_grad_divided,
        compute_now = compute_now, draws = draws, uncounted = uncounted, check = set_check}
