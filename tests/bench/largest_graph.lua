--- The largest power-law graph that trains three steps in a given address space, at each width.
--   tinykg tests/bench/largest_graph.lua [--gib 2,4,8] [--bits 32,8,2] [--recipe recipes/kgin.lua]
--     [--set 'hops=3 dim=64'] [--folder build/largest] [--within .03] [--threads 1]
-- Writes sets of the size tried, runs `tinykg run --steps 3` of each under `ulimit -v`, and halves
-- the gap between the largest that trains and the smallest that does not. Prints a Markdown table.
local power_law = require 'tinykg.bench.power_law'

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

local function trains(folder, gib, bits)
  local settings = ''
  for setting in o.set:gmatch('%S+') do settings = settings .. ' --set ' .. setting end
  local command = ('ulimit -v %d; ./tinykg run %s --data %s --bits %s --threads %s --steps 3%s '
    .. '--set epochs=1 --force --quiet --out %s/run > %s/log 2>&1'):format(
    gib * 2 ^ 20, o.recipe, folder, bits, o.threads, settings, o.folder, o.folder)
  return os.execute(command) == 0
end

local tried = {} -- [nodes] = the folder of its set is there
local function trains_with(nodes, gib, bits)
  local folder = ('%s/%d'):format(o.folder, nodes)
  if not tried[nodes] then
    os.execute(("mkdir -p '%s'"):format(o.folder))
    for other in pairs(tried) do os.execute(('rm -rf %s/%d'):format(o.folder, other)) end
    tried = {[nodes] = true}
    write_set(folder, nodes)
  end
  local yes = trains(folder, gib, bits)
  io.stderr:write(('%s GiB, %s bits, %d nodes: %s\n'):format(gib, bits, nodes,
                                                            yes and 'trains' or 'does not'))
  return yes
end

--- Sizes are a grid of steps of `within`, so that widths share their sets.
local function size(step) return math.floor(50000 * (1 + tonumber(o.within)) ^ step) end

local function largest(gib, bits, guess)
  local low, high, stride = nil, nil, 2
  while not (low and high) do -- widen the gap around the guess
    if trains_with(size(guess), gib, bits) then low, guess = guess, guess + stride
    else high, guess = guess, guess - stride end
    if guess < 0 then return nil end
    stride = 2 * stride
  end
  while high - low > 1 do
    local middle = math.floor((low + high) / 2)
    if trains_with(size(middle), gib, bits) then low = middle else high = middle end
  end
  return low
end

local BYTES = 1600 -- per node, about: where to begin

print('| address space | bits | nodes | directed edges |')
print('|---|---|---|---|')
for gib in o.gib:gmatch('[^,]+') do
  local about = .9 * (tonumber(gib) * 2 ^ 30 - 200 * 2 ^ 20) / BYTES
  local guess = math.floor(math.log(about / 50000) / math.log(1 + tonumber(o.within)))
  for bits in o.bits:gmatch('[^,]+') do
    local step = largest(tonumber(gib), bits, guess)
    local nodes = step and size(step)
    print(nodes and ('| %s GiB | %s | %d | %d |'):format(gib, bits, nodes,
                                                        2 * (5 * nodes + 8 * math.floor(nodes / 5)))
          or ('| %s GiB | %s | none | |'):format(gib, bits))
    guess = step or guess
  end
end
