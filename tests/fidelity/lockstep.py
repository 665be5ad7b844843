#!/usr/bin/env python3
"""Trains tinykg's recipe and a published program side by side: same parameters, same batches.

    python3 tests/fidelity/lockstep.py MODEL [--data DIR] [--steps 30] [--seed 1]
                                       [--set option=value ...] [--within 1e-6] [--out DIR]

tinykg makes the steps in float32 and writes initial parameters, batches and losses (trainer.lua);
the program, transcribed into float64 PyTorch from its text (models/MODEL.py), makes them again. The
losses of all steps must be equal to `within`, relatively, or the status is 1. Needs torch, numpy.
"""

import os
import sys
import tempfile

import torch

import shared


def replay(name, folder):
    """Steps of the transcription on what tinykg wrote; (step, part, tinykg's loss, its own)."""
    run = shared.read_json(os.path.join(folder, 'trainer.json'))
    start = shared.read_tensors(os.path.join(folder, 'start.safetensors'))
    batches = shared.read_tensors(os.path.join(folder, 'batches.safetensors'))
    model = shared.model_class(name)(run['options'], run['counts'], shared.below('p.', start),
                                     shared.below('c.', start))
    optimizers, rows = {}, []
    for k, losses in enumerate(run['losses'], 1):
        for part in getattr(model, 'parts', losses):  # in the order of tinykg's steps
            theirs = losses[part]
            batch = shared.below('%d.%s.' % (k, part), batches)
            rows.append((k, part, theirs, shared.update(model, optimizers, part, batch)))
    return rows


def report(name, rows, within):
    """Prints one line per part. Returns whether all losses agree."""
    agree = True
    for part in dict.fromkeys(row[1] for row in rows):
        mine = [row for row in rows if row[1] == part]
        differences = [abs(a - b) / max(abs(b), 1e-12) for _, _, a, b in mine]
        first = next((row[0] for row, d in zip(mine, differences) if not d <= within), None)
        agree = agree and first is None
        print('%-10s %-5s %4d steps  first loss %.7f %.7f  last %.7f %.7f  largest difference '
              '%.1e%s' % (name, part, len(mine), mine[0][2], mine[0][3], mine[-1][2], mine[-1][3],
                          max(differences),
                          '' if first is None else '  beyond %g from step %d' % (within, first)))
    return agree


def main():
    o = shared.arguments('Lock-step with a published program.', steps=30, seed=1, within=1e-6)
    torch.set_default_dtype(torch.float64)
    with tempfile.TemporaryDirectory() as scratch:
        folder = o.out or scratch
        shared.trainer('lockstep', o.model, o.data, folder, o.seed, o.steps, *o.set)
        rows = replay(o.model, folder)
    sys.exit(0 if report(o.model, rows, o.within) else 1)


if __name__ == '__main__':
    main()
