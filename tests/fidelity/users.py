"""Batches whose users are drawn, as programs do that do not walk through interactions."""

import numpy
import torch

import shared


class Taken:
    """The training items of each user, and which users have any."""

    def __init__(self, model, data):
        users, items = data['train.users'].numpy(), data['train.items'].numpy()
        order = numpy.argsort(users, kind='stable')
        self.n, self.items = len(users), items[order]
        self.counts = numpy.bincount(users, minlength=model.counts['users'])
        self.first = numpy.cumsum(self.counts) - self.counts
        self.users = numpy.flatnonzero(self.counts)
        self.known = shared.Known(model.counts, users, items)

    def batch(self, random, users):
        """One item of each user's and one of none of them."""
        place = (random.random_sample(len(users)) * self.counts[users]).astype(int)
        items = self.items[self.first[users] + place]
        return {'users': torch.tensor(users), 'items': torch.tensor(items),
                'negatives': torch.tensor(self.known.draw(random, users))[:, None]}


def of(model, data):
    if not hasattr(model, 'taken'):
        model.taken = Taken(model, data)
    return model.taken
