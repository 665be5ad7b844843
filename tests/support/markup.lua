--- Reads well-formed markup into a tree, for specs that look at pages: {name, attributes,
-- children}, children being elements and texts. Raises an error where an element is not closed, an
-- attribute is not quoted or an entity is unknown.
local markup = {}

local ENTITIES = {amp = '&', lt = '<', gt = '>', quot = '"', ['#39'] = "'"}

local function decoded(text)
  assert(not text:find('<', 1, true), 'a bare <: ' .. text)
  local rest = text:gsub('&([#%w]+);', function(name)
    return assert(ENTITIES[name], 'unknown entity ' .. name)
  end)
  assert(not text:gsub('&[#%w]+;', ''):find('&', 1, true), 'a bare &: ' .. text)
  return rest
end

local function attributes_of(text)
  local found = {}
  local rest = text:gsub('%s+([%w:-]+)="([^"]*)"', function(name, value)
    assert(found[name] == nil, 'twice: ' .. name)
    found[name] = decoded(value)
    return ''
  end)
  assert(not rest:find('%S'), 'not an attribute: ' .. rest)
  return found
end

--- The root element of a page with <!DOCTYPE html>.
function markup.parse(page)
  local at = assert(select(2, page:find('^<!DOCTYPE html>%s*')), 'no doctype') + 1
  local stack, root = {}, nil
  while at <= #page do
    local text, slash, name, rest, stop = page:match('^([^<]*)<(/?)(%w+)([^>]*)>()', at)
    if not text then
      assert(not page:sub(at):find('%S'), 'left over: ' .. page:sub(at, at + 60))
      break
    end
    local top = stack[#stack]
    if top and text ~= '' then table.insert(top.children, decoded(text)) end
    if slash == '/' then
      assert(top and top.name == name, ('</%s> closes <%s>'):format(name, top and top.name or '?'))
      stack[#stack] = nil
    else
      local closed = rest:match('/%s*$')
      local element = {name = name, attributes = attributes_of((rest:gsub('/%s*$', ''))),
                       children = {}}
      if top then table.insert(top.children, element)
      else
        assert(not root, 'a second root')
        root = element
      end
      if not closed then stack[#stack + 1] = element end
    end
    at = stop
  end
  assert(#stack == 0, 'not closed: ' .. (stack[#stack] or {name = ''}).name)
  return root
end

local function all_text(element)
  if type(element) == 'string' then return element end
  local parts = {}
  for _, child in ipairs(element.children) do
    if type(child) == 'string' or child.name ~= 'title' then parts[#parts + 1] = all_text(child) end
  end
  return table.concat(parts)
end

--- All text in an element, spaces pulled together; without what <title>s inside say.
function markup.text(element)
  return (all_text(element):gsub('%s+', ' '):gsub('^ ', ''):gsub(' $', ''))
end

--- Elements of a name (and class) below one, in their order.
function markup.all(element, name, class, found)
  found = found or {}
  for _, child in ipairs(element.children) do
    if type(child) == 'table' then
      local classes = ' ' .. (child.attributes.class or '') .. ' '
      if child.name == name and (not class or classes:find(' ' .. class .. ' ', 1, true)) then
        found[#found + 1] = child
      end
      markup.all(child, name, class, found)
    end
  end
  return found
end

--- A table as {head = {texts}, rows = {{head text = cell text}}, cells = {{head text = element}}}.
function markup.table(element)
  local head, rows, cells = {}, {}, {}
  for i, th in ipairs(markup.all(markup.all(element, 'thead')[1], 'th')) do
    head[i] = markup.text(th)
  end
  for r, tr in ipairs(markup.all(markup.all(element, 'tbody')[1], 'tr')) do
    rows[r], cells[r] = {}, {}
    local column = 0
    for _, cell in ipairs(tr.children) do
      if type(cell) == 'table' then
        column = column + 1
        rows[r][head[column]], cells[r][head[column]] = markup.text(cell), cell
        column = column + (tonumber(cell.attributes.colspan) or 1) - 1
      end
    end
  end
  return {head = head, rows = rows, cells = cells}
end

--- The tables whose head has all the given names.
function markup.tables(root, ...)
  local found = {}
  for _, element in ipairs(markup.all(root, 'table')) do
    if markup.all(element, 'thead')[1] then
      local t, has = markup.table(element), {}
      for _, name in ipairs(t.head) do has[name] = true end
      local all = true
      for _, name in ipairs{...} do all = all and has[name] end
      if all then found[#found + 1] = t end
    end
  end
  return found
end

return markup
