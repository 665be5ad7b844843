--- The largest power-law graph that trains three steps in a given address space, at each width.
--   tinykg tests/bench/largest_graph.lua [--gib 2,4,8] [--bits 32,8,2] [--recipe recipes/kgin.lua]
--     [--set 'hops=3 dim=64'] [--folder build/largest] [--within .03] [--threads 1]
-- Two small runs per width tell the address space of a node; from the size that should just fit, it
-- goes up or down by steps of `within` until one that trains stands beside one that does not. Each
-- is really run: `tinykg run --steps 3` under `ulimit -v`. Prints a Markdown table.
local power_law = require 'tinykg.bench.power_law'

local SMALL = 60000 -- nodes
local RANKED = 4096 -- users of an evaluation: more than it has in memory at a time

local o = {gib = '2,4,8', bits = '32,8,2', recipe = 'recipes/kgin.lua', set = 'hops=3 dim=64',
           folder = 'build/largest', within = '.03', threads = '1'}
for k = 1, #arg, 2 do
  local name = arg[k]:match('^%-%-(%a+)$')
  if not o[name or ''] then error('unknown option ' .. arg[k], 0) end
  o[name] = arg[k + 1]
end

--- A fifth of the nodes are users, a fifth items; 13 directed edges per node, as in kgat-last-fm.
local function write_set(folder, nodes)
  local users = math.floor(nodes / 5)
  power_law.write_kgat(folder, {users = users, items = users, entities = nodes - users,
    triples = 5 * nodes, relations = 20, interactions = 8 * users, tested = 100, seed = 1})
end

local function command(nodes, bits)
  local settings = ''
  for setting in o.set:gmatch('%S+') do settings = settings .. ' --set ' .. setting end
  os.execute(("rm -rf '%s/run'"):format(o.folder)) -- gigabytes, which --force would move aside
  return ('exec ./tinykg run %s --data %s/%d --bits %s --threads %s --steps 3%s --set epochs=1 '
    .. '--set eval_users=%d --quiet --out %s/run > %s/log 2>&1'):format(o.recipe, o.folder,
    nodes, bits, o.threads, settings, RANKED, o.folder, o.folder)
end

local written -- nodes of the set that is there
local function write_once(nodes)
  if written == nodes then return end
  os.execute(("mkdir -p '%s'"):format(o.folder))
  if written then os.execute(('rm -rf %s/%d'):format(o.folder, written)) end
  written = nodes
  write_set(('%s/%d'):format(o.folder, nodes), nodes)
end

local function trains(nodes, gib, bits)
  write_once(nodes)
  local yes = os.execute(('(ulimit -v %d; %s)'):format(gib * 2 ^ 20, command(nodes, bits))) == 0
  local log = io.open(o.folder .. '/log')
  local said = log:read '*a'
  log:close()
  local too_large = said:find 'memory' or said:find 'what is free'
  if not yes and not too_large then error('failed for another reason: ' .. said, 0) end
  io.stderr:write(('%s GiB, %s bits, %d nodes: %s\n'):format(gib, bits, nodes,
                                                            yes and 'trains' or 'does not'))
  return yes
end

--- Sizes are a grid of steps of `within`, so that widths share their sets.
local function size(step) return math.floor(50000 * (1 + tonumber(o.within)) ^ step) end

local function step_of(nodes)
  return math.max(math.floor(math.log(nodes / 50000) / math.log(1 + tonumber(o.within))), 0)
end

--- Bytes of address space that a run of a smaller graph reserves at most: the kernel's VmPeak, read
--- while it runs.
local function reserved(nodes, bits)
  write_once(nodes)
  local pipe = io.popen(([[%s & pid=$!
    while kill -0 $pid 2>/dev/null; do sed -n 's/^VmPeak:[^0-9]*//p' /proc/$pid/status; sleep .02
    done 2>/dev/null]]):format(command(nodes, bits)))
  local most = 0
  for line in pipe:lines() do most = math.max(most, tonumber(line:match('%d+')) or 0) end
  pipe:close()
  return most * 1024
end

--- The step that should just fit: reserved bytes are a line in the number of nodes.
local lines = {}
local function guess(gib, bits)
  if not lines[bits] then
    local small, large = reserved(SMALL, bits), reserved(3 * SMALL, bits)
    local per_node = (large - small) / (2 * SMALL)
    lines[bits] = {per_node = per_node, rest = small - SMALL * per_node}
    io.stderr:write(('%s bits: %.0f bytes per node and %.0f MiB\n'):format(bits, per_node,
                                                              lines[bits].rest / 2 ^ 20))
  end
  return step_of((gib * 2 ^ 30 - lines[bits].rest) / lines[bits].per_node)
end

--- The largest step that trains: from the guess up while runs train, or down until one does.
local function largest(gib, bits)
  local step = guess(gib, bits)
  local up = trains(size(step), gib, bits)
  repeat
    step = step + (up and 1 or -1)
    if step < 0 then return nil end
  until trains(size(step), gib, bits) ~= up
  return up and step - 1 or step
end

print('| address space | bits | nodes | directed edges |')
print('|---|---|---|---|')
for gib in o.gib:gmatch('[^,]+') do
  for bits in o.bits:gmatch('[^,]+') do
    local step = largest(tonumber(gib), bits)
    local nodes = step and size(step)
    print(nodes and ('| %s GiB | %s | %d | %d |'):format(gib, bits, nodes,
                                                        2 * (5 * nodes + 8 * math.floor(nodes / 5)))
          or ('| %s GiB | %s | none | |'):format(gib, bits))
    io.stdout:flush()
  end
end
