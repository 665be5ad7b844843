#!/usr/bin/env python3
"""Is a published split a random one? Neighbours of items say so, without training anything.

    python3 tests/fidelity/item_knn.py DIR [--users 10000]

DIR is a folder of KGAT (train.txt, test.txt, train1.txt, valid1.txt, plain or .xz). A user's score of
an item is the sum of its cosines with the items of train. Prints Recall@20 of four splits: valid1
ranked from train1, test ranked from train1 and from train, and as many items per user as test has,
drawn from train and test together. If the last two are apart, test is no random part of the
interactions. Needs numpy, scipy.
"""

import argparse
import lzma
import os

import numpy
import scipy.sparse

K, BLOCK = 20, 500


def read(path):
    """{user: [items]} of a file whose lines are a user and its items."""
    xz = os.path.exists(path + '.xz')
    with lzma.open(path + '.xz', 'rt') if xz else open(path) as lines:
        rows = [list(map(int, line.split())) for line in lines]
    return {row[0]: row[1:] for row in rows if len(row) > 1}


def matrix(items_of, shape):
    """[users, items], 1 where a user has an item."""
    users = numpy.repeat(list(items_of), [len(items) for items in items_of.values()])
    items = numpy.concatenate(list(items_of.values()))
    x = scipy.sparse.csr_matrix((numpy.ones(len(items), numpy.float32), (users, items)), shape)
    x.data[:] = 1
    return x


def recall(train, held, shape, most_users):
    """Mean Recall@20 of users with held-out items, known ones left out of the lists."""
    x = matrix(train, shape)
    unit = x @ scipy.sparse.diags(1 / numpy.sqrt(numpy.maximum(x.sum(0).A1, 1)))
    cosines = (unit.T @ unit).tolil()
    cosines.setdiag(0)
    cosines = cosines.tocsr()
    users = [user for user in held if user in train]
    users = numpy.random.default_rng(0).permutation(users)[:most_users]
    found = []
    for first in range(0, len(users), BLOCK):
        block = users[first:first + BLOCK]
        scores = (x[block] @ cosines).toarray()
        scores[x[block].toarray() > 0] = -1
        best = numpy.argpartition(-scores, K, axis=1)[:, :K]
        for user, items in zip(block, best):
            found.append(len(set(held[user]) & set(items.tolist())) / len(set(held[user])))
    return numpy.mean(found)


def drawn_again(train, test):
    """A split with as many items of test per user, drawn from both."""
    random, new_train, new_test = numpy.random.default_rng(1), {}, {}
    for user in train.keys() | test.keys():
        items = random.permutation(train.get(user, []) + test.get(user, [])).tolist()
        count = len(test.get(user, []))
        new_test[user], new_train[user] = items[:count], items[count:]
    return ({u: v for u, v in new_train.items() if v}, {u: v for u, v in new_test.items() if v})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('folder')
    parser.add_argument('--users', type=int, default=10000)
    o = parser.parse_args()
    train, test, train1, valid1 = (read(os.path.join(o.folder, name + '.txt'))
                                   for name in ('train', 'test', 'train1', 'valid1'))
    both = (train, test)
    shape = (1 + max(max(part) for part in both),
             1 + max(max(items) for part in both for items in part.values()))
    for name, known, held in (('valid1 from train1', train1, valid1),
                              ('test from train1', train1, test),
                              ('test from train', train, test),
                              ('as many items, drawn again', *drawn_again(train, test))):
        print('%-36s %.4f' % (name, recall(known, held, shape, o.users)), flush=True)


if __name__ == '__main__':
    main()
