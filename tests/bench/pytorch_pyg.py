"""Sums over edges as torch_geometric (2.8) has them, in place of those of pytorch_forms.py."""

import torch
from torch_geometric import EdgeIndex
from torch_geometric.nn import MessagePassing


class Edges:
    """EdgeIndex.matmul: compressed rows, and compressed columns for the gradient."""

    def __init__(self, edges, shape):
        self.edges = EdgeIndex(edges.int(), sparse_size=tuple(shape), sort_order='row')
        self.edges.fill_cache_()

    def weigh(self, weights):
        self.weights = weights
        return self

    def __matmul__(self, x):
        return self.edges.matmul(x, self.weights)


class Messages(MessagePassing):
    """A message per edge: the neighbour's row times the edge's weight."""

    def __init__(self, edges, shape):
        super().__init__(aggr='add')
        self.edges, self.shape = edges.flip(0), shape  # from, to

    def weigh(self, weights):
        self.weights = weights.unsqueeze(1)
        return self

    def __matmul__(self, x):
        return self.propagate(self.edges, x=(x, None), weight=self.weights,
                              size=tuple(self.shape[::-1]))

    def message(self, x_j, weight):
        return weight * x_j


class Relational(MessagePassing):
    """The mean over the edges of a head of the tail's row times the relation's."""

    def __init__(self, edges):
        super().__init__(aggr='mean')
        heads, self.kinds, tails = edges
        self.edges = torch.stack([tails, heads])  # from, to

    def forward(self, x, relations):
        return self.propagate(self.edges, x=x, relation=relations.index_select(0, self.kinds))

    def message(self, x_j, relation):
        return x_j * relation
