--- Models that score a pair by the dot product of a user's row and an item's.
--
-- A model of nn.class(name, nn.Ranker) has a function node_embeddings(), which returns one of
--   rows of all users [users, d], rows of all items [items, d]
--   rows of all nodes [nodes, d]: item i is node i, user u is node user_nodes[u]
-- and the fields
--   item_count  how many items there are, if rows of other nodes follow theirs
--   user_nodes  int32 [users], if users and items are nodes of one graph
local arrays = require 'tinykg.engine.arrays'
local loss = require 'tinykg.nn.loss'
local module = require 'tinykg.nn.module'
local ops = require 'tinykg.engine.ops'
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'

local Ranker = setmetatable({}, {__index = module.Module})

--- Node of each user. Errors: the model has no user_nodes.
local function nodes_of(self, users)
  if not self.user_nodes then
    runtime.fail('%s: rows of one table are ranked by user_nodes, which it does not have',
                 self.name or 'a model')
  end
  return self.user_nodes:gather(users)
end

--- The tables of rows: those that prepare returned, else of node_embeddings. Errors: no function,
--- no tensors.
local function tables_of(self, prepared)
  if tensor.is(prepared) then return prepared end
  if not prepared and not self.node_embeddings then
    runtime.fail('%s: it has no function node_embeddings', self.name or 'a model')
  end
  local users, items
  if prepared then users, items = unpack(prepared) else users, items = self:node_embeddings() end
  if not tensor.is(users) or items and not tensor.is(items) then
    runtime.fail('%s: its tables of rows are not one or two tensors', self.name or 'a model')
  end
  return users, items
end

--- Rows of a batch's users, items and sampled items. All rows of one table are gathered by one
--- op, so that the engine computes no other rows of a last layer.
---@param batch {users: Tensor, items: Tensor, negatives: Tensor?}
---@param users? Tensor rows of all users or of all nodes; without it, node_embeddings()
---@param items? Tensor rows of all items
---@return Tensor u [n, d], Tensor i [n, d], Tensor? j [n k, d]
function Ranker:batch_embeddings(batch, users, items)
  if not users then users, items = tables_of(self) end
  local n, sampled = batch.users:size(1), batch.negatives
  sampled = sampled and sampled:reshape(-1)
  if items then
    local u = users:gather(batch.users)
    local rows = items:gather(sampled and ops.cat{batch.items, sampled} or batch.items)
    if not sampled then return u, rows end
    return u, rows:rows(1, n), rows:rows(n + 1, rows:size(1))
  end
  local rows = users:gather(ops.cat{nodes_of(self, batch.users), batch.items, sampled})
  return rows:rows(1, n), rows:rows(n + 1, 2 * n),
    sampled and rows:rows(2 * n + 1, rows:size(1))
end

--- loss.interactions of a batch, and L2 of the rows that it reads, per interaction.
---@param batch {users: Tensor, items: Tensor, labels: Tensor?, negatives: Tensor?}
---@param l2 number weight of 1/2 |rows|^2 ---@return Tensor a number
function Ranker:interaction_loss(batch, l2)
  local u, i, j = self:batch_embeddings(batch)
  return loss.interactions(u, i, j, batch.labels) + loss.l2(u, i, j) * (l2 / u:size(1))
end

--- The nodes of all items of a model, whose rows come first in their table: 0, 1, ...
local function item_nodes(self)
  return tensor.constant(tensor.I32, {self.item_count}, arrays.range(self.item_count))
end

--- Computes the tables that score and rank read, once for a whole evaluation: rows of users and of
--- items, gathered where the model has rows of other nodes too, which the engine then leaves out of
--- its last layer.
---@return {[1]: Tensor, [2]: Tensor, temporary: Tensor[]?} rows of all users, rows of all items;
---  what can be freed with them
function Ranker:prepare()
  local users, items = tables_of(self)
  if not items then
    items = users
    users = users:gather(self.user_nodes or nodes_of(self))
  end
  if not self.item_count or self.item_count == items:size(1) then return {users, items} end
  local nodes = item_nodes(self)
  return {users, items:gather(nodes), temporary = {nodes}}
end

--- Logits of pairs. ---@param users Tensor int32 [n] ---@param items Tensor int32 [n]
---@param prepared? Tensor|Tensor[] what prepare returned ---@return Tensor [n]
function Ranker:score(users, items, prepared)
  return ops.dot(self:batch_embeddings({users = users, items = items},
                                       tables_of(self, prepared)))
end

--- Scores of all items for each user. ---@param users Tensor int32 [n]
---@param prepared? Tensor|Tensor[] what prepare returned ---@return Tensor [n, items]
function Ranker:rank(users, prepared)
  local rows, items = tables_of(self, prepared)
  local u = rows:gather(items and users or nodes_of(self, users))
  items = items or rows
  if self.item_count then items = items:rows(1, self.item_count) end
  return u:matmul(items, {transpose_b = true})
end

return Ranker
