--- Data sets: interactions of users with items, and a knowledge graph whose first entities are the
-- items. `data.load` reads every format of the README into the same shape.
--
-- Each format (formats/NAME.lua) has name, looked_for, score(dir) and load(dir, options), which
-- returns { users, items, entities, relations (counts), names, graph = { n, heads, relations,
-- tails }, notes, warnings, and either `all` (rows to be split; `read` to name their lines) or
-- train, test [, valid]; split, ratios, task, threshold where the format has its own defaults }.

local arguments = require 'tinykg.base.arguments'
local tables = require 'tinykg.base.tables'
local choose = require 'tinykg.data.formats'
local controls = require 'tinykg.data.controls'
local arrays = require 'tinykg.engine.arrays'
local cache = require 'tinykg.data.cache'
local check_format = require 'tinykg.data.options.of_format'
local clock = require 'tinykg.base.clock'
local add_warnings = require 'tinykg.data.warnings'
local features = require 'tinykg.data.features'
local files = require 'tinykg.data.formats.files'
local filter = require 'tinykg.data.filter'
local info = require 'tinykg.data.info'
local negatives = require 'tinykg.data.negatives'
local option_list = require 'tinykg.data.options'
local order = require 'tinykg.data.order'
local format = require 'tinykg.base.format'
local must = require 'tinykg.base.must'
local progress = require 'tinykg.base.progress'
local rows = require 'tinykg.data.rows'
local show = require 'tinykg.data.look.show'
local source_line = require 'tinykg.base.source_line'
local split = require 'tinykg.data.split'

local data = {}

local function fail(message, ...) error(source_line.message(message:format(...)), 0) end

---@class tinykg.Data
---@field format string 'kgat', 'kgcn', 'recbole' or 'plain'
---@field name string
---@field task string 'ctr' for labelled data, else 'ranking'
---@field users number
---@field items number
---@field entities number items included: item i is entity i
---@field relations number
---@field train table { n, users, items [, labels, ratings, times, weights] }, 0-based ids
---@field valid table
---@field test table
---@field graph table { n, heads, relations, tails [, weights], nodes, relation_count }
---@field names table users, items, entities, relations: each answers :name(id) and :id(name)
---@field split string how the split was made
---@field drawn boolean? of labelled data: rows with label 0 were drawn, and are no user's word
---@field cached string whether the set came from the cache (tinykg.data.cache), or was kept in it
---@field features Tensor? f32 [items, columns], of features.npy, .npz or .safetensors in the folder
---  (tinykg.data.features), made when it is first asked for
local Data = {}
function Data:__index(key) return key == 'features' and features.tensor(self) or Data[key] end
Data.__methods = Data
Data.__fields = { 'cached', 'drawn', 'dropped', 'entities', 'features', 'format', 'graph', 'items',
  'name', 'names', 'notes', 'relations', 'split', 'task', 'test', 'train', 'users', 'valid',
  'warnings' }

local defaults = { ratios = { 0.8, 0.1, 0.1 }, valid_ratio = 0.1, seed = 0 }

---------------------------------------------------------------------------------------------------
-- The steps of loading. `raw` is what a format's load returned; each step changes it.

local function warn(raw, text, ...) raw.warnings[#raw.warnings + 1] = text:format(...) end

local function check_labels(raw)
  local all = raw.all
  if not all or not all.labels then return end
  for i = 0, all.n - 1 do
    if all.labels[i] ~= 0 and all.labels[i] ~= 1 then
      error(("%s: '%g' is not a label (0 or 1)"):format(raw.read:where(i), all.labels[i]), 0)
    end
  end
end

-- Counts interactions of a part that are in another too, with a warning.
local function count_overlap(raw, n, part, other)
  raw.dropped.overlap = raw.dropped.overlap + n
  if n > 0 then
    warn(raw, '%d %s interactions are in %s too: dropped from %s', n, part, other, part)
  end
end

-- Removes repeated pairs: of several rows the latest stays. Where rows have parts, a pair stays in
-- the part where it is first.
local function drop_repeats(raw)
  local dropped, contradictions = raw.dropped, 0
  for _, name in ipairs { 'all', 'train', 'valid', 'test' } do
    if raw[name] then
      local gone, against, overlaps
      raw[name], gone, against, overlaps = rows.distinct(raw[name], raw.users)
      contradictions = contradictions + against
      for key = 0, 8 do
        local n = overlaps[key] or 0
        gone = gone - n
        count_overlap(raw, n, split.parts[math.floor(key / 3) + 1], split.parts[key % 3 + 1])
      end
      dropped.duplicates = dropped.duplicates + gone
    end
  end
  if contradictions > 0 then
    warn(raw, '%s label 1 and label 0: the latest counts',
         contradictions == 1 and '1 interaction has' or contradictions .. ' interactions have')
  end
  local graph, n = raw.graph, raw.graph.n
  graph.n = arrays.unique_triples(n, graph.heads, graph.relations, graph.tails, graph.weights)
  dropped.triples = n - graph.n
end

-- The rows of `part` that `other` does not have.
local function without(part, other, users)
  local csr = rows.csr(other, users)
  local kept, gone = rows.filter(part, function(i)
    return not csr:contains(part.users[i], part.items[i])
  end)
  csr:free()
  return kept, gone
end

-- Removes from given parts the pairs of earlier ones.
local function drop_overlaps(raw)
  if not raw.train then return end
  if raw.valid then raw.train = without(raw.train, raw.valid, raw.users) end
  local seen = raw.valid and rows.concat { raw.train, raw.valid } or raw.train
  local gone
  raw.test, gone = without(raw.test, seen, raw.users)
  count_overlap(raw, gone, 'test', 'train')
end

-- Replaces the parts by apply(list of parts), which returns as many.
local function each_part(raw, apply)
  local list, where = {}, {}
  for _, name in ipairs { 'all', 'train', 'valid', 'test' } do
    if raw[name] then
      list[#list + 1], where[#where + 1] = raw[name], name
    end
  end
  for i, part in ipairs(apply(list)) do raw[where[i]] = part end
end

-- Removes low ratings before repeated pairs, whatever their order.
local function apply_threshold(raw, options)
  -- A low rating is no positive, but not to be sampled as a negative either.
  raw.watched = raw.all and not raw.all.labels and raw.all
  local threshold = options.rating_threshold or raw.threshold
  if threshold then
    if not raw.all then error('rating_threshold: the interactions have no ratings', 0) end
    raw.all, raw.dropped.ratings = filter.threshold(raw.all, threshold)
    raw.notes[#raw.notes + 1] = ('%s below %g dropped'):format(
      format.count(raw.dropped.ratings, 'rating'), threshold)
  end
end

local function apply_filters(raw, options)
  if options.task == 'ranking' and raw.all then raw.all = rows.positives(raw.all) end
  local core = options.kcore
  if not core or core == 0 then return end
  local user_core, item_core = core, core
  if type(core) == 'table' then user_core, item_core = core.user or 0, core.item or 0 end
  each_part(raw, function(parts)
    local gone
    parts, gone = filter.kcore(raw, parts, user_core, item_core)
    raw.notes[#raw.notes + 1] = ('k-core: %d users, %d items and %d interactions dropped'):format(
      gone.users, gone.items, gone.interactions)
    raw.dropped.kcore = gone
    return parts
  end)
  raw.watched = nil -- numbered anew; what is left is what was watched
end

local function add_negatives(raw, seed)
  local missing, bare
  each_part(raw, function(parts)
    bare = parts[1].ratings or parts[1].times
    local watched = rows.csr(raw.watched or rows.concat(parts), raw.users):unique()
    parts, missing = negatives.add(parts, watched, raw.items, seed)
    return parts
  end)
  raw.drawn = true
  raw.notes[#raw.notes + 1] = 'negatives drawn: as many items not watched as watched, per user'
  if bare then raw.notes[#raw.notes + 1] = 'ratings and times left out: negatives have none' end
  if missing > 0 then
    warn(raw, '%d negatives fewer than positives: some users watched most items', missing)
  end
end

-- Forgets the split that came with the rows where options have another.
local function choose_parts(raw, options)
  local all = raw.all
  if not all or not all.parts then return end
  if options.split or options.ratios then
    all.parts = nil
    return
  end
  -- A ratio says that validation is to be split off, even if the rows have one.
  for i = 0, options.valid_ratio and all.n - 1 or -1 do
    if all.parts[i] == 1 then all.parts[i] = 0 end
  end
end

-- Takes the split that came with the rows.
local function take_parts(raw)
  local all = raw.all
  if not all or not all.parts then return end
  raw.train, raw.valid, raw.test = split.given(all)
  if raw.valid.n == 0 then raw.valid = nil end
  if raw.train.n == 0 then error('no interactions are for training', 0) end
  raw.all, raw.split_name = nil, 'given'
end

-- Says which options removed all interactions.
local function none_left(raw, options)
  local dropped, went = raw.dropped, {}
  local function say(...) went[#went + 1] = string.format(...) end
  if dropped.ratings > 0 then
    say('%d have a rating below %g', dropped.ratings, options.rating_threshold or raw.threshold)
  end
  if dropped.duplicates > 0 then say('%d are repeated', dropped.duplicates) end
  if dropped.kcore then
    say('kcore=%s drops %d', option_list.shown(options.kcore), dropped.kcore.interactions)
  end
  error('no interactions are left to split' .. (#went > 0 and ': ' or '')
    .. table.concat(went, ', '), 0)
end

local function make_split(raw, options)
  local left = raw.all or raw.dropped.kcore and raw.train
  if left and left.n == 0 then none_left(raw, options) end
  if raw.all then
    if options.valid_ratio then
      error('option valid_ratio: it is for sets with train and test of their own; here '
        .. 'ratios=0.8:0.1:0.1, say, is for all three parts', 0)
    end
    local method = options.split or raw.split
    local ratios = options.ratios or raw.ratios or defaults.ratios
    raw.train, raw.valid, raw.test, raw.split_name = split.apply(raw.all, raw.users, method,
      ratios, raw.seed, options.at)
    if not raw.split_name then
      raw.split_name = ('%s %g:%g:%g'):format(method, ratios[1], ratios[2], ratios[3])
    end
    return
  end
  if options.split or options.ratios then
    error('option split: the data set has its own train and test files', 0)
  end
  raw.split_name = raw.split_name or 'given files'
  local ratio = options.valid_ratio or defaults.valid_ratio
  if not raw.valid and ratio > 0 then
    raw.train, raw.valid = split.take_valid(raw.train, raw.users, ratio, raw.seed)
    raw.split_name = ('%s, %g %% of train for validation'):format(raw.split_name, 100 * ratio)
  end
end

local function assemble(raw, source, dir, task)
  local function part(rows_or_nil)
    local from = rows_or_nil or rows.none()
    return { n = from.n, users = from.users, items = from.items, labels = from.labels,
      ratings = from.ratings, times = from.times, weights = from.weights }
  end
  local graph = raw.graph
  return {
    format = source.name, name = raw.name or files.basename(dir), task = task,
    users = raw.users, items = raw.items, entities = raw.entities, relations = raw.relations,
    train = part(raw.train), valid = part(raw.valid), test = part(raw.test),
    graph = { n = graph.n, heads = graph.heads, relations = graph.relations, tails = graph.tails,
      weights = graph.weights, nodes = raw.entities, relation_count = raw.relations },
    names = raw.names, split = raw.split_name, dropped = raw.dropped, notes = raw.notes,
    warnings = raw.warnings, feature_rows = raw.feature_rows, drawn = raw.drawn,
  }
end

--- The format of the data set in a folder. Errors: none is found.
---@param dir string
---@return string
function data.format_of(dir) return (choose.of_folder(dir)).name end

-- Notes what weights are like. Errors: all are 0.
local function note_weights(raw)
  local function note(what, weights, n)
    local low, high, sum = math.huge, 0, 0
    for i = 0, weights and n - 1 or -1 do
      low, high, sum = math.min(low, weights[i]), math.max(high, weights[i]), sum + weights[i]
    end
    if not weights or n == 0 then return end
    if sum == 0 then error(('all weights of %s are 0'):format(what), 0) end
    raw.notes[#raw.notes + 1] = ('weights of %s: %.4g to %.4g, mean %.4g; they count as shares of '
      .. 'the mean'):format(what, low, high, sum / n)
  end
  note('interactions', raw.train.weights, raw.train.n)
  note('triples', raw.graph.weights, raw.graph.n)
end

local function build(dir, options)
  local source, warning = choose.of_folder(dir, options.format)
  check_format(source, options)
  local raw = source.load(dir, options)
  raw.warnings[#raw.warnings + 1] = warning
  raw.dropped = { duplicates = 0, triples = 0, overlap = 0, ratings = 0 }
  raw.seed = options.seed or defaults.seed
  check_labels(raw)
  choose_parts(raw, options)
  apply_threshold(raw, options)
  drop_repeats(raw)
  drop_overlaps(raw)
  apply_filters(raw, options)
  local labelled = raw.all and raw.all.labels
  local task = options.task or raw.task or (labelled and 'ctr' or 'ranking')
  local needs_negatives = task == 'ctr' and not labelled
  take_parts(raw)
  -- Negatives are added before the split; given parts get theirs after validation is split off.
  if needs_negatives and raw.all then add_negatives(raw, raw.seed) end
  make_split(raw, options)
  if needs_negatives and not raw.all then add_negatives(raw, raw.seed) end
  add_warnings(raw)
  controls.apply(raw, options.kg or 'given', raw.seed)
  order.apply(raw, options.order or 'given')
  raw.feature_rows = features.read(dir, raw)
  note_weights(raw)
  if raw.dropped.duplicates > 0 then
    warn(raw, '%s dropped', format.count(raw.dropped.duplicates, 'repeated interaction'))
  end
  if raw.dropped.triples > 0 then
    warn(raw, '%s dropped', format.count(raw.dropped.triples, 'repeated triple'))
  end
  return assemble(raw, source, dir, task)
end

local PATIENCE = 2 -- seconds of loading without a progress line

-- Loads a set with a progress line where it takes long.
local function build_watched(dir, options)
  local began = clock.now()
  return progress.during(function(update)
    arrays.watch(function(path, share)
      if clock.now() - began < PATIENCE then return end
      update(function()
        return ('loading %s: %d %% of %s'):format(dir, 100 * share, path:match('[^/]+$'))
      end)
    end)
    local ok, loaded = pcall(build, dir, options)
    arrays.watch(nil)
    return select(2, must(ok, loaded))
  end)
end

--- Loads the data set of a folder. Its files tell the format. Errors name the file, and the line if
-- there is one.
--
-- Options, as `--data-set name=value` on the command line. One that says nothing to the set, such
-- as `ids` where files have names, is an error:
--   format            'kgat', 'kgcn', 'recbole' or 'plain'
--   columns           of plain tables, {user = 'reader', item = 3}: by name, or by number from 1;
--                     also of RecBole's: 'weight' of interactions, which losses weigh them by, and
--                     'triple_weight', by which sums over the graph do. Weights of repeated rows
--                     add up
--   attributes        {'author', 'genre'}: columns of items.csv (or X.item of RecBole) that become
--                     relations of the graph; several values are separated by | or ;
--   ids               'given' or 'compact': whether ids with gaps are renumbered (kgat, kgcn); by
--                     default they are if fewer than one in a thousand is used
--   rating_threshold  lower ratings are removed; then, of several rows of a user and an item, the
--                     latest counts (by time, else the last in the file)
--   task              'ranking' takes only the positives of labelled data, 'ctr' samples a negative
--                     for each positive of other data
--   kcore             n, or {user =, item =}: users and items with fewer positives are removed,
--                     until none is left
--   split             'ratio' (of each user's), 'ratio_global', 'leave_one_out', 'time' (each
--                     user's last) or 'time_global', for sets without a given split, or instead
--                     of the one that plain and RecBole files may name
--   at                '2024-01-31': with split 'time', test is what is of that day or later, and
--                     validation the last of the rest; of two dates the first is that of validation
--   ratios            {0.8, 0.1, 0.1}: train, valid, test
--   valid_ratio       of train for validation if train and test are given: 0.1
--   kg                'none' leaves the triples out, 'shuffled' shuffles their tails: controls of
--                     whether the graph helps
--   order             'given'; 'bfs': ids breadth first from the most connected, so that rows of
--                     neighbours lie near each other; or 'degree': ids by falling degree. Sums over
--                     kgat-last-fm's graph take .87 of the time with 'bfs', as long with 'degree',
--                     1.1 with random ids. Other ids draw other random numbers, so results move as
--                     with another seed
--   seed              of all random numbers here: 0
--   cache             'auto': what took long to load is kept in ~/.cache/tinykg for the next time,
--                     while its files and options are the same; 'on', 'off' (TINYKG_CACHE=off does
--                     it too; TINYKG_CACHE=FOLDER keeps it elsewhere)
---@param dir string
---@param options table?
---@return tinykg.Data
function data.load(dir, options)
  if type(dir) ~= 'string' then
    fail('data.load: the folder is a %s, expected a string', type(dir))
  end
  options = options or {}
  if type(options) ~= 'table' then
    fail("data.load: expected options such as {seed = 1}, got a %s", type(options))
  end
  option_list.check(options)
  if options.at then options = tables.merged({ split = 'time' }, options) end
  local loaded = cache.load(dir, options, function() return build_watched(dir, options) end)
  show.attach(loaded)
  return setmetatable(loaded, Data)
end

---------------------------------------------------------------------------------------------------

--- Counts, density, degrees, removed rows, warnings. tostring() of it is a summary.
---@return table
function Data:info() return info.of(self) end

--- Lets commands print a line on this data set where they begin, once: what a recipe does without.
---@param text string
function Data:warn(text)
  for _, warning in ipairs(self.warnings) do if warning == text then return end end
  table.insert(self.warnings, text)
end

for name, method in pairs(show.methods) do Data[name] = method end

--- The positives of train, by user: { n, rows = users, offsets, items }.
---@return tinykg.Csr
function Data:known()
  if not self.known_csr then
    self.known_csr = rows.csr(rows.positives(self.train), self.users)
  end
  return self.known_csr
end

--- The positives of any part, by user.
---@param part string 'train', 'valid' or 'test'
---@return tinykg.Csr
function Data:positives(part)
  if part == 'train' then return self:known() end
  if part ~= 'valid' and part ~= 'test' then
    fail("positives: part '%s': train, valid or test", tostring(part))
  end
  if not self[part] then fail('positives: there is no %s', part) end
  return rows.csr(rows.positives(self[part]), self.users)
end

--- An iterator over one epoch of batches of a part, as tensors: { n, users, items [, labels] [,
-- negatives] }. negatives = k samples k items per row that its user does not know (of labelled rows
-- then only positives count). The next batch refills the tensors. Other options: size (1024),
-- shuffle (true), seed, epoch, split ('train'), drop_last, draw ('interactions': each once;
-- 'resampled': the user of each once; 'users' sampled with replacement, or 'distinct_users', none
-- twice in a batch: these with any one of the user's positives).
---@param options table?
---@return fun(): table?
---@return number count
function Data:batches(options)
  if options ~= nil and type(options) ~= 'table' then
    fail('batches: expected options such as {size = 1024}, got a %s', type(options))
  end
  local given = tables.merged(options)
  local name = given.split or 'train'
  if name ~= 'train' and name ~= 'valid' and name ~= 'test' then
    fail("batches: split '%s': train, valid or test", tostring(name))
  end
  local loader = require 'tinykg.data.loader' -- needs the engine, which loading does not
  local function named(iterate, count) return show.named_batches(iterate, self.names), count end
  local k = given.negatives
  if not k then return named(loader.batches(self[name], given)) end
  if type(k) ~= 'number' or k < 1 or k % 1 ~= 0 then
    fail('batches: negatives %s: a positive integer', tostring(k))
  end
  given.task = 'ranking'
  return named(loader.batches(self[name], given,
                              loader.sampler(self, given.negatives, given.sampling)))
end

arguments.class(Data, 'tinykg.Data', 'a data set')

function Data:__tostring()
  local count = format.count
  return ('data %s (%s): %s, %s, %s, %s, %s'):format(
    format.line(self.name), self.format, count(self.users, 'user'), count(self.items, 'item'),
    count(self.entities, 'entity', 'entities'), count(self.relations, 'relation'),
    count(self.graph.n, 'triple'))
end

return data
