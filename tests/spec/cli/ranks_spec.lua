-- mpirun -n P tinykg: ranks share evaluations, rank 0 alone writes and prints, and a rank that dies
-- ends them all. That all recipes train the same bits: tests/spec/recipes/ranks_spec.lua.
local fixtures = require 'tests.support.fixtures'
local hosts = require 'tests.support.hosts'
local json = require 'tinykg.base.json'
local mpi = require 'tests.support.mpi'
local runs = require 'tests.support.runs'
local shell = require 'tests.support.shell'

local MOST_SECONDS = 10 -- in which the death of a rank ends the others

describe('mpirun', function()
  local dir, data
  setup(function() dir, data = shell.demo(300, 150) end)
  teardown(fixtures.clean)

  --- Runs a recipe on n ranks. ---@return string folder
  local function train(name, n, more) return mpi.train(name, n, data, more) end

  it('deals labelled rows to ranks, whose number they do not divide by', function()
    if not mpi.first then return pending(mpi.MISSING) end
    local more = '--set epochs=3 --set batch_size=256 --set eval_every=1'
    runs.same(train('kgcn', 1, more), train('kgcn', 3, more), false)
  end)

  it('deals users: metrics of each, of a sample, and of the lists', function()
    if not mpi.first then return pending(mpi.MISSING) end
    local more = '--set epochs=2 --data-set task=ranking --set per_user=true ' ..
      '--set exposure=true --set eval_negatives=pop100'
    local one, three = train('bpr-mf', 1, more), train('bpr-mf', 3, more)
    runs.same(one, three, false)
    assert.equal(fixtures.bytes(one .. '/per_user.tsv'), fixtures.bytes(three .. '/per_user.tsv'))
    for _, command in ipairs{'recommend %s --users all -k 7', 'eval %s --k 3,50 --json',
                             'eval %s --negatives uni100', "recommend %s --user 'user 7'"} do
      command = command:format(one)
      local _, expected = shell.sh('./tinykg ' .. command)
      for _, n in ipairs{2, 3} do
        assert.equal(expected, shell.gives(0, mpi.tinykg(n, command)))
      end
    end
  end)

  it('goes on with a run on another number of ranks', function()
    if not mpi.first then return pending(mpi.MISSING) end
    local more = mpi.small('kgat') .. ' --set epochs=2 --set eval_every=1 --steps 4 ' ..
      '--data-set task=ranking --bits 2'
    local out = train('kgat', 3, more)
    local whole = dir .. '/whole'
    local longer = more:gsub('epochs=2', 'epochs=4')
    shell.gives(0, ('./tinykg run recipes/kgat.lua --quiet --data %s %s --out %s'):format(data,
      longer, whole))
    shell.gives(0, mpi.tinykg(2, '--resume --set epochs=4 --quiet --out ' .. out):gsub('tinykg ',
                                                                                   'tinykg run '))
    runs.same(whole, out, false)
  end)

  --- Starts three ranks, sends a signal to one of them, or to the launcher, once two epochs are
  --- logged. ---@param whom string a rank, or 'launcher' ---@return integer status, string text
  local function struck(signal, whom, command, out)
    return shell.sh((([[set -m; log=OUT/log.jsonl
      lines() { cat $log 2>/dev/null | wc -l; }
      most=$(($(lines) + 2)); COMMAND >OUT.txt 2>&1 & pid=$!
      while [ $(lines) -lt $most ] && kill -0 $pid 2>/dev/null; do sleep 0.02; done
      whom=$pid
      if [ WHOM != launcher ]; then
        for p in $(pgrep -f '[m]ain.lua run .*OUT'); do
          tr '\0' '\n' </proc/$p/environ | grep -qE '^(OMPI_COMM_WORLD|PMI)_RANK=WHOM$' && whom=$p
        done
      fi
      before=$(date +%s); kill -s SIGNAL $whom; wait $pid; status=$?
      echo "seconds: $(($(date +%s) - before))"
      sleep 1; pgrep -f '[m]ain.lua run .*OUT' >/dev/null && echo 'still there'
      cat OUT.txt; (exit $status)]]):gsub('%u%u%u+', {OUT = out, COMMAND = command, WHOM = whom,
                                                     SIGNAL = signal})))
  end

  local LONG = ' --set batch_size=64 --set patience=0 --set eval_every=1 --bits 2'

  local function long_run(name, launcher)
    local out = dir .. '/' .. name
    return out, mpi.tinykg(3, 'run recipes/kgcn.lua --data ' .. data .. LONG ..
                              ' --set epochs=400 --checkpoint 0 --out ' .. out, launcher)
  end

  for _, whom in ipairs{'0', '2'} do
    it('ends all ranks soon when one is killed, and the run can go on: rank ' .. whom, function()
      if not mpi.first then return pending(mpi.MISSING) end
      local out, command = long_run('killed-' .. whom)
      local code, text = struck('KILL', whom, command, out)
      assert.is_true(code ~= 0)
      assert.is_nil(text:find 'still there', text)
      assert.is_true(tonumber(text:match 'seconds: (%d+)') <= MOST_SECONDS, text)
      if whom ~= '0' then assert.matches('tinykg: rank 2 is gone', text) end
      local at = #runs.log(out)
      assert.is_true(at >= 2)
      shell.gives(0, mpi.tinykg(2, ('run --resume --set epochs=%d --out %s'):format(at + 1, out)),
                  'going on in epoch')
      assert.equal(at + 1, #runs.log(out))
    end)
  end

  it('of MPICH ends all ranks soon too, stops on Ctrl-C, and leads to the same bits', function()
    local mpich = mpi.launchers.MPICH
    if not mpich then return pending 'no MPICH' end
    local out, command = long_run('mpich-killed', mpich)
    local code, text = struck('KILL', '2', command, out)
    assert.is_true(code ~= 0, text)
    assert.is_nil(text:find 'still there', text)
    assert.is_true(tonumber(text:match 'seconds: (%d+)') <= MOST_SECONDS, text)
    out, command = long_run('mpich-stopped', mpich)
    -- No word of the status: MPICH 4.0.2 now and then passes on that of wait(2), 130 in its upper
    -- byte, which the shell sees as 0.
    text = select(2, struck('INT', 'launcher', command, out))
    assert.matches('stopped; to go on: tinykg run %-%-resume', text)
    assert.is_nil(text:find 'still there', text)
    local epochs = (' --quiet --set epochs=%d --out '):format(#runs.log(out) + 2)
    shell.gives(0, mpi.tinykg(2, 'run --resume' .. epochs .. out, mpich))
    shell.gives(0, './tinykg run recipes/kgcn.lua --data ' .. data .. LONG .. epochs .. dir ..
      '/mpich-not-stopped')
    runs.same(dir .. '/mpich-not-stopped', out, false)
  end)

  it('stops all ranks at the same step on Ctrl-C, and saves it', function()
    if not mpi.first then return pending(mpi.MISSING) end
    local out, command = long_run('stopped')
    local code, text = struck('INT', 'launcher', command, out)
    assert.is_true(code ~= 0)
    assert.matches('stopped; to go on: tinykg run %-%-resume', text)
    assert.equal(1, select(2, text:gsub('stopped; to go on', '')))
    assert.equal(1, select(2, text:gsub('tinykg: interrupted', '')))
    assert.is_nil(text:find 'still there', text)
    local at = #runs.log(out)
    local whole = dir .. '/not-stopped'
    local epochs = (' --set epochs=%d'):format(at + 2)
    shell.gives(0, './tinykg run --resume --quiet' .. epochs .. ' --out ' .. out)
    shell.gives(0, './tinykg run recipes/kgcn.lua --quiet --data ' .. data .. LONG .. epochs ..
      ' --out ' .. whole)
    runs.same(whole, out, false)
  end)

  describe('of two machines', function()
    local there
    setup(function() there = hosts.new() end)
    teardown(hosts.remove)

    it('gives the same bits', function()
      if not there then return pending 'no network namespaces (root, ip), or no Open MPI' end
      local more = '--set epochs=2 --set batch_size=256 --set eval_every=1 --bits 2'
      local alone, out = train('kgcn', 1, more), dir .. '/hosts'
      shell.gives(0, hosts.tinykg(('run recipes/kgcn.lua --quiet --data %s %s --out %s'):format(
        data, more, out)))
      runs.same(alone, out, false)
      shell.gives(0, hosts.tinykg "-e 'print(select(2, tk.ranks()))'", '2 ranks on 2 machines')
    end)

    it('ends soon on both when the network between them is gone', function()
      if not there then return pending 'no network namespaces (root, ip), or no Open MPI' end
      local out = dir .. '/unplugged'
      local code, text = shell.sh((([[set -m; log=OUT/log.jsonl; COMMAND >OUT.txt 2>&1 & pid=$!
        while [ $(cat $log 2>/dev/null | wc -l) -lt 2 ] && kill -0 $pid; do sleep 0.02; done
        PULL; before=$(date +%s)
        while pgrep -f '[m]ain.lua run .*OUT' >/dev/null && [ $(($(date +%s) - before)) -lt 30 ]
        do sleep 0.1; done
        echo "seconds: $(($(date +%s) - before))"; sleep 1; kill -9 -$pid; cat OUT.txt]]):gsub(
        '%u%u%u+', {OUT = out, PULL = hosts.pull(), COMMAND = hosts.tinykg('run kgcn --data ' ..
                    data .. LONG .. ' --set epochs=4000 --out ' .. out)})))
      assert.equal(0, code)
      assert.is_true(tonumber(text:match 'seconds: (%d+)') <= MOST_SECONDS, text)
      assert.matches('tinykg: rank 1 is gone', text)
    end)
  end)

  it('has one message of what is wrong', function()
    if not mpi.first then return pending(mpi.MISSING) end
    for arguments, expected in pairs{
      ['run kgcn --dat x'] = "unknown option '%-%-dat'",
      ['run kgcn --data /nowhere'] = 'no such folder',
      ['run kgcn --data ' .. data .. ' --seed 1,2'] = 'a sweep under ',
      ['eval /nowhere'] = 'no such run', ['nosuch'] = "no command 'nosuch'"} do
      local code, text = shell.sh(mpi.tinykg(3, arguments))
      assert.is_true(code ~= 0)
      assert.equal(1, select(2, text:gsub('tinykg: ', '')), text)
      assert.matches('tinykg: [^\n]*' .. expected, text)
    end
  end)

  it('names the line of the rank that fails, not that at which another one waits for it', function()
    if not mpi.first then return pending(mpi.MISSING) end
    local path = fixtures.dir() .. '/x.lua'
    fixtures.write(path, [[
      local tk = require 'tinykg'
      local g = tk.graph{head = {0, 1, 2}, tail = {1, 2, 0}, nodes = 2 ^ 14}
      local w, ids = tk.parameter(tk.randn(2 ^ 14, 32)), tk.ids{1, 2}
      local step = tk.step(function(i) return g:aggregate(g:aggregate(w)):gather(i):sum() end,
                           {optimizer = tk.optim.adam{lr = 0.01}})
      step(ids)
      if tk.rank() == 1 then error 'cannot' end
      step(ids)]])
    local code, text = shell.sh(mpi.tinykg(2, path))
    assert.equal(1, code)
    assert.matches('^rank 1: [^:]*x.lua:7: cannot$', text:match 'tinykg: ([^\n]*)')
  end)

  it('leaves to rank 0 what ranks do not share', function()
    if not mpi.first then return pending(mpi.MISSING) end
    assert.equal(shell.prints('help'), shell.gives(0, mpi.tinykg(3, 'help')))
    local info = 'data info --json ' .. data
    assert.equal(shell.prints(info), shell.gives(0, mpi.tinykg(3, info)))
  end)

  it('counts the bytes of collective operations', function()
    if not mpi.first then return pending(mpi.MISSING) end
    shell.gives(1, './tinykg bench ranks', 'there is one process: mpirun %-n 2 tinykg bench ranks')
    local found = {}
    for line in shell.gives(0, mpi.tinykg(4, 'bench ranks --quick --json')):gmatch('[^\n]+') do
      local record = json.decode(line)
      if record.part == 'ranks' then found[record.op .. ' ' .. record.bytes] = record.sent end
    end
    assert.equal(65536 * 3 / 4, found['all_to_all 65536'])
    assert.equal(65536 * 3 / 4, found['all_gather 65536'])
    assert.equal(2 * 65536 * 3 / 4, found['all_reduce 65536'])
    assert.equal(3 * 65536, found['broadcast 65536'])
  end)

  it('is planned for without it', function()
    local one = json.decode(shell.prints('memory kgcn --json --ranks 4 --data ' .. data))
    assert.equal(4, one.ranks)
    local lines = 0
    for _, value in ipairs(one.widths[1].phases[1].values) do
      if value.where then
        assert.matches('%.lua:%d+$', value.where)
        lines = lines + 1
      end
    end
    assert.is_true(lines > 0)
    shell.refuses('memory kgcn --ranks 0 --data ' .. data, 2, '%-%-ranks')
  end)

  --- Layers of `sizes` inputs, N nodes, P ranks: an all-to-all each of values and sums, forward
  --- and backward.
  local function of_layers(nodes, sizes, size)
    local bytes = 0
    for _, d in ipairs(sizes) do bytes = bytes + 16 * nodes * d * (size - 1) / size ^ 2 end
    return bytes
  end

  it('sends of layers no more than four all-to-all each', function()
    local many = select(2, shell.demo(4500, 4500))
    for _, n in ipairs{2, 4} do
      local plan = json.decode(shell.prints(('memory kgat --json --bits 32 --ranks %d --data %s ' ..
        '--data-set task=ranking --set batch_size=256'):format(n, many)))
      local sent = plan.exchanged[1]
      assert.equal(sent.bytes, sent.layers + sent.again + sent.rows + sent.sums)
      local nodes = 0
      for _, value in ipairs(plan.widths[1].phases[1].values) do
        if value.op == 'dropout' then nodes = math.max(nodes, value.shape[1]) end
      end
      local whole = of_layers(nodes, {64, 64}, n) -- of the last layer a batch's rows are computed
      assert.is_true(sent.layers > 0.75 * whole and sent.layers <= 1.25 * whole,
                     ('%.0f bytes of %.0f'):format(sent.layers, whole))
    end
  end)

  it('is planned for on paper, of a set of which only the sizes are known', function()
    local nodes = 2 ^ 20
    local plan = json.decode(shell.prints(('memory lightgcn --json --bits 32 --ranks 8 ' ..
      '--sizes users=%d --sizes items=%d --sizes interactions=2e6'):format(nodes / 2, nodes / 2)))
    assert.equal(nodes * 64 * 4 / 8, plan.memory.parameter)
    assert.equal(2 * plan.memory.parameter, plan.memory.optimizer)
    -- of an edge its tail, its weight, and its place in the other direction; of a node two offsets
    local graph = plan.memory.graph
    assert.is_true(graph > 2 * 2e6 * 8 and graph < 2 * 2e6 * 16 + nodes * 12)
    for arguments, expected in pairs{
      ['--sizes users=1'] = 'items=N is missing', ['--sizes nodes=1'] = 'nodes is not one of users',
      ['--sizes users=many'] = "users: 'many' is not a number",
      ['--sizes users=1 --data ' .. data] = 'goes without %-%-data'} do
      shell.refuses('memory lightgcn ' .. arguments, 2, expected)
    end
  end)

  it('takes memory that falls with the ranks, beside the graph and a batch', function()
    local many = select(2, shell.demo(8000, 8000))
    local function beside_graph(n)
      local plan = json.decode(shell.prints(('memory lightgcn --json --bits 32 --ranks %d ' ..
        '--data %s --data-set task=ranking --set batch_size=64'):format(n, many)))
      return plan.memory.peak - plan.memory.graph
    end
    local fetched = 4 * 64 * 4 * 4096 -- rows of users and of items that an evaluation has whole
    local alone = beside_graph(1)
    for _, n in ipairs{2, 4} do
      local share = beside_graph(n)
      assert.is_true(share <= alone / n + fetched,
                     ('%d ranks: %.0f of %.0f'):format(n, share, alone))
    end
  end)
end)
