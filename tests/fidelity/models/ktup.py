"""KTUP as TaoMiner/joint-kg-recommender computes it (files below jTransUP/). Its share of steps is
that of the curves; the lock-step takes one of each kind in turns."""

import numpy
import torch
import torch.nn.functional as F

import shared


class Adam(torch.optim.Adam):
    """Behind clip_grad_norm (models/knowledgable_recommendation.py:398-403). As in PyTorch 0.3
    zero_grad makes zeros: what a step does not read goes on by its momentum."""

    def __init__(self, parameters, lr, clip):
        super().__init__(parameters, lr=lr)
        self.clip = clip

    def zero_grad(self):
        super().zero_grad(set_to_none=False)

    def step(self):
        torch.nn.utils.clip_grad_norm_(self.param_groups[0]['params'], self.clip)
        super().step()


def project(x, norm):
    """utils/misc.py:18-19."""
    return x - (x * norm).sum(1, keepdim=True) * norm


def orthogonal(r, norm):
    """utils/loss.py:18-19."""
    return ((norm * r).sum(1, keepdim=True) ** 2 / (r ** 2).sum(1, keepdim=True)).sum()


def longer(x):
    """utils/loss.py:21-23."""
    return ((x ** 2).sum(1) - 1).clamp(min=0).sum()


class Model(shared.Model):
    """Parameters: users, items, entities, relations, relation_norms, preferences, preference_norms."""

    def apart(self, h, r, t, norm):
        x = project(h, norm) + r - project(t, norm)
        return x.abs().sum(1) if self.o['distance'] == 'l1' else (x ** 2).sum(1)

    def distances(self, users, items):
        """models/jTransUP.py:124-143, 250-260, without Gumbel noise. All items are entities here."""
        p = self.p
        u, i = p['users'][users], p['items'][items] + p['entities'][items]
        relations = p['preferences'] + p['relations']
        fit = (u + i) @ relations.t() / 2
        r = fit @ relations / 2
        norm = fit @ (p['preference_norms'] + p['relation_norms']) / 2
        return self.apart(u, r, i, norm)

    def scores(self, users, items):
        return -self.distances(users, items)

    def rank(self, users):
        items = torch.arange(self.counts['items'])
        users = torch.as_tensor(users)
        return torch.stack([self.scores(u.expand(len(items)), items) for u in users])

    def loss(self, part, batch):
        if part == 'kg':
            columns = ('heads', 'relations', 'tails', 'negatives')
            return self.kg_loss(*(batch[name].flatten() for name in columns))
        near = self.distances(batch['users'], batch['items'])
        far = self.distances(batch['users'], batch['negatives'].flatten())
        ranking = -F.logsigmoid(-(near - far)).mean()  # utils/loss.py:29-31, target -1
        return ranking + orthogonal(self.p['preferences'], self.p['preference_norms'])

    def kg_loss(self, heads, relations, tails, negatives):
        """models/knowledgable_recommendation.py:346-383, models/jTransUP.py:144-157. A relation
        behind the others is an inverse: its triple, read from the tail, has another head."""
        n = self.counts['relations']
        inverse, r = relations >= n, relations % n
        ph, pt = torch.where(inverse, tails, heads), torch.where(inverse, heads, tails)
        nh, nt = torch.where(inverse, negatives, ph), torch.where(inverse, pt, negatives)
        e, rows, norms = (self.p['entities'], self.p['relations'][r], self.p['relation_norms'][r])
        near, far = (self.apart(e[h], rows, e[t], norms) for h, t in ((ph, pt), (nh, nt)))
        loss = torch.max(near - far + self.o['margin'], torch.zeros_like(near)).sum()
        loss = loss + orthogonal(torch.cat([rows, rows]), torch.cat([norms, norms]))
        loss = loss + longer(e[torch.cat([ph, pt, nh, nt])]) + longer(torch.cat([rows, rows]))
        return self.o['kg_weight'] * loss

    def optimizer(self, part):
        """utils/trainer.py:66-68: one for both."""
        if not hasattr(self, 'adam'):
            self.adam = Adam(self.p.values(), self.o['lr'], self.o['clip'])
        return self.adam

    # ---- curves ----

    @staticmethod
    def start(o, counts, data, random):
        """Xavier's, then unit vectors (models/jTransUP.py:55-108)."""
        sizes = {'users': 'users', 'items': 'items', 'entities': 'entities',
                 'relations': 'relations', 'relation_norms': 'relations',
                 'preferences': 'relations', 'preference_norms': 'relations'}
        p = {name: F.normalize(shared.xavier(random, counts[count], int(o['dim'])), dim=1)
             for name, count in sizes.items()}
        triples = {(h, r, t) for h, r, t in zip(*(data['graph.' + c].tolist() for c in
                                                  ('heads', 'relations', 'tails')))}
        return p, {'triples': triples}

    def corrupted(self, random, h, r, t):
        """Another head or tail, as inverse and its relation's number (utils/data.py:12-56)."""
        known, n = self.c['triples'], self.counts['relations']
        inverse = random.random_sample() < 0.5
        while True:
            x = random.randint(self.counts['entities'])
            if ((x, r, t) if inverse else (h, r, x)) not in known:
                break
        return (t, r + n, h, x) if inverse else (h, r, t, x)

    def epoch(self, data, random):
        """Rounds of ten steps, joint_ratio of which are of interactions (models/
        knowledgable_recommendation.py:209, 320); batches of both are full (utils/data.py:87-110).
        An epoch is one of interactions, as tinykg's."""
        size = int(self.o['batch_size'])
        turn = int(numpy.ceil(10 * self.o['joint_ratio'] - 1e-9))
        columns = torch.stack([data['graph.' + c] for c in ('heads', 'relations', 'tails')], 1)
        for k, batch in enumerate(shared.interactions(self, data, random, True), 1):
            yield 'cf', batch
            for _ in range(10 - turn if k % turn == 0 else 0):
                if not len(getattr(self, 'left', ())) >= size:
                    self.left = columns[torch.tensor(random.permutation(len(columns)))]
                rows, self.left = self.left[:size], self.left[size:]
                drawn = torch.tensor([self.corrupted(random, *row) for row in rows.tolist()])
                yield 'kg', dict(zip(('heads', 'relations', 'tails', 'negatives'), drawn.t()))
