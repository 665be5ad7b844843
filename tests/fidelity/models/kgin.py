"""KGIN as huangtinglin/Knowledge_Graph_based_Intent_Network computes it (files named below)."""

import torch
import torch.nn.functional as F

import shared


class Model(shared.Model):
    """Parameters: users, entities (one table there), relations, latent, mixture."""

    def __init__(self, o, counts, p, c):
        super().__init__(o, counts, p, c)
        edges = torch.stack([c['heads'], c['tails'], c['relations']], 1).unique(dim=0)
        h, t, r = edges.unbind(1)
        # edges back under relations of their own (utils/data_loader.py: read_triplets)
        self.heads, self.tails = torch.cat([h, t]), torch.cat([t, h])
        self.relations = torch.cat([r, r + counts['relations']])
        taken = torch.stack([c['users'], c['items']])
        degree = torch.bincount(c['users'], minlength=counts['users'])
        self.taken = taken, 1 / degree[c['users']].to(torch.get_default_dtype())
        self.training = True

    def train(self):
        self.training = True

    def eval(self):
        self.training = False

    def sampled(self):
        """The edges of a step: half of the graph's, without replacement (modules/KGIN.py:85-90), and
        of the interactions those whose number says so, divided by 1 - rate (:92-105)."""
        rate, pairs, values = float(self.o['node_dropout']), *self.taken
        edges = torch.arange(len(self.heads))
        if not self.training or rate == 0:
            return edges, pairs, values
        edges = torch.randperm(len(edges))[:int(len(edges) * rate)]
        kept = (torch.rand(len(values)) + rate).floor().bool()
        return edges, pairs[:, kept], values[kept] / (1 - rate)

    def aggregate(self, user, entity, edges, pairs, values):
        """One hop (modules/KGIN.py:25-50), before dropout."""
        p, n = self.p, len(entity)
        heads = self.heads[edges]
        message = entity[self.tails[edges]] * p['relations.weight'][self.relations[edges]]
        degree = torch.bincount(heads, minlength=n).clamp(min=1).to(message.dtype)
        entities = torch.zeros_like(entity).index_add(0, heads, message) / degree[:, None]
        share = (user @ p['latent.weight'].t()).softmax(1)
        known = torch.zeros_like(user).index_add(0, pairs[0], entity[pairs[1]] * values[:, None])
        intents = p['mixture'].softmax(1) @ p['relations.weight']
        return known * (share @ intents) + known, entities

    def vectors(self):
        """Final rows (modules/KGIN.py:178-205): dropout, then unit length, then the sum."""
        user, entity = self.p['users.weight'], self.p['entities.weight']
        users, entities, parts = user, entity, self.sampled()
        for _ in range(int(self.o['hops'])):
            user, entity = self.aggregate(user, entity, *parts)
            user, entity = (F.normalize(F.dropout(x, float(self.o['dropout']), self.training))
                            for x in (user, entity))
            users, entities = users + user, entities + entity
        return users, entities

    def alike(self):
        """Distance correlation of the rows of the mixture before its softmax, each pair once
        (modules/KGIN.py:129-148, 166-176)."""
        def centred(x):
            square = x[:, None] ** 2 - 2 * x[:, None] * x[None, :] + x[None, :] ** 2
            d = (square.clamp(min=0) + 1e-8).sqrt()
            return d - d.mean(0, keepdim=True) - d.mean(1, keepdim=True) + d.mean()

        def covariance(a, b):
            return ((a * b).mean().clamp(min=0) + 1e-8).sqrt()

        a = [centred(row) for row in self.p['mixture']]
        return sum(covariance(a[i], a[j])
                   / (covariance(a[i], a[i]) * covariance(a[j], a[j]) + 1e-8).sqrt()
                   for i in range(len(a)) for j in range(i + 1, len(a)))

    def loss(self, part, batch):
        """modules/KGIN.py:311-327."""
        users, entities = self.vectors()
        u, i = users[batch['users']], entities[batch['items']]
        j = entities[batch['negatives'].flatten()]
        ranking = -F.logsigmoid((u * i).sum(1) - (u * j).sum(1)).mean()
        squares = sum((x * x).sum() for x in (u, i, j)) / 2
        return (ranking + self.o['l2'] * squares / len(u)
                + self.o['sim_weight'] * self.alike())

    def optimizer(self, part):
        return torch.optim.Adam(self.p.values(), lr=self.o['lr'])  # main.py:83

    # ---- curves ----

    @staticmethod
    def start(o, counts, data, random):
        """modules/KGIN.py:68-73, 241-244: one table of users and entities."""
        d, relations = int(o['dim']), 2 * counts['relations']
        nodes = shared.xavier(random, counts['users'] + counts['entities'], d)
        p = {'users.weight': nodes[:counts['users']], 'entities.weight': nodes[counts['users']:],
             'relations.weight': shared.xavier(random, relations, d),
             'latent.weight': shared.xavier(random, int(o['intents']), d),
             'mixture': shared.xavier(random, int(o['intents']), relations)}
        return p, {'heads': data['graph.heads'], 'relations': data['graph.relations'],
                   'tails': data['graph.tails'], 'users': data['train.users'],
                   'items': data['train.items']}

    def epoch(self, data, random):
        """The last batch is left out where it is not full (main.py:100)."""
        for batch in shared.interactions(self, data, random, True):
            self.ranked = None
            yield 'loss', batch

    def rank(self, users):
        if getattr(self, 'ranked', None) is None:
            self.ranked = self.vectors()
        rows, entities = self.ranked
        return rows[users] @ entities[:self.counts['items']].t()
