#!/usr/bin/python3
"""RippleNet in plain PyTorch: the yardstick that tinykg's RippleNet recipe is measured against.

Written from the paper (Wang et al., RippleNet: Propagating User Preferences on the Knowledge Graph
for Recommender Systems, CIKM 2018) and the settings of its program, op by op, the way a careful
PyTorch user would write it. It needs torch and nothing else.

The matrix of each triple's relation can be applied in two ways: `gathered`, a copy of the matrix
per triple and one batched product, as the program does; `grouped`, the triples sorted by relation
and one product per relation, which keeps no copies. Which is faster depends on the data.

    pytorch_ripplenet.py step [--products grouped]      milliseconds per training step

The data folder is that of pytorch_kgcn.py.
"""

import argparse
import os
import random
import statistics
import sys
import time
from collections import namedtuple

import torch
import torch.nn.functional as F

import pytorch_serve

from pytorch_kgcn import read_ints

# hwwang55/RippleNet src/main.py:9-20 (movie), 26-38 (book; 2 hops, where the paper has 3).
PRESETS = {
    'movie': dict(dim=16, hops=2, memory=32, kge_weight=0.01, l2=1e-7, lr=0.02, batch=1024),
    'book': dict(dim=4, hops=2, memory=32, kge_weight=0.01, l2=1e-5, lr=1e-3, batch=1024),
}

Data = namedtuple('Data', 'ratings users entities relations ripples')


# ---------------------------------------------------------------- data


def draw_ripples(history, triples, entities, hops, size):
    """Per hop int64 (users, size, 3): triples that begin at the user's items, then at the tails of
    the hop before. A user whose history leads nowhere has triples of the whole graph."""
    begins = [[] for _ in range(entities)]
    for edge, head in enumerate(triples[:, 0].tolist()):
        begins[head].append(edge)
    tails, sets = triples[:, 2].tolist(), [[] for _ in range(hops)]
    for seeds in history:
        picked = None
        for hop in range(hops):
            around = [edge for entity in seeds for edge in begins[entity]]
            around = around or picked or range(len(tails))
            picked = (random.sample(around, size) if len(around) >= size
                      else random.choices(around, k=size))
            sets[hop].append(picked)
            seeds = [tails[edge] for edge in picked]
    return [triples[torch.tensor(picked)] for picked in sets]


def load(folder, options):
    if os.path.isdir(os.path.join(folder, 'derived')):
        folder = os.path.join(folder, 'derived')
    ratings = read_ints(os.path.join(folder, 'ratings_final.txt'), 3)
    triples = read_ints(os.path.join(folder, 'kg_final.txt'), 3)
    random.seed(options.seed)
    users = int(ratings[:, 0].max()) + 1
    entities = int(max(ratings[:, 1].max(), triples[:, 0].max(), triples[:, 2].max())) + 1
    history = [[] for _ in range(users)]
    for user, item, label in ratings.tolist():
        if label:
            history[user].append(item)
    ripples = draw_ripples(history, triples, entities, options.hops, options.memory)
    return Data(ratings, users, entities, int(triples[:, 1].max()) + 1, ripples)


# ---------------------------------------------------------------- model


def gathered(matrices, which, vectors):
    """matrices[which] @ vectors: (B, m, d), by a copy of the matrix per vector."""
    return torch.matmul(matrices[which], vectors.unsqueeze(-1)).squeeze(-1)


def grouped(matrices, which, vectors):
    """The same, relation after relation."""
    flat = which.flatten()
    order = flat.argsort()
    counts = torch.bincount(flat, minlength=len(matrices)).tolist()
    parts = vectors.flatten(0, 1)[order].split(counts)
    rows = torch.cat([x @ r.t() for x, r in zip(parts, matrices)])
    return torch.empty_like(rows).index_copy(0, order, rows).view_as(vectors)


PRODUCTS = {'gathered': gathered, 'grouped': grouped}


class RippleNet(torch.nn.Module):
    """item_update_mode plus_transform, all hops."""

    def __init__(self, data, options):
        super().__init__()
        d = options.dim
        self.entity = torch.nn.Embedding(data.entities, d)
        self.relation = torch.nn.Parameter(torch.empty(data.relations, d, d))
        self.transform = torch.nn.Parameter(torch.empty(d, d))
        for weight in (self.entity.weight, self.relation, self.transform):
            torch.nn.init.xavier_uniform_(weight)
        self.product, self.o, self.ripples = PRODUCTS[options.products], options, data.ripples

    def forward(self, users, items):
        """Logits (B,), and the hops' (h, r, t)."""
        hops = []
        for ripple in self.ripples:
            h, r, t = ripple[users].unbind(-1)
            hops.append((self.entity(h), r, self.entity(t)))
        v, response = self.entity(items), 0
        for h, r, t in hops:
            rh = self.product(self.relation, r, h)
            weight = torch.softmax(torch.matmul(rh, v.unsqueeze(-1)).squeeze(-1), -1)  # eq. 4
            o = torch.matmul(weight.unsqueeze(1), t).squeeze(1)                        # eq. 5
            v = (v + o) @ self.transform
            response = response + o
        return (v * response).sum(-1), hops

    def loss(self, users, items, labels):
        """Equation 13; L2 is a sum without a half, as in the program (model.py:127-147)."""
        logits, hops = self(users, items)
        loss = F.binary_cross_entropy_with_logits(logits, labels.float())
        size = self.relation.square().sum((1, 2))
        for h, r, t in hops:
            fact = (h * self.product(self.relation, r, t)).sum(-1).sigmoid().mean()
            l2 = h.square().sum() + t.square().sum() + size[r].sum()
            loss = loss - self.o.kge_weight * fact + self.o.l2 * l2
        return loss


# ---------------------------------------------------------------- mode


def stepper(data, options):
    """A function that trains on a batch, and eight batches."""
    torch.manual_seed(options.seed)
    model = RippleNet(data, options)
    optimizer = torch.optim.Adam(model.parameters(), lr=options.lr)

    def step(part):
        optimizer.zero_grad(set_to_none=True)
        loss = model.loss(*part.unbind(1))
        loss.backward()
        optimizer.step()
        return loss.item()

    return step, [data.ratings[torch.randint(len(data.ratings), (options.batch,))]
                  for _ in range(8)]


def run_step(data, options):
    step, parts = stepper(data, options)
    times = []
    for i in range(options.warmup + options.steps):
        start = time.perf_counter()
        step(parts[i % len(parts)])
        times.append((time.perf_counter() - start) * 1e3)
    times = times[options.warmup:]
    print('threads %d  steps %d  min %.3f ms  median %.3f ms' % (
        torch.get_num_threads(), len(times), min(times), statistics.median(times)))


def parse(argv):
    parser = argparse.ArgumentParser(description='RippleNet in plain PyTorch, for comparison.')
    parser.add_argument('mode', choices=['step', 'serve'])
    parser.add_argument('--preset', choices=sorted(PRESETS), default='movie')
    root = os.environ.get('TINYKG_DATA', os.path.join('..', 'shared', 'data'))
    parser.add_argument('--data', default=os.path.join(root, 'kgcn-music'))
    for name in ('dim', 'hops', 'memory', 'batch'):
        parser.add_argument('--' + name, type=int)
    for name in ('lr', 'l2', 'kge_weight'):
        parser.add_argument('--' + name, type=float)
    parser.add_argument('--products', choices=sorted(PRODUCTS), default='grouped')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--steps', type=int, default=50, help='timed steps')
    parser.add_argument('--warmup', type=int, default=5, help='untimed steps before them')
    options = parser.parse_args(argv)
    for name, value in PRESETS[options.preset].items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def main(argv):
    options = parse(argv)
    torch.set_num_threads(options.threads)
    try:
        data = load(options.data, options)
    except OSError as problem:
        sys.exit('pytorch_ripplenet: %s' % problem)
    if options.mode == 'serve':
        return pytorch_serve.serve({'step': stepper(data, options)})
    run_step(data, options)


if __name__ == '__main__':
    main(sys.argv[1:])
