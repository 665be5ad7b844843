"""KGCN as hwwang55/KGCN computes it (files below src/)."""

import torch
import torch.nn.functional as F

import shared


def draw_neighbours(data, entities, k, random):
    """Of each entity, in the graph read both ways (data_loader.py:73-87): k distinct edges where it
    has so many, else k drawn with replacement (:96-104)."""
    around = [[] for _ in range(entities)]
    for h, r, t in zip(*(data['graph.' + c].tolist() for c in ('heads', 'relations', 'tails'))):
        around[h].append((t, r))
        around[t].append((h, r))
    none = max(data['graph.relations'].tolist()) + 1
    tails, relations = [], []
    for entity, edges in enumerate(around):
        edges = edges or [(entity, none)]  # the program has no such entities
        picked = random.choice(len(edges), k, replace=len(edges) < k)
        tails.append([edges[i][0] for i in picked])
        relations.append([edges[i][1] for i in picked])
    return {'tails': torch.tensor(tails), 'relations': torch.tensor(relations)}


class Model(shared.Model):
    """Parameters: users, entities, relations, and of each iteration a matrix and a bias."""

    def receptive_field(self, items):
        """Ids of entities and relations, hop by hop, [n, K^h] (model.py:65-74)."""
        entities, relations = [items[:, None]], []
        for _ in range(int(self.o['hops'])):
            relations.append(self.c['relations'][entities[-1]].flatten(1))
            entities.append(self.c['tails'][entities[-1]].flatten(1))
        return entities, relations

    def around(self, u, neighbours, relations):
        """Neighbours weighed by softmax over k of the mean of u * r, then averaged, not summed
        (aggregators.py:47-54). neighbours, relations: [n, m, K, d]."""
        weights = (u[:, None, None] * relations).mean(3).softmax(2)
        return (weights[..., None] * neighbours).mean(2)

    def aggregate(self, layer, own, around):
        """aggregators.py:62-83 (sum), 86-112 (concat), 115-136 (neighbor); weights there are the
        transpose of ours."""
        kind = self.o.get('aggregator', 'sum')
        x = {'sum': own + around, 'concat': torch.cat([own, around], -1), 'neighbor': around}[kind]
        name = 'layers.%d.' % layer
        return x @ self.p[name + 'weight'].t() + self.p[name + 'bias']

    def vectors(self, users, items):
        """Rows of users and of items as they see them (model.py:50-62, 76-100): tanh at the last
        iteration, relu before."""
        u, hops, k = self.p['users.weight'][users], int(self.o['hops']), int(self.o['neighbors'])
        entities, relations = self.receptive_field(items)
        v = [self.p['entities.weight'][ids] for ids in entities]
        r = [self.p['relations.weight'][ids].unflatten(1, (-1, k)) for ids in relations]
        for i in range(hops):
            act = torch.tanh if i == hops - 1 else torch.relu
            v = [act(self.aggregate(i + 1, v[h], self.around(u, v[h + 1].unflatten(1, (-1, k)),
                                                             r[h])))
                 for h in range(hops - i)]
        return u, v[0].flatten(1)

    def scores(self, users, items):
        u, v = self.vectors(users, items)
        return (u * v).sum(1)

    def l2(self):
        """Half the squares of the tables and matrices, not of the biases (model.py:106-109)."""
        return sum((p * p).sum() / 2 for name, p in self.p.items() if not name.endswith('bias'))

    def loss(self, part, batch):
        """model.py:103-110."""
        base = F.binary_cross_entropy_with_logits(self.scores(batch['users'], batch['items']),
                                                  batch['labels'])
        return base, self.o['l2'] * self.l2()

    def optimizer(self, part):
        return shared.TensorFlowAdam(self.p.values(), self.o['lr'])  # model.py:112

    # ---- curves ----

    @staticmethod
    def start(o, counts, data, random):
        """model.py:43-48, aggregators.py:67-69, 91-93, 120-122."""
        d, hops = int(o['dim']), int(o['hops'])
        p = {'users.weight': shared.xavier(random, counts['users'], d),
             'entities.weight': shared.xavier(random, counts['entities'], d),
             'relations.weight': shared.xavier(random, counts['relations'] + 1, d)}
        for i in range(1, hops + 1):
            inputs = 2 * d if o.get('aggregator') == 'concat' else d
            p['layers.%d.weight' % i] = shared.xavier(random, d, inputs)
            p['layers.%d.bias' % i] = torch.zeros(d)
        return p, draw_neighbours(data, counts['entities'], int(o['neighbors']), random)

    def epoch(self, data, random):
        """The last batch is left out where it is not full (train.py:21-25)."""
        for batch in shared.interactions(self, data, random, True):
            yield 'loss', batch
