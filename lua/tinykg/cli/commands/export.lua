--- tinykg export: writes the parameters of a run, or the vectors that it scores by, for other
--- programs.
local format = require 'tinykg.base.format'
local must = require 'tinykg.base.must'
local options = require 'tinykg.cli.options'
local run_args = require 'tinykg.cli.run_args'

local HELP = [[
Writes the parameters of a run for other programs. These were learned; most models compute the
vectors that they score by from them and the graph: --vectors writes those, if the score is the dot
product of a user's and an item's. The ending of FILE selects the format:
  .safetensors, .npz   tensors by name: safetensors.numpy.load_file, numpy.load
  .tsv                 a table: tensor, kind, row, name, v1, v2, ...; a line is a row of a
                       parameter. Rows of users, items, entities and relations have the data
                       set's names if the parameter's name and size tell what they are.
  .txt, .vec           word2vec's text, of vectors of users or items: names, a blank as _
Vectors have names in .npz (arrays user_names, item_names) and .safetensors (metadata, as JSON) too.
pandas.read_csv(FILE, sep='\t') and R's read.delim(FILE) read it.]]

local function parser()
  local p = options.parser('tinykg export', HELP,
                           "tinykg export RUN --to users.tsv --only 'users.*'")
  p:argument('run', 'the folder of a run')
  p:option('--to', 'the file to write'):argname('FILE'):count(1)
  p:option('--which', "parameters of the best epoch, or the last ones", 'best')
    :choices{'best', 'last'}
  p:option('--only', 'parameters whose names fit, as users.*; repeatable'):count('*')
    :argname('PATTERN')
  p:option('--vectors', 'the final vectors of users, items or both, in place of parameters: a ' ..
           "score is the dot product of a user's and an item's"):choices{'users', 'items', 'both'}
  p:option('--data', 'where the data set is now, if it has moved: for --vectors, and for runs ' ..
           'of older versions, which lack its names'):argname('DIR')
  p:flag('--no-names', 'row numbers only')
  options.add_trust(p)
  options.add_engine(p)
  return p
end

local ENDINGS = {safetensors = true, npz = true, tsv = true}
local WORDS = {txt = true, vec = true}

--- Refuses a file whose ending stands for no format, and word2vec's for more than one table.
local function ending_of(a)
  local ending = (options.output(a.to, '--to'):match('%.(%w+)$') or ''):lower()
  if ENDINGS[ending] or a.vectors and WORDS[ending] and a.vectors ~= 'both' then return ending end
  options.usage('--to: %s: the file must end in .safetensors, .npz or .tsv%s', a.to,
                WORDS[ending] and ' (word2vec: --vectors users, or items)' or '')
end

--- Refuses what only names of rows need where none are written.
local function check_names(a, ending)
  if ending ~= 'tsv' and (a.data or a.no_names) then
    options.usage('%s: of parameters only a .tsv has names', a.data and '--data' or '--no-names')
  elseif a.data and a.no_names then
    options.usage('--data, --no-names: take one')
  end
end

--- Writes the vectors by which a run scores.
local function write_vectors(a)
  if a.which ~= 'best' then options.usage('--which: --vectors are those of the best epoch') end
  if #a.only > 0 or a.no_names then
    options.usage('--only, --no-names: they are for parameters, not for --vectors')
  end
  local vectors = require 'tinykg.query.export.vectors'
  run_args.set_engine(a)
  local run = run_args.open(a.run, a)
  local all = vectors.of(run)
  local kinds = a.vectors == 'both' and {'users', 'items'} or {a.vectors}
  run_args.note(vectors.write(run, a.to, kinds, all))
  for _, kind in ipairs(kinds) do
    print(('written: %s (%s of %s: %s)'):format(a.to, kind, run.recipe.name,
                                                table.concat(all[kind]:size(), ' x ')))
  end
end

--- Counts and names for run.folder.row_names, as the run noted them. A run of an older version did
--- not: then the data set itself, which may have changed.
local function named(path, a, config)
  if a.no_names then return nil end
  local all = require('tinykg.run.folder.names').read(path, config)
  if all then
    if a.data then
      run_args.note(('--data is not read: %s has the names of its data set'):format(path))
    end
    local was = config.data_set
    return {users = was.users, items = was.items, entities = was.entities,
            relations = was.relations, names = all}
  end
  local ok, data, note = pcall(require('tinykg.run.data_set').unchanged, path, config, a.data)
  if not ok then
    error(data .. ' (--data DIR says where the data set is, --no-names does without)', 0)
  end
  run_args.note(note)
  return data
end

local function write_tsv(path, a, config, order, tensors)
  local data = named(path, a, config)
  require('tinykg.base.progress').during(function(update)
    require('tinykg.query.export.tsv').write(a.to, order, tensors, data, function(done, total)
      update(function() return ('%s: row %d of %d'):format(a.to, done, total) end)
    end)
  end)
end

local function write_tensors(a, ending, order, tensors, metadata)
  local chosen = {}
  for _, name in ipairs(order) do chosen[name] = tensors[name] end
  local about = {recipe = metadata.recipe, epoch = metadata.epoch}
  must(require('tinykg.store').write(a.to, chosen, ending == 'safetensors' and about or nil))
end

return function(...)
  local a = options.parse(parser(), ...)
  local ending = ending_of(a)
  if a.vectors then return write_vectors(a) end
  check_names(a, ending)
  local export, path = require 'tinykg.query.export', a.run:gsub('(.)/+$', '%1')
  run_args.set_engine(a)
  local config = require('tinykg.run.folder').config(path)
  local tensors, metadata = export.read(path, a.which)
  local order = export.select(tensors, a.only)
  if ending == 'tsv' then write_tsv(path, a, config, order, tensors)
  else write_tensors(a, ending, order, tensors, metadata) end
  print(('written: %s (%s of %s)'):format(a.to, format.count(#order, 'parameter'), config.recipe))
  print('note: these are the parameters that were learned. Most models score by vectors computed '
        .. 'from them and the graph: products of these rank otherwise than tinykg recommend; '
        .. '--vectors writes those')
end
