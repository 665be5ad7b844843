--- Recipes: a model, its options with defaults and help, presets of published settings.
local arguments = require 'tinykg.base.arguments'
local close_word = require 'tinykg.base.arguments.close_word'
local tables = require 'tinykg.base.tables'
local terminal = require 'tinykg.base.terminal'
local optim = require 'tinykg.engine.optim'
local runtime = require 'tinykg.engine.runtime'
local sample = require 'tinykg.train.sample_ranking'
local statistics = require 'tinykg.train.statistics'

---@class Recipe
---@field name string
---@field source string the paper and code that the defaults come from
---@field options table list of {name, default, help, choices}
---@field own table<string, boolean> names of the options that the recipe lists itself
---@field presets table<string, table> published settings by name
---@field optimizer fun(options): Optimizer
---@field metrics table<string, fun(model, data, part): number> its own, by name
---@field build fun(data, options): Module a model: loss(batch), score(users, items) [, rank(users)]
local Recipe = {}
Recipe.__index = Recipe

--- Options that every recipe has. Its own come first and may give these other defaults.
local COMMON = {
  {'lr', 0.001, 'learning rate'},
  {'schedule', 'constant', 'of lr; cosine: to 0 over all epochs',
   {'constant', 'cosine', 'exponential', 'plateau'}},
  {'decay', 0.95, 'factor of lr: exponential: after each epoch; plateau: after a plateau'},
  {'plateau', 3, 'how many validations in a row, none of them the best so far, are a plateau'},
  {'warmup', 0, 'epochs, or a part of one, in which lr grows from 0 step by step'},
  {'clip', 0, 'most that the norm of all gradients of a step may be; 0: any'},
  {'optimizer', 'adam', 'adamw: with weight_decay apart from gradients, not l2', {'adam', 'adamw'}},
  {'ema', 0, 'decay per step of an average of parameters, which is evaluated; 0: none'},
  {'frozen', '', 'parameters that stay as they are, by name: entities,relations'},
  {'lr_of', '', 'factors of lr for some parameters: entities:0.1,relations:2'},
  {'decay_of', '', 'their weight decay, in place of l2 and weight_decay: entities:0'},
  {'accumulate', 1, 'batches whose gradients are averaged before each update'},
  {'pretrained', '', 'vectors to begin with, by name: users:FILE,entities:FILE'},
  {'weight_decay', 0.01, 'adamw: parameters lose lr times this share at each step'},
  {'optimizer_bits', 32, "of Adam's moments; 8: a quarter of their memory", {32, 8}},
  {'optimizer_rowwise', false, "whether Adam has one second moment per row of a table"},
  {'optimizer_lazy', false, "whether rows that a batch does not read are left alone by Adam"},
  {'parameter_bits', 32, 'of tables; 16: half their memory, updates rounded at random', {32, 16}},
  {'sums_in_place', true, "less memory for sums over edges of a step; false: faster steps"},
  {'rank_bits', 32, 'of gradients between ranks of mpirun; 8: a quarter of their bytes', {32, 8}},
  {'l2', 0, 'weight of 1/2 |parameters|^2 in the loss (as weight decay)'},
  {'batch_size', 1024, 'interactions or users per step'},
  {'drop_last', false, "leave out an epoch's last batch if it is not full"},
  {'draw', 'interactions', 'each once per epoch, resampled: with any item of its user; or users',
   {'interactions', 'resampled', 'users', 'distinct_users'}},
  {'epochs', 20, 'passes over the training interactions, at most'},
  {'negatives', 1, 'items sampled for each positive, if the data has no labels'},
  {'negative_sampling', 'uniform', 'how they are sampled', {'uniform', 'popularity'}},
  {'eval_k', '10,20', 'lengths of the lists that are evaluated; early stopping looks at the last'},
  {'metric', 'auto', 'for early stopping: auc, or recall@20, ndcg@10, ...'},
  {'patience', 5, 'validations without improvement before training stops; 0 = never'},
  {'eval_every', 1, 'epochs from one validation to the next; the last is validated too'},
  {'eval_users', 0, 'users that are ranked, drawn by the seed; 0: all'},
  {'eval_negatives', 'full', 'items that are ranked: all, or 100 sampled for each one to be found',
   sample.CHOICES},
  {'exposure', false, 'whether coverage, gini, novelty and popularity of the lists are measured'},
  {'per_user', false, 'whether the test metrics of each user are written to per_user.tsv'},
}

local COMMON_BY_NAME = {}
for _, o in ipairs(COMMON) do COMMON_BY_NAME[o[1]] = o end

local function merge(own)
  local list, seen = {}, {}
  for _, group in ipairs{own, COMMON} do
    for _, o in ipairs(group) do
      local common = COMMON_BY_NAME[o[1]] or {}
      if not seen[o[1]] then
        list[#list + 1] = {name = o[1], default = o[2], help = o[3] or common[3],
                           choices = o[4] or common[4]}
        seen[o[1]] = true
      end
    end
  end
  return list
end

local FIELDS = {name = 'string', build = 'function', source = 'string', options = 'table',
                presets = 'table', l2 = 'string', optimizer = 'function or table',
                metrics = 'table'}

--- Checks metrics of a recipe's own. Errors: a name that is taken, or none, or what is no function.
local function check_metrics(r)
  for name, fn in pairs(r.metrics or {}) do
    if type(name) ~= 'string' or not name:match('^%a[%w_]*$') or not statistics.is_own(name) then
      runtime.fail("recipe %s: metrics: '%s' is not a name of letters, digits and _ that is free",
                   r.name, tostring(name))
    end
    if type(fn) ~= 'function' then
      runtime.fail('recipe %s: metrics: %s is a %s, expected a function', r.name, name, type(fn))
    end
  end
end

local function check_fields(r)
  if type(r.name) ~= 'string' then runtime.fail('recipe: it needs a name') end
  if not r.name:match('^%w[%w_.+-]*$') then -- folders are named after it
    runtime.fail("recipe: the name '%s' is not made of letters, digits and _ . + -", r.name)
  end
  runtime.fields('recipe ' .. r.name, r, 'name source options presets l2 optimizer metrics build',
                 FIELDS)
  if not r.build then runtime.fail('recipe %s: it needs a function build', r.name) end
  if r.l2 and r.l2 ~= 'in loss' then
    runtime.fail("recipe %s: l2 is '%s', expected 'in loss' or nothing", r.name, r.l2)
  end
  check_metrics(r)
end

--- A function of a recipe's options that makes its Adam. l2 is its weight decay unless the loss has
--- it; AdamW has the option weight_decay instead. Biases have none if there is an option l2_biases
--- and it is false.
local function adam(r)
  return function(o)
    local settings = tables.merged({
      lr = o.lr, bits = o.optimizer_bits, rowwise = o.optimizer_rowwise, lazy = o.optimizer_lazy,
      clip = o.clip,
    }, r.optimizer)
    local decoupled = o.optimizer == 'adamw'
    if decoupled or r.l2 ~= 'in loss' then
      settings.weight_decay = decoupled and o.weight_decay or rawget(o, 'l2')
      settings.decay_rank = rawget(o, 'l2_biases') == false and 2 or nil
    end
    return optim[o.optimizer](settings)
  end
end

local function is_option(o)
  if type(o) ~= 'table' or type(o[1]) ~= 'string' or o[2] == nil then return false end
  local has_help = type(o[3]) == 'string' or o[3] == nil and COMMON_BY_NAME[o[1]]
  return has_help and (o[4] == nil or type(o[4]) == 'table')
end

--- Errors: an option that is none or there twice, or whose default is none of its values.
local function check_options(r)
  local seen = {}
  for i, o in ipairs(r.options or {}) do
    if not is_option(o) then
      runtime.fail("recipe %s: option %d is not {'name', default, 'help'}", r.name, i)
    end
    if type(o[2]) == 'table' or type(o[2]) == 'function' then
      runtime.fail("recipe %s: option %s: its default is a %s, expected a number, true, false " ..
                   "or a text (of a list: '64,32', which tk.nn.sizes reads)", r.name, o[1],
                   type(o[2]))
    end
    if seen[o[1]] then runtime.fail('recipe %s: option %s is there twice', r.name, o[1]) end
    seen[o[1]] = true
    if o[4] and not tables.any(o[4], function(choice) return choice == o[2] end) then
      runtime.fail('recipe %s: option %s: its default, %s, is not among its values', r.name, o[1],
                   tostring(o[2]))
    end
  end
end

--- Checks and completes a recipe. Errors name its line. What a model has: recipes/README.md.
---
---   name       of letters and digits; folders are named after it
---   source     the paper, and the program that the defaults come from
---   options    a list of {'name', default, 'a line of help' [, all values that there are]}, or
---              {'name', default} of an option that all recipes have
---   presets    published settings: options by preset's name
---   build      fun(data, options): Module, the model
---   l2         'in loss' if the model's loss has it; else it is weight decay of the optimizer
---   optimizer  more options for its tk.optim.adam, or fun(options): Optimizer
---   metrics    its own, by name: fun(model, data, part): number, the higher the better
---@param r table
---@return Recipe
local function new_recipe(r)
  if type(r) ~= 'table' then runtime.fail('recipe: expected a table, got a %s', type(r)) end
  check_fields(r)
  check_options(r)
  local recipe = setmetatable({name = r.name, source = r.source or '', build = r.build,
                               presets = r.presets or {}, metrics = r.metrics or {}}, Recipe)
  recipe.optimizer = type(r.optimizer) == 'function' and r.optimizer or adam(r)
  recipe.options, recipe.own = merge(r.options or {}), {}
  for _, o in ipairs(r.options or {}) do recipe.own[o[1]] = true end
  for name, preset in pairs(recipe.presets) do
    local ok, message = pcall(recipe.complete, recipe, preset)
    if not ok then runtime.fail('recipe %s: preset %s: %s', r.name, name, message) end
  end
  return recipe
end

local function find(self, name)
  for _, o in ipairs(self.options) do
    if o.name == name then return o end
  end
end

local function names(self)
  return tables.map(self.options, function(o) return o.name end)
end

--- A value, or its text converted to the type of the option's default. Errors: another type.
local function convert(o, value)
  if type(o.default) == 'number' and tonumber(value) then
    local number = tonumber(value)
    if math.abs(number) < math.huge then return number end
    error(('option %s: %g is not a finite number'):format(o.name, number), 0)
  end
  if type(value) == type(o.default) then return value end
  if type(o.default) == 'boolean' and (value == 'true' or value == 'false') then
    return value == 'true'
  end
  local kind = type(o.default) == 'boolean' and 'true or false' or 'a ' .. type(o.default)
  local list = type(o.default) == 'number' and tostring(value):find('[,;]')
    and (' (numbers have a point; --grid %s=%s runs with each of several)'):format(o.name, value)
  error(string.format('option %s: %s is not %s%s', o.name, tostring(value), kind, list or ''), 0)
end

--- Errors: a value that is not among the option's choices.
local function check_choice(option, value)
  local list = option.choices
  if not list or tables.any(list, function(choice) return value == choice end) then return end
  error(string.format('option %s: %s is not %s or %s', option.name, value,
                      table.concat(list, ', ', 1, #list - 1), list[#list]), 0)
end

-- Least values of whole numbers.
local WHOLE = {dim = 1, batch_size = 1, epochs = 1, negatives = 1, neighbors = 1, hops = 1,
               intents = 1, memory = 1, eval_every = 1, accumulate = 1, patience = 0,
               plateau = 1, layers = 0, relation_dim = 1, kg_batch_size = 1, eval_users = 0}

local function below_0(x) return x < 0 and 'is below 0' end
local function no_share(x) return (x < 0 or x >= 1) and 'is not in [0, 1)' end

-- What is wrong with a value that is any number.
local WRONG = {
  lr = below_0, l2 = below_0, weight_decay = below_0, warmup = below_0, clip = below_0,
  ema = no_share, dropout = no_share, node_dropout = no_share,
  decay = function(x) return (x <= 0 or x > 1) and 'is not above 0 and at most 1' end,
}

--- Errors: a number outside of what the option may be.
local function check_number(name, value)
  local least = WHOLE[name]
  if least and (value % 1 ~= 0 or value < least) then
    error(string.format('option %s: %s is not a whole number >= %d', name, value, least), 0)
  end
  local wrong = WRONG[name] and WRONG[name](value)
  if wrong then error(('option %s: %g %s'):format(name, value, wrong), 0) end
end

--- Completes options: defaults, then the preset, then those given. The metatable's `asked` has the
--- names of the last two, for defaults that only some data can have. Errors: unknown names and
--- presets, wrong values.
---@param given table<string, any> values, or text to convert; `preset` names a preset
---@return table options
function Recipe:complete(given)
  local asked = {}
  local o, preset = setmetatable({}, {asked = asked}), given.preset
  asked.preset = preset ~= nil or nil
  for _, option in ipairs(self.options) do o[option.name] = option.default end
  if preset and not self.presets[preset] then
    local list = tables.sorted_keys(self.presets)
    error(string.format('recipe %s has no preset %s%s', self.name, preset,
                        close_word.among(preset, list)), 0)
  end
  for _, values in ipairs{preset and self.presets[preset] or {}, given} do
    for name, value in pairs(values) do
      local option = find(self, name)
      if option then o[name], asked[name] = convert(option, value), true
      elseif name ~= 'preset' then
        error(string.format('recipe %s has no option %s%s', self.name, name,
                            close_word.among(name, names(self))), 0)
      end
    end
  end
  for _, option in ipairs(self.options) do
    local value = o[option.name]
    check_choice(option, value)
    if type(value) == 'number' then check_number(option.name, value) end
    if option.name == 'eval_k' then statistics.cuts(value) end
  end
  return o
end

--- A copy of the options for `build`: reading one that the recipe does not have is an error there.
---@param o table of complete ---@return table
function Recipe:for_build(o)
  local meta = getmetatable(o)
  local guard = {asked = meta and meta.asked, options_of = self.name}
  function guard.__index(_, name)
    if type(name) ~= 'string' or find(self, name) or name == 'preset' then return nil end
    runtime.fail('recipe %s has no option %s%s', self.name, name,
                 close_word.among(name, names(self)))
  end
  return setmetatable(tables.merged(o), guard)
end

--- The text of `tinykg run RECIPE --help`. ---@return string
function Recipe:help()
  local source = self.source ~= '' and self.name .. ': ' .. self.source or self.name
  local lines = {terminal.listed(1, '', 1, source), '',
                 'Options (--set name=value):'}
  for _, o in ipairs(self.options) do
    local choices = o.choices and ' (' .. table.concat(o.choices, ', ') .. ')' or ''
    lines[#lines + 1] = terminal.listed(1, ('  %-18s %-10s'):format(o.name, tostring(o.default)),
                                        33, o.help .. choices)
  end
  local presets = tables.sorted_keys(self.presets)
  if #presets > 0 then
    lines[#lines + 1] = ''
    lines[#lines + 1] = 'Presets (--set preset=name), the published settings:'
    for _, name in ipairs(presets) do
      local values = tables.map(tables.sorted_keys(self.presets[name]), function(key)
        return key .. '=' .. tostring(self.presets[name][key])
      end)
      lines[#lines + 1] = terminal.listed(1, '  ' .. name, 14, table.concat(values, ' '))
    end
  end
  return table.concat(lines, '\n')
end

arguments.class(Recipe, 'Recipe', 'a recipe')

return new_recipe
