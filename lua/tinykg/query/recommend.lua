local format = require 'tinykg.base.format'
local recommender = require 'tinykg.query.recommender'
local runtime = require 'tinykg.engine.runtime'

--- A note on a list that is not the model's own for the user, or nil.
local function note_of(result, likes, peers)
  local who = result.name and result.name .. ' has no interactions in train' or 'somebody new'
  if result.by == 'alike' then
    return ("%s: mean of the model's scores for the %d users most alike by items taken")
      :format(who, peers)
  elseif result.by == 'popularity' then
    return (likes and 'nobody took any of the items liked' or who)
      .. ': the most popular items; score: how many users took them'
  end
end

local function join_notes(a, b) return a and b and a .. '; ' .. b or a or b end

local List = {}

--- A line per item: rank, score, name.
function List:__tostring()
  local lines = {('for %s:'):format(self.name or 'somebody new'), self.note}
  for rank, item in ipairs(self.items) do
    lines[#lines + 1] = ('%4d  %10.5g  %s%s'):format(rank, item.score, item.name,
                                                   item.taken and '  (' .. item.taken .. ')' or '')
  end
  return format.lines(table.concat(lines, '\n'))
end

--- The best items for one user.
---@param run OpenRun from tinykg.run.open
---@param user string|number|nil a name of the data set, or a number (from 0); nil: somebody new
---@param o? {k: integer, exclude: table, only: table, likes: table, all: boolean} k: 20; exclude:
---  items not to list; only: no others; likes: items that somebody new likes, or entities, which
---  stand for the items that share a triple with them; all: list items of train and validation
---  too. Items are names or numbers.
---@return {user: integer?, name: string?, by: string, note: string?, items: table[]} items: {id
---  (from 0), item, title, name (both), rank, score, taken ('train', 'valid', 'test', 'label 0')}
---  each; by: 'model', 'popularity' or
---  'alike', which `note` explains; print shows a line per item
return function(run, user, o)
  runtime.options('recommend', o, 'k exclude only all likes')
  local data, self = run.data, recommender.new(run, o)
  local id = user ~= nil and recommender.id_of(data.names.users, 'user', user) or nil
  local likes, named
  if o and o.likes and #o.likes > 0 then likes, named = recommender.likes_of(data, o.likes) end
  local result, peers = {user = id, name = id and data.names.users:name(id), by = 'model'}, nil
  if id and likes and not self:is_cold(id) then
    runtime.fail('likes: they are for somebody new: %s has interactions', result.name)
  elseif id and not likes then
    result.items, result.by = self:list(id), self:is_cold(id) and 'popularity' or 'model'
  else
    result.items, result.by, peers = self:newcomer(likes or {}, named, id)
  end
  local hidden = id and o and o.only and self:count_hidden(id, o.only) or 0
  result.note = join_notes(note_of(result, likes, peers), hidden > 0
    and ('%s has %s of these already: --all lists them too'):format(result.name,
      hidden == #o.only and 'all' or hidden) or nil)
  self:release()
  recommender.describe(data.names.items, result.items)
  return setmetatable(result, List)
end
