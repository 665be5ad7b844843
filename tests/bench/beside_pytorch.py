#!/usr/bin/python3
"""Our steps beside PyTorch's, in turns, so that a busy machine slows both.

    beside_pytorch.py [--only kgat,kgin] [--threads 1,2] [--bits 32,2] [--rounds 7] [--data DIR]

Per step: minima in ms of PyTorch and of ours at each width, and how many times faster ours is.
PyTorch's sampling is not counted; ours draws negatives and triples inside the step. Run from the
repository's root; the interpreter needs torch. glibc is kept from giving memory back between
PyTorch's steps: its better figures.
"""

import argparse
import itertools
import os
import subprocess
import sys
import time

KEEP = {'MALLOC_TRIM_THRESHOLD_': '17179869184', 'MALLOC_MMAP_THRESHOLD_': '17179869184'}
REST = .02  # seconds after a turn, in which the other side's threads stop spinning

# recipe -> its PyTorch script and its steps: our name, label
STEPS = {
    'kgat': ('pytorch_kgat', ['cf', 'kg', 'refresh']),
    'kgin': ('pytorch_kgin', ['loss']),
    'lightgcn': ('pytorch_lightgcn', ['loss']),
    'bpr-mf': ('pytorch_bpr_mf', ['loss']),
}


class Ours:
    """A process of ours that runs one step per line it is sent."""

    def __init__(self, recipe, data, bits, threads):
        environment = {k: v for k, v in os.environ.items() if k not in KEEP}
        self.process = subprocess.Popen(
            ['./tinykg', 'tests/bench/steps_on_request.lua', 'recipes/%s.lua' % recipe, data,
             str(bits), str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment)

    def step(self, name):
        self.process.stdin.write(name + '\n')
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Theirs:
    """The PyTorch program of a recipe, with the options it has by itself."""

    def __init__(self, script, data_folder):
        import pytorch_ranking as ranking
        module = __import__(script)
        options = module.parse(['step', '--data', data_folder])
        ranking.torch.manual_seed(0)
        data = ranking.Data(data_folder, options.valid, 0)
        generator = ranking.torch.Generator().manual_seed(0)
        self.trainer = module.Trainer(data, options)
        self.batches = {'loss': self.few(ranking.batches(data, options, generator))}
        if hasattr(self.trainer, 'kg_loss'):
            self.batches['cf'] = self.batches['loss']
            self.batches['kg'] = self.few(self.trainer.graph.batches(options.kg_batch, generator))

    @staticmethod
    def few(batches):
        return itertools.cycle(list(itertools.islice(batches, 3)))

    def run(self, name):
        if name == 'refresh':
            return self.trainer.model.refresh()
        batch = next(self.batches[name])
        return self.trainer.step(batch) if name == 'loss' else self.trainer.step(name, batch)

    def step(self, name):
        start = time.perf_counter()
        self.run(name)
        return 1e3 * (time.perf_counter() - start)


def minima(sides, name, rounds):
    """Of each side over `rounds` turns, after two more."""
    times = [[] for _ in sides]
    for turn in range(rounds + 2):
        for side, list_of in zip(sides, times):
            time.sleep(REST)
            ms = side.step(name)
            if turn >= 2:
                list_of.append(ms)
    return [min(list_of) for list_of in times]


def compare(recipe, options):
    import torch
    script, names = STEPS[recipe]
    theirs = Theirs(script, options.data)
    for threads in options.threads:
        torch.set_num_threads(threads)
        ours = [Ours(recipe, options.data, bits, threads) for bits in options.bits]
        for name in names:
            first, *others = minima([theirs] + ours, name, options.rounds)
            cells = ' | '.join('%.2f (%.1fx)' % (ms, first / ms) for ms in others)
            print('| %s %s | %d | %.1f | %s |' % (recipe, name, threads, first, cells), flush=True)
        for side in ours:
            side.close()


def parse(argv):
    def words(of):
        return lambda text: [of(word) for word in text.split(',')]

    parser = argparse.ArgumentParser(description='Our steps beside PyTorch\'s.')
    root = os.environ.get('TINYKG_DATA', os.path.join('..', 'shared', 'data'))
    parser.add_argument('--data', default=os.path.join(root, 'kgat-last-fm'))
    parser.add_argument('--only', type=words(str), default=list(STEPS))
    parser.add_argument('--threads', type=words(int), default=[1, 2])
    parser.add_argument('--bits', type=words(int), default=[32, 2])
    parser.add_argument('--rounds', type=int, default=7)
    return parser.parse_args(argv)


def main(argv):
    if any(os.environ.get(name) != value for name, value in KEEP.items()):
        os.environ.update(KEEP)
        os.execv(sys.executable, [sys.executable] + sys.argv)
    options = parse(argv)
    import torch
    print('PyTorch %s' % torch.__version__)
    widths = ' | '.join('%d bits' % bits for bits in options.bits)
    print('| step | threads | PyTorch | %s |\n|---|---|---|%s' % (
        widths, '---|' * len(options.bits)), flush=True)
    for recipe in options.only:
        compare(recipe, options)


if __name__ == '__main__':
    main(sys.argv[1:])
