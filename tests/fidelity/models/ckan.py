"""CKAN as weberrr/CKAN computes it (files below src/)."""

import numpy
import torch
import torch.nn.functional as F

import shared


def histories(counts, data):
    """Each user's positive items, and for each item those that its users have, or the item alone
    (data_loader.py:55-83). Users without a positive item, whom the program leaves out, have none."""
    of_user, of_item = [[] for _ in range(counts['users'])], [[] for _ in range(counts['items'])]
    positive = data['train.labels'] == 1
    for u, i in zip(data['train.users'][positive].tolist(), data['train.items'][positive].tolist()):
        of_user[u].append(i)
        of_item[i].append(u)
    around = [sorted({j for u in takers for j in of_user[u]}) or [i]
              for i, takers in enumerate(of_item)]
    return of_user, around


def draw_sets(seeds, begins, columns, hops, size, random):
    """Hop by hop `size` triples that begin at the seeds, or at the tails before, with replacement
    only where there are fewer; a hop without any repeats the one before (data_loader.py:108-137).
    Seeds without any, at which the program stops, get triples of the whole graph, as tinykg's."""
    sets = [[] for _ in range(hops)]
    for entities in seeds:
        picked = None
        for hop in range(hops):
            from_here = [edge for entity in entities for edge in begins[entity]]
            if not from_here and picked is None:
                from_here = list(range(len(columns['heads'])))
            if from_here:
                picked = [from_here[k] for k in random.choice(
                    len(from_here), size=size, replace=len(from_here) < size)]
            sets[hop].append(picked)
            entities = columns['tails'][picked].tolist()
    return sets


class Model(shared.Model):
    """Parameters: entities, relations, attention.1/3/5 (no biases)."""

    def attend(self, h, r, t):
        """model.py:122-131; the layers: 13-20."""
        x = torch.cat((h, r), -1)
        for layer in (1, 3):
            x = torch.relu(x @ self.p['attention.%d.weight' % layer].t())
        weights = torch.sigmoid(x @ self.p['attention.5.weight'].t())[..., 0]
        return (F.softmax(weights, -1)[..., None] * t).sum(1)

    def hops(self, kind, ids):
        """Vectors of the hops, and the mean of the first one's heads (model.py:32-46, 54-69)."""
        e, out, first = self.p['entities.weight'], [], None
        for hop in range(1, int(self.o['layers']) + 1):
            h, r, t = (self.c['%s.%s.%d' % (kind, column, hop)][ids]
                       for column in ('heads', 'relations', 'tails'))
            first = e[h].mean(1) if first is None else first
            out.append(self.attend(e[h], self.p['relations.weight'][r], e[t]))
        return out, first

    def join(self, vectors):
        """model.py:79-97."""
        if self.o['aggregator'] == 'concat':
            return torch.cat(vectors[::-1], -1)
        joined = vectors[0]
        for x in vectors[1:]:
            joined = joined + x if self.o['aggregator'] == 'sum' else torch.max(joined, x)
        return joined

    def scores(self, users, items):
        """model.py:24-72, 99; the sigmoid is in the loss."""
        of_users, first = self.hops('users', users)
        of_items, around = self.hops('items', items)
        of_items = [self.p['entities.weight'][items]] + of_items
        if self.o['aggregator'] != 'concat':
            of_items.append(around)
        return (self.join(of_items) * self.join([first] + of_users)).sum(1)

    def loss(self, part, batch):
        """train.py:22-28, 113."""
        scores = torch.sigmoid(self.scores(batch['users'], batch['items']))
        return F.binary_cross_entropy(scores, batch['labels'])

    def optimizer(self, part):
        return torch.optim.Adam(self.p.values(), lr=self.o['lr'],
                                weight_decay=self.o['l2'])  # train.py:108-112

    # ---- curves ----

    @staticmethod
    def start(o, counts, data, random):
        """model.py:112-119 and data_loader.py:9-17."""
        d = int(o['dim'])
        shapes = {'entities.weight': (counts['entities'], d),
                  'relations.weight': (counts['relations'], d), 'attention.1.weight': (d, 2 * d),
                  'attention.3.weight': (d, d), 'attention.5.weight': (1, d)}
        columns = {c: data['graph.' + c].numpy() for c in ('heads', 'relations', 'tails')}
        begins = [[] for _ in range(counts['entities'])]
        for edge, head in enumerate(columns['heads'].tolist()):
            begins[head].append(edge)
        c, sizes = {}, (int(o['user_triples']), int(o['item_triples']))
        for kind, seeds, size in zip(('users', 'items'), histories(counts, data), sizes):
            sets = draw_sets(seeds, begins, columns, int(o['layers']), size, random)
            for name, ids in columns.items():
                for hop, edges in enumerate(sets, 1):
                    c['%s.%s.%d' % (kind, name, hop)] = torch.tensor(ids[numpy.array(edges)])
        return {name: shared.xavier(random, *shape) for name, shape in shapes.items()}, c

    def epoch(self, data, random):
        """The last batch is as short as it is (train.py:20-29)."""
        for batch in shared.interactions(self, data, random, False):
            yield 'loss', batch
