"""RippleNet as hwwang55/RippleNet computes it (files below src/)."""

import torch
import torch.nn.functional as F

import shared


def draw_ripples(o, counts, data, random):
    """Of each user, hop by hop, `memory` triples that begin at the user's positive items, or at the
    tails of the hop before, drawn with replacement only where there are fewer (data_loader.py:93-128).
    Users without any, whom the program leaves out, have triples of the whole graph, as tinykg's."""
    hops, size = int(o['hops']), int(o['memory'])
    heads, relations, tails = (data['graph.' + c].numpy() for c in ('heads', 'relations', 'tails'))
    begins = [[] for _ in range(counts['entities'])]
    for edge, head in enumerate(heads.tolist()):
        begins[head].append(edge)
    history = [[] for _ in range(counts['users'])]
    positive = data['train.labels'] == 1
    for u, i in zip(data['train.users'][positive].tolist(), data['train.items'][positive].tolist()):
        history[u].append(i)
    sets = [[] for _ in range(hops)]
    for seeds in history:
        picked = None
        for hop in range(hops):
            around = [edge for entity in seeds for edge in begins[entity]]
            if not around and picked is None:
                around = list(range(len(heads)))
            if around:
                picked = [around[k] for k in random.choice(len(around), size,
                                                           replace=len(around) < size)]
            sets[hop].append(picked)
            seeds = tails[picked].tolist()
    columns = {'heads': heads, 'relations': relations, 'tails': tails}
    return {'%s.%d' % (name, hop + 1): torch.tensor(ids[sets[hop]])
            for name, ids in columns.items() for hop in range(hops)}


def products(matrices, which, vectors):
    """matrices[which[k]] @ vectors[k] of each k: [n, m, d], relation after relation."""
    flat, order = which.flatten(), which.flatten().argsort()
    counts = torch.bincount(flat, minlength=len(matrices)).tolist()
    parts = vectors.flatten(0, 1)[order].split(counts)
    rows = torch.cat([x @ r.t() for x, r in zip(parts, matrices)])
    return rows[order.argsort()].view_as(vectors)


class Model(shared.Model):
    """Parameters: entities, relations [R, d, d], transform (in float64 there, model.py:43-53)."""

    def memories(self, users):
        """Rows of heads, ids of relations and rows of tails, hop by hop (model.py:61-69)."""
        e = self.p['entities.weight']
        return [(e[self.c['heads.%d' % hop][users]], self.c['relations.%d' % hop][users],
                 e[self.c['tails.%d' % hop][users]]) for hop in range(1, int(self.o['hops']) + 1)]

    def logits(self, memories, items):
        """model.py:76-125, for item_update_mode plus_transform and all hops."""
        v, y = self.p['entities.weight'][items], 0
        for h, r, t in memories:
            weights = (products(self.p['relations'], r, h) @ v[..., None])[..., 0].softmax(1)
            o = (t * weights[..., None]).sum(1)
            v = (v + o) @ self.p['transform']
            y = y + o
        return (v * y).sum(1)

    def scores(self, users, items):
        return self.logits(self.memories(users), items)

    def loss(self, part, batch):
        """model.py:127-147: L2 is a sum without a half."""
        memories = self.memories(batch['users'])
        base = F.binary_cross_entropy_with_logits(self.logits(memories, batch['items']),
                                                  batch['labels'])
        matrices = self.p['relations']
        kge = sum((h * products(matrices, r, t)).sum(2).sigmoid().mean() for h, r, t in memories)
        size = (matrices * matrices).sum((1, 2))
        l2 = sum((h * h).sum() + size[r].sum() + (t * t).sum() for h, r, t in memories)
        return base - self.o['kge_weight'] * kge + self.o['l2'] * l2

    def optimizer(self, part):
        return shared.TensorFlowAdam(self.p.values(), self.o['lr'])  # model.py:150

    # ---- curves ----

    @staticmethod
    def start(o, counts, data, random):
        """model.py:43-53."""
        d = int(o['dim'])
        p = {'entities.weight': shared.xavier(random, counts['entities'], d),
             'relations': shared.xavier(random, counts['relations'], d, d),
             'transform': shared.xavier(random, d, d)}
        return p, draw_ripples(o, counts, data, random)

    def epoch(self, data, random):
        """The last batch is as short as it is (train.py:19-25)."""
        for batch in shared.interactions(self, data, random, False):
            yield 'loss', batch
