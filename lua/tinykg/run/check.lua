--- Checks that the files of a run's folder are whole and fit each other and their data set, without
-- running the recipe's code.
local lfs = require 'lfs'
local checkpoint = require 'tinykg.run.folder.checkpoint'
local count = require('tinykg.base.format').count
local data_set = require 'tinykg.run.data_set'
local folder = require 'tinykg.run.folder'
local json_checksum = require 'tinykg.run.folder.json_checksum'
local modules = require 'tinykg.run.folder.modules'
local names = require 'tinykg.run.folder.names'
local per_user = require 'tinykg.run.folder.per_user'
local restore = require 'tinykg.data.restore'
local schema = require 'tinykg.run.folder.schema'
local sha256 = require 'tinykg.engine.sha256'
local store = require 'tinykg.store'

---@class Finding
---@field name string a file, or 'data set'
---@field wrong boolean
---@field text string what the file holds, or what is wrong

local function wrong(...) error(string.format(...), 0) end

--- A message without the path of the file, whose name is printed beside it.
local function without_path(path, name, message)
  local prefix = path .. '/' .. name .. ': '
  return message:sub(1, #prefix) == prefix and message:sub(#prefix + 1) or message
end

local function shape_of(t) return t:dtype() .. ' [' .. table.concat(t:size(), ', ') .. ']' end

--- Shapes as texts, by parameter name, and their number. Frees the tensors.
local function shapes_of(tensors, prefix)
  local shapes, n = {}, 0
  for name, t in pairs(tensors) do
    if name:sub(1, #prefix) == prefix then
      shapes[name:sub(#prefix + 1)], n = shape_of(t), n + 1
    end
    t:free()
  end
  return shapes, n
end

--- Compares shapes with those of the file that was checked before.
local function check_shapes(self, shapes, what)
  for name, shape in pairs(shapes) do
    local other = self.shapes and self.shapes[name]
    if self.shapes and other ~= shape then
      wrong('%s is %s, but %s in %s', name, shape, other or 'not there', self.shapes_of)
    end
  end
  self.shapes, self.shapes_of = self.shapes or shapes, self.shapes_of or what
end

local function sums_text(checked)
  return checked and 'checksums right' or 'no checksums: of an older version'
end

-- ---- one check per file: returns the text of the finding, or raises what is wrong ----

local checks = {}

checks['config.json'] = function(self)
  return ('%s on %s, seed %.0f'):format(self.config.recipe, self.config.data, self.config.seed)
end

checks['recipe.lua'] = function(self)
  local text = folder.text(self.path, 'recipe.lua')
  local chunk, message = loadstring(text, '=recipe.lua', 't') -- text only, no bytecode
  if not chunk then wrong('%s', message) end
  local hash = self.config.recipe_sha256
  if hash and hash ~= sha256(text) then wrong('not the recipe that the run began with') end
  local module = modules.changed(self.config.modules, self.config.recipe_file)
  if module then wrong('%s, which it reads, has changed since', module) end
  return hash and 'as it was when the run began' or 'Lua'
end

checks['names.tsv'] = function(self)
  local was = self.config.data_set
  if not was then wrong('config.json has no hash of it') end
  names.read(self.path, self.config)
  return table.concat({count(was.users, 'user'), count(was.items, 'item'),
    count(was.entities, 'entity', 'entities'), count(was.relations, 'relation')}, ', ')
end

checks['split.bin'] = function(self)
  local was, text = self.config.data_set, folder.text(self.path, 'split.bin')
  local n = was and was.train + was.valid + was.test
  if n and #text ~= math.ceil(n / 4) then
    wrong('%s, expected %d for %s', count(#text, 'byte'), math.ceil(n / 4),
          count(n, 'interaction'))
  end
  return 'of ' .. (n and count(n, 'interaction') or '? interactions')
end

checks['log.jsonl'] = function(self)
  local n, last = 0, 0
  local text = folder.text(self.path, 'log.jsonl')
  for line, ending in text:gmatch('([^\n]+)(\n?)') do
    local record = json_checksum.line(line, ending ~= '', 'line ' .. n + 1)
    if record or ending ~= '' then
      n = n + 1
      if type(record) ~= 'table' or type(record.epoch) ~= 'number' or record.epoch <= last then
        wrong('line %d: not an epoch behind epoch %d', n, last)
      end
      last = record.epoch
    end
  end
  self.logged = last
  return count(n, 'epoch') .. (text:find('[^\n]$') and '; its last line is cut off' or '')
end

--- The mean over users, and of how many.
local function mean_of(values)
  local n, sum = 0, 0
  for _, value in pairs(values) do n, sum = n + 1, sum + value end
  return sum / n, n
end

checks['per_user.tsv'] = function(self)
  local values, why = per_user.read(self.path)
  if not values then wrong('%s', why) end
  local n = 0
  self.means = {}
  for name, of_users in pairs(values) do self.means[name], n = mean_of(of_users) end
  return 'test metrics of ' .. count(n, 'user')
end

--- Compares the metrics of a summary with the means of per_user.tsv, if that was checked.
local function check_means(self, test)
  for name, mean in pairs(self.means or {}) do
    local value = type(test) == 'table' and test[name]
    local same = type(value) == 'number' and math.abs(value - mean) < 1e-6 -- of nine digits
    if mean == mean and not same then -- without users it is NaN
      wrong('its test %s is %s, the mean in per_user.tsv is %.9g', name,
            type(value) == 'number' and ('%.9g'):format(value) or 'not there', mean)
    end
  end
end

checks['best.safetensors'] = function(self)
  local all, metadata, checked = store.read(self.path .. '/best.safetensors')
  if not all then wrong('%s', metadata) end
  local shapes, n = shapes_of(all, '')
  check_shapes(self, shapes, 'best.safetensors')
  if metadata.recipe ~= self.config.recipe then
    wrong('of recipe %s, the run is of %s', tostring(metadata.recipe), self.config.recipe)
  end
  self.best_epoch = tonumber(metadata.epoch)
  if not self.best_epoch then wrong('it does not say of which epoch it is: no run wrote it') end
  return ('%s of epoch %s, %s'):format(count(n, 'parameter'), tostring(metadata.epoch),
                                       sums_text(checked))
end

local function check_checkpoint(self, name)
  local all, state, checked = checkpoint.load(self.path .. '/' .. name)
  if not all then wrong('%s', state) end
  check_shapes(self, (shapes_of(all, 'model.')), name)
  return ('in epoch %d, %s'):format(state.at.epoch, sums_text(checked))
end

for _, name in ipairs{'last.safetensors', 'last-1.safetensors'} do
  checks[name] = function(self) return check_checkpoint(self, name) end
end

checks['kept.json'] = function(self)
  return count(#folder.read(self.path, 'kept.json').phases, 'phase')
end

local PROFILE = {device = 'string', threads = 'count', seconds = 'number', runs = 'count',
                 in_runs = 'number', copy = 'number?', flops = 'number?', ways = 'table?',
                 ops = {each = {op = 'string', calls = 'count', seconds = 'number',
                                bytes = 'number', flops = 'number'}}}
local TRACE = {traceEvents = {each = {name = 'string', ph = 'string', ts = 'number',
                                      dur = 'number'}}}

--- The value of a JSON file that has no schema of its own in the folder.
local function read_as(self, name, expected)
  local value = folder.read(self.path, name)
  local why = schema.mismatch(value, expected)
  if why then wrong('not as a run writes it: %s', why) end
  return value
end

checks['profile.json'] = function(self)
  local profile = read_as(self, 'profile.json', PROFILE)
  return ('%s on %s'):format(count(#profile.ops, 'op'), profile.device)
end

checks['trace.json'] = function(self)
  return count(#read_as(self, 'trace.json', TRACE).traceEvents, 'event')
end

checks['summary.json'] = function(self)
  local summary = folder.read(self.path, 'summary.json')
  if summary.recipe ~= self.config.recipe then
    wrong('of recipe %s, the run is of %s', summary.recipe, self.config.recipe)
  elseif self.best_epoch and summary.best_epoch ~= self.best_epoch then
    wrong('its best epoch is %d, best.safetensors is of epoch %d', summary.best_epoch,
          self.best_epoch)
  elseif self.logged and summary.epochs ~= self.logged then
    wrong('of %s, log.jsonl has %d', count(summary.epochs, 'epoch'), self.logged)
  end
  check_means(self, summary.test)
  return ('finished after %s, the best is %d'):format(count(summary.epochs, 'epoch'),
                                                       summary.best_epoch)
end

for _, name in ipairs(folder.FILES) do
  assert(checks[name], name .. ': a file of a run without a check')
end

local function check_data(self, dir)
  local found, note = data_set.unchanged(self.path, self.config, dir)
  local codes = folder.text(self.path, 'split.bin')
  if codes and codes ~= restore.split_of(found) then wrong('split.bin: another split') end
  return note and without_path(self.path, '', note) or 'as it was'
end

-- ---- all files ----

--- Findings about files that are missing, given those that are there.
local function missing(self)
  local function has(name) return folder.has(self.path, name) end
  local list = {}
  local function need(name, why)
    if not has(name) then
      list[#list + 1] = {name = name, wrong = true, text = 'is not there' .. (why or '')}
    end
  end
  if self.config.data_set then -- older versions had no names, and wrote config.json first
    need('recipe.lua')
    need('names.tsv')
    need('split.bin')
  end
  if has('last.safetensors') then need('log.jsonl') end
  if has('summary.json') then
    for _, name in ipairs{'best.safetensors', 'last.safetensors', 'kept.json'} do
      need(name, ', though the run is finished')
    end
  elseif has('last-1.safetensors') then
    need('last.safetensors', ', though the one before it is')
  end
  return list
end

--- Checks all files of a run. Raises one line for a folder without a config.json that can be read.
---@param path string ---@param o {data: string?, no_data: boolean?, progress: fun(name: string)?}
---@return Finding[] list, integer bad how many are wrong
return function(path, o)
  local self, list, bad = {path = path, config = folder.config(path)}, {}, 0
  local function add(name, check, ...)
    if o.progress then o.progress(name) end
    local ok, text = pcall(check, ...)
    if not ok and type(text) ~= 'string' then error(text, 0) end
    bad = bad + (ok and 0 or 1)
    text = ok and 'ok: ' .. text or without_path(path, name, text)
    list[#list + 1] = {name = name, wrong = not ok, text = text}
  end
  -- config.json is last in FILES, and first here: the other checks read it.
  for _, name in ipairs{'config.json', unpack(folder.FILES, 1, #folder.FILES - 1)} do
    if folder.has(path, name) then
      add(name, checks[name], self)
    elseif lfs.symlinkattributes(path .. '/' .. name, 'mode') then
      add(name, wrong, 'not a plain file')
    end
  end
  for _, finding in ipairs(missing(self)) do
    list[#list + 1], bad = finding, bad + 1
  end
  if not o.no_data then add('data set', check_data, self, o.data) end
  return list, bad
end
