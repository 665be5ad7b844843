--- Public names that changed. The old ones work in this version. The first one that a process uses
--- prints one warning to standard error.
local renamed = {}

--- {old, new}, as lua/REFERENCE.md prints them.
renamed.names = {
  {'tk.feed', 'tk.loader'},
  {'tk.loader.scores_by_rows', 'tk.nn.Ranker'},
  {'tk.mix', 'tk.neighbor_sum'},
  {'tk.mix_dot', 'tk.neighbor_dot'},
  {'tk.edge_dot', 'tk.relation_score'},
  {'tk.loss.independence', 'tk.loss.intent_regularizer'},
  {'graph:draw', 'graph:sample_triples'},
  {'tensor:kept_as', 'tensor:saved_as'},
  {'phase.draw', 'phase.sample'},
}

local new_name = {}
for _, pair in ipairs(renamed.names) do new_name[pair[1]] = pair[2] end

local warned = false

--- Returns the last part of the new name and prints the warning; nil if the name did not change.
---@param old string ---@return string?
function renamed.current(old)
  local new = new_name[old]
  if not new then return nil end
  if not warned then
    warned = true
    io.stderr:write(('tinykg: %s is now %s; the old name goes in the next version ' ..
                     '(lua/REFERENCE.md lists all)\n'):format(old, new))
  end
  return new:match('[%w_]+$')
end

--- Lets old names find the functions of a table.
---@param target table ---@param prefix string before the names: 'tk.loss.'
---@param instead? table<string, function> by old name, where the new function takes other arguments
---@return table target
function renamed.add(target, prefix, instead)
  local functions = {}
  for old in pairs(new_name) do
    local key = old:sub(1, #prefix) == prefix and old:sub(#prefix + 1) or ''
    if key:find('^[%w_]+$') then
      functions[key] = function(...)
        local new = renamed.current(old)
        return (instead and instead[key] or target[new])(...)
      end
    end
  end
  return setmetatable(target, {__index = functions})
end

return renamed
