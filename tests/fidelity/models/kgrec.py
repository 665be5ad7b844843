"""KGRec as HKUDS/KGRec computes it (modules/KGRec.py, whose lines are given, or files named)."""

import torch
import torch.nn.functional as F

import shared


def by_head(scores, heads, n):
    """Softmax over the edges of each head (torch_geometric.utils.softmax)."""
    most = torch.full((n,) + scores.shape[1:], -torch.inf).to(scores)
    index = heads if scores.dim() == 1 else heads[:, None].expand(scores.shape)
    most = most.scatter_reduce(0, index, scores.detach(), 'amax')
    power = (scores - most[heads]).exp()
    return power / torch.zeros_like(most).index_add(0, heads, power)[heads]


def mean_by(values, ids, n):
    """torch_scatter.scatter_mean."""
    count = torch.bincount(ids, minlength=n).clamp(min=1).to(values)
    total = torch.zeros((n,) + values.shape[1:]).to(values).index_add(0, ids, values)
    return total / (count if values.dim() == 1 else count[:, None])


class Model(shared.Model):
    """Parameters: users, entities (one table there), relations, query, of_users.N, of_triples.N.

    Random numbers are those of a batch where it has some (by number of the edge or of the pair in
    tinykg's order, which c has)."""

    def __init__(self, o, counts, p, c):
        super().__init__(o, counts, p, c)
        self.training = True
        if 'edge.heads' in c:
            self.heads, self.kinds, self.tails = (c['edge.' + k] for k in ('heads', 'relations', 'tails'))
            users, items = c['pair.users'], c['pair.items']
        else:
            edges = torch.stack([c['heads'], c['relations'], c['tails']], 1).unique(dim=0)
            h, r, t = edges.unbind(1)
            # utils/data_loader.py:47-73
            self.heads, self.tails = torch.cat([h, t]), torch.cat([t, h])
            self.kinds = torch.cat([r, r + counts['relations']])
            users, items = c['users'], c['items']
        degree = torch.bincount(users, minlength=counts['users'])
        self.pairs = users, items, 1 / degree[users].to(torch.get_default_dtype())
        self.n = counts['entities']

    def train(self):
        self.training = True

    def eval(self):
        self.training = False
        self.ranked = None

    def drop(self, x):
        return F.normalize(F.dropout(x, float(self.o['dropout']), self.training))

    # ---- modules/AttnHGCN.py ----

    def query_and_key(self, x, edges):
        """Of both heads, [edges, 2, d / 2]."""
        q = x @ self.p['query']
        half = (len(edges), 2, q.shape[1] // 2)
        relation = self.p['relations.weight'][self.kinds[edges]].view(half)
        return q[self.heads[edges]].view(half), q[self.tails[edges]].view(half) * relation

    def hop(self, user, entity, edges, pairs):
        """57-82."""
        query, key = self.query_and_key(entity, edges)
        share = by_head((query * key).sum(-1) / key.shape[2] ** 0.5, self.heads[edges], self.n)
        value = entity[self.tails[edges]] * self.p['relations.weight'][self.kinds[edges]]
        value = (value.view(key.shape) * share[..., None]).view(len(edges), -1)
        u, i, w = pairs
        return (torch.zeros_like(user).index_add(0, u, w[:, None] * entity[i]),
                torch.zeros_like(entity).index_add(0, self.heads[edges], value))

    def rows(self, edges, pairs):
        """85-113."""
        user, entity = self.p['users.weight'], self.p['entities.weight']
        users, entities = user, entity
        for _ in range(int(self.o['hops'])):
            user, entity = self.hop(user, entity, edges, pairs)
            user, entity = self.drop(user), self.drop(entity)
            users, entities = users + user, entities + entity
        return users, entities

    def by_pairs(self, pairs):
        """115-149."""
        user, (u, i, w) = self.p['users.weight'], pairs
        item = self.p['entities.weight'][:self.counts['items']]
        out = item
        for _ in range(int(self.o['hops'])):
            user, item = (torch.zeros_like(user).index_add(0, u, w[:, None] * item[i]),
                          torch.zeros_like(item).index_add(0, i, w[:, None] * user[u]))
            user, item = self.drop(user), self.drop(item)
            out = out + item
        return out

    def by_edges(self, edges):
        """130-141, 151-157."""
        entity = self.p['entities.weight']
        out = entity
        for _ in range(int(self.o['hops'])):
            message = entity[self.tails[edges]] * self.p['relations.weight'][self.kinds[edges]]
            entity = self.drop(mean_by(message, self.heads[edges], self.n))
            out = out + entity
        return out[:self.counts['items']]

    @torch.no_grad()
    def rationales(self, edges):
        """159-182."""
        query, key = self.query_and_key(self.p['entities.weight'], edges)
        logits = ((query * key).sum(-1) / key.shape[2] ** 0.5).mean(-1)
        heads = self.heads[edges]
        return by_head(logits, heads, self.n) * torch.bincount(heads, minlength=self.n)[heads]

    # ---- modules/KGRec.py ----

    def sampled(self, batch):
        """Edges of a step: a share of each relation's but the last one's, which the loop misses
        (42-55; types count from 1). Pairs (89-100)."""
        rate = float(self.o['node_dropout'])
        last = 2 * self.counts['relations'] - 1
        if 'some' in batch:
            edges = torch.nonzero(batch['some'] >= torch.where(self.kinds == last, 1.0, rate)).flatten()
            pairs = torch.nonzero(batch['pairs'] >= rate).flatten()
        else:
            found = []
            for kind in range(last):
                of_kind = torch.nonzero(self.kinds == kind).flatten()
                found.append(of_kind[torch.randperm(len(of_kind))[:int(len(of_kind) * rate)]])
            edges = torch.cat(found)
            pairs = torch.nonzero((torch.rand(len(self.pairs[0])) + rate).floor()).flatten()
        u, i, w = self.pairs
        return edges, pairs, (u[pairs], i[pairs], w[pairs] / (1 - rate))

    @staticmethod
    def gumbel(like):
        return -torch.log(-torch.log(torch.rand_like(like)))

    def hidden(self, scores, edges, batch):
        """The best edges by noised score, and as many at random (58-78, 222-229)."""
        size, mask = int(self.o['hidden']), torch.zeros(len(edges), dtype=torch.bool)
        mask[scores.topk(size).indices] = True
        if 'any' in batch:
            mask[batch['any'][edges].topk(size).indices] = True
        else:
            mask[torch.randperm(len(edges))[:size]] = True
        return mask

    def views(self, scores, edges, of_pairs, chosen, pairs, batch):
        """16-39: the edges and pairs of both. As many as tinykg's where its numbers are given."""
        keep = 1 - float(self.o['cl_drop'])
        if 'some' in batch:
            share = keep * (1 - float(self.o['node_dropout']))
            noised = of_pairs + batch['noise1'][chosen] + batch['noise2'][chosen]
            drawn = noised.topk(min(int(share * len(self.pairs[0])), len(chosen))).indices
            seen = int((self.kinds != 2 * self.counts['relations'] - 1).sum())
            better = scores.topk(min(int(share * seen), len(edges))).indices
        else:
            better = torch.ones(len(edges), dtype=torch.bool)
            better[(-scores).topk(int((1 - keep) * len(edges))).indices] = False
            share = (of_pairs + self.gumbel(of_pairs)).softmax(0)
            drawn = torch.multinomial(share, int(keep * len(chosen)), replacement=False)
        u, i, w = pairs
        return edges[better], (u[drawn], i[drawn], w[drawn] / keep)

    def mlp(self, name, x):
        """contrast.py:9-18."""
        for layer in (1, 3):
            x = F.linear(x, *(self.p['%s.%d.%s' % (name, layer, what)] for what in ('weight', 'bias')))
            x = x.relu() if layer == 1 else x
        return F.normalize(x)

    def contrast(self, a, b, batch):
        """contrast.py:30-42."""
        x, y, t = self.mlp('of_users', a), self.mlp('of_triples', b), float(self.o['temperature'])
        other = (batch['order'].flatten().sort(descending=True).indices if 'order' in batch
                 else torch.randperm(len(x)))
        own, one, two = (((p * q).sum(1) / t).exp() for p, q in ((x, y), (x, y[other]), (y, x[other])))
        return -(own / (own + own + one + two)).log().mean()

    def loss(self, part, batch):
        """198-274, 302-329."""
        edges, chosen, pairs = self.sampled(batch)
        scores, n = self.rationales(edges), self.n
        of_items = 0
        for ids in (self.heads[edges], self.tails[edges]):
            mean = mean_by(scores, ids, n)
            of_items = of_items + 0.5 * torch.where(mean == 0, torch.ones_like(mean), mean)
        scores = scores + (batch['gumbel'][edges] if 'gumbel' in batch else self.gumbel(scores))
        hidden = self.hidden(scores, edges, batch)
        users, entities = self.rows(edges[~hidden], pairs)
        u, i, j = (users[batch['users']], entities[batch['items']],
                   entities[batch['negatives'].flatten()])
        loss = -F.logsigmoid((u * i).sum(1) - (u * j).sum(1)).mean()
        loss = loss + self.o['l2'] * sum(x.norm() ** 2 for x in (u, i, j)) / 2 / len(u)
        away = edges[hidden]
        facts = entities[self.tails[away]] * self.p['relations.weight'][self.kinds[away]]
        mae = -((facts * entities[self.heads[away]]).sum(1)).sigmoid().log().mean()
        better, drawn = self.views(scores, edges, of_items[pairs[1]], chosen, pairs, batch)
        contrast = self.contrast(self.by_pairs(drawn), self.by_edges(better), batch)
        return loss + self.o['mae_weight'] * mae + self.o['ssl_weight'] * contrast

    def optimizer(self, part):
        return torch.optim.Adam(self.p.values(), lr=self.o['lr'])  # run_kgrec.py:96

    # ---- curves ----

    @staticmethod
    def start(o, counts, data, random):
        """178-180; AttnHGCN.py:27-36; contrast.py:9-18."""
        d, relations = int(o['dim']), 2 * counts['relations']
        nodes = shared.xavier(random, counts['users'] + counts['entities'], d)
        p = {'users.weight': nodes[:counts['users']], 'entities.weight': nodes[counts['users']:],
             'relations.weight': shared.xavier(random, relations, d),
             'query': shared.xavier(random, d, d)}
        for name in ('of_users', 'of_triples'):
            for layer in (1, 3):
                linear = torch.nn.Linear(d, d)
                for what in ('weight', 'bias'):
                    p['%s.%d.%s' % (name, layer, what)] = getattr(linear, what).detach()
        return p, {'heads': data['graph.heads'], 'relations': data['graph.relations'],
                   'tails': data['graph.tails'], 'users': data['train.users'],
                   'items': data['train.items']}

    def epoch(self, data, random):
        """Full batches only (run_kgrec.py:120)."""
        for batch in shared.interactions(self, data, random, True):
            yield 'loss', batch

    def rank(self, users):
        if getattr(self, 'ranked', None) is None:
            self.ranked = self.rows(torch.arange(len(self.heads)), self.pairs)
        rows, entities = self.ranked
        return rows[users] @ entities[:self.counts['items']].t()
