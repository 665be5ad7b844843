#!/usr/bin/python3
"""Golden losses of training steps in float64: published programs, optimizer and all, on the small graph.

The programs are the transcriptions of tests/fidelity/models, which name the lines that they were read
in. Each takes 30 steps on drawn parameters and batches; steps.json has what the steps were given and
the losses. Needs torch and numpy. Run it to write steps.json anew: the file must not change.
"""

import os
import sys

import numpy
import torch

import shared as golden

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'fidelity'))
sys.dont_write_bytecode = True
del sys.modules['shared']
import shared as fidelity

STEPS, BATCH, TRIPLES = 30, 10, 6  # 10 + 6: the mean divides by a power of two, exactly

COUNTS = {'users': golden.USERS, 'items': golden.ITEMS, 'entities': golden.ENTITIES,
          'relations': golden.RELATIONS}

# Label 0, as train's rows beside golden.INTERACTIONS have it.
DISLIKED = [(0, 3), (1, 0), (1, 4), (2, 1), (3, 0), (4, 2)]

OPTIONS = {
    'kgcn': {'dim': 4, 'hops': 2, 'neighbors': 3, 'aggregator': 'concat', 'l2': 0.05, 'lr': 0.02},
    'kgnn-ls': {'dim': 4, 'hops': 2, 'neighbors': 3, 'ls_weight': 0.7, 'l2': 0.05, 'lr': 0.02},
    'ripplenet': {'dim': 4, 'hops': 2, 'memory': 5, 'l2': 1e-3, 'kge_weight': 0.3, 'lr': 0.02},
    'kgin': {'dim': 4, 'hops': 3, 'intents': 3, 'sim_weight': 0.05, 'l2': 0.01, 'lr': 1e-3,
             'dropout': 0, 'node_dropout': 0},
    'cke': {'dim': 4, 'relation_dim': 3, 'l2': 0.01, 'lr': 0.01},
    'cfkg': {'dim': 4, 'distance': 'inner', 'lr': 0.01},
    'cfkg l1': {'dim': 4, 'distance': 'l1', 'margin': 1, 'lr': 0.01},
    'cfkg l2': {'dim': 4, 'distance': 'l2', 'margin': 1, 'lr': 0.01},
    'lightgcn': {'dim': 4, 'layers': 3, 'l2': 0.01, 'lr': 0.02},
    'kgat': {'dim': 4, 'relation_dim': 3, 'layers': '4,3', 'aggregator': 'bi', 'loops': True,
             'l2': 0.01, 'kg_l2': 0.02, 'dropout': 0, 'lr': 1e-3},
    'sgl': {'dim': 4, 'layers': 3, 'augmentation': 'edges', 'dropout': 0.3, 'ssl_weight': 0.5,
            'temperature': 0.2, 'l2': 0.01, 'lr': 0.02},
    'ckan': {'dim': 4, 'layers': 2, 'user_triples': 3, 'item_triples': 5, 'aggregator': 'concat',
             'l2': 0.01, 'lr': 0.02},
    'ckan pool': {'dim': 4, 'layers': 2, 'user_triples': 3, 'item_triples': 5,
                  'aggregator': 'pool', 'l2': 0.01, 'lr': 0.02},
    'mkr': {'dim': 4, 'layers': 2, 'high_layers': 2, 'l2': 0.01, 'lr': 0.02, 'kg_lr': 0.01},
    'ktup l1': {'dim': 4, 'distance': 'l1', 'margin': 1, 'kg_weight': 0.5, 'clip': 5, 'lr': 0.01},
    'ktup l2': {'dim': 4, 'distance': 'l2', 'margin': 1, 'kg_weight': 0.5, 'clip': 5, 'lr': 0.01},
    'kgcl': {'dim': 4, 'layers': 2, 'neighbors': 2, 'ssl_weight': 0.3, 'temperature': 0.5,
             'l2': 0.05, 'kg_l2': 0.02, 'dropout': 0, 'node_dropout': 0, 'lr': 0.01},
    'kgrec': {'dim': 4, 'hops': 2, 'hidden': 2, 'mae_weight': 0.3, 'ssl_weight': 0.2,
              'temperature': 0.5, 'cl_drop': 0.4, 'node_dropout': 0.2, 'l2': 0.05, 'dropout': 0,
              'lr': 0.01},
    'mcclk': {'dim': 4, 'hops': 2, 'layers': 2, 'neighbors': 3, 'ssl_weight': 0.2,
              'temperature': 0.6, 'l2': 0.05, 'dropout': 0, 'node_dropout': 0, 'lr': 0.01},
    'diffkg': {'dim': 4, 'hops': 2, 'layers': 2, 'residual': 0.5, 'triples': 2, 'hidden': 6,
               'steps': 3, 'noise': 0.1, 'e_loss': 0.3, 'best': 2, 'keep': 1, 'batch_size': 16,
               'scored_by': 'drawn', 'ssl_weight': 0.2, 'temperature': 0.5, 'l2': 0.01,
               'dropout': 0, 'row_dropout': 0, 'lr': 2e-3},
    'text-features': {'dim': 4, 'layers': 2, 'neighbors': 6, 'l2': 0.05, 'item_dropout': 0,
                      'user_dropout': 0, 'neighbor_dropout': 0, 'edge_dropout': 0, 'lr': 0.01},
}

LABELLED = ('kgcn', 'kgnn-ls', 'ripplenet', 'ckan', 'mkr', 'mcclk')
GRAPHS = ('kgin', 'lightgcn', 'kgat', 'kgcl', 'kgrec', 'mcclk', 'diffkg')  # of all interactions
NOTHING_DRAWN = ('kgin', 'lightgcn', 'kgat', 'kgrec', 'mcclk')
GIVEN = ('users', 'items', 'labels')  # of the data set, not drawn
PARTS = {'kgat': ('cf', 'kg'), 'mkr': ('cf', 'kg'), 'ktup': ('cf', 'kg'), 'kgcl': ('cf', 'kg'),
         'diffkg': ('diffusion', 'cf')}


def ids(rows):
    return [torch.tensor(column) for column in golden.columns(rows)]


def data_of():
    """What start() of the transcriptions reads."""
    rows = golden.INTERACTIONS + DISLIKED
    users, items = ids(rows)
    labels = torch.tensor([1.0] * len(golden.INTERACTIONS) + [0.0] * len(DISLIKED))
    return dict(zip(('graph.heads', 'graph.relations', 'graph.tails'), ids(golden.TRIPLES)),
                **{'train.users': users, 'train.items': items, 'train.labels': labels})


def views(o, random):
    """SGL: which edges of the graph of items, then users, two random parts keep, in the order of
    their heads and tails."""
    pairs = sorted([(i, golden.ITEMS + u) for u, i in golden.INTERACTIONS]
                   + [(golden.ITEMS + u, i) for u, i in golden.INTERACTIONS])
    c = dict(zip(('heads', 'tails'), ids(pairs)))
    for v in (1, 2):
        n = len(golden.INTERACTIONS)
        kept = random.choice(n, int(n * (1 - o['dropout'])), replace=False)
        stay = {golden.INTERACTIONS[k] for k in kept}
        c['view.%d.1' % v] = torch.tensor([
            float((t - golden.ITEMS, h) in stay or (h - golden.ITEMS, t) in stay)
            for h, t in pairs])
    return c


def start(name, o, data, random):
    """Parameters and what is drawn once. The numbers are float32's."""
    if name in GRAPHS:
        p, c = fidelity.model_class(name).start(o, COUNTS, data, random)
        c['users'], c['items'] = ids(golden.INTERACTIONS
                                     + (DISLIKED if name in LABELLED else []))
        o.pop('first', None)  # KGAT: with attention from the first step
    elif name in LABELLED:
        p, c = fidelity.model_class(name).start(o, COUNTS, data, random)
    else:
        d, r, c = o['dim'], golden.RELATIONS, views(o, random) if name == 'sgl' else {}
        c.update(zip(('users', 'items'), ids(golden.INTERACTIONS)))
        if name == 'text-features':
            texts = random.standard_normal((golden.ITEMS, 5))
            c['texts'] = torch.tensor(numpy.round(texts * 1024) / 1024)
        shapes = {'sgl': {'nodes': (golden.ITEMS + golden.USERS, d)},
                  'ktup': dict({'users': (golden.USERS, d), 'items': (golden.ITEMS, d),
                                'entities': (golden.ENTITIES, d)},
                               **{key: (r, d) for key in ('relations', 'relation_norms',
                                                          'preferences', 'preference_norms')}),
                  'text-features': {
                      'users.weight': (golden.USERS, d), 'items.weight': (golden.ITEMS, d),
                      'of_items.weight': (d, 5), 'of_items.bias': (d,), 'of_users.weight': (d, 5),
                      'of_users.bias': (d,), 'query': (5, 32), 'mix': (64, 1)},
                  'cke': {'users.weight': (golden.USERS, d), 'items.weight': (golden.ITEMS, d),
                          'entities.weight': (golden.ENTITIES, d),
                          'relations.weight': (r, o.get('relation_dim')),
                          'projections': (r, d, o.get('relation_dim'))},
                  'cfkg': {'nodes.weight': (golden.ENTITIES + golden.USERS, d),
                           'relations.weight': (r + 1, d)}}[name]
        p = {key: torch.zeros(shape) for key, shape in shapes.items()}
    for key, t in p.items():  # the same for all: steps of 2^-10
        p[key] = torch.tensor(numpy.round(random.standard_normal(t.shape) * 512) / 1024)
    return p, c


def draw_views(o, c, random):
    """KGCL's views, as tinykg keeps them: triples of items, and D^-1/2 of items, then of users."""
    model = fidelity.model_class('kgcl')(o, COUNTS, {}, c)
    known = (model.tails != golden.ENTITIES).double()
    for v in ('1', '2'):
        c['mask.' + v] = known * torch.tensor(random.random_sample(known.shape) > 0.4)
        items = torch.tensor(random.random_sample(golden.ITEMS) > 0.2).double()
        left = torch.cat([items, torch.ones(golden.USERS)])
        degree = torch.zeros(len(left))
        for u, i in golden.INTERACTIONS:
            degree[i] += 1
            degree[golden.ITEMS + u] += items[i]
        c['scale.' + v] = (left / degree.clamp(min=1).sqrt())[:, None]


def numbered(c):
    """Edges as tinykg numbers them, by head and then by tail, and interactions (KGRec)."""
    edges = [(h, t, r) for h, r, t in golden.TRIPLES]
    edges += [(t, h, r + golden.RELATIONS) for h, t, r in edges]
    edges.sort()
    c.update(zip(('edge.heads', 'edge.tails', 'edge.relations'), ids(edges)))
    c.update(zip(('pair.users', 'pair.items'), ids(golden.INTERACTIONS)))


def choose_triples(o, p, c, random):
    """DiffKG: the given graph's triples, at most two of a head, and those that rows restored by the
    parameters keep."""
    model = fidelity.model_class('diffkg')(o, COUNTS, p, c)
    pairs = sorted(zip(model.heads.tolist(), model.tails.tolist()))
    c['edge.heads'], c['edge.tails'] = ids(pairs)
    c['some'], taken = torch.zeros(len(pairs)), {}
    for k in random.permutation(len(pairs)).tolist():
        head = pairs[k][0]
        taken[head] = taken.get(head, 0) + 1
        c['some'][k] = float(taken[head] <= o['triples'])
    model = fidelity.model_class('diffkg')(o, COUNTS, p, c)
    model.rebuild()
    c['drawn'] = model.drawn.double()


def random_numbers(random):
    """What KGRec draws in a step: numbers of edges, of interactions, of items."""
    edges, pairs = 2 * len(golden.TRIPLES), len(golden.INTERACTIONS)

    def uniform(*shape):
        return numpy.round(random.random_sample(shape) * 2 ** 20) / 2 ** 20

    def gumbel(n):
        return numpy.round(random.gumbel(size=n) * 2 ** 16) / 2 ** 16

    return {'some': uniform(edges), 'pairs': uniform(pairs), 'gumbel': gumbel(edges),
            'any': uniform(edges), 'noise1': gumbel(pairs), 'noise2': gumbel(pairs),
            'order': uniform(golden.ITEMS)}


def batches(name, random):
    """Rows of train, drawn items that users do not have, triples with drawn tails."""
    rows = golden.INTERACTIONS + (DISLIKED if name in LABELLED else [])
    known, out = set(golden.INTERACTIONS), []
    for _ in range(STEPS):
        picked = random.randint(0, len(rows), BATCH)
        batch = dict(zip(('users', 'items'), golden.columns([rows[i] for i in picked])))
        if name in LABELLED:
            batch['labels'] = [float(i < len(golden.INTERACTIONS)) for i in picked]
        else:
            batch['negatives'] = [next(j for j in random.permutation(golden.ITEMS).tolist()
                                       if (u, j) not in known) for u in batch['users']]
        if name in ('cke', 'cfkg', 'kgat', 'mkr', 'ktup', 'kgcl'):
            among = [t for t in golden.TRIPLES if name != 'kgcl' or t[0] < golden.ITEMS]
            triples = [among[i] for i in random.randint(0, len(among), TRIPLES)]
            if name == 'ktup':  # the first three from their tails, by inverse relations
                triples[:3] = [(t, r + golden.RELATIONS, h) for h, r, t in triples[:3]]
            batch.update(zip(('kg_heads', 'kg_relations', 'kg_tails'), golden.columns(triples)))
            batch['kg_negatives'] = random.randint(0, golden.ENTITIES, TRIPLES).tolist()
        if name == 'kgcl':
            ends = {(h, t) for h, _, t in golden.TRIPLES}
            batch['kg_counts'] = [float((h, t) not in ends) for h, t in
                                  zip(batch['kg_heads'], batch['kg_negatives'])]
        if name == 'kgrec':
            batch.update((key, x.tolist()) for key, x in random_numbers(random).items())
        if name == 'diffkg':
            drawn = random.permutation(golden.ENTITIES)[:5]
            batch['diffusion_ids'] = drawn.tolist()
            batch['diffusion_steps'] = random.randint(0, OPTIONS[name]['steps'], 5).tolist()
            noise = numpy.round(random.standard_normal((5, golden.ENTITIES)) * 1024) / 1024
            batch['diffusion_noise'] = noise.tolist()
        out.append(batch)
    return out


def tensors(batch):
    found = {name: torch.tensor(column) for name, column in batch.items()}
    if 'negatives' in found:
        found['negatives'] = found['negatives'][:, None]
    return {name: t.double() if t.is_floating_point() else t for name, t in found.items()}


def given_to(part, batch):
    """What of a batch a part of a step reads."""
    if part not in ('kg', 'diffusion'):
        return tensors(batch)
    prefix = part + '_'
    return tensors({name[len(prefix):]: ids for name, ids in batch.items()
                    if name.startswith(prefix)})


def steps(case, seed):
    name, o = case.split()[0], OPTIONS[case]
    random, data = numpy.random.RandomState(seed), data_of()
    p, c = start(name, o, data, random)
    if name == 'kgcl':
        draw_views(o, c, random)
    if name == 'kgrec':
        numbered(c)
    if name == 'diffkg':
        choose_triples(o, p, c, random)
    model = fidelity.model_class(name)(o, COUNTS, p, c)
    given, optimizers = batches(name, random), {}
    losses = [[fidelity.update(model, optimizers, part, given_to(part, batch))
               for part in PARTS.get(name, ('loss',))] for batch in given]
    given_anyway = GIVEN + (('heads', 'relations', 'tails') if name in GRAPHS else ())
    drawn = {} if name in NOTHING_DRAWN else {key: t for key, t in c.items()
                                              if key not in given_anyway}
    return {'recipe': name, 'options': o, 'parameters': p, 'drawn': drawn, 'batches': given,
            'losses': losses if name in PARTS else [loss for loss, in losses]}


def main():
    torch.set_default_dtype(torch.float64)
    golden.write('steps.json', {
        'written_by': 'tests/golden/steps.py', 'sizes': COUNTS,
        'interactions': golden.columns(golden.INTERACTIONS),
        'disliked': golden.columns(DISLIKED), 'triples': golden.columns(golden.TRIPLES),
        'cases': {case: steps(case, 40 + k) for k, case in enumerate(OPTIONS)}})


if __name__ == '__main__':
    main()
