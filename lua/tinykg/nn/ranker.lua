--- Models that score a pair by the dot product of a user's row and an item's.
--
-- A model of nn.class(name, nn.Ranker) has a function node_embeddings(), which returns one of
--   rows of all users [users, d], rows of all items [items, d]
--   rows of all nodes [nodes, d]: item i is node i, user u is node user_nodes[u]
-- where rows may be a list of tensors whose columns lie side by side, such as one per layer, and
-- the fields
--   item_count  how many items there are, if rows of other nodes follow theirs
--   user_nodes  int32 [users], if users and items are nodes of one graph
local arrays = require 'tinykg.engine.arrays'
local loss = require 'tinykg.nn.loss'
local module = require 'tinykg.nn.module'
local ops = require 'tinykg.engine.ops'
local runtime = require 'tinykg.engine.runtime'
local tables = require 'tinykg.base.tables'
local tensor = require 'tinykg.engine.tensor'

local Ranker = setmetatable({}, {__index = module.Module})

--- Node of each of some users, or of all. Errors: the model has no user_nodes.
local function nodes_of(self, users)
  if not self.user_nodes then
    runtime.fail('%s: rows of one table are ranked by user_nodes, which it does not have',
                 self.name or 'a model')
  end
  return users and self.user_nodes:gather(users) or self.user_nodes
end

--- What node_embeddings returned, as a list of tables whose columns lie side by side. Errors: it
--- is neither a tensor nor a list of tensors.
local function parts_of(self, t)
  local parts = tensor.is(t) and {t} or t
  local fits = type(parts) == 'table' and #parts > 0
  for _, part in ipairs(fits and parts or {}) do fits = fits and tensor.is(part) end
  if not fits then
    runtime.fail('%s: its tables of rows are not tensors or lists of tensors',
                 self.name or 'a model')
  end
  return parts
end

--- The tables of rows, as lists of parts: those that prepare returned, users' first, else of
--- node_embeddings; no items' if users and items are nodes of one graph. Errors: no function, no
--- tensors.
local function tables_of(self, prepared)
  if tensor.is(prepared) then return {prepared} end
  if prepared then return parts_of(self, prepared.users), prepared.items end
  if not self.node_embeddings then
    runtime.fail('%s: it has no function node_embeddings', self.name or 'a model')
  end
  local users, items = self:node_embeddings()
  users, items = parts_of(self, users), items and parts_of(self, items)
  if items and #items ~= #users then
    runtime.fail('%s: rows of users are in %d tensors, those of items in %d',
                 self.name or 'a model', #users, #items)
  end
  return users, items
end

--- Rows by id of all parts, side by side.
local function gather(parts, ids)
  local rows = {}
  for k, part in ipairs(parts) do rows[k] = part:gather(ids) end
  return #rows == 1 and rows[1] or ops.cat(rows, 2)
end

--- Rows of a batch's users, items and sampled items. All rows of one table are gathered by one
--- op, so that the engine computes no other rows of a last layer.
---@param batch {users: Tensor, items: Tensor, negatives: Tensor?}
---@param users? Tensor|Tensor[] rows of all users or of all nodes; without it, node_embeddings()
---@param items? Tensor|Tensor[] rows of all items
---@return Tensor u [n, d], Tensor i [n, d], Tensor? j [n k, d]
function Ranker:batch_embeddings(batch, users, items)
  if not users then users, items = tables_of(self) end
  users, items = parts_of(self, users), items and parts_of(self, items)
  local n, sampled = batch.users:size(1), batch.negatives
  sampled = sampled and sampled:reshape(-1)
  if items then
    local u = gather(users, batch.users)
    local rows = gather(items, sampled and ops.cat{batch.items, sampled} or batch.items)
    if not sampled then return u, rows end
    return u, rows:rows(1, n), rows:rows(n + 1, rows:size(1))
  end
  local rows = gather(users, ops.cat{nodes_of(self, batch.users), batch.items, sampled})
  return rows:rows(1, n), rows:rows(n + 1, 2 * n),
    sampled and rows:rows(2 * n + 1, rows:size(1))
end

--- loss.interactions of a batch, and L2 of the rows that it reads, per interaction.
---@param batch {users: Tensor, items: Tensor, labels: Tensor?, negatives: Tensor?,
---  weights: Tensor?}
---@param l2 number weight of 1/2 |rows|^2 ---@return Tensor a number
function Ranker:interaction_loss(batch, l2)
  local u, i, j = self:batch_embeddings(batch)
  return loss.interactions(u, i, j, batch.labels, batch.weights)
    + loss.l2(u, i, j) * (l2 / u:size(1))
end

--- InfoNCE of a batch's users and of its items: each one's row in one view is to be like its own in
--- the other, by cosine, and unlike those of all other users, or items. Means, of users plus of
--- items. Views are rows of all items, then of all users (SGL; KGCL).
---@param batch {users: Tensor, items: Tensor} ---@param one Tensor [nodes, d]
---@param two Tensor [nodes, d] ---@param temperature number ---@return Tensor a number
function Ranker:view_contrast(batch, one, two, temperature)
  local n, items = batch.users:size(1), self.item_count
  local rows = one:gather(ops.cat{nodes_of(self, batch.users), batch.items}):normalize()
  two = two:normalize()
  return loss.contrast(rows:rows(1, n), two:rows(items + 1, two:size(1)), temperature,
                       {positives = batch.users})
    + loss.contrast(rows:rows(n + 1, 2 * n), two:rows(1, items), temperature,
                    {positives = batch.items})
end

--- Items' rows of tables that have rows of other nodes behind them, which no score needs, and the
--- ids by which they are gathered, nil for none. A parameter is read where it is.
local function items_alone(parts, count)
  local rows, ids = {}, nil
  for k, part in ipairs(parts) do
    rows[k] = part
    if not part.kept and count and part:size(1) > count then
      ids = ids or tensor.ids(arrays.range(count), count)
      rows[k] = part:gather(ids)
    end
  end
  return rows, ids
end

--- Computes the tables that score and rank read, once for a whole evaluation: all rows of users or
--- nodes, since a layer then lies where its final rows do, and of items. A parameter is read where
--- it is.
---@return {users: Tensor[], items: Tensor[]?, temporary: Tensor[]} and all of them as a list;
---  `temporary`: what may be freed once they are computed
function Ranker:prepare()
  local users, items = tables_of(self)
  local ids
  if items then items, ids = items_alone(items, self.item_count) end
  local prepared = tables.append(tables.append({}, users), items or {})
  prepared.users, prepared.items, prepared.temporary = users, items, {ids}
  return prepared
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
  local of_users, of_items = tables_of(self, prepared)
  local rows, scores = of_items and users or nodes_of(self, users), nil
  for k, part in ipairs(of_users) do
    local items = (of_items or of_users)[k]
    if self.item_count then items = items:rows(1, self.item_count) end
    local products = part:gather(rows):matmul(items, {transpose_b = true})
    scores = scores and scores + products or products
  end
  return scores
end

--- The tables by whose rows rank scores, for an engine that ranks by them at once (tkg_rank): a
--- user's score of an item is the sum over parts of products of their rows.
---@param prepared? Tensor|Tensor[] what prepare returned
---@return Tensor[] users, Tensor[] items ---@return Tensor? rows of each user in them, int32
function Ranker:ranked(prepared)
  local users, items = tables_of(self, prepared)
  return users, items or users, not items and nodes_of(self) or nil
end

return Ranker
