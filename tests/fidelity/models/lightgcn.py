"""LightGCN as gusye1234/LightGCN-PyTorch computes it (files below code/)."""

import torch
import torch.nn.functional as F

import shared
import users


class Model(shared.Model):
    """Parameters: nodes, items before users (two tables there)."""

    def __init__(self, o, counts, p, c):
        super().__init__(o, counts, p, c)
        items, taken = c['items'], c['users'] + counts['items']
        n = counts['items'] + counts['users']
        pairs = torch.stack([torch.cat([items, taken]), torch.cat([taken, items])])
        degree = torch.bincount(pairs[0], minlength=n).to(torch.get_default_dtype())
        values = 1 / (degree[pairs[0]] * degree[pairs[1]]).sqrt()  # dataloader.py:339-352
        self.graph = torch.sparse_coo_tensor(pairs, values, (n, n)).coalesce()

    def vectors(self):
        """Mean of the embeddings and of each layer's rows (model.py:140-172)."""
        rows = [self.p['nodes.weight']]
        for _ in range(int(self.o['layers'])):
            rows.append(torch.sparse.mm(self.graph, rows[-1]))
        return torch.stack(rows, 1).mean(1)

    def loss(self, part, batch):
        """model.py:191-204 and utils.py:41-50."""
        ids = (batch['users'] + self.counts['items'], batch['items'], batch['negatives'].flatten())
        rows = self.vectors()
        u, i, j = (rows[nodes] for nodes in ids)
        ranking = F.softplus((u * j).sum(1) - (u * i).sum(1)).mean()
        squares = sum(self.p['nodes.weight'][nodes].norm(2).pow(2) for nodes in ids) / 2
        return ranking + self.o['l2'] * squares / len(u)

    def optimizer(self, part):
        return torch.optim.Adam(self.p.values(), lr=self.o['lr'])  # utils.py:39

    # ---- curves ----

    @staticmethod
    def start(o, counts, data, random):
        """model.py:108-109."""
        nodes = random.normal(0, 0.1, (counts['items'] + counts['users'], int(o['dim'])))
        return ({'nodes.weight': torch.tensor(nodes).to(torch.get_default_dtype())},
                {'users': data['train.users'], 'items': data['train.items']})

    def epoch(self, data, random):
        """As many draws as interactions, users uniform and with replacement, then shuffled
        (utils.py:64-96; those without items are left out: all have some here), in batches of which
        the last may be short (utils.py:115-125)."""
        taken = users.of(self, data)
        drawn = taken.users[random.randint(0, len(taken.users), taken.n)]
        size = int(self.o['batch_size'])
        self.ranked = None
        for first in range(0, len(drawn), size):
            yield 'loss', taken.batch(random, drawn[first:first + size])

    def rank(self, ids):
        if getattr(self, 'ranked', None) is None:
            self.ranked = self.vectors()
        items = self.counts['items']
        return self.ranked[items + ids] @ self.ranked[:items].t()
