"""MKR as hwwang55/MKR computes it (files below src/)."""

import torch
import torch.nn.functional as F

import shared

COLUMNS = ('vv', 'ev', 've', 'ee')


class Model(shared.Model):
    """Parameters: users, items (a row for each entity), entities, relations; units.K.weight with the
    four weights as columns, .v and .e; user_layers, tail_layers, head_layers."""

    def dense(self, name, x, count):
        """layers.py:33-48; weights are transposed there."""
        for k in range(1, count + 1):
            layer = '%s.%d.' % (name, k)
            x = torch.relu(x @ self.p[layer + 'weight'].t() + self.p[layer + 'bias'])
        return x

    def cross(self, v, e):
        """layers.py:64-86, by the matrix v e^T."""
        for k in range(1, int(self.o['layers']) + 1):
            w = dict(zip(COLUMNS, self.p['units.%d.weight' % k].t()))
            matrix = v[:, :, None] * e[:, None, :]
            transposed = matrix.transpose(1, 2)
            v, e = (matrix @ w['vv'] + transposed @ w['ev'] + self.p['units.%d.v' % k],
                    matrix @ w['ve'] + transposed @ w['ee'] + self.p['units.%d.e' % k])
        return v, e

    def squares(self, vectors, *layers):
        """model.py:58-61, 91, 96, 107-109, 114-116."""
        names = [name for name in self.p if name.endswith('weight')
                 and name.split('.')[0] in ('units',) + layers]
        return sum((x * x).sum() / 2 for x in vectors + [self.p[name] for name in names])

    def vectors(self, users, items):
        """model.py:43-56."""
        u = self.dense('user_layers', self.p['users.weight'][users], int(self.o['layers']))
        v, _ = self.cross(self.p['items.weight'][items], self.p['entities.weight'][items])
        return u, v

    def scores(self, users, items):
        u, v = self.vectors(users, items)
        return (u * v).sum(1)  # model.py:65-68

    def loss(self, part, batch):
        if part == 'kg':
            return self.kg_loss(batch['heads'], batch['relations'], batch['tails'])
        u, v = self.vectors(batch['users'], batch['items'])
        base = F.binary_cross_entropy_with_logits((u * v).sum(1), batch['labels'])
        return base + self.o['l2'] * self.squares([u, v], 'user_layers')  # model.py:105-110

    def kg_loss(self, heads, relations, tails):
        """model.py:86-99, 113-117: a loss for each triple, whose gradients TensorFlow adds up."""
        e = self.p['entities.weight']
        _, h = self.cross(self.p['items.weight'][heads], e[heads])
        t = self.dense('tail_layers', e[tails], int(self.o['layers']))
        both = torch.cat([h, self.p['relations.weight'][relations]], 1)
        predicted = torch.sigmoid(self.dense('head_layers', both, int(self.o['high_layers'])))
        scores = torch.sigmoid((t * predicted).sum(1))
        squares = self.squares([h, t], 'tail_layers', 'head_layers')
        return (-scores + self.o['l2'] * squares).sum()

    def optimizer(self, part):
        """model.py:119-121: what a loss does not read has no gradient, and stays."""
        unread = {'cf': ('tail_layers', 'head_layers', 'relations'), 'kg': ('users', 'user_layers')}
        read = [p for name, p in self.p.items() if name.split('.')[0] not in unread[part]]
        return shared.TensorFlowAdam(read, self.o['kg_lr' if part == 'kg' else 'lr'])

    # ---- curves ----

    @staticmethod
    def start(o, counts, data, random):
        """layers.py:40-42, 55-61 and model.py:38-41: TensorFlow's default is Xavier's."""
        d, layers, high = (int(o[name]) for name in ('dim', 'layers', 'high_layers'))
        p = {'users.weight': shared.xavier(random, counts['users'], d),
             'items.weight': torch.cat([shared.xavier(random, counts['items'], d), torch.zeros(
                 counts['entities'] - counts['items'], d)]),
             'entities.weight': shared.xavier(random, counts['entities'], d),
             'relations.weight': shared.xavier(random, counts['relations'], d)}
        for k in range(1, layers + 1):
            p['units.%d.weight' % k] = torch.cat([shared.xavier(random, d, 1) for _ in COLUMNS], 1)
            p['units.%d.v' % k], p['units.%d.e' % k] = torch.zeros(d), torch.zeros(d)
        sizes = {'user_layers': [(d, d)] * layers, 'tail_layers': [(d, d)] * layers,
                 'head_layers': [(2 * d, 2 * d)] * (high - 1) + [(d, 2 * d)]}
        for name, shapes in sizes.items():
            for k, shape in enumerate(shapes, 1):
                p['%s.%d.weight' % (name, k)] = shared.xavier(random, *shape)
                p['%s.%d.bias' % (name, k)] = torch.zeros(shape[0])
        return p, {}

    def epoch(self, data, random):
        """train.py:25-43."""
        self.epochs = getattr(self, 'epochs', -1) + 1
        for batch in shared.interactions(self, data, random, False):
            yield 'cf', batch
        if self.epochs % int(self.o['kg_interval']) == 0:
            columns = [data['graph.' + c] for c in ('heads', 'relations', 'tails')]
            order = torch.tensor(random.permutation(len(columns[0])))
            for rows in order.split(int(self.o['batch_size'])):
                yield 'kg', dict(zip(('heads', 'relations', 'tails'), (c[rows] for c in columns)))
