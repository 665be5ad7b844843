"""What pytorch_bpr_mf.py, pytorch_kgat.py, pytorch_kgin.py and pytorch_lightgcn.py share: data in KGAT's format,
samplers, losses, full-ranking metrics, timing, and a count of what autograd keeps. Needs torch and
numpy.

The folder holds train.txt, test.txt (one user and its items per line) and kg_final.txt (head
relation tail), plain or .xz; where it has derived/, train and test are taken from there.

Large steps are faster where glibc keeps freed memory: set MALLOC_TRIM_THRESHOLD_ and
MALLOC_MMAP_THRESHOLD_ to 17179869184 for timings, as ratios.lua does.
"""

import itertools
import lzma
import os
import statistics
import sys
import time

import numpy
import torch
import torch.nn.functional as F

import pytorch_forms
import pytorch_peak
import pytorch_serve

# ---------------------------------------------------------------- data


def read_text(folder, name):
    """The bytes of folder/name or folder/name.xz, the first that is there."""
    path = os.path.join(folder, name)
    if os.path.exists(path):
        with open(path, 'rb') as file:
            return file.read()
    with lzma.open(path + '.xz') as file:
        return file.read()


def numbers(text):
    return numpy.array(text.split(), dtype=numpy.int64)


def read_interactions(folder, name):
    """Distinct (user, item) rows, sorted."""
    users, items = [], []
    for line in read_text(folder, name).splitlines():
        row = numbers(line)
        if len(row) > 1:
            items.append(row[1:])
            users.append(numpy.full(len(row) - 1, row[0]))
    return numpy.unique(numpy.stack([numpy.concatenate(users), numpy.concatenate(items)], 1),
                        axis=0)


def hold_out(train, share, generator):
    """Of each user's rows round(share * n) at random, at least one stays: (rest, held out)."""
    order = numpy.lexsort([generator.random(len(train)), train[:, 0]])
    users = train[order, 0]
    starts = numpy.flatnonzero(numpy.r_[True, users[1:] != users[:-1]])
    counts = numpy.diff(numpy.r_[starts, len(users)])
    place = numpy.arange(len(users)) - numpy.repeat(starts, counts)
    taken = numpy.minimum(numpy.floor(counts * share + 0.5).astype(int), counts - 1)
    held = place < numpy.repeat(taken, counts)
    return train[numpy.sort(order[~held])], train[numpy.sort(order[held])]


class Rows:
    """Sorted (user, item) rows by user, and whether a pair is among them."""

    def __init__(self, pairs, users, items):
        self.users, self.items = torch.from_numpy(pairs.copy()).unbind(1)
        self.items_in_all = items
        self.keys = self.users * items + self.items
        self.counts = torch.bincount(self.users, minlength=users)
        self.starts = self.counts.cumsum(0) - self.counts
        self.known = self.counts.nonzero().squeeze(1)

    def __len__(self):
        return len(self.users)

    def has(self, users, items):
        return is_in(users * self.items_in_all + items, self.keys)

    def spread(self, users):
        """For users [n]: (position in users, item) of all their rows."""
        counts = self.counts[users]
        owner = torch.repeat_interleave(torch.arange(len(users)), counts)
        first = counts.cumsum(0) - counts
        place = torch.arange(len(owner)) - first[owner]
        return owner, self.items[self.starts[users][owner] + place]


def is_in(keys, sorted_keys):
    if len(sorted_keys) == 0:
        return torch.zeros(len(keys), dtype=torch.bool)
    at = torch.searchsorted(sorted_keys, keys).clamp_max(len(sorted_keys) - 1)
    return sorted_keys[at] == keys


class Data:
    """train, valid, test as Rows; triples as a distinct (n, 3) tensor; counts."""

    def __init__(self, folder, valid_share, seed):
        derived = os.path.join(folder, 'derived')
        where = derived if os.path.isdir(derived) else folder
        train = read_interactions(where, 'train.txt')
        test = read_interactions(where, 'test.txt')
        triples = numbers(read_text(folder, 'kg_final.txt')).reshape(-1, 3)
        self.triples = torch.from_numpy(numpy.unique(triples, axis=0))
        self.users = int(max(train[:, 0].max(), test[:, 0].max())) + 1
        self.items = int(max(train[:, 1].max(), test[:, 1].max())) + 1
        self.entities = max(self.items, int(self.triples[:, [0, 2]].max()) + 1)
        self.kg_relations = int(self.triples[:, 1].max()) + 1
        both = numpy.isin(test @ [self.items, 1], train @ [self.items, 1])
        test = test[~both]
        rest, valid = hold_out(train, valid_share, numpy.random.default_rng(seed))
        self.train, self.valid, self.test = (
            Rows(part, self.users, self.items) for part in (rest, valid, test))

    def __str__(self):
        return ('%d users, %d items, %d entities, %d relations, %d triples; '
                'train %d, valid %d, test %d' % (
                    self.users, self.items, self.entities, self.kg_relations, len(self.triples),
                    len(self.train), len(self.valid), len(self.test)))


# ---------------------------------------------------------------- samplers


def draw(high, generator):
    """An integer of 0 .. high - 1 for each number of high."""
    return (torch.rand(len(high), generator=generator, dtype=torch.float64) * high).long()


def choose(among, n, generator):
    """n of them without repetition; with, where there are fewer."""
    if n <= len(among):
        return among[torch.randperm(len(among), generator=generator)[:n]]
    return among[torch.randint(len(among), (n,), generator=generator)]


def redraw(n, high, is_known, generator):
    """Uniform ids of 0 .. high - 1, drawn again while is_known(positions, ids)."""
    ids = torch.randint(high, (n,), generator=generator)
    todo = torch.arange(n)
    while True:
        todo = todo[is_known(todo, ids[todo])]
        if len(todo) == 0:
            return ids
        ids[todo] = torch.randint(high, (len(todo),), generator=generator)


def with_negatives(data, users, items, generator):
    negatives = redraw(len(users), data.items,
                       lambda at, ids: data.train.has(users[at], ids), generator)
    return users, items, negatives


def user_batches(data, size, generator):
    """KGAT's: each batch distinct users, one of their items each; train // size + 1 batches."""
    rows = data.train
    for _ in range(len(rows) // size + 1):
        users = choose(rows.known, size, generator)
        items = rows.items[rows.starts[users] + draw(rows.counts[users], generator)]
        yield with_negatives(data, users, items, generator)


def interaction_batches(data, size, generator, drop_last):
    """KGIN's: every interaction once an epoch, in random order."""
    rows = data.train
    for part in torch.randperm(len(rows), generator=generator).split(size):
        if drop_last and len(part) < size:
            return
        yield with_negatives(data, rows.users[part], rows.items[part], generator)


# ---------------------------------------------------------------- losses


def bpr(u, i, j):
    """Mean over rows of -log sigmoid(u . i - u . j)."""
    return F.softplus((u * j).sum(1) - (u * i).sum(1)).mean()


def halves(*rows):
    """Half the sum of squares, by the rows of the first."""
    return sum(r.pow(2).sum() for r in rows) / (2 * len(rows[0]))


# ---------------------------------------------------------------- metrics


def top_metrics(scores, users, rows, k):
    """Sums over users of Recall@k and NDCG@k (ideal: min(k, items) hits first)."""
    best = scores.topk(k, 1).indices
    hits = rows.has(users.repeat_interleave(k), best.flatten()).view(-1, k).double()
    discount = 1 / torch.log2(torch.arange(2, k + 2, dtype=torch.float64))
    counts = rows.counts[users]
    ideal = discount.cumsum(0)[counts.clamp_max(k) - 1]
    return torch.stack([(hits.sum(1) / counts).sum(), (hits @ discount / ideal).sum()])


@torch.no_grad()
def rank(data, user_rows, item_rows, k=20, block=1024):
    """{'valid': (recall, ndcg), 'test': ...}: every item outside train is ranked, and outside
    valid too for test."""
    sums = {'valid': torch.zeros(2).double(), 'test': torch.zeros(2).double()}
    parts = {'valid': data.valid, 'test': data.test}
    for users in torch.arange(data.users).split(block):
        users = users[(data.valid.counts[users] > 0) | (data.test.counts[users] > 0)]
        scores = user_rows[users] @ item_rows.t()
        scores[data.train.spread(users)] = -numpy.inf
        for name, rows in parts.items():
            mine = rows.counts[users] > 0
            if mine.any():
                sums[name] += top_metrics(scores[mine], users[mine], rows, k)
            scores[rows.spread(users)] = -numpy.inf
    return {name: tuple((sums[name] / max(len(rows.known), 1)).tolist())
            for name, rows in parts.items()}


@torch.no_grad()
def rank_some(data, user_rows, item_rows, users=2048, k=20, block=1024):
    """Ranks every item outside train for the first users that have test items: (recall, ndcg)."""
    sums = torch.zeros(2).double()
    for some in data.test.known[:users].split(block):
        scores = user_rows[some] @ item_rows.t()
        scores[data.train.spread(some)] = -numpy.inf
        sums += top_metrics(scores, some, data.test, k)
    return sums / min(users, len(data.test.known))


def evaluate(model, data, split=lambda rows: rows):
    """Ranks by the rows of users and of entities that split(model.rows()) gives."""
    model.eval()
    with torch.no_grad():
        users, entities = split(model.rows())
    model.train()
    return rank(data, users, entities[:data.items])


def describe(metrics):
    return '  '.join('%s recall@20 %.4f ndcg@20 %.4f' % (name, *metrics[name])
                     for name in ('valid', 'test'))


# ---------------------------------------------------------------- time and memory


def report_times(name, step, batches, warmup):
    """Milliseconds of step(batch), sampling not counted."""
    times = []
    for i, batch in enumerate(batches):
        start = time.perf_counter()
        step(batch)
        if i >= warmup:
            times.append((time.perf_counter() - start) * 1e3)
    print('%-12s threads %d  steps %d  min %.1f ms  median %.1f ms' % (
        name, torch.get_num_threads(), len(times), min(times), statistics.median(times)),
        flush=True)


def time_steps(name, step, batches, options):
    """Times options.steps steps, or 10, after two more, on three batches in turn."""
    repeated = itertools.cycle(list(itertools.islice(batches, 3)))
    report_times(name, step, itertools.islice(repeated, (options.steps or 10) + 2), 2)


def report_kept(name, forward, model):
    """Bytes of the distinct storages that forward() -> loss keeps for backward, without those of
    parameters and without sparse matrices."""
    found = {}
    left_out = {tensor.storage().data_ptr() for tensor in model.parameters()}

    def pack(tensor):
        if tensor.layout == torch.strided:
            key = tensor.storage().data_ptr()
            if key not in left_out:
                found[key] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = forward()
    kinds = {}
    for tensor in found.values():
        kind = (str(tensor.dtype).replace('torch.', ''), tensor.storage().nbytes())
        kinds.setdefault(kind, []).append('x'.join(map(str, tensor.shape)) or 'scalar')
    print('%s: kept for backward' % name)
    for (dtype, size), shapes in sorted(kinds.items(), key=lambda item: -item[0][1]):
        print('  %3d storages of %12d bytes  %-8s %s' % (
            len(shapes), size, dtype, ', '.join(sorted(set(shapes)))))
    total = sum(t.storage().nbytes() for t in found.values())
    floats = sum(t.storage().nbytes() for t in found.values() if t.dtype.is_floating_point)
    print('  total %d bytes (%.1f MiB), of these %.1f MiB floats' % (
        total, total / 2**20, floats / 2**20), flush=True)
    del loss


# ---------------------------------------------------------------- command line


def add_options(parser, **defaults):
    """What both scripts understand."""
    root = os.environ.get('TINYKG_DATA', os.path.join('..', 'shared', 'data'))
    parser.add_argument('mode', choices=['train', 'step', 'serve', 'kept', 'peak', 'forms'])
    parser.add_argument('--data', default=os.path.join(root, 'kgat-last-fm'))
    parser.add_argument('--valid', type=float, default=0.1,
                        help='share of each user\'s train items held out for validation')
    parser.add_argument('--batch', type=int, default=defaults['batch'])
    parser.add_argument('--lr', type=float, default=defaults['lr'])
    parser.add_argument('--dim', type=int, default=64)
    parser.add_argument('--dropout', type=float, default=0.1)
    parser.add_argument('--l2', type=float, default=1e-5)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--epochs', type=int, default=3)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--steps', type=int, default=0,
                        help='train: steps an epoch, 0 = all; step: timed steps, 0 = 10')
    parser.add_argument('--sample', choices=['users', 'interactions'],
                        default=defaults['sample'], help='how batches are drawn')
    parser.add_argument('--drop-last', action='store_true', help='no incomplete last batch')
    parser.add_argument('--device', default='cpu', help='cpu, cuda or cuda:N (mode forms)')
    forms = defaults.get('forms', ['coo'])
    parser.add_argument('--form', choices=forms, default='coo',
                        help='how sums over edges are made (pytorch_forms.py)')
    parser.add_argument('--forms', default=','.join(forms), help='in mode forms, commas between')


def load(options):
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    start = time.perf_counter()
    try:
        data = Data(options.data, options.valid, options.seed)
    except OSError as problem:
        sys.exit('%s: %s' % (os.path.basename(sys.argv[0]), problem))
    print('%s (%.1f s)' % (data, time.perf_counter() - start), flush=True)
    return data


def run(options, trainer_class, modes):
    """Makes a trainer, prints it, calls modes[options.mode](trainer, data, options, generator).
    Mode serve is pytorch_serve's. Mode peak is here: what trainer.epoch, or steps of trainer.step, hold at their fullest."""
    data = load(options)
    if options.mode == 'peak':
        return pytorch_peak.report('batch %d' % options.batch,
                                   lambda: some_steps(trainer_class(data, options), data, options))
    if options.mode == 'forms':
        def steps(form):
            options.form, generator = form, torch.manual_seed(options.seed)
            return steps_of(trainer_class(data, options), data, options, generator)
        return pytorch_forms.run_forms(steps, options)
    if options.mode not in modes and options.mode != 'serve':
        sys.exit('%s: there is no mode %s' % (os.path.basename(sys.argv[0]), options.mode))
    trainer = trainer_class(data, options)
    print(trainer, flush=True)
    if options.mode == 'serve':
        return pytorch_serve.serve(kinds_of(trainer, data, options))
    modes[options.mode](trainer, data, options, torch.Generator().manual_seed(options.seed))


def steps_of(trainer, data, options, generator):
    if hasattr(trainer, 'kinds'):
        return trainer.kinds(data, options, generator)
    return {'step': (trainer.step, batches(data, options, generator))}


def kinds_of(trainer, data, options):
    """What mode serve times: the trainer's steps, and the ranking of all items for all users."""
    generator = torch.Generator().manual_seed(options.seed)
    kinds = steps_of(trainer, data, options, generator)
    tables = [torch.randn(n, options.dim, generator=generator) for n in (data.users, data.items)]
    return {**kinds, 'rank': (lambda _: rank_some(data, *tables), itertools.repeat(None))}


def some_steps(trainer, data, options):
    """Two steps of each kind that the trainer has, twice, as in two short epochs."""
    generator = torch.Generator().manual_seed(options.seed)
    for _ in range(2):
        if hasattr(trainer, 'some_steps'):
            trainer.some_steps(data, options, generator)
        else:
            for batch in itertools.islice(batches(data, options, generator), 2):
                trainer.step(batch)


def run_step(trainer, data, options, generator):
    time_steps('step %d' % options.batch, trainer.step, batches(data, options, generator), options)


def run_kept(trainer, data, options, generator):
    batch = next(batches(data, options, generator))
    report_kept('batch %d' % options.batch, lambda: trainer.loss(batch), trainer.model)


def batches(data, options, generator):
    if options.sample == 'users':
        return user_batches(data, options.batch, generator)
    return interaction_batches(data, options.batch, generator, options.drop_last)
