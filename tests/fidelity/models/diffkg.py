"""DiffKG as HKUDS/DiffKG computes it, the graph as a dense matrix (files and lines are named)."""

import math

import numpy
import torch
import torch.nn.functional as F

import shared


class Model(shared.Model):
    """Parameters: users, entities, relations, mix; diffusion.input, .time (of the numbers of the
    step: one layer there), .wave, .output. Edges that tinykg drew come as c's `some` and `drawn`, in
    the order of its `edge.heads` and `edge.tails`."""

    parts = 'diffusion', 'cf'

    def __init__(self, o, counts, p, c):
        super().__init__(o, counts, p, c)
        self.training, n = True, counts['entities']
        self.relation = self.first_relations(c, counts['relations'])
        pairs = list(self.relation)
        if 'edge.heads' in c:
            pairs = list(zip(c['edge.heads'].tolist(), c['edge.tails'].tolist()))
        self.heads, self.tails = (torch.tensor(x) for x in zip(*pairs))
        self.kinds = torch.tensor([self.relation[pair] for pair in pairs])
        self.matrix = torch.zeros(n, n)  # DataHandler.py:72-80, 140
        self.matrix[self.heads, self.tails] = 1
        self.some = c['some'] > 0.5 if 'some' in c else self.at_most(int(self.o['triples']))
        self.drawn = c['drawn'] > 0.5 if 'drawn' in c else None
        self.adjacency, self.taken = self.interactions(c['users'], c['items'])
        self.schedule()

    @staticmethod
    def first_relations(c, relations):
        """Relation by head and tail, the first in sorted triples, then their inverses
        (DataHandler.py:33-70, 104-110)."""
        triples = numpy.unique(torch.stack([c['heads'], c['relations'], c['tails']], 1).numpy(),
                               axis=0)
        found = {}
        for h, r, t in triples.tolist() + [(t, r + relations, h) for h, r, t in triples.tolist()]:
            found.setdefault((h, t), r)
        return found

    def at_most(self, count):
        """Model.py:48-58."""
        stays = torch.ones(len(self.heads), dtype=torch.bool)
        for h in range(self.counts['entities'] if count > 0 else 0):
            mine = torch.nonzero(self.heads == h).flatten()
            stays[mine[torch.randperm(len(mine))[count:]]] = False
        return stays

    def interactions(self, users, items):
        """D^-1/2 (A + I) D^-1/2 of users, then items; users x items (DataHandler.py:82-102, 112-116)."""
        m, n = self.counts['users'], self.counts['items']
        taken = torch.zeros(m, n)
        taken[users, items] = 1
        full = torch.eye(m + n)
        full[:m, m:], full[m:, :m] = taken, taken.t()
        scale = full.sum(1) ** -0.5
        return (full * scale[:, None] * scale).to_sparse(), taken

    def schedule(self):
        """Model.py:182-210, by torch as there; noise_min and noise_max of Params.py:30-31."""
        steps, scale = int(self.o['steps']), float(self.o['noise'])
        variance = numpy.linspace(scale * 1e-4, scale * 0.02, steps)
        left = 1 - variance
        betas = [1 - left[0]] + [min(1 - left[i] / left[i - 1], 0.999) for i in range(1, steps)]
        betas[0] = 1e-4
        betas = torch.tensor(betas, dtype=torch.float64)
        alphas = 1 - betas
        self.product = torch.cumprod(alphas, 0)
        before = torch.cat([torch.ones(1, dtype=torch.float64), self.product[:-1]])
        self.output_share = betas * before.sqrt() / (1 - self.product)
        self.state_share = (1 - before) * alphas.sqrt() / (1 - self.product)

    def train(self):
        self.training = True

    def eval(self):
        self.training = False
        self.ranked = None

    # ---- the diffusion ----

    def linear(self, name, x):
        return F.linear(x, self.p['diffusion.%s.weight' % name], self.p['diffusion.%s.bias' % name])

    def denoise(self, x, t, drop):
        """Model.py:144-164."""
        half = self.p['diffusion.wave.weight'].shape[1] // 2
        freqs = torch.exp(-math.log(10000) * torch.arange(half) / half)
        angles = t[:, None].to(freqs) * freqs[None]
        emb = self.linear('wave', torch.cat([angles.cos(), angles.sin()], 1))
        x = F.normalize(x)
        if drop:
            x = F.dropout(x, float(self.o['row_dropout']))
        weight = torch.cat([self.p['diffusion.input'].t(), self.p['diffusion.time.weight']], 1)
        h = F.linear(torch.cat([x, emb], 1), weight, self.p['diffusion.time.bias']).tanh()
        return self.linear('output', h)

    def ratio(self, t):
        """Model.py:278-280."""
        return self.product[t] / (1 - self.product[t])

    def diffusion_loss(self, batch):
        """Main.py:78-96; Model.py:252-276."""
        x, ids, n = self.matrix[batch['ids']], batch['ids'], self.counts['items']
        t = batch['steps'] if 'steps' in batch else torch.randint(0, int(self.o['steps']), (len(x),))
        noise = batch['noise'] if 'noise' in batch else torch.randn_like(x)
        share, rest = ((y.sqrt().to(x))[t][:, None] for y in (self.product, 1 - self.product))
        y = self.denoise(share * x + rest * noise, t, True)
        error = ((x - y) ** 2).mean(1)
        weight = torch.where(t == 0, 1.0, self.ratio(t - 1) - self.ratio(t))
        by_users = (self.taken @ y[:, :n].t()).t()
        u, e = self.p['users.weight'].detach(), self.p['entities.weight'].detach()
        apart = ((by_users @ u - e[ids]) ** 2).mean(1)
        share = float(self.o['e_loss'])
        return (weight * error).mean() * (1 - share) + apart.mean() * share

    @torch.no_grad()
    def rebuild(self):
        """Main.py:100-143; Model.py:212-250."""
        found = set()
        for ids in torch.arange(len(self.matrix)).split(int(self.o['batch_size'])):
            x = self.matrix[ids]
            for s in reversed(range(int(self.o['steps']))):
                y = self.denoise(x, torch.full((len(x),), s), False)
                x = self.output_share[s].to(x) * y + self.state_share[s].to(x) * x
            for h, best in zip(ids.tolist(), x.topk(int(self.o['best'])).indices.tolist()):
                found.update((h, t) for t in best)
        found |= {(t, h) for h, t in found}
        pairs = zip(self.heads.tolist(), self.tails.tolist())
        there = torch.tensor([pair in found for pair in pairs])
        self.drawn = there & (torch.rand(len(there)) + float(self.o['keep'])).floor().bool()

    # ---- users and items ----

    def by_triples(self, mask):
        """Model.py:83-104."""
        head, tail = self.heads[mask], self.tails[mask]
        e, r = self.p['entities.weight'], self.p['relations.weight'][self.kinds[mask]]
        out = e
        for _ in range(int(self.o['hops'])):
            both = torch.cat([e[head], e[tail]], 1)
            score = F.leaky_relu((torch.mm(both, self.p['mix']) * r).sum(1), 0.2)
            most = torch.full((len(e),), -numpy.inf).to(score)
            most = most.scatter_reduce(0, head, score.detach(), 'amax')
            power = (score - most[head]).exp()
            share = power / torch.zeros(len(e)).to(power).index_add(0, head, power)[head]
            e = torch.zeros_like(e).index_add(0, head, e[tail] * share[:, None]) + e
            e = F.normalize(F.dropout(e, float(self.o['dropout']), self.training))
            out = float(self.o['residual']) * out + e
        return out

    def rows(self, mask):
        """Model.py:33-46."""
        items = self.by_triples(mask)[:self.counts['items']]
        layers = [torch.cat([self.p['users.weight'], items])]
        for _ in range(int(self.o['layers'])):
            layers.append(torch.sparse.mm(self.adjacency, layers[-1]))
        total = sum(layers)
        return total[:self.counts['users']], total[self.counts['users']:]

    def views(self):
        masks = (self.drawn, self.some) if self.o['scored_by'] == 'drawn' else (self.some, self.drawn)
        return [self.rows(mask) for mask in masks]

    def apart(self, one, two, ids):
        """Utils/Utils.py:31-38."""
        one, two = F.normalize(one)[ids], F.normalize(two)
        t = float(self.o['temperature'])
        own = torch.exp((one * two[ids]).sum(1) / t)
        return -torch.log(own / torch.exp(one @ two.t() / t).sum(1)).mean()

    def loss(self, part, batch):
        """Main.py:145-174; Utils/Utils.py:4-14."""
        if part == 'diffusion':
            return self.diffusion_loss(batch)
        (users, items), (other_users, other_items) = self.views()
        u, i, j = (users[batch['users']], items[batch['items']],
                   items[batch['negatives'].flatten()])
        bpr = -((u * i).sum(1) - (u * j).sum(1)).sigmoid().log().sum() / float(self.o['batch_size'])
        reg = sum((x ** 2).sum() for name, x in self.p.items() if self.trained(name, 'cf'))
        alike = (self.apart(other_items, items, batch['items'])
                 + self.apart(other_users, users, batch['users']))
        return bpr + float(self.o['l2']) * reg + float(self.o['ssl_weight']) * alike

    @staticmethod
    def trained(name, part):
        return name.startswith('diffusion.') if part == 'diffusion' else (
            name != 'drawn' and not name.startswith('diffusion.'))

    def optimizer(self, part):
        """Main.py:61, 67."""
        return torch.optim.Adam([p for name, p in self.p.items() if self.trained(name, part)],
                                lr=self.o['lr'])

    # ---- curves ----

    @staticmethod
    def start(o, counts, data, random):
        """Model.py:17-19, 77, 123-142."""
        d, n, hidden, waves = int(o['dim']), counts['entities'], int(o['hidden']), 10

        def normal(variance, *shape):
            return torch.tensor(random.normal(0, variance ** 0.5, shape)).to(
                torch.get_default_dtype())

        fan = n + waves + hidden
        p = {'users.weight': shared.xavier(random, counts['users'], d),
             'entities.weight': shared.xavier(random, n, d),
             'relations.weight': shared.xavier(random, 2 * counts['relations'], d),
             'mix': shared.xavier(random, 2 * d, d) * 2 ** 0.5,
             'diffusion.input': normal(2 / fan, n, hidden),
             'diffusion.time.weight': normal(2 / fan, hidden, waves),
             'diffusion.time.bias': normal(1e-6, hidden),
             'diffusion.wave.weight': normal(2 / (2 * waves), waves, waves),
             'diffusion.wave.bias': normal(1e-6, waves),
             'diffusion.output.weight': normal(2 / (hidden + n), n, hidden),
             'diffusion.output.bias': normal(1e-6, n)}
        return p, {'heads': data['graph.heads'], 'relations': data['graph.relations'],
                   'tails': data['graph.tails'], 'users': data['train.users'],
                   'items': data['train.items']}

    def epoch(self, data, random):
        """Main.py:69-187."""
        order = torch.tensor(random.permutation(self.counts['entities']))
        for ids in order.split(int(self.o['batch_size'])):
            yield 'diffusion', {'ids': ids}
        self.rebuild()
        for batch in shared.interactions(self, data, random, False):
            yield 'cf', batch

    def rank(self, users):
        if getattr(self, 'ranked', None) is None:
            self.ranked = self.views()[0]
        rows, items = self.ranked
        return rows[users] @ items.t()
