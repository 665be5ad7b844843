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
"""

import argparse
import itertools
import statistics
import sys
import time

import torch
import torch.nn.functional as F

import pytorch_ranking as ranking


class Graph:
    """Triples and their inverses among entities; the mean over each user's items."""

    def __init__(self, data):
        self.users, self.entities = data.users, data.entities
        self.relations = 2 * data.kg_relations
        head, kind, tail = data.triples.unbind(1)
        heads = torch.cat([head, tail])
        kinds = torch.cat([kind, kind + data.kg_relations])
        tails = torch.cat([tail, head])
        order = heads.argsort(stable=True)
        self.edges = torch.stack([heads[order], kinds[order], tails[order]])
        rows = data.train
        self.interactions = torch.stack([rows.users, rows.items])
        self.shares = 1 / rows.counts[rows.users].float()

    def whole(self):
        return self.edges, self.matrix(self.interactions, self.shares)

    def sampled(self, dropout):
        """What a step sees: the same edges and interactions in every hop."""
        keep = 1 - dropout
        edges = self.edges[:, torch.rand(self.edges.shape[1]) < keep]
        kept = torch.rand(len(self.shares)) < keep
        return edges, self.matrix(self.interactions[:, kept], self.shares[kept] / keep)

    def matrix(self, at, values):
        return torch.sparse_coo_tensor(at, values, (self.users, self.entities)).coalesce()


def mean_by_head(values, heads, n, scatter):
    """Mean of the rows of each head; zero for heads without rows."""
    sums = torch.zeros(n, values.shape[1])
    if scatter:
        sums = sums.scatter_add(0, heads.unsqueeze(1).expand_as(values), values)
    else:
        sums = sums.index_add(0, heads, values)
    return sums / torch.bincount(heads, minlength=n).clamp_min(1).unsqueeze(1)


class KGIN(torch.nn.Module):
    def __init__(self, graph, options):
        super().__init__()
        self.graph, self.hops = graph, options.layers
        self.dropout, self.node_dropout = options.dropout, options.node_dropout
        self.by_intent, self.scatter = options.by_intent, options.mean == 'scatter'

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
        if self.training and self.node_dropout > 0:
            (heads, kinds, tails), matrix = self.graph.sampled(self.node_dropout)
        else:
            (heads, kinds, tails), matrix = self.graph.whole()
        user, entity = self.nodes.split([self.graph.users, self.graph.entities])
        users, entities = user, entity
        for _ in range(self.hops):
            messages = entity[tails] * self.relations[kinds]
            around = mean_by_head(messages, heads, len(entity), self.scatter)
            intents = torch.softmax(self.weights, 1) @ self.relations
            known = torch.sparse.mm(matrix, entity)
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
        self.model = KGIN(Graph(data), options)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=options.lr)

    def __str__(self):
        return '%d edges among entities' % self.model.graph.edges.shape[1]

    def terms(self, batch):
        """Ranking, L2 and independence, without their weights."""
        users, items, negatives = batch
        user_rows, entity_rows = self.model.rows()
        u, i, j = user_rows[users], entity_rows[items], entity_rows[negatives]
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
    ranking.add_options(parser, batch=1024, lr=1e-4, sample='interactions')
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


if __name__ == '__main__':
    ranking.run(parse(sys.argv[1:]), Trainer,
                {'train': run_train, 'step': ranking.run_step, 'kept': ranking.run_kept})
