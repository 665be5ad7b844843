"""KGNN-LS as hwwang55/KGNN-LS computes it (files below src/)."""

import torch
import torch.nn.functional as F

from models import kgcn


class Model(kgcn.Model):
    """KGCN's embedding with the sum aggregator (aggregators.py:37-59, 62-84), and labels that spread
    along the same edges."""

    def __init__(self, o, counts, p, c):
        super().__init__(o, counts, p, c)
        self.table = torch.full((counts['users'], counts['entities']), 0.5)  # train.py:57-66
        self.table[c['users'], c['items']] = c['labels']

    def spread_labels(self, users, items):
        """The label of each item from those around it, the item itself being held out wherever it
        is met (model.py:105-150). The masks do not change while labels spread (:145)."""
        u, hops, k = self.p['users.weight'][users], int(self.o['hops']), int(self.o['neighbors'])
        entities, relations = self.receptive_field(items)
        labels, resets = [], []
        for ids in entities:
            label, other = self.table[users[:, None], ids], ids != items[:, None]
            resets.append((label != 0.5) & other)
            labels.append(torch.where(other, label, torch.full_like(label, 0.5)))
        r = [self.p['relations.weight'][ids].unflatten(1, (-1, k)) for ids in relations]
        for i in range(hops):
            spread = []
            for h in range(hops - i):
                weights = (u[:, None, None] * r[h]).mean(3).softmax(2)  # aggregators.py:96-97
                around = (weights * labels[h + 1].unflatten(1, (-1, k))).mean(2)  # :100
                spread.append(torch.where(resets[h], labels[h], around))  # :101-102
            labels = spread
        return labels[0].flatten()

    def loss(self, part, batch):
        """model.py:152-169; propagated labels are taken as logits."""
        base, decay = super().loss(part, batch)
        labels = self.spread_labels(batch['users'], batch['items'])
        smooth = F.binary_cross_entropy_with_logits(labels, batch['labels'])
        return base + self.o['ls_weight'] * smooth, decay

    @staticmethod
    def start(o, counts, data, random):
        p, c = kgcn.Model.start(o, counts, data, random)
        return p, dict(c, users=data['train.users'], items=data['train.items'],
                       labels=data['train.labels'])
