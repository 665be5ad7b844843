#!/usr/bin/env python3
"""Trains tinykg's recipe and a published program apart, over several seeds, and compares.

    python3 tests/fidelity/curves.py MODEL --data DIR [--seeds 0,1,2,3,4] [--epochs 10]
                                     [--set option=value ...] [--out DIR]

Both sides have the rows of one split and the recipe's settings. Each side draws its own
parameters, batches, items and neighbours; the program draws as published. Prints one row per
epoch: loss, and AUC (labelled data) or Recall@20 of `valid`, as mean +- standard error over seeds.
Two means agree when they are apart by at most two standard errors of their difference and by at
most 3 %. Files that are in --out are used again. Needs torch, numpy.
"""

import json
import os
import sys
import tempfile

import numpy
import torch

import shared


def train(name, folder, o, seed, epochs):
    """Epochs of the transcription; {epoch, loss, metric} of each."""
    random, kind = numpy.random.RandomState(1000 + seed), shared.model_class(name)
    data = shared.read_tensors(os.path.join(folder, 'data.safetensors'))
    counts = shared.read_json(os.path.join(folder, 'data.json'))
    torch.manual_seed(1000 + seed)
    model = kind(o, counts, *kind.start(o, counts, data, random))
    optimizers, rows, every = {}, [], int(o['eval_every'])
    for epoch in range(1, epochs + 1):
        losses = {part: [] for part in getattr(kind, 'parts', ())}  # the first is reported
        for part, batch in model.epoch(data, random):
            losses.setdefault(part, []).append(shared.update(model, optimizers, part, batch))
        row = {'epoch': epoch, 'loss': float(numpy.mean(next(iter(losses.values()))))}
        if epoch % every == 0 or epoch == epochs:
            row.update(shared.measure(model, data))
        rows.append(row)
    return rows


def ours(name, folder, seed):
    """Returns the options of tinykg's run, and its epochs in the same form, the same part first."""
    run = shared.read_json(os.path.join(folder, 'curve-%d.json' % seed))
    first = next(iter(getattr(shared.model_class(name), 'parts', ())), None)
    return run['options'], [
        dict({'epoch': e['epoch'], 'loss': e.get('losses', {}).get(first, e['loss'])},
             **(e.get('valid') or {})) for e in run['epochs']]


def both(name, data, folder, seed, epochs, settings):
    """Returns both sides' rows for a seed; computes those that are missing."""
    if not os.path.exists(os.path.join(folder, 'data.json')):
        shared.trainer('data', name, data, folder)
    if not os.path.exists(os.path.join(folder, 'curve-%d.json' % seed)):
        shared.trainer('curve', name, data, folder, seed, epochs, *settings)
    options, mine = ours(name, folder, seed)
    path = os.path.join(folder, 'program-%d.json' % seed)
    if not os.path.exists(path):
        rows = train(name, folder, options, seed, epochs)
        with open(path, 'w', encoding='ascii') as out:
            json.dump(rows, out)
    return mine, shared.read_json(path)


def spread(values):
    """Mean and its standard error."""
    error = numpy.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return float(numpy.mean(values)), float(error)


def compare(runs, epochs):
    """Lines of a Markdown table, and how many comparisons there were and agreed."""
    metric = next(key for key in ('recall@20', 'auc') if any(key in row for row in runs[0][1]))
    lines, made, agreed = [], 0, 0
    for k in range(epochs):
        cells = []
        for key in ('loss', metric):
            sides = [[run[side][k].get(key) for run in runs] for side in (0, 1)]
            if None in sides[0] + sides[1]:
                cells += ['', '', '']
                continue
            (a, ea), (b, eb) = spread(sides[0]), spread(sides[1])
            apart, error = abs(a - b), (ea * ea + eb * eb) ** 0.5
            fits = apart <= 2 * error and apart <= 0.03 * abs(b)
            made, agreed = made + 1, agreed + fits
            cells += ['%.4f +- %.4f' % (a, ea), '%.4f +- %.4f' % (b, eb),
                      '%.1f, %.1f %%%s' % (apart / error if error else 0, 100 * apart / abs(b),
                                           '' if fits else ' **no**')]
        lines.append('| %d | %s |' % (k + 1, ' | '.join(cells)))
    head = ['| epoch | loss, tinykg | program | apart | %s, tinykg | program | apart |' % metric,
            '|---|---|---|---|---|---|---|']
    return head + lines, made, agreed


def main():
    o = shared.arguments('Training curves beside a published program.', seeds='0,1,2,3,4',
                         epochs=10)
    if not hasattr(shared.model_class(o.model), 'start'):
        sys.exit('curves: %s can be compared step by step only (lockstep.py)' % o.model)
    with tempfile.TemporaryDirectory() as scratch:
        folder = o.out or scratch
        runs = [both(o.model, o.data, folder, int(seed), o.epochs, o.set)
                for seed in o.seeds.split(',')]
    lines, made, agreed = compare(runs, o.epochs)
    print('\n'.join(lines))
    print('\n%s, %d seeds: %d of %d means agree (apart: standard errors, share)' % (
        o.model, len(runs), agreed, made))


if __name__ == '__main__':
    main()
