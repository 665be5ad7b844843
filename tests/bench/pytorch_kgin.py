#!/usr/bin/python3
"""KGIN in plain PyTorch: the yardstick that tinykg's KGIN recipe is measured against.

Written from the paper (Wang, Huang, Wang, Yuan, Liu, He, Chua: KGIN, WWW 2021), op by op, the way
a careful PyTorch user would write it; dropouts, normalisation and loss scaling as the authors'
program does. Edges are kept independently with probability 1 - node dropout (the authors draw
exactly that share), and what is kept of a user's items is scaled by 1 / (1 - node dropout).

What autograd keeps depends on how the mean over a head's edges is written: index_add of PyTorch
1.13 holds its source, a third edge matrix each hop; `--mean scatter` does without and is slower.

    pytorch_kgin.py train --seed 0 --epochs 2 --batch 10240 --lr 1e-3
    pytorch_kgin.py step                milliseconds per step
    pytorch_kgin.py kept                bytes autograd keeps for backward
    pytorch_kgin.py peak                the most memory the program holds
    pytorch_kgin.py forms --device cuda milliseconds in each of pytorch_forms.py's ways, as JSON
"""

import argparse
import itertools
import statistics
import sys
import time

import torch
import torch.nn.functional as F

import pytorch_forms
import pytorch_ranking as ranking


class Graph:
    """Triples and their inverses among entities, by head; the mean over each user's items."""

    def __init__(self, data, options):
        self.users, self.entities = data.users, data.entities
        self.relations, self.form = 2 * data.kg_relations, options.form
        head, kind, tail = data.triples.unbind(1)
        heads = torch.cat([head, tail])
        kinds = torch.cat([kind, kind + data.kg_relations])
        tails = torch.cat([tail, head])
        order = heads.argsort(stable=True)
        self.edges = torch.stack([heads[order], kinds[order], tails[order]]).to(options.device)
        rows = data.train
        self.interactions = torch.stack([rows.users, rows.items]).to(options.device)
        self.shares = (1 / rows.counts[rows.users].float()).to(options.device)
        if self.form != 'coo':
            self.taken = self.matrix(self.interactions)

    def matrix(self, edges):
        return pytorch_forms.form(self.form, edges, (self.users, self.entities))

    def sampled(self, dropout):
        """What a step sees: the same edges and interactions in every hop; without dropout, all."""
        if not dropout:
            return self.edges, self.weighed(torch.ones_like(self.shares, dtype=torch.bool), 1)
        keep, device = 1 - dropout, self.edges.device
        edges = self.edges[:, torch.rand(self.edges.shape[1], device=device) < keep]
        return edges, self.weighed(torch.rand(len(self.shares), device=device) < keep, keep)

    def weighed(self, kept, keep):
        """The mean over items without those that are not kept: coordinates leave them out, sorted
        edges have them with weight zero."""
        if self.form == 'coo':
            return self.matrix(self.interactions[:, kept]).weigh(self.shares[kept] / keep)
        return self.taken.weigh(self.shares * kept / keep)


class ByIndex:
    """The mean over a head's edges of tail * relation; zero for heads without any."""

    def __init__(self, edges, n, add):
        (self.heads, self.kinds, self.tails), self.n, self.add = edges, n, add
        self.degrees = torch.bincount(self.heads, minlength=n).clamp_min(1).unsqueeze(1)

    def __call__(self, entity, relations):
        values = entity.index_select(0, self.tails) * relations.index_select(0, self.kinds)
        sums = torch.zeros(self.n, values.shape[1], device=values.device)
        if self.add == 'scatter':
            sums = sums.scatter_add(0, self.heads.unsqueeze(1).expand_as(values), values)
        else:
            sums = sums.index_add(0, self.heads, values)
        return sums / self.degrees


class ByRows(ByIndex):
    """The same as a product with the matrix of heads and edges: edges are sorted by head, so its
    compressed rows and columns are there."""

    def __init__(self, edges, n, _):
        super().__init__(edges, n, None)
        share, at = 1 / self.degrees[self.heads, 0], torch.arange(len(self.heads) + 1).to(edges)
        self.there = pytorch_forms.compressed(self.heads, at[:-1], share, (n, len(share)))
        self.back = torch.sparse_csr_tensor(at.int(), self.heads.int(), share, (len(share), n))

    def __call__(self, entity, relations):
        values = entity.index_select(0, self.tails) * relations.index_select(0, self.kinds)
        return pytorch_forms.BothWays.apply((self.there, self.back), values)


def means(form, edges, n, add):
    if form in pytorch_forms.PYG:
        import pytorch_pyg
        return pytorch_pyg.Relational(edges)
    return (ByRows if form == 'csr' else ByIndex)(edges, n, add)


class KGIN(torch.nn.Module):
    def __init__(self, graph, options):
        super().__init__()
        self.graph, self.hops = graph, options.layers
        self.dropout, self.node_dropout = options.dropout, options.node_dropout
        self.by_intent, self.mean = options.by_intent, options.mean

        def table(n, d):
            return torch.nn.Parameter(torch.nn.init.xavier_uniform_(torch.empty(n, d)))

        self.nodes = table(graph.users + graph.entities, options.dim)
        self.latent = table(options.intents, options.dim)
        self.relations = table(graph.relations, options.dim)
        self.weights = table(options.intents, graph.relations)

    def preference(self, user, intents):
        """sum over intents of softmax(user . latent) * intent, [users, dim]."""
        share = torch.softmax(user @ self.latent.t(), 1)
        if self.by_intent:  # [users, intents, dim], as the authors'
            return (intents.expand(len(user), -1, -1) * share.unsqueeze(-1)).sum(1)
        return share @ intents

    def rows(self):
        """Final rows of users and of entities."""
        edges, matrix = self.graph.sampled(self.node_dropout if self.training else 0)
        mean = means(self.graph.form, edges, self.graph.entities, self.mean)
        user, entity = self.nodes.split([self.graph.users, self.graph.entities])
        users, entities = user, entity
        for _ in range(self.hops):
            around = mean(entity, self.relations)
            intents = torch.softmax(self.weights, 1) @ self.relations
            known = matrix @ entity
            user = known * self.preference(user, intents) + known
            user = F.normalize(F.dropout(user, self.dropout, self.training))
            entity = F.normalize(F.dropout(around, self.dropout, self.training))
            users, entities = users + user, entities + entity
        return users, entities


def centred_distances(x):
    d = ((x[:, None] - x[None, :]) ** 2 + 1e-8).sqrt()
    return d - d.mean(0, keepdim=True) - d.mean(1, keepdim=True) + d.mean()


def covariance(a, b):
    return ((a * b).mean().clamp_min(0) + 1e-8).sqrt()


def distance_correlation(x, y):
    a, b = centred_distances(x), centred_distances(y)
    return covariance(a, b) / (covariance(a, a) * covariance(b, b) + 1e-8).sqrt()


def squared_cosine(x, y):
    return F.cosine_similarity(x, y, dim=0) ** 2


def by_columns(weights, temperature=0.2):
    """The authors' `mi`, as their program computes it."""
    columns = weights.t()
    return (columns @ columns.sum(0) - 1).sum() / temperature


def independence(weights, kind):
    if kind == 'mi':
        return by_columns(weights)
    measure = distance_correlation if kind == 'distance' else squared_cosine
    return sum(measure(*pair) for pair in itertools.combinations(weights, 2))


class Trainer:
    def __init__(self, data, options):
        self.options = options
        self.model = KGIN(Graph(data, options), options).to(options.device)
        self.optimizer = pytorch_forms.adam(self.model.parameters(), options)

    def __str__(self):
        return '%d edges among entities' % self.model.graph.edges.shape[1]

    def terms(self, batch):
        """Ranking, L2 and independence, without their weights."""
        users, items, negatives = batch
        user_rows, entity_rows = self.model.rows()
        u, i, j = (rows.index_select(0, ids) for rows, ids in (
            (user_rows, users), (entity_rows, items), (entity_rows, negatives)))
        return (ranking.bpr(u, i, j), ranking.halves(u, i, j),
                independence(self.model.weights, self.options.independence))

    def loss(self, batch):
        rank, l2, apart = self.terms(batch)
        return rank + self.options.l2 * l2 + self.options.sim_weight * apart

    def step(self, batch):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(batch)
        loss.backward()
        self.optimizer.step()
        return loss.item()


def run_train(trainer, data, options, generator):
    for epoch in range(1, options.epochs + 1):
        start = time.perf_counter()
        losses = [trainer.step(batch) for batch in itertools.islice(
            ranking.batches(data, options, generator), options.steps or None)]
        trained = time.perf_counter()
        metrics = ranking.evaluate(trainer.model, data)
        apart = independence(trainer.model.weights.detach(), options.independence)
        print('epoch %2d  loss %.4f  independence %.4f  %s  steps %d  train %.1f s  eval %.1f s' % (
            epoch, statistics.fmean(losses), apart, ranking.describe(metrics), len(losses),
            trained - start, time.perf_counter() - trained), flush=True)


def parse(argv):
    parser = argparse.ArgumentParser(description='KGIN in plain PyTorch, for comparison.')
    ranking.add_options(parser, batch=1024, lr=1e-4, sample='interactions',
                        forms=['csr', 'index', 'pyg', 'messages', 'coo'])
    parser.add_argument('--layers', type=int, default=3, help='hops')
    parser.add_argument('--intents', type=int, default=4)
    parser.add_argument('--node-dropout', type=float, default=0.5)
    parser.add_argument('--sim-weight', type=float, default=1e-4)
    parser.add_argument('--independence', choices=['distance', 'cosine', 'mi'],
                        default='distance')
    parser.add_argument('--by-intent', action='store_true',
                        help='users x intents x dim at once, as the authors\' program')
    parser.add_argument('--mean', choices=['index', 'scatter'], default='index',
                        help='how messages are added up: index_add or scatter_add')
    return parser.parse_args(argv)


data_of = ranking.load

if __name__ == '__main__':
    ranking.run(parse(sys.argv[1:]), Trainer,
                {'train': run_train, 'step': ranking.run_step, 'kept': ranking.run_kept})
