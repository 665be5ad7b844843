--- Writes lua/REFERENCE.md, below its marker, from the comments in the sources.
--   ./tinykg tests/tools/manual.lua [--check]       --check: only says whether it is up to date
local docs = require 'tinykg.base.arguments.comments'
local renamed = require 'tinykg.base.arguments.renamed'
local tk = require 'tinykg'

local PAGE = 'lua/REFERENCE.md'
local MARKER = '<!-- Below: made by `make docs` from the comments in the sources. -->\n'

-- ---- what is public ----

for _, name in ipairs(getmetatable(tk).__fields) do assert(tk[name], name) end -- loaded when named

--- A local of the library, by its name: what fn, or what fn calls, refers to.
local function hidden(fn, name, seen)
  seen = seen or {}
  seen[fn] = true
  local i = 0
  while true do
    i = i + 1
    local found, value = debug.getupvalue(fn, i)
    if not found then return nil end
    if found == name then return value end
    local lua = type(value) == 'function' and debug.getinfo(value, 'S').what == 'Lua'
    if lua and not seen[value] then
      local deeper = hidden(value, name, seen)
      if deeper then return deeper end
    end
  end
end

local OPERATORS = [[
Operators: `a + b`, `a - b`, `a * b`, `a / b`, `-a`, of two tensors or of a tensor and a number.
`a / 3` is `a` times the float nearest to 1 / 3, which may differ from the quotient in the last bit.
Shapes broadcast as NumPy's do. `w.grad` is the gradient of a parameter after `loss:backward()`, nil
before. `print(a)` shows a line of figures and at most 3 + 3 rows and columns.]]

local graph = tk.graph{head = {0}, relation = {0}, tail = {0}, nodes = 1, relations = 1}
local step, recipe = tk.step(function() end), tk.recipe{name = 'x', build = function() end}
local optimizer = getmetatable(tk.optim.sgd())
local names = require 'tinykg.data.names'

local RUNS = {["require('tinykg.run')"] = require 'tinykg.run',
              ["require('tinykg.train').run"] = require('tinykg.train').run,
              ["require('tinykg.train.evaluate').model"] = require('tinykg.train.evaluate').model}

--- {title, how its functions are called, the table they are in, which of them (all without),
--- fields = {file, class}, classes = {file, class...} told of behind them, about = text before}.
local SECTIONS = {
  {'Tensors', 'tk.', tk, 'tensor ids zeros ones full randn rand xavier parameter is_tensor'},
  {'Methods of tensors', 't:', require('tinykg.engine.tensor').methods, about = OPERATORS},
  {'Ops on several tensors', 'tk.', tk,
   'cat dot neighbor_sum neighbor_dot relation_score grouped_matmul equal custom'},
  {'Graphs', 'tk.', {graph = docs.call_of(tk.graph), ['graph.nearest'] = tk.graph.nearest},
   'graph graph.nearest'},
  {'Methods of graphs', 'graph:', getmetatable(graph), fields = {'graph/init', 'Graph'}},
  {'Methods of receptive fields', 'field:', getmetatable(graph:receptive_field(1)),
   fields = {'graph/receptive_field', 'ReceptiveField'}},
  {'Methods of ripple sets', 'sets:',
   getmetatable(graph:ripples(require('tinykg.engine.arrays').csr(0, nil, nil, 1), 1, 1))},
  {'tk.attention', 'tk.attention.', tk.attention},
  {'Methods of attention', 'attention:', getmetatable(tk.attention.new(graph)),
   fields = {'graph/attention', 'Attention'}},
  {'Steps', 'tk.', tk, 'step bits no_grad'},
  {'Methods of steps', 'step:', getmetatable(step).__index, fields = {'engine/step', 'Step'}},
  {'tk.loss', 'tk.loss.', tk.loss},
  {'tk.optim', 'tk.optim.', tk.optim},
  {'Methods of optimizers', 'optimizer:', hidden(optimizer.__index, 'methods'),
   fields = {'engine/optim', 'Optimizer'}},
  {'tk.nn', 'tk.nn.', tk.nn},
  {'Methods of modules', 'module:', tk.nn.Module},
  {'Methods of embeddings', 'embedding:', getmetatable(tk.nn.Embedding(1, 1)),
   'load load_pretrained'},
  {'Methods of diffusions', 'diffusion:', getmetatable(tk.nn.Diffusion(2)),
   fields = {'nn/diffusion', 'Diffusion'}},
  {'Methods of rankers', 'model:', tk.nn.Ranker, about = docs.of_file('lua/tinykg/nn/ranker.lua')},
  {'Recipes', 'tk.', tk, 'recipe'},
  {'Methods of recipes', 'recipe:', getmetatable(recipe), fields = {'train/recipe', 'Recipe'}},
  {'tk.data', 'tk.data.', tk.data},
  {'Methods of data sets', 'data:', hidden(tk.data.load, 'Data'),
   fields = {'data/init', 'tinykg.Data'}},
  {'Names in a data set', 'data.names.users:', hidden(names.new, 'Names'),
   fields = {'data/names', 'tinykg.Names'}},
  {'tk.loader', 'tk.loader.', tk.loader},
  {'tk.metrics', 'tk.metrics.', tk.metrics,
   classes = {'train/metrics', 'tinykg.RankingOptions', 'tinykg.TopkOptions', 'tinykg.Csr'}},
  {'Files', 'tk.', tk, 'load save'},
  {'Runs', 'tk.', tk, 'open recommend explain', classes = {'run/open', 'OpenRun'}},
  {'Runs by their modules', '', RUNS,
   "require('tinykg.run') require('tinykg.train').run require('tinykg.train.evaluate').model",
   classes = {'run/init', 'tinykg.RunOptions', 'tinykg.RunSettings'},
   about = 'What the command line is made of, for scripts of one\'s own.'},
  {'The session', 'tk.', tk, 'seed device threads precision replay check memory'},
}

--- What tk has and no section names: tables get one of their own, functions one together.
local function add_the_rest(sections)
  local seen, rest, tables = {[tk.graph] = true}, {}, {}
  for _, s in ipairs(sections) do
    seen[s[3]] = true
    for name in (s[3] == tk and s[4] or ''):gmatch('%S+') do seen[name] = true end
  end
  for name, value in pairs(tk) do
    if type(value) == 'function' and not seen[name] then rest[#rest + 1] = name end
    if type(value) == 'table' and not seen[value] then tables[#tables + 1] = name end
  end
  table.sort(tables)
  for _, name in ipairs(tables) do
    sections[#sections + 1] = {'tk.' .. name, 'tk.' .. name .. '.', tk[name]}
  end
  table.sort(rest)
  if #rest > 0 then sections[#sections + 1] = {'Others', 'tk.', tk, table.concat(rest, ' ')} end
end

-- ---- as Markdown ----

--- Comment text: lines that are indented are tables or code, and stay as they are.
local function prose(text)
  local out, indented = {}, false
  for line in (text .. '\n'):gmatch('([^\n]*)\n') do
    local is = line:find('^  +%S') ~= nil
    if is ~= indented and line ~= '' then out[#out + 1] = '' end
    if line ~= '' then indented = is end
    out[#out + 1] = is and '    ' .. line:sub(3) or line
  end
  return (table.concat(out, '\n'):gsub('\n\n\n+', '\n\n'))
end

local function code(text) return '`' .. text:gsub('`', '') .. '`' end

local function item(what, type_name, text, optional)
  local kind = type_name and type_name ~= '' and code(type_name)
  return ('- %s%s%s%s'):format(what, kind and ' ' .. kind or '',
                               optional and ' (optional)' or '', text and ': ' .. text or '')
end

local function function_text(prefix, name, fn)
  local doc = docs.of(fn, name)
  if not doc.text then
    error(('%s%s: no comment above it: %s'):format(prefix, name, doc.source), 0)
  end
  local out = {'#### ' .. prefix .. doc.signature, '', prose(doc.text), ''}
  for _, p in ipairs(doc.params) do
    out[#out + 1] = item(code(p.name), p.type, p.text, p.optional)
  end
  for _, r in ipairs(doc.returns) do out[#out + 1] = item('returns', r.type, r.text) end
  if out[#out] ~= '' then out[#out + 1] = '' end
  return table.concat(out, '\n')
end

--- Functions of a table in the order of the source, or those named in the order of their names.
local function functions_of(t, wanted)
  local list = {}
  for name in (wanted or ''):gmatch('%S+') do
    if t[name] then list[#list + 1] = {name, t[name]} end
  end
  if wanted then return list end
  for name, value in pairs(t) do
    if type(value) == 'function' and type(name) == 'string' and not name:find('^_') then
      local path, line = docs.of(value).source:match('^(.*):(%d+)$')
      list[#list + 1] = {name, value, ('%s %06d'):format(path, line)}
    end
  end
  table.sort(list, function(a, b) return a[3] < b[3] end)
  return list
end

local function add_fields(out, title, file, class)
  local list = docs.fields('lua/tinykg/' .. file .. '.lua', class)
  if #list == 0 then return end
  out[#out + 1] = title .. ':\n'
  for _, f in ipairs(list) do out[#out + 1] = item(code(f.name), f.type, f.text, f.optional) end
  out[#out + 1] = ''
end

local function section_text(s)
  local out, list = {'### ' .. s[1], ''}, functions_of(s[3], s[4])
  if s.about then out[#out + 1] = prose(s.about) .. '\n' end
  if not s[4] and s[2]:find('^tk%.') then
    local path = docs.of(list[#list][2]).source:match('^(.*):') -- not what it takes from others
    out[#out + 1] = prose(docs.of_file(path) or '') .. '\n'
  end
  if s.fields then add_fields(out, 'Fields', unpack(s.fields)) end
  for _, f in ipairs(list) do out[#out + 1] = function_text(s[2], f[1], f[2]) end
  for i = 2, s.classes and #s.classes or 0 do
    add_fields(out, 'Fields of ' .. s.classes[i], s.classes[1], s.classes[i])
  end
  return table.concat(out, '\n')
end

--- The names that changed, as a table.
local function renamed_text()
  local out = {'### Renamed\n', prose(docs.of_file('lua/tinykg/base/arguments/renamed.lua')),
               '\n| old | new |\n|---|---|'}
  for _, pair in ipairs(renamed.names) do
    out[#out + 1] = ('| %s | %s |'):format(code(pair[1]), code(pair[2]))
  end
  return table.concat(out, '\n') .. '\n'
end

local function reference()
  add_the_rest(SECTIONS)
  local contents, parts = {}, {}
  for _, s in ipairs(SECTIONS) do
    if #functions_of(s[3], s[4]) > 0 then
      local anchor = s[1]:lower():gsub('[^%w ]', ''):gsub(' ', '-')
      contents[#contents + 1] = ('[%s](#%s)'):format(s[1], anchor)
      parts[#parts + 1] = section_text(s)
    end
  end
  contents[#contents + 1] = '[Renamed](#renamed)'
  parts[#parts + 1] = renamed_text()
  return '\n' .. table.concat(contents, ' |\n') .. '\n\n' .. table.concat(parts, '\n')
end

-- ---- the page ----

local file = assert(io.open(PAGE))
local page = file:read('*a')
file:close()
local head = page:match('^(.-' .. MARKER:gsub('%p', '%%%0') .. ')')
if not head then error(PAGE .. ': its marker is gone: ' .. MARKER, 0) end
local made = head .. reference()
if arg[1] == '--check' then
  if made ~= page then error(PAGE .. ' is not what the sources say: make docs', 0) end
else
  assert(require('tinykg.base.atomic_file').write(PAGE, made))
end
