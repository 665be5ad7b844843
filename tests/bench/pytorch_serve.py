"""Steps on request: what tests/bench/ratios.lua times beside its own, in turns.

A line `threads N` sets the number of threads; a line `NAME COUNT` asks for COUNT steps of that kind
and gets a line with the milliseconds of each. The first line of the answer is `ready`, the kinds.
Sampling is not counted: three batches are drawn beforehand and take turns.
"""

import itertools
import sys
import time

import torch

ANSWER = '@ '  # before each answer; a program may print other lines


def milliseconds(step, batch):
    start = time.perf_counter()
    step(batch)
    return (time.perf_counter() - start) * 1e3


def say(text):
    print(ANSWER + text, flush=True)


def serve(kinds):
    """kinds: {name: (step, batches)}."""
    drawn = {}
    say('ready ' + ' '.join(kinds))
    for line in sys.stdin:
        name, number = line.split()
        if name == 'threads':
            torch.set_num_threads(int(number))
            say('threads %d' % torch.get_num_threads())
            continue
        step, batches = kinds[name]
        if name not in drawn:
            drawn[name] = itertools.cycle(list(itertools.islice(batches, 3)))
        times = [milliseconds(step, next(drawn[name])) for _ in range(int(number))]
        say(' '.join('%.4f' % ms for ms in times))
