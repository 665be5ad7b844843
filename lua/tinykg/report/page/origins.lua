--- What a section's runs were made of: the data set's counts, machines, commits, the command of the
--- best group.
local command = require 'tinykg.run.folder.command'
local format = require 'tinykg.report.format'
local html = require 'tinykg.report.page.html'
local tables = require 'tinykg.base.tables'

local origins = {}

local COUNTS = {{'users', 'user'}, {'items', 'item'}, {'entities', 'entity', 'entities'},
                {'relations', 'relation'}, {'triples', 'triple'}}

--- '400 users, ...; train 1064, valid 131, test 137'; nil where a run does not say.
local function counts_of(set)
  if type(set) ~= 'table' then return nil end
  local parts = tables.map(COUNTS, function(count)
    local n = tonumber(set[count[1]])
    return n and format.count(n, count[2], count[3])
  end)
  local rows = tables.map({'train', 'valid', 'test'}, function(part)
    return tonumber(set[part]) and ('%s %d'):format(part, set[part])
  end)
  return #parts > 0 and table.concat(parts, ', ') .. '; interactions: ' .. table.concat(rows, ', ')
end

--- Different texts of a field of the runs' origins.
local function all_of(section, field)
  local list = {}
  for _, group in ipairs(section.groups) do
    for _, run in ipairs(group.runs) do
      local value = type(run.config.origin) == 'table' and run.config.origin[field]
      list[#list + 1] = type(value) == 'string' and value or nil
    end
  end
  return tables.unique(list)
end

--- The command that trains the runs of the best group again; nil where they do not have theirs.
local function command_of(section)
  local runs = section.groups[1].runs
  local line = type(runs[1].config.origin) == 'table' and runs[1].config.origin.command
  local seeds = tables.map(runs, function(run) return run.config.seed end)
  return type(line) == 'string' and command.again(command.words(line), seeds)
end

--- ---@param section ReportSection
function origins.render(section)
  local machines, commits = all_of(section, 'machine'), all_of(section, 'commit')
  local short = tables.map(commits, function(commit) return commit:sub(1, 10) end)
  local parts = {counts_of(section.groups[1].runs[1].config.data_set),
                 #machines > 0 and format.list(machines),
                 #short > 0 and (#short == 1 and 'commit ' or 'commits ') .. format.list(short)}
  local texts = {}
  for i = 1, 3 do texts[#texts + 1] = parts[i] or nil end
  local again = command_of(section)
  return {
    #texts > 0 and html.p{class = 'quiet', table.concat(texts, ' \194\183 ')},
    again and #section.groups > 1 and html.p{class = 'quiet', 'The first row again: ',
                                             html.code{again}},
  }
end

return origins
