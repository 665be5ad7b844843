#!/usr/bin/python3
"""BPR-MF in plain PyTorch: what tinykg's BPR-MF recipe is measured against.

Rendle et al., BPR: Bayesian Personalized Ranking from Implicit Feedback, UAI 2009, as most programs
have it: two embedding tables with dense gradients, Adam, L2 of all parameters as its weight decay.

    pytorch_bpr_mf.py step | kept       milliseconds per step | bytes autograd keeps for backward
    pytorch_bpr_mf.py peak              the most memory the program holds
"""

import argparse
import sys

import torch

import pytorch_ranking as ranking


class Trainer:
    def __init__(self, data, options):
        self.model = torch.nn.ModuleList(
            torch.nn.Embedding(rows, options.dim) for rows in (data.users, data.items))
        for table in self.model.parameters():
            torch.nn.init.xavier_uniform_(table)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=options.lr,
                                          weight_decay=options.l2)

    def __str__(self):
        return '%d users, %d items' % tuple(len(table.weight) for table in self.model)

    def loss(self, batch):
        users, items, negatives = batch
        user_rows, item_rows = self.model
        return ranking.bpr(user_rows(users), item_rows(items), item_rows(negatives))

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
