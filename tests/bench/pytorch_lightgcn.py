#!/usr/bin/python3
"""LightGCN in plain PyTorch: what tinykg's LightGCN recipe is measured against.

Op by op, of what gusye1234/LightGCN-PyTorch computes (code/model.py): a sparse matrix of users and
items, normalised on both sides, the mean over layers, BPR, L2 of the batch's embeddings.

    pytorch_lightgcn.py step | kept     milliseconds per step | bytes autograd keeps for backward
    pytorch_lightgcn.py peak            the most memory the program holds
"""

import argparse
import sys

import torch

import pytorch_ranking as ranking


class LightGCN(torch.nn.Module):
    def __init__(self, data, options):
        super().__init__()
        self.users, self.items, self.layers = data.users, data.items, options.layers
        self.nodes = torch.nn.Parameter(0.1 * torch.randn(data.users + data.items, options.dim))
        self.matrix = self.normalized(data.train)

    def normalized(self, rows):
        """D^-1/2 A D^-1/2 of the interactions, in both directions (code/dataloader.py)."""
        n = self.users + self.items
        users, items = rows.users, self.users + rows.items
        at = torch.stack([torch.cat([users, items]), torch.cat([items, users])])
        share = torch.bincount(at[0], minlength=n).clamp_min(1).float().rsqrt()
        return torch.sparse_coo_tensor(at, share[at[0]] * share[at[1]], (n, n)).coalesce()

    def rows(self):
        x = total = self.nodes
        for _ in range(self.layers):
            x = torch.sparse.mm(self.matrix, x)
            total = total + x
        return (total / (self.layers + 1)).split([self.users, self.items])


class Trainer:
    def __init__(self, data, options):
        self.model, self.l2 = LightGCN(data, options), options.l2
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=options.lr)

    def __str__(self):
        return '%d edges' % self.model.matrix._nnz()

    def loss(self, batch):
        users, items, negatives = batch
        user_rows, item_rows = self.model.rows()
        u, i, j = user_rows[users], item_rows[items], item_rows[negatives]
        own = [self.model.nodes[ids] for ids in (
            users, self.model.users + items, self.model.users + negatives)]
        return ranking.bpr(u, i, j) + self.l2 * ranking.halves(*own)

    def step(self, batch):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(batch)
        loss.backward()
        self.optimizer.step()
        return loss.item()


def parse(argv):
    parser = argparse.ArgumentParser(description='LightGCN in plain PyTorch, for comparison.')
    ranking.add_options(parser, batch=2048, lr=1e-3, sample='users')
    parser.add_argument('--layers', type=int, default=3)
    return parser.parse_args(argv)


if __name__ == '__main__':
    ranking.run(parse(sys.argv[1:]), Trainer, {'step': ranking.run_step, 'kept': ranking.run_kept})
