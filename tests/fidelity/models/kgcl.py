"""KGCL as yuh-yang/KGCL-SIGIR22 computes it (files below code/)."""

import functools

import numpy
import torch
import torch.nn.functional as F

import shared
import users


class Model(shared.Model):
    """Parameters: users, items, entities (the last row is the padding's), relations, mix.

    Views: mask.N, scale.N of tinykg's, or those drawn for an epoch."""

    parts = 'cf', 'kg'

    def __init__(self, o, counts, p, c):
        super().__init__(o, counts, p, c)
        self.training = True
        n = counts['users'] + counts['items']
        self.pairs = c['users'], c['items'] + counts['users']
        self.graph = self.normalized(torch.ones(len(c['users'])))
        self.first_triples(counts)
        self.size = n
        self.views = [{'known': c['mask.%d' % v].bool(), 'graph': self.scaled(c['scale.%d' % v])}
                      for v in (1, 2) if 'mask.%d' % v in c]

    def train(self):
        self.training = True

    def eval(self):
        self.training = False
        self.ranked = None

    # ---- graphs ----

    def adjacency(self, values):
        """Both directions, of users and then items."""
        n = self.counts['users'] + self.counts['items']
        pairs = torch.stack([torch.cat(self.pairs), torch.cat(self.pairs[::-1])])
        return torch.sparse_coo_tensor(pairs, values, (n, n)).coalesce()

    def normalized(self, kept):
        """D^-1/2 A D^-1/2 of the interactions that are kept (dataloader.py:418-455; contrast.py:159-184)."""
        n = self.counts['users'] + self.counts['items']
        degree = torch.zeros(n).to(kept).index_add(0, torch.cat(self.pairs), torch.cat([kept, kept]))
        root = torch.where(degree > 0, degree.clamp(min=1).rsqrt(), 0 * degree)
        values = kept * root[self.pairs[0]] * root[self.pairs[1]]
        return self.adjacency(torch.cat([values, values]))

    def scaled(self, scale):
        """The graph of a view that tinykg drew: its scale of items, then of users, as it should be."""
        items = self.counts['items']
        kept = (scale[:items, 0] > 0).to(scale)
        graph = self.normalized(kept[self.pairs[1] - self.counts['users']])
        nodes = torch.cat([scale[items:, 0], scale[:items, 0]])
        values = nodes[self.pairs[0]] * nodes[self.pairs[1]]
        assert (graph - self.adjacency(torch.cat([values, values]))).coalesce().values().abs().max() < 1e-6
        return graph

    def first_triples(self, counts):
        """dataloader.py:42-63: the first triples of each item, padded."""
        k, items, pad = int(self.o['neighbors']), counts['items'], counts['entities']
        lists = [[] for _ in range(items)]
        self.triples = {}
        seen = set()
        for h, r, t in zip(*(self.c[name].tolist() for name in ('heads', 'relations', 'tails'))):
            if h < items and (h, r, t) not in seen:
                seen.add((h, r, t))
                lists[h].append((r, t))
        self.triples = {h: found for h, found in enumerate(lists) if found}
        self.heads = numpy.array(list(dict.fromkeys(h for h in self.c['heads'].tolist() if h < items)))
        padded = [(found + [(counts['relations'], pad)] * k)[:k] for found in lists]
        both = torch.tensor(padded)
        self.by, self.tails = both[..., 0], both[..., 1]

    # ---- rows ----

    def drop(self, x):
        return F.dropout(x, float(self.o['dropout']), self.training)

    def items_by(self, known):
        """GAT.py:23-28, 49-75; model.py:304-318. The padding has a relation of its own, which no
        score that counts reads."""
        p, pad = self.p, self.counts['entities']
        tails = self.tails if known is None else torch.where(known, self.tails, pad + 0 * self.tails)
        relations = torch.cat([p['relations.weight'], p['relations.weight'][:1]])[self.by]
        v, e = self.drop(p['items.weight']), self.drop(p['entities.weight'][tails])
        both = torch.cat([v[:, None].expand(e.shape), e], -1)
        score = F.linear(both, p['mix.weight'], p['mix.bias']) * relations
        score = F.leaky_relu(score.sum(-1), 0.2)
        share = torch.where(tails != pad, score, -9e15 * torch.ones_like(score)).softmax(1)
        return self.drop((self.drop(share)[..., None] * e).sum(1) + v)

    def rows(self, graph, known):
        """model.py:108-171: users, then items."""
        x = torch.cat([self.p['users.weight'], self.items_by(known)])
        layers = [x]
        for _ in range(int(self.o['layers'])):
            layers.append(torch.sparse.mm(graph, layers[-1]))
        return torch.stack(layers, 1).mean(1).split([self.counts['users'], self.counts['items']])

    def dropped(self):
        """model.py:88-97: each number of the matrix by itself."""
        keep = 1 - float(self.o['node_dropout'])
        if not self.training or keep == 1:
            return self.graph
        kept = (torch.rand(self.graph.values().shape) + keep).int().bool()
        return torch.sparse_coo_tensor(self.graph.indices()[:, kept], self.graph.values()[kept] / keep,
                                       self.graph.shape)

    def infonce(self, one, two, every):
        """contrast.py:77-88."""
        t = float(self.o['temperature'])
        own = (F.cosine_similarity(one, two) / t).exp()
        return -(own / (F.normalize(one) @ F.normalize(every).t() / t).exp().sum(1)).log().sum()

    def loss(self, part, batch):
        if part == 'kg':
            return self.kg_loss(batch)
        u, i, j = batch['users'], batch['items'], batch['negatives'].flatten()
        users, items = self.rows(self.dropped(), None)
        main = F.softplus((users[u] * items[j]).sum(1) - (users[u] * items[i]).sum(1)).sum()
        l2 = sum(self.p[name + '.weight'][ids].norm(2).pow(2)
                 for name, ids in (('users', u), ('items', i), ('items', j))) / 2 / len(u)
        (u1, i1), (u2, i2) = (self.rows(view['graph'], view['known']) for view in self.views)
        ssl = self.infonce(i1[i], i2[i], i2) + self.infonce(u1[u], u2[u], u2)
        return main + self.o['l2'] * l2 + self.o['ssl_weight'] * ssl

    def kg_loss(self, batch):
        """model.py:218-247."""
        r = self.p['relations.weight'][batch['relations']]
        h = self.p['items.weight'][batch['heads']]
        t, f = (self.p['entities.weight'][batch[name].flatten()] for name in ('tails', 'negatives'))
        near, far = ((h + r - x).pow(2).sum(1) for x in (t, f))
        loss = -F.logsigmoid(far - near)
        if 'counts' in batch:  # tinykg leaves out negatives that are triples
            loss = loss * batch['counts'].flatten()
        return loss.mean() + self.o['kg_l2'] * sum((x.pow(2).sum(1) / 2).mean() for x in (h, r, t, f))

    def optimizer(self, part):
        """One for both parts (main.py:24). What a part does not read has gradient 0 and moves on, in
        torch 1.8.1 (requirements.txt)."""
        if not hasattr(self, 'adam'):
            self.adam = torch.optim.Adam(self.p.values(), lr=self.o['lr'])
            self.adam.zero_grad = functools.partial(self.adam.zero_grad, set_to_none=False)
        return self.adam

    # ---- curves ----

    @staticmethod
    def start(o, counts, data, random):
        """model.py:54-74, GAT.py:45."""
        d = int(o['dim'])

        def normal(*shape):
            return torch.tensor(random.normal(0, 0.1, shape)).to(torch.get_default_dtype())

        linear = torch.nn.Linear(2 * d, d)
        return ({'users.weight': normal(counts['users'], d), 'items.weight': normal(counts['items'], d),
                 'entities.weight': normal(counts['entities'] + 1, d),
                 'relations.weight': normal(counts['relations'], d),
                 'mix.weight': linear.weight.detach(), 'mix.bias': linear.bias.detach()},
                {'heads': data['graph.heads'], 'relations': data['graph.relations'],
                 'tails': data['graph.tails'], 'users': data['train.users'],
                 'items': data['train.items']})

    @torch.no_grad()
    def draw_views(self):
        """contrast.py:90-135: triples by chance, then items by how alike their rows are."""
        self.views = [{'known': torch.rand(self.tails.shape) > self.o['kg_drop']} for _ in range(2)]
        one, two = (self.items_by(view['known']) for view in self.views)
        stable = F.cosine_similarity(one, two).exp()
        weight = (stable - stable.min()) / (stable.max() - stable.min())
        weight = torch.where(weight > 0.3, weight, 0.3 * torch.ones_like(weight))
        keep = ((1 - self.o['ui_drop']) / weight.mean() * weight).clamp(max=0.95)
        for view in self.views:
            items = torch.bernoulli(keep)
            view['graph'] = self.normalized(items[self.pairs[1] - self.counts['users']])

    def epoch(self, data, random):
        """main.py:56-75. Where there are fewer items than a batch has, it fails; here all are one.
        Items come in the triples' order, so that the last ones are never drawn (Procedure.py:32)."""
        size = min(int(self.o['kg_batch_size']), len(self.triples))
        heads = self.heads
        for first in range(0, len(heads) - size + 1, size):
            yield 'kg', self.draw_triples(random, heads[first:first + size])
        self.draw_views()
        for batch in self.interactions(data, random):
            yield 'cf', batch

    def interactions(self, data, random):
        """Each interaction's user once, with any item of that user (dataloader.py:498-507)."""
        rows, size = data['train.users'].numpy(), int(self.o['batch_size'])
        order = random.permutation(len(rows))
        for first in range(0, len(order) - size + 1, size):
            yield users.of(self, data).batch(random, rows[order[first:first + size]])

    def draw_triples(self, random, heads):
        """dataloader.py:78-88: a triple of each head; the tail of another's that is none of it."""
        rows = []
        every = self.heads
        for h in heads.tolist():
            r, t = self.triples[h][random.randint(len(self.triples[h]))]
            while True:
                other = self.triples[every[random.randint(len(every))]]
                f = other[random.randint(len(other))][1]
                if (r, f) not in self.triples[h]:
                    break
            rows.append((h, r, t, f))
        return dict(zip(('heads', 'relations', 'tails', 'negatives'), torch.tensor(rows).t()))

    def rank(self, users):
        if getattr(self, 'ranked', None) is None:
            self.ranked = self.rows(self.graph, None)
        return self.ranked[0][users] @ self.ranked[1].t()
