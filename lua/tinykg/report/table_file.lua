--- The comparison as a table in a file: .csv with figures as they are, for programs; .md (Markdown)
--- and .tex (a LaTeX tabular) with rounded ones, the best marked as on the page.
local tables = require 'tinykg.base.tables'
local base = require 'tinykg.base.format'
local figures = require 'tinykg.report.figures'
local format = require 'tinykg.report.format'

local table_file = {}

-- ---- csv ----

local function quoted(text)
  text = tostring(text)
  return text:find('[,"\r\n]') and '"' .. text:gsub('"', '""') .. '"' or text
end

--- 'name_unit' without blanks.
local function column_name(other)
  return (other[1]:gsub(' ', '_')) .. (other.unit and '_' .. other.unit or '')
end

--- The settings or metrics of all sections, each once.
local function all_of(list, key)
  local all = {}
  for _, f in ipairs(list) do tables.append(all, f[key]) end
  return tables.unique(all)
end

--- The entry of `values` at the place that `names` has for a name.
local function named(names, values, name)
  for i, other in ipairs(names) do
    if other == name then return values[i] end
  end
end

local function csv_row(f, row, settings, metrics)
  local cells = {f.label, row.recipe}
  for _, name in ipairs(settings) do
    cells[#cells + 1] = named(f.settings, row.settings, name) or ''
  end
  cells[#cells + 1] = row.runs
  for _, name in ipairs(metrics) do
    local stat = named(f.metrics, row.metrics, name)
    cells[#cells + 1] = stat and base.number(stat.mean) or ''
    cells[#cells + 1] = stat and stat.sd and base.number(stat.sd) or ''
  end
  for _, stat in ipairs(row.others) do cells[#cells + 1] = stat and base.number(stat.mean) or '' end
  return table.concat(tables.map(cells, quoted), ',')
end

local function csv(list)
  local settings, metrics = all_of(list, 'settings'), all_of(list, 'metrics')
  local head = tables.append({'data', 'recipe'}, settings)
  head[#head + 1] = 'runs'
  for _, name in ipairs(metrics) do tables.append(head, {name, name .. ' sd'}) end
  tables.append(head, tables.map(list[1] and list[1].others or {}, column_name))
  local lines = {table.concat(tables.map(head, quoted), ',')}
  for _, f in ipairs(list) do
    for _, row in ipairs(f.rows) do lines[#lines + 1] = csv_row(f, row, settings, metrics) end
  end
  return table.concat(lines, '\n') .. '\n'
end

-- ---- for people ----

--- The cells of a row. ---@param style table escape(text), bold(text), none, pm
local function cells_of(f, index, style)
  local row = f.rows[index]
  local cells = {style.escape(row.recipe)}
  for _, text in ipairs(row.settings) do
    cells[#cells + 1] = text == '' and style.none or style.escape(text)
  end
  cells[#cells + 1] = tostring(row.runs)
  for i, name in ipairs(f.metrics) do
    local stat = row.metrics[i]
    local text = stat and format.metric(stat.mean)
    if stat and stat.sd then text = text .. style.pm .. format.metric(stat.sd) end
    cells[#cells + 1] = not text and style.none or f.marks[name][index] and style.bold(text) or text
  end
  for i, other in ipairs(f.others) do
    local stat = row.others[i]
    cells[#cells + 1] = stat and style.escape(other[3](stat.mean)) or style.none
  end
  return cells
end

local function head_of(f, style)
  local head = tables.append({'recipe'}, f.settings)
  head[#head + 1] = 'runs'
  tables.append(head, f.metrics)
  tables.append(head, tables.map(f.others, function(other)
    return other.unit and other.unit ~= 'bytes' and other[1] .. ' ' .. other.unit or other[1]
  end))
  return tables.map(head, style.escape)
end

local MARKDOWN = {none = format.none, pm = ' \194\177 ',
                  escape = function(text) return (text:gsub('[|\\*_`<]', '\\%0')) end,
                  bold = function(text) return '**' .. text .. '**' end}

local function markdown(list)
  local lines = {}
  for _, f in ipairs(list) do
    local head, align = head_of(f, MARKDOWN), {}
    for i = 1, #head do align[i] = i <= 1 + #f.settings and '---' or '---:' end
    tables.append(lines, {'**' .. MARKDOWN.escape(f.label) .. '**', ''})
    local rows = tables.append({head, align}, tables.map(f.rows, function(_, i)
      return cells_of(f, i, MARKDOWN)
    end))
    for _, row in ipairs(rows) do lines[#lines + 1] = '| ' .. table.concat(row, ' | ') .. ' |' end
    lines[#lines + 1] = ''
  end
  return table.concat(lines, '\n')
end

local SPECIAL = {['\\'] = '\\textbackslash{}', ['~'] = '\\textasciitilde{}',
                 ['^'] = '\\textasciicircum{}'}
local LATEX = {none = '--', pm = ' $\\pm$ ',
               escape = function(text)
                 return (text:gsub('[\\~^&%%$#_{}]', function(c)
                   return SPECIAL[c] or '\\' .. c
                 end))
               end,
               bold = function(text) return '\\textbf{' .. text .. '}' end}

local function latex(list)
  local lines = {}
  for _, f in ipairs(list) do
    local head = head_of(f, LATEX)
    local left = 1 + #f.settings
    tables.append(lines, {'% ' .. f.label:gsub('[\r\n]', ' '),
                          ('\\begin{tabular}{%s%s}'):format(('l'):rep(left),
                                                            ('r'):rep(#head - left)),
                          '\\hline', table.concat(head, ' & ') .. ' \\\\', '\\hline'})
    for i in ipairs(f.rows) do
      lines[#lines + 1] = table.concat(cells_of(f, i, LATEX), ' & ') .. ' \\\\'
    end
    tables.append(lines, {'\\hline', '\\end{tabular}', ''})
  end
  return table.concat(lines, '\n')
end

local WRITERS = {csv = csv, md = markdown, tex = latex}

--- Whether a table is written to a file of this ending.
function table_file.knows(ending) return WRITERS[ending] ~= nil end

--- The text of the file. ---@param ending string 'csv', 'md' or 'tex'
---@param sections ReportSection[] of tinykg.report.groups
---@return string
function table_file.text(ending, sections)
  return WRITERS[ending](tables.map(sections, function(section)
    return figures.of(section, ending == 'csv')
  end))
end

return table_file
