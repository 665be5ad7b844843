#!/usr/bin/python3
"""KGCN in plain PyTorch: the yardstick that tinykg's KGCN recipe is measured against.

Written from the paper (Wang, Zhao, Xie, Li, Guo: Knowledge Graph Convolutional Networks for
Recommender Systems, WWW 2019), op by op, the way a careful PyTorch user would write it: no fused
kernels, no recomputation, nothing done to save memory. It needs torch and nothing else.

What autograd keeps depends on PyTorch's version: in 1.13 `mean` over a dimension holds its whole
input, here the two products per edge, about half of all kept bytes (changed upstream in its pull
request 109935, September 2023). `--mean sum` shows the tape without them.

    pytorch_kgcn.py train --preset music --seed 0      AUC and F1 per epoch
    pytorch_kgcn.py step  --preset book --hops 3       milliseconds per training step
    pytorch_kgcn.py kept  --preset book --hops 3       bytes autograd keeps for backward
    pytorch_kgcn.py peak  --preset book --hops 3       the most memory the program holds
    pytorch_kgcn.py forms --device cuda                milliseconds, plain and compiled, as JSON

The data folder is KGCN's: ratings_final.txt (user item label) and kg_final.txt (head relation
tail), there or in derived/, all numbers; items are the first entities.
"""

import argparse
import os
import statistics
import sys
import time
from collections import namedtuple

import torch
import torch.nn.functional as F

import pytorch_forms
import pytorch_peak
import pytorch_serve

# The published settings of the three data sets: hwwang55/KGCN src/main.py:38-50 (music), 24-36
# (book; the paper has one hop) and 12-22 (movie).
PRESETS = {
    'music': dict(neighbors=8, dim=16, hops=1, batch=128, l2=1e-4, lr=5e-4, epochs=10),
    'book': dict(neighbors=8, dim=64, hops=3, batch=256, l2=2e-5, lr=2e-4, epochs=10),
    'movie': dict(neighbors=4, dim=32, hops=2, batch=65536, l2=1e-7, lr=2e-2, epochs=10),
}

Data = namedtuple('Data', 'train valid test users entities relations adj_entity adj_relation')


# ---------------------------------------------------------------- data


def read_ints(path, width):
    """The file's whitespace-separated integers as an (n, width) tensor."""
    with open(path, encoding='utf-8') as lines:
        flat = [int(word) for line in lines for word in line.split()]
    return torch.tensor(flat, dtype=torch.int64).view(-1, width)


def sample_adjacency(triples, entities, k, generator):
    """Draws K neighbours per entity, once, in the graph with both directions.

    Without replacement where an entity has K neighbours or more, with replacement where it has
    fewer. An entity without any is its own neighbour through relation 0.
    """
    edges = [[] for _ in range(entities)]
    for head, relation, tail in triples.tolist():
        edges[head].append((tail, relation))
        edges[tail].append((head, relation))
    chosen = []
    for entity, around in enumerate(edges):
        around = around or [(entity, 0)]
        n = len(around)
        if n >= k:
            picks = torch.randperm(n, generator=generator)[:k]
        else:
            picks = torch.randint(n, (k,), generator=generator)
        chosen.append([around[i] for i in picks.tolist()])
    both = torch.tensor(chosen, dtype=torch.int64)
    return both[:, :, 0].contiguous(), both[:, :, 1].contiguous()


def load(folder, k, seed):
    """Ratings split 6:2:2 at random, and the sampled adjacency."""
    if os.path.isdir(os.path.join(folder, 'derived')):
        folder = os.path.join(folder, 'derived')
    ratings = read_ints(os.path.join(folder, 'ratings_final.txt'), 3)
    triples = read_ints(os.path.join(folder, 'kg_final.txt'), 3)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(ratings), generator=generator)
    n_valid = n_test = int(len(ratings) * 0.2)
    test, valid, train = order.split([n_test, n_valid, len(ratings) - n_test - n_valid])
    users = int(ratings[:, 0].max()) + 1
    highest = [ratings[:, 1].max(), triples[:, 0].max(), triples[:, 2].max()]
    entities = int(max(highest)) + 1
    relations = int(triples[:, 1].max()) + 1
    adj_entity, adj_relation = sample_adjacency(triples, entities, k, generator)
    return Data(ratings[train], ratings[valid], ratings[test], users, entities, relations,
                adj_entity, adj_relation)


# ---------------------------------------------------------------- model


def mean_keeping_input(tensor, dim):
    """The plain way. In PyTorch 1.13 its backward node holds the whole input."""
    return tensor.mean(dim)


def mean_by_sum(tensor, dim):
    """The same value; its backward nodes hold nothing of the input's size."""
    return tensor.sum(dim) / tensor.shape[dim]


MEANS = {'mean': mean_keeping_input, 'sum': mean_by_sum}


class Aggregator(torch.nn.Module):
    """One of the paper's three aggregators: equations 5 (sum), 6 (concat), 7 (neighbor)."""

    def __init__(self, kind, dim, activation, mean):
        super().__init__()
        self.kind = kind
        self.mean = mean
        self.activation = activation
        self.dense = torch.nn.Linear(2 * dim if kind == 'concat' else dim, dim)
        torch.nn.init.xavier_uniform_(self.dense.weight)
        torch.nn.init.zeros_(self.dense.bias)

    def forward(self, own, neighbors, relations, user):
        """own (B,n,d); neighbors and relations (B,n,K,d); user (B,d) -> (B,n,d)."""
        score = self.mean(user[:, None, None, :] * relations, -1)
        weight = torch.softmax(score, -1)
        around = self.mean(weight.unsqueeze(-1) * neighbors, 2)
        if self.kind == 'sum':
            mixed = own + around
        elif self.kind == 'concat':
            mixed = torch.cat([own, around], -1)
        else:
            mixed = around
        return self.activation(self.dense(mixed))


class KGCN(torch.nn.Module):
    """The score of (user, item) from the item's receptive field of `hops` hops."""

    def __init__(self, data, dim, hops, kind, mean):
        super().__init__()
        self.hops = hops
        self.user = torch.nn.Embedding(data.users, dim)
        self.entity = torch.nn.Embedding(data.entities, dim)
        self.relation = torch.nn.Embedding(data.relations, dim)
        for table in (self.user, self.entity, self.relation):
            torch.nn.init.xavier_uniform_(table.weight)
        self.layers = torch.nn.ModuleList(
            Aggregator(kind, dim, torch.tanh if i == hops - 1 else torch.relu, mean)
            for i in range(hops))
        self.register_buffer('adj_entity', data.adj_entity)
        self.register_buffer('adj_relation', data.adj_relation)

    def forward(self, users, items):
        """Logits (B,)."""
        batch, k = len(users), self.adj_entity.shape[1]
        ids = [items.view(batch, 1)]
        relation_ids = []
        for _ in range(self.hops):
            relation_ids.append(self.adj_relation[ids[-1]].view(batch, -1))
            ids.append(self.adj_entity[ids[-1]].view(batch, -1))
        user = self.user(users)
        relations = [self.relation(i) for i in relation_ids]
        vectors = [self.entity(i) for i in ids]
        for step, layer in enumerate(self.layers):
            vectors = [
                layer(vectors[hop],
                      vectors[hop + 1].view(batch, k ** hop, k, -1),
                      relations[hop].view(batch, k ** hop, k, -1), user)
                for hop in range(self.hops - step)]
        item = vectors[0].view(batch, -1)
        return (user * item).sum(-1)

    def penalized(self):
        """What the L2 term covers: the three tables and the aggregators' matrices."""
        tables = [self.user.weight, self.entity.weight, self.relation.weight]
        return tables + [layer.dense.weight for layer in self.layers]


class Trainer:
    """Model, optimizer and one training step.

    L2 is half the sum of squares: as a term of the loss (`loss`), or its gradient added by
    the optimizer (`decay`), which is the same update and keeps nothing for backward.
    """

    def __init__(self, data, options):
        torch.manual_seed(options.seed)
        self.model = KGCN(data, options.dim, options.hops, options.aggregator,
                          MEANS[options.mean]).to(options.device)
        compiled = options.compile or options.form == 'compiled'
        self.forward = torch.compile(self.model) if compiled else self.model
        self.l2 = options.l2
        self.in_loss = options.l2_form == 'loss'
        covered = self.model.penalized()
        rest = [layer.dense.bias for layer in self.model.layers]
        decay = 0.0 if self.in_loss else self.l2
        self.optimizer = pytorch_forms.adam(
            [dict(params=covered, weight_decay=decay), dict(params=rest)], options)

    def loss(self, batch):
        users, items, labels = batch.unbind(1)
        logits = self.forward(users, items)
        loss = F.binary_cross_entropy_with_logits(logits, labels.float())
        if self.in_loss:
            loss = loss + self.l2 * sum(0.5 * p.pow(2).sum() for p in self.model.penalized())
        return loss

    def step(self, batch):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(batch)
        loss.backward()
        self.optimizer.step()
        return loss.item()


# ---------------------------------------------------------------- metrics


def auc(scores, labels):
    """Area under the ROC curve by rank sums; ties get their mean rank."""
    _, inverse, counts = torch.unique(scores, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    rank = (last - (counts.double() - 1) / 2)[inverse]
    positive = labels > 0
    n_pos = int(positive.sum())
    n_neg = len(labels) - n_pos
    return float((rank[positive].sum() - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg))


def f1(scores, labels):
    """F1 of `probability >= 0.5`."""
    said, true = scores >= 0.5, labels > 0
    both = int((said & true).sum())
    return 2 * both / max(int(said.sum()) + int(true.sum()), 1)


@torch.no_grad()
def evaluate(model, ratings, batch):
    model.eval()
    ratings = ratings.to(next(model.parameters()).device)
    scores = torch.cat([torch.sigmoid(model(part[:, 0], part[:, 1]))
                        for part in ratings.split(batch)])
    model.train()
    return auc(scores, ratings[:, 2]), f1(scores, ratings[:, 2])


# ---------------------------------------------------------------- what autograd keeps


def saved_by_node(loss):
    """[(op, slot, tensor)] of everything the graph behind `loss` holds for backward."""
    found, seen, todo = [], set(), [loss.grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        for slot in dir(node):
            if not slot.startswith('_saved_'):
                continue
            value = getattr(node, slot)
            for tensor in value if isinstance(value, (tuple, list)) else (value,):
                if isinstance(tensor, torch.Tensor):
                    found.append((node.name(), slot[len('_saved_'):], tensor))
        todo.extend(next_node for next_node, _ in node.next_functions)
    return found


def storage_of(tensor):
    return tensor.storage().data_ptr()


def view_bytes(tensor):
    return tensor.numel() * tensor.element_size()


def storage_bytes(tensor):
    return tensor.storage().nbytes()


def kept(trainer, batch):
    """Prints each saved tensor once a saving op, then the totals under each definition."""
    packed = []

    def pack(tensor):
        packed.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        hooked = trainer.loss(batch)
    total_hooks = sum(view_bytes(t) for t in packed)
    del hooked

    loss = trainer.loss(batch)
    saved = saved_by_node(loss)
    parameters = {storage_of(p) for p in trainer.model.parameters()}
    first = {}
    print('%-28s %-12s %-20s %-6s %12s  %s' % ('op', 'slot', 'shape', 'type', 'bytes', 'note'))
    for op, slot, tensor in reversed(saved):
        key = storage_of(tensor)
        note = 'parameter' if key in parameters else ''
        if key in first:
            note = (note + ' same storage as ' + first[key][0]).strip()
        else:
            first[key] = (op, tensor)
        print('%-28s %-12s %-20s %-6s %12d  %s' % (
            op, slot, 'x'.join(map(str, tensor.shape)) or 'scalar',
            str(tensor.dtype).replace('torch.', ''), view_bytes(tensor), note))

    unique = [(key, tensor) for key, (_, tensor) in first.items()]
    activations = [(key, t) for key, t in unique if key not in parameters]
    floats = [(key, t) for key, t in activations if t.dtype.is_floating_point]
    rows = [
        ('hooks: every pack call', total_hooks),
        ('a every saved tensor', sum(view_bytes(t) for _, _, t in saved)),
        ('b unique storages', sum(storage_bytes(t) for _, t in unique)),
        ('c b without parameters', sum(storage_bytes(t) for _, t in activations)),
        ('d c without integers', sum(storage_bytes(t) for _, t in floats)),
    ]
    print()
    for name, size in rows:
        print('%-28s %12d bytes %10.1f KiB %9.2f MiB' % (name, size, size / 2**10, size / 2**20))


# ---------------------------------------------------------------- modes


def batches(ratings, size, generator):
    order = torch.randperm(len(ratings), generator=generator)
    return [ratings[part] for part in order.split(size)]


def run_train(trainer, data, options):
    generator = torch.Generator().manual_seed(options.seed)
    for epoch in range(1, options.epochs + 1):
        start = time.perf_counter()
        losses = [trainer.step(b.to(options.device))
                  for b in batches(data.train, options.batch, generator)]
        seconds = time.perf_counter() - start
        valid = evaluate(trainer.model, data.valid, options.batch)
        test = evaluate(trainer.model, data.test, options.batch)
        print('epoch %2d  loss %.4f  valid auc %.4f f1 %.4f  test auc %.4f f1 %.4f  %.1f s' % (
            epoch, statistics.fmean(losses), *valid, *test, seconds), flush=True)


def full_batch(data, options):
    """One batch of exactly options.batch ratings, repeating the set where it is smaller."""
    picks = torch.arange(options.batch) % len(data.train)
    return data.train[picks].to(options.device)


def some_steps(data, options):
    trainer = Trainer(data, options)
    for _ in range(3):
        trainer.step(full_batch(data, options))


def some_parts(data, options):
    """Eight batches, drawn with repetition."""
    generator = torch.Generator().manual_seed(options.seed)
    picks = [torch.randint(len(data.train), (options.batch,), generator=generator)
             for _ in range(8)]
    return [data.train[p].to(options.device) for p in picks]


def run_step(trainer, data, options):
    parts = some_parts(data, options)
    for i in range(options.warmup):
        trainer.step(parts[i % len(parts)])
    times = []
    for i in range(options.steps or 200):
        start = time.perf_counter()
        trainer.step(parts[i % len(parts)])
        times.append((time.perf_counter() - start) * 1e3)
    if options.device != 'cpu':
        print('device %s  peak %d bytes' % (torch.cuda.get_device_name(options.device),
                                            torch.cuda.max_memory_allocated(options.device)))
    print('threads %d  steps %d  min %.3f ms  median %.3f ms' % (
        torch.get_num_threads(), len(times), min(times), statistics.median(times)))


def parse(argv):
    parser = argparse.ArgumentParser(description='KGCN in plain PyTorch, for comparison.')
    parser.add_argument('mode', choices=['train', 'step', 'serve', 'kept', 'peak', 'forms'])
    parser.add_argument('--preset', choices=sorted(PRESETS), default='music')
    root = os.environ.get('TINYKG_DATA', os.path.join('..', 'shared', 'data'))
    parser.add_argument('--data', default=os.path.join(root, 'kgcn-music'))
    for name in ('dim', 'neighbors', 'hops', 'batch', 'epochs'):
        parser.add_argument('--' + name, type=int)
    for name in ('lr', 'l2'):
        parser.add_argument('--' + name, type=float)
    parser.add_argument('--aggregator', choices=['sum', 'concat', 'neighbor'], default='sum')
    parser.add_argument('--l2-form', choices=['loss', 'decay'], default='loss')
    parser.add_argument('--mean', choices=sorted(MEANS), default='mean',
                        help='how means are written; sum: keeps no products for backward')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--device', default='cpu', help='cpu, cuda or cuda:N')
    parser.add_argument('--compile', action='store_true', help='through torch.compile (2.0 on)')
    parser.add_argument('--form', choices=['plain', 'compiled'], default='plain')
    parser.add_argument('--forms', default='plain,compiled', help='in mode forms, commas between')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--steps', type=int, default=0, help='timed steps; mode step: 200')
    parser.add_argument('--warmup', type=int, default=20, help='untimed steps before them')
    options = parser.parse_args(argv)
    for name, value in PRESETS[options.preset].items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def data_of(options):
    torch.set_num_threads(options.threads)
    try:
        return load(options.data, options.neighbors, options.seed)
    except OSError as problem:
        sys.exit('pytorch_kgcn: %s' % problem)


def main(argv):
    options = parse(argv)
    data = data_of(options)
    if options.mode == 'peak':
        return pytorch_peak.report('batch %d' % options.batch, lambda: some_steps(data, options),
                                   options.device)
    if options.mode == 'forms':
        def steps(form):
            options.form = form
            return {'step': (Trainer(data, options).step, some_parts(data, options))}
        return pytorch_forms.run_forms(steps, options)
    trainer = Trainer(data, options)
    if options.mode == 'train':
        run_train(trainer, data, options)
    elif options.mode == 'step':
        run_step(trainer, data, options)
    elif options.mode == 'serve':
        pytorch_serve.serve({'step': (trainer.step, some_parts(data, options))})
    else:
        kept(trainer, full_batch(data, options))


if __name__ == '__main__':
    main(sys.argv[1:])
