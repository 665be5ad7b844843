#!/usr/bin/python3
"""KGAT in plain PyTorch: the yardstick that tinykg's KGAT recipe is measured against.

Op by op, the way a careful PyTorch user would write it, of what LunaBlack/KGAT-pytorch computes
(its files and lines are cited): drawn users, layers, dropout, attention, loss scaling,
initialisation. Unlike it, edges are drawn and scored in bulk, not in Python loops.

    pytorch_kgat.py train --seed 0 --epochs 3 --batch 10240 --lr 1e-3
    pytorch_kgat.py step                milliseconds per CF step, KG step, attention refresh
    pytorch_kgat.py kept                bytes autograd keeps for backward
    pytorch_kgat.py peak                the most memory the program holds
    pytorch_kgat.py forms --device cuda milliseconds in each of pytorch_forms.py's ways, as JSON
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
    """The joined graph: entities, then users; every edge in both directions, sorted by head.

    Relations: 0 user->item, 1 item->user, 2 + r a triple, 2 + kg_relations + r its inverse.
    """

    def __init__(self, data, loops=True):
        self.nodes = data.entities + data.users
        self.relations = 2 + 2 * data.kg_relations
        users, items = data.train.users + data.entities, data.train.items
        triples = data.triples
        if not loops:
            triples = triples[triples[:, 0] != triples[:, 2]]
        heads, kinds, tails = triples.unbind(1)
        one = torch.ones_like(users)
        head = torch.cat([users, items, heads, tails])
        kind = torch.cat([0 * one, one, 2 + kinds, 2 + data.kg_relations + kinds])
        tail = torch.cat([items, users, tails, heads])
        self.keys, order = ((head * self.relations + kind) * self.nodes + tail).sort()
        self.head, self.kind, self.tail = head[order], kind[order], tail[order]
        self.counts = torch.bincount(self.head, minlength=self.nodes)
        self.starts = self.counts.cumsum(0) - self.counts
        self.with_edges = self.counts.nonzero().squeeze(1)

    def __len__(self):
        return len(self.head)

    def initial_weights(self):
        """1 / (edges of the head with that relation): the adjacency of the first epoch
        (data_loader/loader_kgat.py:115-123, 136)."""
        pair = self.head * self.relations + self.kind
        return 1 / torch.bincount(pair)[pair].float()

    def of_relations(self, device):
        """(edges, heads, tails) of each relation."""
        edges = [(self.kind == kind).nonzero().squeeze(1) for kind in range(self.relations)]
        return [pytorch_forms.to(device, (e, self.head[e], self.tail[e])) for e in edges]

    def batches(self, size, generator):
        """Distinct heads, an edge of each, a tail drawn among all nodes that makes no edge."""
        for _ in range(len(self) // size + 1):
            heads = ranking.choose(self.with_edges, size, generator)
            edges = self.starts[heads] + ranking.draw(self.counts[heads], generator)
            kinds = self.kind[edges]

            def is_edge(at, tails, heads=heads, kinds=kinds):
                keys = (heads[at] * self.relations + kinds[at]) * self.nodes + tails
                return ranking.is_in(keys, self.keys)

            negatives = ranking.redraw(size, self.nodes, is_edge, generator)
            yield heads, kinds, self.tail[edges], negatives


class Attention:
    """Weights of the edges, added up where they have head and tail in common."""

    def __init__(self, graph, form, parallel, device):
        keys, self.pair = (graph.head * graph.nodes + graph.tail).unique(return_inverse=True)
        self.pair = self.pair.to(device)
        self.heads = (keys // graph.nodes).to(device)
        self.edge_heads, self.nodes = graph.head.to(device), graph.nodes
        pairs = torch.stack([self.heads, (keys % graph.nodes).to(device)])
        self.merged = parallel == 'merged'
        self.matrix = pytorch_forms.form(form, pairs, (graph.nodes, graph.nodes))
        self.weigh(graph.initial_weights().to(device))

    def by_pair(self, values):
        sums = torch.zeros(len(self.heads), dtype=values.dtype, device=values.device)
        return sums.index_add(0, self.pair, values)

    def weigh(self, weights):
        self.matrix.weigh(self.by_pair(weights))

    def softmax(self, scores):
        """merged: scores of one head and tail are added before the softmax over a head's tails
        (model/KGAT.py:225-228); apart: over edges (equation 5). In doubles, so that one maximum
        serves all heads."""
        scores, heads = scores.double(), self.edge_heads
        if self.merged:
            scores, heads = self.by_pair(scores), self.heads
        grown = (scores - scores.max()).exp()
        weights = grown / grown.new_zeros(self.nodes).index_add(0, heads, grown)[heads]
        if not self.merged:
            weights = self.by_pair(weights)
        self.matrix.weigh(weights.float())


class Layer(torch.nn.Module):
    """One of the three aggregators: equations 6 (gcn), 7 (graphsage), 8 (bi-interaction);
    model/KGAT.py:10-65. Biases are torch's own: uniform."""

    def __init__(self, kind, inputs, outputs, dropout):
        super().__init__()
        self.kind, self.dropout = kind, dropout
        self.first = torch.nn.Linear(2 * inputs if kind == 'graphsage' else inputs, outputs)
        self.second = torch.nn.Linear(inputs, outputs) if kind == 'bi-interaction' else None
        for linear in filter(None, (self.first, self.second)):
            torch.nn.init.xavier_uniform_(linear.weight)

    def forward(self, x, matrix):
        around = matrix @ x
        if self.kind == 'graphsage':
            out = F.leaky_relu(self.first(torch.cat([x, around], 1)))
        else:
            out = F.leaky_relu(self.first(x + around))
        if self.second is not None:
            out = out + F.leaky_relu(self.second(x * around))
        return F.dropout(out, self.dropout, self.training)


class KGAT(torch.nn.Module):
    def __init__(self, graph, dim, sizes, kind, dropout):
        super().__init__()
        self.embeddings = torch.nn.Parameter(torch.empty(graph.nodes, dim))
        self.relations = torch.nn.Parameter(torch.empty(graph.relations, dim))
        self.transform = torch.nn.Parameter(torch.empty(graph.relations, dim, dim))
        for table in self.parameters():
            torch.nn.init.xavier_uniform_(table)
        widths = [dim] + sizes
        self.layers = torch.nn.ModuleList(
            Layer(kind, widths[k], widths[k + 1], dropout) for k in range(len(sizes)))

    def rows(self):
        """The next layer reads what the layer gave; what is concatenated is normalised
        (model/KGAT.py:117-128)."""
        x = self.embeddings
        parts = [x]
        for layer in self.layers:
            x = layer(x, self.attention.matrix)
            parts.append(F.normalize(x))
        return torch.cat(parts, 1)

    @torch.no_grad()
    def refresh(self):
        """(e_t M_r) . tanh(e_h M_r + e_r) of each edge; weights follow."""
        scores = torch.empty(sum(len(edges) for edges, _, _ in self.by_relation),
                             device=self.embeddings.device)
        for kind, columns in enumerate(self.by_relation):
            for edges, heads, tails in zip(*(column.split(65536) for column in columns)):
                head = self.embeddings[heads] @ self.transform[kind]
                tail = self.embeddings[tails] @ self.transform[kind]
                scores[edges] = (tail * torch.tanh(head + self.relations[kind])).sum(1)
        self.attention.softmax(scores)


class Trainer:
    """Two Adams over the same parameters, as the reference programs have them."""

    def __init__(self, data, options):
        self.first_user = data.entities
        self.l2, self.kg_l2 = options.l2, options.kg_l2
        self.graph = Graph(data, not options.no_loops)
        self.model = KGAT(self.graph, options.dim, options.layers, options.aggregator,
                          options.dropout).to(options.device)
        self.model.attention = Attention(self.graph, options.form, options.parallel,
                                         options.device)
        self.model.by_relation = self.graph.of_relations(options.device)
        self.optimizers = {name: pytorch_forms.adam(self.model.parameters(), options)
                           for name in ('cf', 'kg')}

    def __str__(self):
        return '%d nodes, %d edges' % (self.graph.nodes, len(self.graph))

    def cf_loss(self, batch):
        users, items, negatives = batch
        rows = self.model.rows()
        u, i, j = (rows.index_select(0, nodes)
                   for nodes in (self.first_user + users, items, negatives))
        return ranking.bpr(u, i, j) + self.l2 * ranking.halves(u, i, j)

    def kg_loss(self, batch):
        heads, kinds, tails, negatives = batch
        matrices = self.model.transform.index_select(0, kinds)
        table = self.model.embeddings
        h, t, n = (torch.bmm(table.index_select(0, nodes).unsqueeze(1), matrices).squeeze(1)
                   for nodes in (heads, tails, negatives))
        r = self.model.relations.index_select(0, kinds)
        positive, negative = (h + r - t).pow(2).sum(1), (h + r - n).pow(2).sum(1)
        loss = F.softplus(positive - negative).mean()
        return loss + self.kg_l2 * ranking.halves(h, r, t, n)

    def step(self, name, batch):
        self.optimizers[name].zero_grad(set_to_none=True)
        loss = self.cf_loss(batch) if name == 'cf' else self.kg_loss(batch)
        loss.backward()
        self.optimizers[name].step()
        return loss.item()

    def kinds(self, data, options, generator):
        return {'cf': (lambda b: self.step('cf', b), ranking.batches(data, options, generator)),
                'kg': (lambda b: self.step('kg', b),
                       self.graph.batches(options.kg_batch, generator)),
                'refresh': (lambda _: self.model.refresh(), itertools.repeat(None))}

    def some_steps(self, data, options, generator):
        for batch in itertools.islice(ranking.batches(data, options, generator), 2):
            self.step('cf', batch)
        for batch in itertools.islice(self.graph.batches(options.kg_batch, generator), 2):
            self.step('kg', batch)


def run_train(trainer, data, options, generator):
    limit = options.steps or None
    for epoch in range(1, options.epochs + 1):
        start = time.perf_counter()
        cf = [trainer.step('cf', batch) for batch in itertools.islice(
            ranking.batches(data, options, generator), limit)]
        middle = time.perf_counter()
        kg = [trainer.step('kg', batch) for batch in itertools.islice(
            trainer.graph.batches(options.kg_batch, generator), limit)]
        trainer.model.refresh()
        trained = time.perf_counter()
        metrics = ranking.evaluate(trainer.model, data,
                                   lambda rows: (rows[data.entities:], rows))
        print('epoch %2d  loss %.4f kg %.4f  %s  cf %.1f s  kg %.1f s  eval %.1f s' % (
            epoch, statistics.fmean(cf), statistics.fmean(kg), ranking.describe(metrics),
            middle - start, trained - middle, time.perf_counter() - trained), flush=True)


def run_step(trainer, data, options, generator):
    ranking.time_steps('cf %d' % options.batch, lambda b: trainer.step('cf', b),
                       ranking.batches(data, options, generator), options)
    ranking.time_steps('kg %d' % options.kg_batch, lambda b: trainer.step('kg', b),
                       trainer.graph.batches(options.kg_batch, generator), options)
    ranking.report_times('refresh', lambda _: trainer.model.refresh(), range(3), 0)


def run_kept(trainer, data, options, generator):
    cf = next(ranking.batches(data, options, generator))
    ranking.report_kept('cf, batch %d' % options.batch, lambda: trainer.cf_loss(cf),
                        trainer.model)
    kg = next(trainer.graph.batches(options.kg_batch, generator))
    ranking.report_kept('kg, batch %d' % options.kg_batch, lambda: trainer.kg_loss(kg),
                        trainer.model)


def parse(argv):
    parser = argparse.ArgumentParser(description='KGAT in plain PyTorch, for comparison.')
    ranking.add_options(parser, batch=1024, lr=1e-4, sample='users',
                        forms=['csr', 'pyg', 'messages', 'coo'])
    parser.add_argument('--layers', default='64,32,16', help='sizes, comma between')
    parser.add_argument('--aggregator', choices=['bi-interaction', 'gcn', 'graphsage'],
                        default='bi-interaction')
    parser.add_argument('--parallel', choices=['merged', 'apart'], default='merged')
    parser.add_argument('--no-loops', action='store_true',
                        help='without triples of an entity with itself, as our recipe')
    parser.add_argument('--kg-batch', type=int, default=2048)
    parser.add_argument('--kg-l2', type=float, default=1e-5)
    options = parser.parse_args(argv)
    options.layers = [int(size) for size in options.layers.split(',')]
    return options


data_of = ranking.load

if __name__ == '__main__':
    ranking.run(parse(sys.argv[1:]), Trainer,
                {'train': run_train, 'step': run_step, 'kept': run_kept})
