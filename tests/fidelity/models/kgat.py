"""KGAT as LunaBlack/KGAT-pytorch computes it (files below named).

Relations are tinykg's: r of the graph, then user -> item, then all of them backwards."""

import numpy
import torch
import torch.nn.functional as F

import shared
import users

LAYER = 'layers.%d.%s.%s'


class Spread(torch.autograd.Function):
    """A x of a constant sparse A, which is kept by rows and by columns: torch.sparse.mm of a matrix
    of coordinates computes the same, three times slower."""

    @staticmethod
    def forward(ctx, graph, x):
        ctx.graph = graph
        return graph[0] @ x

    @staticmethod
    def backward(ctx, dy):
        return None, ctx.graph[1] @ dy


def by_rows(matrix):
    return matrix.to_sparse_csr(), matrix.t().coalesce().to_sparse_csr()


class Model(shared.Model):
    """Parameters: nodes (entities, then users), relations, projections [R, d, k], layers."""

    def __init__(self, o, counts, p, c):
        super().__init__(o, counts, p, c)
        self.training = True
        triples = torch.stack([c['heads'], c['relations'], c['tails']], 1).unique(dim=0)
        if not o['loops']:  # tinykg's own, which the program has not
            triples = triples[triples[:, 0] != triples[:, 2]]
        h, r, t = triples.unbind(1)
        taken, back = c['users'] + counts['entities'], counts['relations'] + 1
        # data_loader/loader_kgat.py:30-60
        h, r, t = (torch.cat([h, taken]), torch.cat([r, 0 * taken + counts['relations']]),
                   torch.cat([t, c['items']]))
        self.heads, self.tails = torch.cat([h, t]), torch.cat([t, h])
        self.kinds = torch.cat([r, r + back])
        self.nodes, self.relations = counts['entities'] + counts['users'], 2 * back
        self.graph = self.laplacian() if o.get('first') else self.attention()

    def train(self):
        self.training = True

    def eval(self):
        self.training = False
        self.ranked = None

    def matrix(self, values):
        return torch.sparse_coo_tensor(torch.stack([self.heads, self.tails]), values,
                                       (self.nodes, self.nodes))

    def laplacian(self):
        """Random-walk normalised by relation, summed (data_loader/loader_kgat.py:115-137)."""
        pair = self.heads * self.relations + self.kinds
        count = torch.bincount(pair, minlength=self.nodes * self.relations)
        return by_rows(self.matrix(1 / count[pair].to(torch.get_default_dtype())).coalesce())

    @torch.no_grad()
    def attention(self):
        """model/KGAT.py:188-229: torch's softmax of a sparse matrix adds what lies in one place."""
        x, scores = self.p['nodes.weight'], torch.zeros(len(self.heads)).to(self.p['nodes.weight'])
        for kind in self.kinds.unique():
            edges, w = self.kinds == kind, self.p['projections'][kind]
            heads, tails = x[self.heads[edges]] @ w, x[self.tails[edges]] @ w
            scores[edges] = (tails * torch.tanh(heads + self.p['relations.weight'][kind])).sum(1)
        return by_rows(torch.sparse.softmax(self.matrix(scores), dim=1).coalesce())

    def layer(self, k, x):
        """model/KGAT.py:40-65."""
        around, kind = Spread.apply(self.graph, x), self.o['aggregator']

        def dense(name, z):
            weight, bias = (self.p[LAYER % (k, name, what)] for what in ('weight', 'bias'))
            return F.leaky_relu(F.linear(z, weight, bias))

        if kind == 'gcn':
            out = dense('sum', x + around)
        elif kind == 'graphsage':
            out = dense('sum', torch.cat([x, around], 1))
        else:
            out = dense('product', x * around) + dense('sum', x + around)
        return F.dropout(out, float(self.o['dropout']), self.training)

    def vectors(self):
        """model/KGAT.py:117-128."""
        x = self.p['nodes.weight']
        rows = [x]
        for k in range(1, len(str(self.o['layers']).split(',')) + 1):
            x = self.layer(k, x)
            rows.append(F.normalize(x, p=2, dim=1))
        return torch.cat(rows, 1)

    def loss(self, part, batch):
        return self.cf_loss(batch) if part == 'cf' else self.kg_loss(batch)

    def cf_loss(self, batch):
        """model/KGAT.py:131-153."""
        rows = self.vectors()
        u = rows[batch['users'] + self.counts['entities']]
        i, j = rows[batch['items']], rows[batch['negatives'].flatten()]
        ranking = -F.logsigmoid((u * i).sum(1) - (u * j).sum(1)).mean()
        return ranking + self.o['l2'] * sum(half(x) for x in (u, i, j))

    def kg_loss(self, batch):
        """model/KGAT.py:156-185."""
        w, r = (self.p[name][batch['relations']] for name in ('projections', 'relations.weight'))
        h, t, n = (torch.bmm(self.p['nodes.weight'][batch[name].flatten()][:, None], w)[:, 0]
                   for name in ('heads', 'tails', 'negatives'))
        near, far = ((h + r - x).pow(2).sum(1) for x in (t, n))
        return (-F.logsigmoid(far - near).mean()
                + self.o['kg_l2'] * sum(half(x) for x in (h, r, t, n)))

    def optimizer(self, part):
        return torch.optim.Adam(self.p.values(), lr=self.o['lr'])  # main_kgat.py:90-91

    # ---- curves ----

    @staticmethod
    def start(o, counts, data, random):
        """model/KGAT.py:20-34, 92-105: xavier, and torch's own biases."""
        d, k, relations = int(o['dim']), int(o['relation_dim']), 2 * counts['relations'] + 2
        p = {'nodes.weight': shared.xavier(random, counts['entities'] + counts['users'], d),
             'relations.weight': shared.xavier(random, relations, k),
             'projections': uniform(random, (6 / (d * k + relations * k)) ** 0.5, relations, d, k)}
        width = d
        for at, size in enumerate((int(x) for x in str(o['layers']).split(',')), 1):
            inputs = 2 * width if o['aggregator'] == 'graphsage' else width
            for name in ('sum', 'product') if o['aggregator'] == 'bi' else ('sum',):
                p[LAYER % (at, name, 'weight')] = shared.xavier(random, size, inputs)
                p[LAYER % (at, name, 'bias')] = uniform(random, inputs ** -0.5, size)
            width = size
        o['first'] = True
        return p, {'heads': data['graph.heads'], 'relations': data['graph.relations'],
                   'tails': data['graph.tails'], 'users': data['train.users'],
                   'items': data['train.items']}

    def epoch(self, data, random):
        """main_kgat.py:112-170: batches of distinct users, batches of distinct heads, then new
        attention."""
        taken, size = users.of(self, data), int(self.o['batch_size'])
        for _ in range(taken.n // size + 1):
            yield 'cf', taken.batch(random, some(random, taken.users, size))
        size = int(self.o['kg_batch_size'])
        for _ in range(len(self.heads) // size + 1):
            yield 'kg', self.draw(random, size)
        self.graph = self.attention()

    def draw(self, random, size):
        """An edge each of distinct heads, and a node that ends none of head and relation
        (data_loader/loader_base.py:117-170)."""
        if not hasattr(self, 'edges'):
            order = torch.argsort(self.heads, stable=True)
            self.edges = [x[order].numpy() for x in (self.kinds, self.tails)]
            self.counts_of = torch.bincount(self.heads, minlength=self.nodes).numpy()
            self.first_of = numpy.cumsum(self.counts_of) - self.counts_of
            self.keys = numpy.sort(self.key(self.heads.numpy(), self.kinds.numpy(),
                                            self.tails.numpy()))
        heads = some(random, numpy.flatnonzero(self.counts_of), size)
        at = self.first_of[heads] + (random.random_sample(size) * self.counts_of[heads]).astype(int)
        kinds, tails = (x[at] for x in self.edges)
        drawn, todo = numpy.zeros(size, dtype=int), numpy.arange(size)
        while len(todo):
            drawn[todo] = random.randint(0, self.nodes, len(todo))
            key = self.key(heads[todo], kinds[todo], drawn[todo])
            found = numpy.searchsorted(self.keys, key).clip(max=len(self.keys) - 1)
            todo = todo[self.keys[found] == key]
        return {name: torch.tensor(x) for name, x in
                (('heads', heads), ('relations', kinds), ('tails', tails), ('negatives', drawn))}

    def key(self, heads, kinds, tails):
        return (heads * self.relations + kinds) * self.nodes + tails

    def rank(self, ids):
        if getattr(self, 'ranked', None) is None:
            self.ranked = self.vectors()
        return self.ranked[self.counts['entities'] + ids] @ self.ranked[:self.counts['items']].t()


def half(x):
    """Mean over rows of half their squares (model/KGAT.py:6)."""
    return (x.pow(2).sum(1) / 2).mean()


def some(random, among, n):
    """n of them, none twice; where there are fewer, any (data_loader/loader_base.py:99-104)."""
    if n <= len(among):
        return random.choice(among, n, replace=False)
    return among[random.randint(0, len(among), n)]


def uniform(random, bound, *shape):
    return torch.tensor(random.uniform(-bound, bound, shape)).to(torch.get_default_dtype())
