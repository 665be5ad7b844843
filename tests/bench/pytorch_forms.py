"""Sums over edges in PyTorch's ways and in PyG's, on a CPU or a GPU, and how their steps are timed:
what pytorch_kgat.py, pytorch_kgin.py and pytorch_kgcn.py share with mode `forms`.

A form is made from edges, sorted by row, then column; it takes weights, which may change:

    coo         torch.sparse.mm of coordinates, whose gradient sorts the transposed matrix each time
    csr         compressed rows of the matrix and of its transpose: nothing is sorted in a step
    pyg         torch_geometric's EdgeIndex, with both orientations in its cache
    messages    torch_geometric's MessagePassing: a row per edge, then a scatter
    index       csr, but KGIN's messages of relations are added by index_add
"""

import itertools
import json
import statistics
import sys
import time

import torch

PYG = ('pyg', 'messages')


def compressed(rows, columns, values, shape):
    """Rows are sorted. Ids of 32 bits, which is what cuSPARSE and MKL read fastest."""
    starts = torch.zeros(shape[0] + 1, dtype=torch.int32, device=rows.device)
    starts[1:] = torch.bincount(rows, minlength=shape[0]).cumsum(0)
    return torch.sparse_csr_tensor(starts, columns.int(), values, shape,
                                   check_invariants=False)


class Coo:
    def __init__(self, edges, shape):
        self.edges, self.shape = edges, shape

    def weigh(self, weights):
        self.matrix = torch.sparse_coo_tensor(self.edges, weights, self.shape,
                                              is_coalesced=True, check_invariants=False)
        return self

    def __matmul__(self, x):
        return torch.sparse.mm(self.matrix, x)


class BothWays(torch.autograd.Function):
    @staticmethod
    def forward(ctx, matrices, x):
        ctx.back = matrices[1]
        return matrices[0] @ x

    @staticmethod
    def backward(ctx, gradient):
        return None, ctx.back @ gradient


class Csr:
    def __init__(self, edges, shape):
        rows, columns = edges
        self.order = (columns * shape[0] + rows).argsort()
        none = torch.zeros(len(rows), device=rows.device)
        self.there = compressed(rows, columns, none, shape)
        self.back = compressed(columns[self.order], rows[self.order], none, shape[::-1])

    def weigh(self, weights):
        self.there = self.with_values(self.there, weights)
        self.back = self.with_values(self.back, weights[self.order])
        return self

    @staticmethod
    def with_values(matrix, values):
        return torch.sparse_csr_tensor(matrix.crow_indices(), matrix.col_indices(), values,
                                       matrix.shape, check_invariants=False)

    def __matmul__(self, x):
        return BothWays.apply((self.there, self.back), x)


def form(name, edges, shape):
    """ImportError where torch_geometric is asked for and is not there."""
    if name in PYG:
        import pytorch_pyg
        return {'pyg': pytorch_pyg.Edges, 'messages': pytorch_pyg.Messages}[name](edges, shape)
    return (Coo if name == 'coo' else Csr)(edges, shape)


# ---------------------------------------------------------------- a device


def adam(groups, options, **more):
    """Adam in one kernel for all parameters where that is on offer, on a GPU."""
    return torch.optim.Adam(groups, lr=options.lr, fused=options.device.startswith('cuda') or None,
                            **more)


def to(device, batch):
    """A batch's tensors on a device."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device)
    return batch if batch is None else tuple(tensor.to(device) for tensor in batch)


def synchronize(device):
    if device.startswith('cuda'):
        torch.cuda.synchronize(device)


def milliseconds(step, batch, device):
    synchronize(device)
    start = time.perf_counter()
    step(batch)
    synchronize(device)
    return (time.perf_counter() - start) * 1e3


def some_times(step, batches, options, warm=3, most=60, seconds=2):
    """Milliseconds of steps on batches in turn, for so many seconds, after a few untimed ones; of
    options.steps steps, where that is given."""
    batches, times, start = itertools.cycle(batches), [], None
    for k in range(warm + (options.steps or most)):
        took = milliseconds(step, next(batches), options.device)
        if k >= warm:
            start = start or time.perf_counter()
            times.append(took)
            if not options.steps and time.perf_counter() - start > seconds:
                break
    return times


def run_forms(kinds_of, options):
    """Prints a JSON line per form and kind of step: milliseconds until the device is done, and on a
    GPU the most bytes that PyTorch had allocated. kinds_of(form): {kind: (step, batches)}."""
    device = options.device
    on_gpu = device.startswith('cuda')
    if on_gpu and not torch.cuda.is_available():
        sys.exit('no CUDA in this torch')
    for name in options.forms.split(','):
        if on_gpu:
            torch.cuda.empty_cache()
        try:
            kinds = kinds_of(name)
        except ImportError as problem:
            say(form=name, missing=str(problem))
            continue
        for kind, (step, batches) in kinds.items():
            if on_gpu:
                torch.cuda.reset_peak_memory_stats(device)
            times = some_times(step, [to(device, batch) for batch in itertools.islice(batches, 3)],
                               options)
            say(form=name, who='PyG' if name in PYG else 'PyTorch', kind=kind, min_ms=min(times),
                median_ms=statistics.median(times),
                peak=torch.cuda.max_memory_allocated(device) if on_gpu else None)
        del kinds, step


def say(**record):
    print(json.dumps({key: value for key, value in record.items() if value is not None}),
          flush=True)
