"""The peak of a PyTorch program on the CPU, measured twice: bytes of tensors, by the profiler's
records of every allocation, and growth of resident memory; on a GPU by its allocator. Mode `peak`
of the programs beside this file (of them pytorch_kgcn.py knows `--device cuda`); tinykg's model of
it is engine/passes/fp32_peak.c (`tinykg memory`, column op-by-op).

Run with MALLOC_MMAP_THRESHOLD_=65536, so that what is freed leaves the process at once.
"""

import multiprocessing
import sys

import torch


def status(key):
    """A figure of this process in bytes: VmRSS, or VmHWM, the most so far."""
    with open('/proc/self/status') as file:
        for line in file:
            if line.startswith(key):
                return int(line.split()[1]) * 1024
    raise KeyError(key)


def warm_up():
    """Loads what the first use of the libraries brings, so that it does not count."""
    table = torch.nn.Parameter(torch.randn(64, 16))
    optimizer = torch.optim.Adam([table])
    at = torch.randint(64, (2, 200))
    matrix = torch.sparse_coo_tensor(at, torch.rand(200), (64, 64)).coalesce()
    loss = torch.nn.functional.normalize(torch.sparse.mm(matrix, table) @ torch.randn(16, 16))
    loss = torch.nn.functional.dropout(loss[at[0]] * table[at[1]]).pow(2).sum()
    loss.backward()
    optimizer.step()


def of_tensors(work):
    """The most bytes of tensors alive at once, of those that work() makes, and within which ops."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU],
                                profile_memory=True) as profiler:
        work()
    live, peak, when, ops, records = 0, 0, 0, [], []
    for event in profiler.profiler.kineto_results.events():
        if event.name() == '[memory]':
            records.append((event.start_ns(), event.nbytes()))
        else:
            ops.append((event.start_ns(), event.start_ns() + event.duration_ns(), event.name()))
    for time, size in sorted(records, key=lambda record: record[0]):
        live += size
        if live > peak:
            peak, when = live, time
    return peak, [name for start, end, name in sorted(ops) if start <= when <= end]


def of_process(work):
    """By how much the resident memory of this process grows while work() runs, at its most."""
    warm_up()
    before = status('VmRSS')
    with open('/proc/self/clear_refs', 'w') as file:
        file.write('5')  # VmHWM starts anew
    work()
    return status('VmHWM') - before


def apart(measure, work):
    """measure(work) in a process of its own, forked here."""
    queue = multiprocessing.get_context('fork').SimpleQueue()
    child = multiprocessing.get_context('fork').Process(
        target=lambda: queue.put(measure(work)))
    child.start()
    child.join()
    if child.exitcode:
        sys.exit('a measurement failed')
    return queue.get()


def report(name, work, device='cpu'):
    """Prints both peaks of work(), which makes all that the program holds and trains some steps; on
    a GPU the most that PyTorch had allocated there."""
    if device != 'cpu':
        torch.cuda.reset_peak_memory_stats(device)
        work()
        print('%s: peak of tensors %d bytes on %s' % (
            name, torch.cuda.max_memory_allocated(device), torch.cuda.get_device_name(device)))
        return
    tensors, ops = apart(of_tensors, work)
    resident = apart(of_process, work)
    print('%s: peak of tensors %d bytes (%.1f MiB), resident growth %.1f MiB; fullest in %s' % (
        name, tensors, tensors / 2**20, resident / 2**20,
        ' > '.join(name for name in ops if '::' in name or 'Backward' in name) or '-'),
        flush=True)
