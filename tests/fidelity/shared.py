"""What the comparisons with the published programs share: tinykg's files, optimizers, metrics.

A model is a transcription of a published program's text, with the lines it was read in, into
PyTorch; models/NAME.py has a class Model(shared.Model), see there.
"""

import argparse
import importlib
import json
import os
import struct
import subprocess
import sys

import numpy
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
HOME = os.path.dirname(os.path.dirname(HERE))

# ---------------------------------------------------------------- tinykg's side

TYPES = {'F32': numpy.float32, 'I32': numpy.int32}


def read_tensors(path):
    """Tensors of a .safetensors file by name: ids as int64, numbers in torch's default type."""
    with open(path, 'rb') as file:
        (length,) = struct.unpack('<Q', file.read(8))
        header = json.loads(file.read(length))
        body = file.read()
    tensors = {}
    for name, entry in header.items():
        if name == '__metadata__':
            continue
        first, last = entry['data_offsets']
        array = numpy.frombuffer(body[first:last], TYPES[entry['dtype']]).reshape(entry['shape'])
        wanted = torch.int64 if entry['dtype'] == 'I32' else torch.get_default_dtype()
        tensors[name] = torch.tensor(array.copy()).to(wanted)
    return tensors


def read_json(path):
    with open(path, encoding='utf-8') as file:
        return json.load(file)


def trainer(*arguments):
    """Runs trainer.lua; its complaint is ours."""
    command = [os.path.join(HOME, 'tinykg'), os.path.join(HERE, 'trainer.lua')]
    environment = dict(os.environ, TINYKG_HOME=HOME, OMP_NUM_THREADS='1')
    done = subprocess.run(command + [str(a) for a in arguments], env=environment, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)


def below(prefix, tensors):
    """Those whose name begins so, without it."""
    return {name[len(prefix):]: t for name, t in tensors.items() if name.startswith(prefix)}


def arguments(description, **more):
    """Parses the command line: model, data, set, out, and the numbers or texts of `more` with
    their defaults. Limits torch to one thread."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('model')
    parser.add_argument('--data', default='demo')
    for name, default in more.items():
        parser.add_argument('--' + name, type=type(default), default=default)
    parser.add_argument('--set', action='append', default=[])
    parser.add_argument('--out', help='where to keep the files')
    torch.set_num_threads(1)
    return parser.parse_args()


def model_class(name):
    sys.path.insert(0, HERE)
    return importlib.import_module('models.' + name.replace('-', '_')).Model


# ---------------------------------------------------------------- a model


class Model:
    """A model in a published program's way. `o`: options of the recipe; `counts`: users, items,
    entities, relations, train, task; `p`: parameters by tinykg's names; `c`: what is drawn once.

    A model has
        loss(part, batch)         the loss of a batch, a dictionary of tensors; or the loss and what
                                  the program adds to it that tinykg has as weight decay
        optimizer(part)           the program's, over what it trains in that part
        start(o, counts, data, random)  static: p and c as the program draws them (curves)
        epoch(data, random)       the (part, batch) pairs of an epoch (curves)
        scores(users, items)      of pairs, or rank(users), [n, items] (curves)
    """

    def __init__(self, o, counts, p, c):
        self.o, self.counts, self.c = o, counts, c
        self.p = {name: t.clone().requires_grad_() for name, t in p.items()}

    def train(self):
        """Dropout is on."""

    def eval(self):
        """Dropout is off."""


class TensorFlowAdam:
    """Adam as TensorFlow 1 has it (tf.train.AdamOptimizer): epsilon is added before v is corrected
    for its start at zero, so it is "epsilon hat" of Kingma & Ba 2015, section 2."""

    def __init__(self, parameters, lr, epsilon=1e-8):
        self.parameters, self.lr, self.epsilon, self.t = list(parameters), lr, epsilon, 0
        self.m = [torch.zeros_like(p) for p in self.parameters]
        self.v = [torch.zeros_like(p) for p in self.parameters]

    def zero_grad(self):
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self):
        self.t += 1
        rate = self.lr * (1 - 0.999 ** self.t) ** 0.5 / (1 - 0.9 ** self.t)
        for p, m, v in zip(self.parameters, self.m, self.v):
            g = torch.zeros_like(p) if p.grad is None else p.grad
            m.mul_(0.9).add_(g, alpha=0.1)
            v.mul_(0.999).addcmul_(g, g, value=0.001)
            p.sub_(rate * m / (v.sqrt() + self.epsilon))


def update(model, optimizers, part, batch):
    """One step; its loss, without what tinykg has as weight decay."""
    if part not in optimizers:
        optimizers[part] = model.optimizer(part)
    optimizers[part].zero_grad()
    loss, decay = model.loss(part, batch), 0
    if isinstance(loss, tuple):
        loss, decay = loss
    (loss + decay).backward()
    optimizers[part].step()
    return loss.item()


# ---------------------------------------------------------------- drawing, as the programs do


def xavier(random, *shape):
    """Uniform in +-sqrt(6 / (fan in + fan out)); dimensions before the last two multiply both, as
    TensorFlow counts them."""
    field = int(numpy.prod(shape[:-2]))
    bound = (6 / (field * (shape[-2] + shape[-1]))) ** 0.5
    return torch.tensor(random.uniform(-bound, bound, shape)).to(torch.get_default_dtype())


class Known:
    """Which items each user has, as a table of bits."""

    def __init__(self, counts, users, items):
        self.table = numpy.zeros((counts['users'], counts['items']), dtype=bool)
        self.table[users, items] = True

    def draw(self, random, users):
        """An item for each user that the user does not have, uniformly."""
        drawn = random.randint(0, self.table.shape[1], len(users))
        while True:
            wrong = numpy.flatnonzero(self.table[users, drawn])
            if len(wrong) == 0:
                return drawn
            drawn[wrong] = random.randint(0, self.table.shape[1], len(wrong))


def interactions(model, data, random, drop_last):
    """Batches of the shuffled training rows: with labels, or with an unknown item each."""
    users, items = data['train.users'].numpy(), data['train.items'].numpy()
    labels = data.get('train.labels')
    if labels is None and not hasattr(model, 'known'):
        model.known = Known(model.counts, users, items)
    size, order = int(model.o['batch_size']), random.permutation(len(users))
    last = len(order) - len(order) % size if drop_last else len(order)
    for first in range(0, last, size):
        rows = order[first:first + size]
        batch = {'users': torch.tensor(users[rows]), 'items': torch.tensor(items[rows])}
        if labels is not None:
            batch['labels'] = labels[torch.tensor(rows)]
        else:
            batch['negatives'] = torch.tensor(model.known.draw(random, users[rows]))[:, None]
        yield batch


# ---------------------------------------------------------------- metrics


def auc(scores, labels):
    """Area under the ROC curve by rank sums; ties get their mean rank."""
    _, inverse, counts = numpy.unique(scores, return_inverse=True, return_counts=True)
    rank = (numpy.cumsum(counts) - (counts - 1) / 2)[inverse]
    positive = labels > 0
    n = positive.sum()
    return (rank[positive].sum() - n * (n + 1) / 2) / (n * (len(labels) - n))


def recall(rank, counts, data, part, k=20):
    """Mean over users with items in `part` of the share of them among the k best, without train."""
    wanted, known = {}, {}
    for table, name in ((wanted, part), (known, 'train')):
        for u, i in zip(data[name + '.users'].tolist(), data[name + '.items'].tolist()):
            table.setdefault(u, set()).add(i)
    users, found = sorted(wanted), []
    for first in range(0, len(users), 256):
        some = users[first:first + 256]
        scores = rank(torch.tensor(some)).clone()
        for row, u in enumerate(some):
            scores[row, list(known.get(u, ()))] = -numpy.inf
        best = scores.topk(min(k, counts['items'])).indices.tolist()
        found += [len(wanted[u].intersection(top)) / len(wanted[u])
                  for u, top in zip(some, best)]
    return float(numpy.mean(found))


@torch.no_grad()
def measure(model, data, part='valid'):
    """AUC of labelled data, Recall@20 of other."""
    model.eval()
    if model.counts['task'] == 'ctr':
        users, items = data[part + '.users'], data[part + '.items']
        scores = torch.cat([model.scores(u, i) for u, i in zip(users.split(1024),
                                                               items.split(1024))])
        value = {'auc': float(auc(scores.numpy(), data[part + '.labels'].numpy()))}
    else:
        value = {'recall@20': recall(model.rank, model.counts, data, part)}
    model.train()
    return value
