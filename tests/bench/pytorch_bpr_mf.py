#!/usr/bin/python3
"""BPR-MF in plain PyTorch: what tinykg's BPR-MF recipe is measured against.

Rows of two tables, one negative per interaction, the pairwise loss, L2 as Adam's weight decay of
both tables, as the recipe has it.

    pytorch_bpr_mf.py step | kept       milliseconds per step | bytes autograd keeps for backward
"""

import argparse
import sys

import torch

import pytorch_ranking as ranking


class MF(torch.nn.Module):
    def __init__(self, data, options):
        super().__init__()
        self.users = torch.nn.Embedding(data.users, options.dim)
        self.items = torch.nn.Embedding(data.items, options.dim)
        for table in self.parameters():
            torch.nn.init.xavier_uniform_(table)


class Trainer:
    def __init__(self, data, options):
        self.model = MF(data, options)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=options.lr,
                                          weight_decay=options.l2)

    def __str__(self):
        return '%d users, %d items' % (len(self.model.users.weight), len(self.model.items.weight))

    def loss(self, batch):
        users, items, negatives = batch
        return ranking.bpr(self.model.users(users), self.model.items(items),
                           self.model.items(negatives))

    def step(self, batch):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(batch)
        loss.backward()
        self.optimizer.step()
        return loss.item()


def parse(argv):
    parser = argparse.ArgumentParser(description='BPR-MF in plain PyTorch, for comparison.')
    ranking.add_options(parser, batch=2048, lr=1e-3, sample='interactions')
    return parser.parse_args(argv)


if __name__ == '__main__':
    ranking.run(parse(sys.argv[1:]), Trainer, {'step': ranking.run_step, 'kept': ranking.run_kept})
