"""MCCLK as CCIIPLab/MCCLK computes it (modules/MCCLK.py, whose lines are given, or files named)."""

import numpy
import torch
import torch.nn.functional as F

import shared


class Model(shared.Model):
    """Parameters: users, entities (one table there), relations, spaces.N.1, spaces.N.3.

    Similar entities are found in each step as there, or are those of c."""

    def __init__(self, o, counts, p, c):
        super().__init__(o, counts, p, c)
        edges = torch.stack([c['heads'], c['tails'], c['relations']], 1).unique(dim=0)
        h, t, r = edges.unbind(1)
        # edges back under relations of their own (utils/data_loader.py:97-123)
        self.heads, self.tails = torch.cat([h, t]), torch.cat([t, h])
        self.kinds = torch.cat([r, r + counts['relations']])
        # all rows of train, whatever their label (utils/data_loader.py:126-132)
        degree = torch.bincount(c['users'], minlength=counts['users'])
        self.taken = torch.stack([c['users'], c['items']])
        self.values = 1 / degree[c['users']].to(torch.get_default_dtype())
        self.training = True

    def train(self):
        self.training = True

    def eval(self):
        self.training = False
        self.ranked = None

    def shares(self, entity, edges):
        """25-31, 42-50: the norms' product, squared, and its softmax by head."""
        r = self.p['relations.weight'][self.kinds[edges]]
        score = ((entity[self.heads[edges]] * r).norm(dim=1)
                 * (entity[self.tails[edges]] * r).norm(dim=1)) ** 2
        most = torch.full((len(entity),), -numpy.inf).to(score)
        most = most.scatter_reduce(0, self.heads[edges], score.detach(), 'amax')
        power = (score - most[self.heads[edges]]).exp()
        total = torch.zeros(len(entity)).to(power).index_add(0, self.heads[edges], power)
        return power / total[self.heads[edges]]

    def by_graph(self):
        """18-40, 109-133."""
        edges, rate = torch.arange(len(self.heads)), float(self.o['node_dropout'])
        taken, values = self.taken, self.values
        if self.training and rate > 0:
            edges = torch.randperm(len(edges))[:int(len(edges) * rate)]
            kept = (torch.rand(len(values)) + rate).floor().bool()
            taken, values = taken[:, kept], values[kept] / (1 - rate)
        r, user, entity = (self.p[k + '.weight'] for k in ('relations', 'users', 'entities'))
        users, entities = user, entity
        for _ in range(int(self.o['hops'])):
            message = entity[self.tails[edges]] * r[self.kinds[edges]]
            message = message * self.shares(entity, edges)[:, None]
            known = torch.zeros_like(user).index_add(0, taken[0], entity[taken[1]] * values[:, None])
            entity = torch.zeros_like(entity).index_add(0, self.heads[edges], message)
            user = known + ((user @ r.t()).softmax(1) @ r) * known
            user, entity = (F.normalize(F.dropout(x, float(self.o['dropout']), self.training))
                            for x in (user, entity))
            users, entities = users + user, entities + entity
        return users, entities

    @torch.no_grad()
    def alike(self, x):
        """141-166: indices, and the values that no gradient goes through."""
        k = min(int(self.o['neighbors']), len(x))
        unit = x / x.norm(dim=1, keepdim=True)
        value, index = (unit @ unit.t()).topk(k, dim=1)
        root = value.sum(1) ** -0.5
        return index, value * root[:, None] * root[index]

    def by_alike(self, entities):
        """117, 136-137, 266-269."""
        x, out = self.p['entities.weight'], 0
        for table in (x.detach(), entities.detach()):
            index, value = self.alike(table)
            out = out + 0.5 * (x[index] * value[..., None]).sum(1)
        return F.normalize(out)

    def by_interactions(self):
        """272-288, 379-389."""
        user, entity = self.p['users.weight'], self.p['entities.weight']
        users, entities, (u, i) = [user], [entity], self.taken
        for _ in range(int(self.o['layers'])):
            user, entity = (torch.zeros_like(user).index_add(0, u, entity[i] * self.values[:, None]),
                            torch.zeros_like(entity).index_add(0, i, user[u] * self.values[:, None]))
            users.append(user)
            entities.append(entity)
        return torch.stack(users, 1).mean(1), torch.stack(entities, 1).mean(1)

    def space(self, k, x):
        """201-215."""
        for layer in (1, 3):
            x = F.linear(x, *(self.p['spaces.%d.%d.%s' % (k, layer, what)] for what in ('weight', 'bias')))
            x = x.relu() if layer == 1 else x
        return F.normalize(x)

    def apart(self, a, b):
        """321-326."""
        t = float(self.o['temperature'])
        own, between = (a @ a.t() / t).exp(), (a @ b.t() / t).exp()
        return -(between.diag() / (own.sum(1) + between.sum(1) - own.diag())).log()

    def views(self):
        users, entities = self.by_graph()
        user, entity = self.by_interactions()
        return (users, user), (entities, self.by_alike(entities), entity)

    def loss(self, part, batch):
        """252-308, 315-377, 391-402."""
        (u1, u2), (i1, i2, i3) = self.views()
        user, item = batch['users'], batch['items']
        a, b = self.space(1, i2[item]), self.space(1, i3[item])
        contrast = self.apart(a, b).mean()
        for k, x, y in ((2, self.p['entities.weight'][item], i3[item]),
                        (3, self.p['users.weight'][user], u2[user])):
            a, b = self.space(k, x), self.space(k, y)
            contrast = contrast + ((self.apart(a, b) + self.apart(b, a)) * 0.5).mean()
        u = torch.cat([u1[user], u2[user], u2[user]], 1)
        i = torch.cat([i1[item], i2[item], i3[item]], 1)
        ce = F.binary_cross_entropy((u * i).sum(1).sigmoid(), batch['labels'])
        l2 = (u.norm() ** 2 + i.norm() ** 2) / 2 / len(u)
        return ce + self.o['l2'] * l2 + self.o['ssl_weight'] * contrast

    def optimizer(self, part):
        return torch.optim.Adam(self.p.values(), lr=self.o['lr'])  # main.py:187

    # ---- curves ----

    @staticmethod
    def start(o, counts, data, random):
        """201-219, 72-74: one table of users and entities."""
        d, relations = int(o['dim']), 2 * counts['relations']
        nodes = shared.xavier(random, counts['users'] + counts['entities'], d)
        p = {'users.weight': nodes[:counts['users']], 'entities.weight': nodes[counts['users']:],
             'relations.weight': shared.xavier(random, relations, d)}
        for k in (1, 2, 3):
            for layer in (1, 3):
                linear = torch.nn.Linear(d, d)
                for what in ('weight', 'bias'):
                    p['spaces.%d.%d.%s' % (k, layer, what)] = getattr(linear, what).detach()
        return p, {'heads': data['graph.heads'], 'relations': data['graph.relations'],
                   'tails': data['graph.tails'], 'users': data['train.users'],
                   'items': data['train.items']}

    def epoch(self, data, random):
        """main.py:196-214."""
        for batch in shared.interactions(self, data, random, True):
            yield 'loss', batch

    def scores(self, users, items):
        """Of the whole graph; the program's leave out half of its edges (main.py:93, 109-115)."""
        if getattr(self, 'ranked', None) is None:
            self.ranked = self.views()
        (u1, u2), (i1, i2, i3) = self.ranked
        return ((u1[users] * i1[items]).sum(1) + (u2[users] * i2[items]).sum(1)
                + (u2[users] * i3[items]).sum(1))
