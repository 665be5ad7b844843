--- Forms of the ops on graphs, and of what steps draw.
local forms = require 'tests.faults.programs.forms'
local graphs = require 'tests.faults.programs.graphs'
local list_text = require('tests.faults.programs.generator').list_text

--- A graph whose tails (heads, gone through backward) are the rows of matrix i: the graph, the
--- expression of it, the attributes of an op on it.
local function graph_over(g, i)
  local n, r = g:shape(i)[1], g.r
  local other = r:one_in(4) and g:new_rows() or n
  local flip = r:one_in(4)
  local old = r:one_in(3) and g.graphs and r:of(g.graphs)
  if not old or (flip and old.nodes or old.tail_nodes) ~= n then
    old = flip and graphs.new(g, n, other) or graphs.new(g, other, n)
    g.graphs = g.graphs or {}
    table.insert(g.graphs, old)
  end
  return old, flip and old.text .. ':transpose()' or old.text, {graph = old, flip = flip}
end

--- Weights of edges: a softmax of scores, some vector, or a new one.
local function weights(g, graph)
  return g:like({graph.n})
end

local function aggregate_options(a)
  local text = {}
  if a.reduce ~= 'sum' then text[#text + 1] = ("reduce = '%s'"):format(a.reduce) end
  if a.message == 'add' or a.message == 'sub' then
    text[#text + 1] = ("message = '%s'"):format(a.message)
  end
  if a.message ~= 'copy' then text[#text + 1] = 'relation = $2' end
  if a.weighted then text[#text + 1] = 'weight = $' .. (a.message == 'copy' and 2 or 3) end
  return #text > 0 and ', {' .. table.concat(text, ', ') .. '}' or ''
end

forms.add('aggregate', 7, function(g)
  local r, i = g.r, g:matrix()
  local graph, text, a = graph_over(g, i)
  a.reduce = r:of{'sum', 'sum', 'mean'}
  a.message = r:of{'copy', 'copy', 'mul', 'mul', 'add', 'sub'}
  local inputs = {i}
  if a.message ~= 'copy' then inputs[2] = g:like{graph.kinds, g:shape(i)[2]} end
  if (a.message == 'copy' or a.message == 'mul') and r:one_in(2) then
    a.weighted = true
    inputs[#inputs + 1] = weights(g, graph)
  elseif (a.message == 'copy' or a.message == 'mul') and r:one_in(3) then
    local kind, late = r:of{'row', 'symmetric', 'relation'}, a.flip and r:one_in(2)
    a.constant = graphs.normalized(graph, kind, late)
    local made = ("%s:normalized('%s')"):format(late and text or graph.text, kind)
    text = g:constant(made .. (a.flip and not late and ':transpose()' or ''))
  end
  if #inputs ~= 1 + (a.message ~= 'copy' and 1 or 0) + (a.weighted and 1 or 0) then return nil end
  return g:add('aggregate', inputs, ('%s:aggregate($1%s)'):format(text, aggregate_options(a)), a)
end)

forms.add('aggregate_dropped', 1.2, function(g)
  local i = g:matrix()
  local _, text, a = graph_over(g, i)
  a.reduce, a.message, a.p = g.r:of{'sum', 'mean'}, 'copy', g.r:of{0.25, 0.5}
  a.drop = g.r:of{'edges', 'nodes'}
  return g:add('aggregate_dropped', {i}, ('%s:%s(%g):aggregate($1%s)'):format(
    text, a.drop == 'nodes' and 'node_dropout' or 'dropout', a.p, aggregate_options(a)), a)
end)

--- A few rows of a layer over a graph, as a ranking loss reads: no more than these are computed.
forms.add('few_rows', 3, function(g)
  local r, i = g.r, g:matrix(function(s) return s[1] >= 4 end)
  local graph, text, a = graph_over(g, i)
  local rows = a.flip and graph.tail_nodes or graph.nodes
  if rows < 4 then return nil end
  a.reduce, a.message = 'sum', r:of{'copy', 'mul'}
  local inputs = {i}
  if a.message == 'mul' then inputs[2] = g:like{graph.kinds, g:shape(i)[2]} end
  if r:one_in(2) then
    a.weighted, inputs[#inputs + 1] = true, weights(g, graph)
  end
  local code = ('%s:aggregate($1%s)'):format(text, aggregate_options(a))
  local layer = g:add('aggregate', inputs, code, a)
  for _ = 1, layer and r:below(3) or 0 do
    local kind = r:below(4)
    layer = kind == 0 and g:add('tanh', {layer}, '$1:tanh()')
      or kind == 1 and g:add('normalize', {layer}, '$1:normalize(0.75)', {eps = 0.75})
      or kind == 2 and g:add('dropout', {layer}, '$1:dropout(0.25)', {p = 0.25})
      or kind == 3 and g:add('leaky_relu', {layer}, '$1:leaky_relu(0.25)', {slope = 0.25}) or layer
  end
  if not layer then return nil end
  local n = r:from(1, math.floor(rows / 2))
  local ids, ids_text = g:ids({n}, rows)
  return g:add('gather', {layer}, ('$1:gather(%s)'):format(ids_text), {ids = ids, shape = {n}})
end)

--- Some rows of a layer, by one list of ids or two.
local function rows_of(g, layer, rows, most)
  local n = g.r:from(1, most)
  local function gathered()
    local ids, text = g:ids({n}, rows)
    return g:add('gather', {layer}, ('$1:gather(%s)'):format(text), {ids = ids, shape = {n}})
  end
  local first = gathered()
  local second = first and g.r:one_in(2) and gathered()
  return second and g:add('add', {first, second}, '$1 + $2') or first
end

--- One or two rows of a layer over another: of the lower one no more is computed than they read.
forms.add('rows_of_two_layers', 2, function(g)
  local r, i = g.r, g:matrix(function(s) return s[1] >= 8 end)
  local n, d = unpack(g:shape(i))
  if n < 8 then return nil end
  local graph = graphs.new(g, n, n)
  local relation, w = g:like{graph.kinds, d}, g:like{graph.n}
  if not (relation and w) then return nil end
  local lower = {graph = graph, reduce = r:of{'sum', 'mean'}, message = r:of{'copy', 'mul', 'mul'},
                 weighted = true}
  local upper = {graph = graph, reduce = 'sum', message = r:of{'copy', 'mul'}}
  local function sum(inputs, a)
    return g:add('aggregate', inputs, ('%s:aggregate($1%s)'):format(graph.text,
                                                                    aggregate_options(a)), a)
  end
  local x = sum(lower.message == 'mul' and {i, relation, w} or {i, w}, lower)
  x = x and r:one_in(2) and g:add('tanh', {x}, '$1:tanh()') or x
  x = x and sum(upper.message == 'mul' and {x, relation} or {x}, upper)
  return x and rows_of(g, x, n, 2)
end)

forms.add('aggregate_max', 2, function(g)
  local i = g:matrix()
  local _, text, a = graph_over(g, i)
  return g:add('aggregate_max', {i}, text .. ":aggregate($1, {reduce = 'max'})", a)
end)

local function scores(g, with_relations)
  local i = g:matrix()
  local graph, _, a = graph_over(g, i)
  local cols = g:shape(i)[2]
  local other = g:like{a.flip and graph.tail_nodes or graph.nodes, cols}
  local p, q = a.flip and i or other, a.flip and other or i
  local r = with_relations and g:like{graph.kinds, cols}
  if not other or (with_relations and not r) then return nil end
  return g:add('edge_scores', {p, q, r or nil},
               ('%s:dot($1, $2%s)'):format(graph.text, r and ', $3' or ''), {graph = graph}), graph
end

forms.add('edge_scores', 2, function(g) return (scores(g, g.r:one_in(2))) end)

--- Attention: scores, their softmax, a sum weighted with it.
forms.add('edge_softmax', 2, function(g)
  local s, graph = scores(g, g.r:one_in(3))
  if not s then return nil end
  local flip, merged = g.r:one_in(5), g.r:one_in(3)
  local text = flip and graph.text .. ':transpose()' or graph.text
  local soft = g:add(merged and 'edge_softmax_merged' or 'edge_softmax', {s},
                     text .. (merged and ':softmax($1, {merged = true})' or ':softmax($1)'),
                     {graph = graph, flip = flip})
  if not soft or g.r:one_in(3) then return soft end
  local x = g:like{graph.tail_nodes, g:new_cols()}
  return x and g:add('aggregate', {x, soft}, graph.text .. ':aggregate($1, {weight = $2})',
                     {graph = graph, reduce = 'sum', message = 'copy', weighted = true})
end)

--- A mask of the best edges: a constant, though the scores have a gradient.
forms.add('edge_top_k', 0.8, function(g)
  local s, graph = scores(g, g.r:one_in(3))
  if not s or graph.n < 2 then return nil end
  local k = g.r:from(1, graph.n - 1)
  return g:add('top_k_mask', {s}, ('%s:top_k($1, %d)'):format(graph.text, k), {k = k})
end)

forms.add('attention_scores', 1, function(g)
  local i = g:matrix(function(s) return s[2] <= 17 end)
  local nodes, d = g:shape(i)[1], g:shape(i)[2]
  if d > 17 then return nil end
  local graph, k = graphs.new(g, nodes, nodes), g.r:of{1, 2, 3, 5}
  if graph.n == 0 then return nil end -- no gradient
  local w, by = g:like{graph.kinds, d, k}, g:like{graph.kinds, k}
  return w and by and g:add('attention_scores', {i, w, by},
    ('tk.attention.new(%s%s):scores($1, $2, $3)'):format(
      graph.text, g.r:one_in(2) and ', {one_way = true}' or ''), {graph = graph})
end)

--- Of equal edges lookup may take any, so the weights are those of a set: one each.
forms.add('lookup', 0.7, function(g)
  local r, nodes = g.r, g.r:from(2, 9)
  local graph = graphs.new(g, nodes, nodes)
  local n, cols = g:new_rows(), r:from(1, 4)
  local rows, rows_text = g:ids({n}, nodes)
  local ids, text = g:ids({n, cols}, nodes)
  local value = {}
  for i = 0, n * cols - 1 do
    value[i] = -0.5
    for k = 0, graph.n - 1 do
      local row = rows[math.floor(i / cols)]
      if graph.heads[k] == row and graph.tails[k] == ids[i] then value[i] = 1 end
    end
  end
  return g:add('given', {}, ('%s:lookup(%s, %s, -0.5)'):format(graph.text, rows_text, text),
               {shape = {n, cols}, value = value})
end)

-- ---- what steps draw: recorded first, so that their streams come first ----

local draws = {}

local function row_ids(g, n, below)
  local ids = g:numbers(n, below)
  return ids, g:constant('tk.ids%s', list_text(ids, 0, n))
end

local function edges_by_head(graph)
  local by = {}
  for k = 0, graph.n - 1 do
    local h = graph.heads[k]
    by[h] = by[h] or {}
    table.insert(by[h], k)
  end
  return by
end

--- Neighbours are distinct edges where there are enough, each equally often up to one otherwise.
local function check_neighbours(graph, ids, n, k, tails, relations)
  local by = edges_by_head(graph)
  for i = 0, n - 1 do
    local edges, seen, left = by[ids[i]] or {}, {}, {}
    for _, e in ipairs(edges) do
      local key = graph.tails[e] .. ' ' .. graph.relations[e]
      left[key] = (left[key] or 0) + 1
    end
    for j = i * k, i * k + k - 1 do
      local key = tails[j] .. ' ' .. relations[j]
      seen[key] = (seen[key] or 0) + 1
      if #edges == 0 then
        if tails[j] ~= ids[i] or relations[j] ~= graph.kinds then
          return ('row %d: an isolated node drew %s'):format(i, key)
        end
      elseif not left[key] then
        return ('row %d: %s is no edge of node %d'):format(i, key, ids[i])
      end
    end
    for key, count in pairs(seen) do
      local most = #edges > 0 and left[key] * math.ceil(k / #edges) or k
      if count > most then
        return ('row %d: edge %s drawn %d times, at most %d'):format(i, key, count, most)
      end
    end
  end
end

function draws.sample(g)
  local nodes = g.r:from(2, 9)
  local graph = graphs.new(g, nodes, nodes)
  local n, k = g.r:from(1, 8), g.r:from(1, 4)
  local ids, text = row_ids(g, n, nodes)
  return {code = ('%s:sample(%s, %d)'):format(graph.text, text, k), streams = 1,
          below = {nodes, graph.kinds + 1},
          check = function(v) return check_neighbours(graph, ids, n, k, v[1], v[2]) end}
end

local function no_edge(graph, head, relation, tail)
  for k = 0, graph.n - 1 do
    if graph.heads[k] == head and graph.relations[k] == relation and graph.tails[k] == tail then
      return false
    end
  end
  return true
end

--- Tails that make no edge; where all would, any.
local function check_negatives(graph, heads, relations, n, count, tails)
  for i = 0, n * count - 1 do
    local row, taken = math.floor(i / count), 0
    for t = 0, graph.tail_nodes - 1 do
      if not no_edge(graph, heads[row], relations[row], t) then taken = taken + 1 end
    end
    if 2 * taken <= graph.tail_nodes and not no_edge(graph, heads[row], relations[row], tails[i])
    then
      return ('row %d: tail %d makes an edge'):format(row, tails[i])
    end
  end
end

function draws.negatives(g)
  local nodes = g.r:from(2, 9)
  local graph = graphs.new(g, nodes, nodes)
  local n, count = g.r:from(1, 8), g.r:from(1, 3)
  local heads, heads_text = row_ids(g, n, nodes)
  local relations, relations_text = row_ids(g, n, graph.kinds)
  return {code = ('%s:negatives(%s, %s, %d)'):format(graph.text, heads_text, relations_text, count),
          streams = 1, below = {nodes},
          check = function(v) return check_negatives(graph, heads, relations, n, count, v[1]) end}
end

--- Distinct heads, or distinct edges, as far as there are enough; edges of the graph, and none.
local function check_triples(graph, n, by, v)
  local count, of_head, distinct = {}, {}, 0
  for e = 0, graph.n - 1 do
    local key = by == 'heads' and graph.heads[e] or
      ('%d %d %d'):format(graph.heads[e], graph.relations[e], graph.tails[e])
    if by == 'triples' or not of_head[key] then distinct = distinct + 1 end
    of_head[key] = by == 'heads' and 1 or (of_head[key] or 0) + 1
  end
  for i = 0, n - 1 do
    local h, r, t = v[1][i], v[2][i], v[3][i]
    if no_edge(graph, h, r, t) then return ('(%d, %d, %d) is no triple'):format(h, r, t) end
    local key = by == 'heads' and h or ('%d %d %d'):format(h, r, t)
    count[key] = (count[key] or 0) + 1
    if count[key] > of_head[key] * math.ceil(n / distinct) then
      return ('%s drawn %d times'):format(key, count[key])
    end
  end
  return check_negatives(graph, v[1], v[2], n, 1, v[4])
end

function draws.triples(g)
  local nodes = g.r:from(2, 9)
  local graph = graphs.new(g, nodes, nodes)
  if graph.n == 0 then return draws.items(g) end
  local n, by = g.r:from(1, 8), g.r:of{'heads', 'triples'}
  return {code = ("H.triples(%s, %d, '%s')"):format(graph.text, n, by),
          streams = by == 'heads' and 3 or 2, below = {nodes, graph.kinds, nodes, nodes},
          check = function(v) return check_triples(graph, n, by, v) end}
end

function draws.items(g)
  local users, items, lists, texts = g.r:from(1, 6), g.r:from(4, 12), {}, {}
  for u = 1, users do
    local list = {}
    for item = 0, items - 1 do if g.r:one_in(4) then list[#list + 1] = item end end
    lists[u], texts[u] = list, '{' .. table.concat(list, ', ') .. '}'
  end
  if #table.concat(texts) == 2 * users then lists[1], texts[1] = {0}, '{0}' end
  local n, count = g.r:from(1, 8), g.r:from(1, 3)
  local by = g.r:of{'uniform', 'popularity'}
  local ids, text = row_ids(g, n, users)
  local sampler = g:constant("H.sampler({%s}, %d, %d, '%s')", table.concat(texts, ', '), items,
                             count, by)
  return {code = ('%s(%s)'):format(sampler, text), streams = 1, below = {items},
          check = function(v)
            for i = 0, n * count - 1 do
              local list = lists[ids[math.floor(i / count)] + 1]
              for _, item in ipairs(list) do
                if item == v[1][i] and by == 'uniform' and 2 * #list <= items then
                  return ('row %d: item %d is known'):format(math.floor(i / count), item)
                end
              end
            end
          end}
end

local KINDS = {'sample', 'negatives', 'triples', 'items'}

--- Adds a draw to the program's prologue; `run` gives the values that a program's draws have.
function forms.draw(g, run)
  local draw, names = draws[g.r:of(KINDS)](g), {}
  for k = 1, #draw.below do names[k] = ('d%d_%d'):format(#g.p.prologue + 1, k) end
  draw.names = names
  table.insert(g.p.prologue, draw)
  g.p.drawn_streams = (g.p.drawn_streams or 0) + draw.streams
  local values = run(g.p)
  local first = #values - #draw.below
  draw.values = {}
  for k, below in ipairs(draw.below) do
    local value = values[first + k]
    draw.values[k] = {v = value.v, n = value.n, below = below}
    for i = 0, value.n - 1 do
      if value.v[i] < 0 or value.v[i] >= below then
        return ('%s: %d is outside 0..%d'):format(draw.code, value.v[i], below - 1)
      end
    end
  end
  local drawn = {}
  for k, value in ipairs(draw.values) do drawn[k] = value.v end
  local wrong = draw.check(drawn)
  return wrong and draw.code .. ': ' .. wrong
end

forms.total = 0
for _, form in ipairs(forms) do forms.total = forms.total + form.weight end

--- A form, by weight.
function forms.choose(r)
  local at = r:unit() * forms.total
  for _, form in ipairs(forms) do
    at = at - form.weight
    if at <= 0 then return form end
  end
  return forms[#forms]
end

return forms
