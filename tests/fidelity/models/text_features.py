"""CoLaKG as ziqiangcui/CoLaKG computes it (files below rec_code/; lines are model.py's where none is
named). Its vectors of users' texts are the means of their items' here."""

import numpy
import torch
import torch.nn.functional as F

import shared
import users


class Model(shared.Model):
    """Parameters: users, items; of_items and of_users (semantic_map, user_semantic_map); query and
    mix (W, a). c: users and items of train, texts of items."""

    def __init__(self, o, counts, p, c):
        super().__init__(o, counts, p, c)
        self.training = True
        m, n = counts['users'], counts['items']
        taken = torch.zeros(m, n)
        taken[c['users'], c['items']] = 1
        self.texts = c['texts'].to(torch.get_default_dtype())
        self.user_texts = taken @ self.texts / taken.sum(1, keepdim=True).clamp(min=1)
        self.near = self.alike(int(o['neighbors']))
        full = torch.zeros(m + n, m + n)  # dataloader.py:327-353
        full[:m, m:], full[m:, :m] = taken, taken.t()
        scale = full.sum(1) ** -0.5
        scale[torch.isinf(scale)] = 0
        self.adjacency = (full * scale[:, None] * scale).to_sparse().coalesce()

    def train(self):
        self.training = True

    def eval(self):
        self.training = False
        self.ranked = None

    def alike(self, count):
        """main.py:25-28."""
        unit = F.normalize(self.texts)
        order = numpy.argsort(-(unit @ unit.t()).numpy(), axis=1, kind='stable')
        return torch.tensor(order[:, 1:count + 1])

    def linear(self, name, x):
        return F.linear(x, self.p[name + '.weight'], self.p[name + '.bias'])

    def drop(self, x, name):
        return F.dropout(x, float(self.o[name]), self.training)

    def dropped(self):
        """268-287: each number of the matrix by itself."""
        keep, a = 1 - float(self.o['edge_dropout']), self.adjacency
        if not self.training or keep == 1:
            return a
        kept = (torch.rand(a.values().shape) + keep).int().bool()
        return torch.sparse_coo_tensor(a.indices()[:, kept], a.values()[kept] / keep, a.shape)

    def adapted(self, layer, texts, name):
        """295-298, 301-304."""
        return self.drop(F.elu(self.linear(layer, self.drop(texts, name))), name)

    def vectors(self):
        """288-365."""
        u = (self.p['users.weight'] + self.adapted('of_users', self.user_texts, 'user_dropout')) / 2
        i = (self.p['items.weight'] + self.adapted('of_items', self.texts, 'item_dropout')) / 2
        wh = self.texts[self.near] @ self.p['query']
        wh0 = (self.texts @ self.p['query'])[:, None].expand(wh.shape)
        score = (torch.cat([wh, wh0], -1) @ self.p['mix']).squeeze(-1)
        share = self.drop(F.softmax(F.leaky_relu(score, 0.2), 1), 'neighbor_dropout')[..., None]
        i = (i + F.elu((share * i[self.near]).sum(1))) / 2
        layers, graph = [torch.cat([u, i])], self.dropped()
        for _ in range(int(self.o['layers'])):
            layers.append(torch.sparse.mm(graph, layers[-1]))
        mean = torch.stack(layers, 1).mean(1)
        return mean[:len(u)], mean[len(u):]

    def loss(self, part, batch):
        """374-405; utils.py:35-38."""
        users, items = self.vectors()
        u, i, j = batch['users'], batch['items'], batch['negatives'].flatten()
        loss = F.softplus((users[u] * items[j]).sum(1) - (users[u] * items[i]).sum(1)).mean()
        own = [self.p['users.weight'][u], self.p['items.weight'][i], self.p['items.weight'][j]]
        of_items = self.linear('of_items', self.texts)
        own += [of_items[i], of_items[j], self.linear('of_users', self.user_texts)[u]]
        reg = sum(x.norm(2).pow(2) for x in own) / 2 / len(u)
        return loss + float(self.o['l2']) * reg

    def optimizer(self, part):
        return torch.optim.Adam(self.p.values(), lr=self.o['lr'])  # utils.py:33

    # ---- curves ----

    @staticmethod
    def start(o, counts, data, random):
        """246-263. Texts are as the recipe has them without features: sums of random vectors of what
        an item's triples lead to."""
        d, columns, default = int(o['dim']), int(o['projection']), torch.get_default_dtype()
        heads, tails = data['graph.heads'], data['graph.tails']
        vectors = torch.tensor(random.normal(size=(counts['entities'], columns))).to(default)
        texts = torch.zeros_like(vectors).index_add(0, heads, vectors[tails])
        texts = texts.index_add(0, tails, vectors[heads])[:counts['items']]
        p = {}
        for name, rows in (('users', counts['users']), ('items', counts['items'])):
            linear = torch.nn.Linear(columns, d)
            p[name + '.weight'] = torch.tensor(random.normal(0, 0.1, (rows, d))).to(default)
            p['of_%s.weight' % name] = linear.weight.detach()
            p['of_%s.bias' % name] = linear.bias.detach()
        p['query'] = 1.414 * shared.xavier(random, columns, 32)
        p['mix'] = 1.414 * shared.xavier(random, 64, 1)
        return p, {'users': data['train.users'], 'items': data['train.items'], 'texts': texts}

    def epoch(self, data, random):
        """utils.py:58-90; Procedure.py: users uniformly, as many as there are interactions."""
        taken, size = users.of(self, data), int(self.o['batch_size'])
        drawn = taken.users[random.randint(0, len(taken.users), taken.n)]
        for first in range(0, taken.n, size):
            yield 'loss', taken.batch(random, drawn[first:first + size])

    def rank(self, some):
        if getattr(self, 'ranked', None) is None:
            self.ranked = self.vectors()
        return self.ranked[0][some] @ self.ranked[1].t()
