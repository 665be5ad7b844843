-- The public functions of C, called wrongly: a status and a message, never a crash.
local C = require 'tinykg.engine.lib'
local ffi = require 'ffi'
local fixtures = require 'tests.support.fixtures'
local shell = require 'tests.support.shell'

local function new(kind, create, ...)
  local out = ffi.new('tkg_' .. kind .. ' *[1]')
  local list = {...}
  list[#list + 1] = out
  assert.equal(0, create(unpack(list)))
  return ffi.gc(out[0], C['tkg_' .. kind .. '_release'])
end

local function says(text, status)
  assert.is_true(tonumber(status) ~= 0)
  assert.equal(text, ffi.string(C.tkg_error()))
end

-- What may be NULL, as the headers say; release and free may always be given it. Where a function
-- was given nothing, an array of nothing may be.
local OPTIONAL = {}
for name in ([[tkg_rank(known_offsets) tkg_rank(known_items) tkg_tape_record(attributes)
               tkg_tape_record(where) tkg_tape_print(text) tkg_step_run(optimizer)
               tkg_step_plan(optimizer) tkg_step_print(text) tkg_table_read(names)
               tkg_table_open(names) tkg_csr_build(order) tkg_csr_unique(sorted_cols)
               tkg_csr_unique(order) tkg_csr_contains(sorted_cols) tkg_graph_pack(relations)
               tkg_graph_pack(place) tkg_graph_list_heads(relations) tkg_graph_list_heads(list)
               tkg_metrics_topk(users) tkg_metrics_topk(known_offsets)
               tkg_metrics_topk(known_items) tkg_metrics_topk(top_scores)
               tkg_metrics_ranking(users) tkg_metrics_ranking(test_items)
               tkg_hash_rows(values)]]):gmatch('%S+') do
  OPTIONAL[name] = true
end

describe('the C API', function()
  local engine, tape, weights, step
  setup(function()
    engine = new('engine', C.tkg_engine_create, 'cpu')
    tape = new('tape', C.tkg_tape_create, engine)
    weights = new('tensor', C.tkg_tensor_create, engine, 0, 1, ffi.new('int64_t[1]', 3), 0)
    step = new('step', C.tkg_step_create, engine)
    assert.equal(0, C.tkg_tape_leaf(tape, weights))
  end)
  teardown(fixtures.clean)

  it('refuses NULL, whatever function and argument it is', function()
    local dir = fixtures.dir{['ids.tsv'] = '1\t2\n'}
    local code, out, err = shell.tinykg('tests/support/null_arguments.lua ' .. dir .. '/ids.tsv')
    assert(code == 0, 'status ' .. code .. ' behind ' .. out:match('[^\n]*$') .. err)
    local calls = 0
    for what, result in out:gmatch('(tkg_%S+) ([^\n]+)\n') do
      calls = calls + 1
      local done = what:find('_release%(') or what:find('_free%(') or OPTIONAL[what]
      if not done then -- tkg_table_read asks tkg_table_open, which refuses
        assert(result:find(': tkg_[%w_]+ needs ') and not result:find('^a pointer'),
               what .. ' ' .. result)
      end
    end
    assert.is_true(calls > 400)
  end)

  it('has names for what functions return', function()
    assert.equal(0, tonumber(C.TKG_OK))
    assert.equal('an id or index is out of range', ffi.string(C.tkg_status_text(C.TKG_E_RANGE)))
    assert.equal('another rank has failed or is gone',
      ffi.string(C.tkg_status_text(C.TKG_E_RANKS)))
    assert.equal('unknown status', ffi.string(C.tkg_status_text(C.TKG_E_RANKS + 1)))
    assert.equal(C.TKG_E_SHAPE, C.tkg_tensor_create(engine, 0, 9, ffi.new('int64_t[9]'), 0,
      ffi.new('tkg_tensor *[1]')))
  end)

  it('says which value a tape does not have', function()
    assert.equal(0, C.tkg_tape_rank(tape, 7))
    says('7 is no value of this tape, which has 1', 1)
    assert.equal(0, C.tkg_tape_size(tape, -1, 0))
    says('-1 is no value of this tape, which has 1', 1)
    says('2 is no value of this tape, which has 1', C.tkg_tape_set_rule(tape, 2, 'exact'))
    local ids = ffi.new('int32_t[2]')
    says('1000000 is no value of this tape, which has 1',
      C.tkg_tape_compact(tape, ffi.new('int32_t[1]', 1000000), 1, ids))
    assert.equal(0, C.tkg_tape_dtype(tape, 0))
  end)

  it('records no op that the engine records itself, and no widths of codes that there are not',
     function()
    local function record(name, i, shape)
      local a = ffi.new('tkg_attributes')
      for k, v in ipairs(i) do a.i[k - 1] = v end
      for k, v in ipairs(shape or {}) do a.shape[k - 1], a.rank = v, k end
      return C.tkg_tape_record(tape, C.tkg_op_code(name), ffi.new('int32_t[1]', 0), 1, a, 'f.c:1')
    end
    for _, name in ipairs{'leaf', 'widen', 'exchange', 'sgd'} do
      says(name .. ' is no op that can be recorded: the engine does', record(name, {}))
    end
    for _, bits in ipairs{0, -1, 3, 32, 255} do
      says(('encode: %d bits: one of 8, 4, 2, 1'):format(bits), record('encode', {bits}))
    end
    assert.equal(-1, record('reshape', {}, {-2 ^ 63, 2})) -- 2^64 is beyond what is counted
  end)

  it('takes fewer than no outputs to be none', function()
    assert.equal(0, C.tkg_step_run(step, tape, -1, nil, nil, -3, nil))
    assert.equal(0, C.tkg_step_plan(step, tape, -1, nil, nil, -3))
  end)

  it('runs no tape that has ended', function()
    local other = new('tape', C.tkg_tape_create, engine)
    local out, nodes = ffi.new('tkg_tensor *[1]'), ffi.new('int32_t[1]')
    local function run() return C.tkg_step_run(step, other, -1, nil, nodes, 1, out) end
    assert.equal(0, C.tkg_tape_leaf(other, weights))
    C.tkg_tape_end(other)
    says('step: the tape has ended: record it anew', run())
    C.tkg_tape_begin(other)
    assert.equal(0, C.tkg_tape_leaf(other, weights))
    assert.equal(0, run())
    C.tkg_tensor_release(out[0])
  end)

  it('fills ids with whole numbers alone', function()
    local ids = new('tensor', C.tkg_tensor_create, engine, 1, 1, ffi.new('int64_t[1]', 3), 7)
    says('fill: 0.5 is not an int32', C.tkg_tensor_fill(ids, 0.5))
    says('fill: 1e+10 is not an int32', C.tkg_tensor_fill(ids, 1e10))
    assert.equal(0, C.tkg_tensor_fill(ids, -2 ^ 31))
  end)

  it('refuses options of an optimizer that no update could use', function()
    local adam = new('optimizer', C.tkg_optimizer_create, engine, 'adam')
    local function set(name, value) return C.tkg_optimizer_set(adam, name, value) end
    says('beta1: 2 is not below 1', set('beta1', 2))
    says('beta2: 1 is not below 1', set('beta2', 1))
    says('t: 1.5 updates are no whole number', set('t', 1.5))
    says('lr: inf is not finite', set('lr', math.huge))
    assert.equal(0, set('clip', math.huge)) -- any norm
    assert.equal(0, set('t', 3))
  end)

  it('says which parameter is NULL', function()
    local adam = new('optimizer', C.tkg_optimizer_create, engine, 'adam')
    says('update: parameter 2 is NULL',
      C.tkg_optimizer_update(adam, ffi.new('tkg_tensor *[2]', weights, nil), 2))
  end)

  it('says which end of an edge is none, and that there are too many nodes', function()
    local heads, tails = ffi.new('int32_t[2]', 0, 5), ffi.new('int32_t[2]', 1, 0)
    local packed, found = ffi.new('int32_t[64]'), ffi.new('int64_t[1]')
    local function pack(n, m, e)
      return C.tkg_graph_pack(n, m, e, heads, nil, tails, 0, packed, found, nil)
    end
    says('graph: head 5 of edge 1 is not in 0 .. 2', pack(3, 3, 2))
    says('graph: tail 1 of edge 0 is not in 0 .. 0', pack(6, 1, 2))
    says('graph: -1 heads and 3 tails: at most 2^31 - 1 of each', pack(-1, 3, 2))
    says('graph: relations in the layout, but no array of them',
      C.tkg_graph_pack(6, 3, 2, heads, nil, tails, C.TKG_GRAPH_RELATIONS, packed, found, nil))
    assert.equal(0, pack(6, 2, 2))
  end)
end)
