--- HTML and SVG as values: html.td{class = 'n', 'text', html.b{'more'}} is an element. Texts of
--- children and attributes are always escaped, so nothing from a file can become markup. The output
--- is well-formed XML too.
local sorted_keys = require('tinykg.base.tables').sorted_keys
local utf8 = require 'tinykg.base.utf8'

local html = {}

local Element = {}

local ESCAPES = {['&'] = '&amp;', ['<'] = '&lt;', ['>'] = '&gt;', ['"'] = '&quot;',
                 ["'"] = '&#39;'}

--- Escapes a text. Control characters and bytes that are not UTF-8 become U+FFFD.
---@param text string|number
---@return string
function html.escape(text)
  text = utf8.valid(tostring(text)):gsub('[&<>"\']', ESCAPES)
  return (text:gsub('[%z\1-\8\11-\31\127]', '\239\191\189'))
end

local function attribute_text(value)
  return type(value) == 'number' and ('%.6g'):format(value) or html.escape(value)
end

local function open(element, out)
  out[#out + 1] = '<' .. element.element
  for _, name in ipairs(sorted_keys(element)) do
    local value = element[name]
    if type(name) == 'string' and name ~= 'element' and value then
      out[#out + 1] = (' %s="%s"'):format(name, value == true and name or attribute_text(value))
    end
  end
end

local EMPTY = {meta = true, path = true, rect = true, line = true, circle = true, br = true,
               col = true}

-- Our own text, without < and &, which a parser could take for markup.
local RAW = {script = true, style = true}

local write

local function write_all(list, out)
  for i = 1, table.maxn(list) do write(list[i], out) end
end

function write(node, out)
  if not node then return end
  if type(node) ~= 'table' then
    out[#out + 1] = html.escape(node)
  elseif getmetatable(node) ~= Element then
    write_all(node, out)
  else
    open(node, out)
    if EMPTY[node.element] and #node == 0 then out[#out + 1] = '/>' return end
    out[#out + 1] = '>'
    if RAW[node.element] then
      assert(not node[1]:find('[<&]'), 'a script or style with < or &')
      out[#out + 1] = node[1]
    else
      write_all(node, out)
    end
    out[#out + 1] = '</' .. node.element .. '>'
    if node.element:match('^[hdtspu]') and #node.element > 1 then out[#out + 1] = '\n' end
  end
end

--- The text of an element. ---@return string
function html.markup(element)
  local out = {}
  write(element, out)
  return table.concat(out)
end

--- The page of a root element. ---@return string
function html.page(root) return '<!DOCTYPE html>\n' .. html.markup(root) end

--- html.NAME{...}: named fields are attributes (true: the name as value; false: left out), list
--- entries are children: texts, numbers, elements, lists of them; nil and false are left out.
return setmetatable(html, {__index = function(_, name)
  return function(element)
    element.element = name
    return setmetatable(element, Element)
  end
end})
