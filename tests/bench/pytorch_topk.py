#!/usr/bin/python3
"""Full ranking in plain PyTorch: products of rows, known items left out, the best 20. What
`tinykg bench eval --data DIR` measures of tinykg, without the metrics.

    pytorch_topk.py --data DIR [--threads N]     milliseconds for all users with a test item

Needs data in KGAT's format, or --shape USERS,ITEMS,KNOWN: so many, with so many known items each.
"""

import argparse
import sys
import time

import torch

import pytorch_ranking as ranking

DIM, BLOCK, BEST = 64, 1024, 20


def rank(users, items, owners, known):
    """Scores of blocks of users; `owners` ascend, known[i] is known to owners[i]."""
    starts = torch.searchsorted(owners, torch.arange(len(users) + 1))
    for first in range(0, len(users), BLOCK):
        end = min(first + BLOCK, len(users))
        scores = users[first:end] @ items.t()
        part = slice(starts[first], starts[end])
        scores[owners[part] - first, known[part]] = -torch.inf
        scores.topk(BEST, 1)


def known_of(data):
    """Users with a test item renumbered from 0, their items of train and valid, how many they are."""
    users = data.test.known
    owners = torch.cat([part.spread(users)[0] for part in (data.train, data.valid)])
    items = torch.cat([part.spread(users)[1] for part in (data.train, data.valid)])
    order = owners.argsort(stable=True)
    return owners[order], items[order], len(users)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data')
    parser.add_argument('--shape', help='USERS,ITEMS,KNOWN')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--times', type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.shape:
        users, items, each = map(int, options.shape.split(','))
        owners = torch.arange(users).repeat_interleave(each)
        known = torch.randint(items, (users * each,))
    elif options.data:
        data = ranking.Data(options.data, 0.1, 0)
        owners, known, users = known_of(data)
        items = data.items
    else:
        sys.exit('pytorch_topk.py: --data DIR or --shape USERS,ITEMS,KNOWN')
    tables = torch.randn(users, DIM), torch.randn(items, DIM)
    wall, processor = [], []
    for _ in range(options.times):
        start = time.perf_counter(), time.process_time()
        rank(*tables, owners, known)
        wall.append(1e3 * (time.perf_counter() - start[0]))
        processor.append(1e3 * (time.process_time() - start[1]))
    print('PyTorch %s, %d threads: %d users x %d items, min %.1f ms, of processors %.1f ms' % (
        torch.__version__, options.threads, users, items, min(wall), min(processor)))


if __name__ == '__main__':
    main()
