"""SGL as wujcan/SGL-Torch computes it (model/general_recommender/SGL.py, if no file is named)."""

import numpy
import torch
import torch.nn.functional as F

import shared
import users


class Model(shared.Model):
    """Parameters: nodes, items before users (two tables there)."""

    def __init__(self, o, counts, p, c):
        super().__init__(o, counts, p, c)
        self.graph = self.adjacency(c['users'], c['items'])
        self.views = [self.given(v) for v in (1, 2) if 'view.%d.1' % v in c]

    def adjacency(self, taken, items):
        """D^-1/2 A D^-1/2 of these interactions, 0 where a node has none (lines 229-241)."""
        n = self.counts['items'] + self.counts['users']
        nodes = taken + self.counts['items']
        pairs = torch.stack([torch.cat([items, nodes]), torch.cat([nodes, items])])
        degree = torch.bincount(pairs[0], minlength=n).to(torch.get_default_dtype())
        values = 1 / (degree[pairs[0]] * degree[pairs[1]]).sqrt()
        return torch.sparse_coo_tensor(pairs, values, (n, n)).coalesce()

    def given(self, v):
        """The view that tinykg drew, one graph or one for each layer."""
        first, graphs = self.counts['items'], []
        while 'view.%d.%d' % (v, len(graphs) + 1) in self.c:
            stays = self.c['view.%d.%d' % (v, len(graphs) + 1)] > 0.5
            stays &= self.c['heads'] >= first
            graphs.append(self.adjacency(self.c['heads'][stays] - first, self.c['tails'][stays]))
        return graphs

    def draw(self, random):
        """A random part of the interactions (lines 208-229)."""
        taken, items, ratio = self.c['users'], self.c['items'], self.o['dropout']
        if self.o['augmentation'] == 'nodes':
            stays = []
            for ids, n in ((taken, self.counts['users']), (items, self.counts['items'])):
                there = numpy.ones(n, dtype=bool)
                there[random.choice(n, int(n * ratio), replace=False)] = False
                stays.append(torch.tensor(there)[ids])
            keep = (stays[0] & stays[1]).nonzero()[:, 0]
        else:
            keep = torch.tensor(random.choice(len(taken), int(len(taken) * (1 - ratio)),
                                              replace=False))
        return self.adjacency(taken[keep], items[keep])

    def vectors(self, graphs):
        """Mean of the embeddings and of each layer's rows (lines 96-110)."""
        rows = [self.p['nodes']]
        for k in range(int(self.o['layers'])):
            rows.append(torch.sparse.mm(graphs[min(k, len(graphs) - 1)], rows[-1]))
        return torch.stack(rows, 1).mean(1)

    def loss(self, part, batch):
        """Lines 61-94 and 272-287."""
        first, t = self.counts['items'], self.o['temperature']
        ids = (batch['users'] + first, batch['items'], batch['negatives'].flatten())
        rows = self.vectors([self.graph])
        one, two = (F.normalize(self.vectors(view), dim=1) for view in self.views)
        u, i, j = (rows[nodes] for nodes in ids)
        bpr = -F.logsigmoid((u * i).sum(1) - (u * j).sum(1)).sum()
        nce = 0
        for own, of in ((ids[0], two[first:]), (ids[1], two[:first])):
            logits = one[own] @ of.t() - (one[own] * two[own]).sum(1)[:, None]
            nce = nce + torch.logsumexp(logits / t, 1).sum()
        squares = sum((self.p['nodes'][nodes] ** 2).sum() for nodes in ids) / 2
        return bpr + self.o['ssl_weight'] * nce + self.o['l2'] * squares

    def optimizer(self, part):
        return torch.optim.Adam(self.p.values(), lr=self.o['lr'])  # line 199

    # ---- curves ----

    @staticmethod
    def start(o, counts, data, random):
        """Line 58 with conf/SGL.ini's param_init, table by table."""
        nodes = torch.cat([shared.xavier(random, counts[kind], int(o['dim']))
                           for kind in ('items', 'users')])
        return {'nodes': nodes}, {'users': data['train.users'], 'items': data['train.items']}

    def epoch(self, data, random):
        """Views for the epoch (lines 252-263), then users, drawn uniformly with replacement, with
        an item each (data/sampler.py:105-138, 350-358)."""
        layers = int(self.o['layers']) if self.o['augmentation'] == 'walk' else 1
        self.views = [[self.draw(random) for _ in range(layers)] for _ in range(2)]
        taken = users.of(self, data)
        drawn = taken.users[random.randint(0, len(taken.users), taken.n)]
        size = int(self.o['batch_size'])
        self.ranked = None
        for first in range(0, len(drawn), size):
            yield 'loss', taken.batch(random, drawn[first:first + size])

    def rank(self, ids):
        if getattr(self, 'ranked', None) is None:
            self.ranked = self.vectors([self.graph])
        items = self.counts['items']
        return self.ranked[items + ids] @ self.ranked[:items].t()
