#!/usr/bin/python3
"""Golden numbers of KGIN in float64, on the graph of kgat.py.

Written from the paper (Wang et al., WWW 2021) and from what the reference program computes; needs
torch and numpy. Run it to write kgin.json anew: the file must not change. Gradients are checked
against central differences on the way.
"""

import torch
import torch.nn.functional as F

import shared

DIM, HOPS = 6, 3
L2, SIM, TEMPERATURE = 0.01, 0.05, 0.2
KINDS = 2 * shared.RELATIONS
MEASURES = ('distance', 'cosine', 'mi')

CONVENTIONS = {
    'entities': '0..12, items 0..6 are the first; users are numbered apart, from 0',
    'relations': 'r for a triple (head, r, tail), 3+r for its inverse; the interaction has no row',
    'edges': 'graph.heads/relations/tails, sorted by head, relation, tail; entities only; both '
             'directions of the self loop are edges of their own',
    'entity aggregate': 'mean over edges (h, r, t) of entity[t] * relations[r]; 0 without edges',
    'intents': 'softmax over relations of weights [intents, relations], times relations: '
               '[intents, dim]',
    'user aggregate': 'm = mean of the user\'s items (rows the hop starts from), 0 without items; '
                      'b = softmax over intents of user . latent; m * (b @ intents) + m',
    'hop': 'both aggregates l2-normalised, x / max(|x|, 1e-12), a zero row stays zero; the next '
           'hop reads these; final = initial + sum over hops; no dropout, 3 hops share all '
           'parameters',
    'ranking': 'mean over the batch of softplus(-(u.i - u.j)) on final rows',
    'l2': '(|u|^2 + |i|^2 + |j|^2) / 2 / batch on final rows',
    'distance': 'sum over pairs of rows of `weights` (before their softmax) of the distance '
                'correlation: D = sqrt(max((x_i - x_j)^2, 0) + 1e-8), doubly centred; '
                'cov(A, B) = sqrt(max(mean(A * B), 0) + 1e-8); '
                'cov(A, B) / sqrt(cov(A, A) cov(B, B) + 1e-8)',
    'cosine': 'sum over pairs of rows of `weights` of the squared cosine',
    'mi': 'as the reference program: over the columns T_r of `weights`, -sum over r of '
          'log(exp(1 / 0.2) / exp(T_r . sum over s of T_s / 0.2)), the columns not normalised',
    'mi_rows': 'as RecBole, what is meant: rows normalised, -sum over p of '
               'log(exp(c_pp / 0.2) / sum over q of exp(c_pq / 0.2)), c = cosines',
    'total': 'ranking + l2_weight * l2 + sim_weight * (distance, cosine, mi or mi_rows): '
             'total.distance and so on',
    'gradients': 'of the named loss for every parameter; terms without their weights. The '
                 'independence terms depend on `weights` alone. Item 5 is in no triple and is '
                 'all user 3 knows: from hop 2 on that user\'s aggregate is a zero row, and '
                 'what is sent back into it must not become inf or NaN',
    'scores': 'of every user (rows) for every item (columns): dot of the final rows',
}


def build_edges():
    edges = []
    for head, relation, tail in shared.TRIPLES:
        edges += [(head, relation, tail), (tail, shared.RELATIONS + relation, head)]
    assert len(set(edges)) == len(edges)
    return torch.tensor(sorted(edges)).unbind(1)


HEADS, RELATION_IDS, TAILS = build_edges()


def mean_matrix(rows, columns, height, width):
    """One over the count of the row's entries, at each entry; rows without entries are zero."""
    matrix = torch.zeros(height, width, dtype=torch.float64)
    for row, column in zip(rows, columns):
        matrix[row, column] += 1
    return matrix / matrix.sum(1, keepdim=True).clamp_min(1)


INTERACTED = mean_matrix(*shared.columns(shared.INTERACTIONS), shared.USERS, shared.ENTITIES)
GATHER = mean_matrix(HEADS.tolist(), range(len(HEADS)), shared.ENTITIES, len(HEADS))


def unit(x):
    """Rows of length 1; a zero row passes nothing back, as central differences of it would not
    exist."""
    length = x.norm(dim=1, keepdim=True)
    return torch.where(length > 1e-12, x / length.clamp_min(1e-12), torch.zeros_like(x))


def representations(p):
    user, entity = p['users'], p['entities']
    users, entities = user, entity
    intents = torch.softmax(p['weights'], 1) @ p['relations']
    for _ in range(HOPS):
        around = GATHER @ (entity[TAILS] * p['relations'][RELATION_IDS])
        share = torch.softmax(user @ p['latent'].t(), 1)
        known = INTERACTED @ entity
        user = unit(known * (share @ intents) + known)
        entity = unit(around)
        users, entities = users + user, entities + entity
    return {'users': users, 'entities': entities}


def recommendation_losses(p):
    rows = representations(p)
    users, positives, negatives = torch.tensor(shared.CF_BATCH).unbind(1)
    u, i, j = rows['users'][users], rows['entities'][positives], rows['entities'][negatives]
    ranking = F.softplus(-((u * i).sum(1) - (u * j).sum(1))).mean()
    l2 = ((u * u).sum() + (i * i).sum() + (j * j).sum()) / (2 * len(u))
    return {'ranking': ranking, 'l2': l2}


def centred_distances(x):
    d = ((x[:, None] - x[None, :]) ** 2 + 1e-8).sqrt()
    return d - d.mean(0, keepdim=True) - d.mean(1, keepdim=True) + d.mean()


def covariance(a, b):
    return ((a * b).mean().clamp_min(0) + 1e-8).sqrt()


def distance_correlation(x, y):
    a, b = centred_distances(x), centred_distances(y)
    return covariance(a, b) / (covariance(a, a) * covariance(b, b) + 1e-8).sqrt()


def squared_cosine(x, y):
    return (x @ y) ** 2 / ((x @ x) * (y @ y))


def over_pairs(measure, rows):
    return sum(measure(rows[p], rows[q])
               for p in range(len(rows)) for q in range(p + 1, len(rows)))


def independence_losses(weights):
    columns = weights.t()
    mi = -torch.log(torch.exp(torch.tensor(1 / TEMPERATURE, dtype=torch.float64))
                    / torch.exp(columns @ columns.sum(0) / TEMPERATURE)).sum()
    rows = weights / weights.norm(dim=1, keepdim=True)
    cosines = torch.exp(rows @ rows.t() / TEMPERATURE)
    return {'distance': over_pairs(distance_correlation, weights),
            'cosine': over_pairs(squared_cosine, weights),
            'mi': mi, 'mi_rows': -torch.log(cosines.diag() / cosines.sum(1)).sum()}


def losses(p):
    found = recommendation_losses(p)
    terms = independence_losses(p['weights'])
    for name, term in terms.items():
        found['total.' + name] = found['ranking'] + L2 * found['l2'] + SIM * term
    return dict(found, **terms)


def case(draw, intents):
    p = {'users': draw(shared.USERS, DIM), 'entities': draw(shared.ENTITIES, DIM),
         'latent': draw(intents, DIM), 'relations': draw(KINDS, DIM, scale=1.0),
         'weights': draw(intents, KINDS)}
    rows = representations(p)
    computed = losses(p)
    results = {name: {'loss': loss, 'gradients': shared.gradients(loss, p)}
               for name, loss in computed.items()}
    for name in computed:
        shared.check_gradients(lambda: losses(p)[name], p)
    return {'parameters': p,
            'intents': torch.softmax(p['weights'], 1) @ p['relations'],
            'representations': rows,
            'scores': rows['users'] @ rows['entities'][:shared.ITEMS].t(),
            'losses': results}


def main():
    users, positives, negatives = shared.columns(shared.CF_BATCH)
    shared.write('kgin.json', {
        'model': 'KGIN', 'written_by': 'tests/golden/kgin.py', 'conventions': CONVENTIONS,
        'sizes': {'users': shared.USERS, 'items': shared.ITEMS, 'entities': shared.ENTITIES,
                  'relations': KINDS, 'kg_relations': shared.RELATIONS, 'dim': DIM, 'hops': HOPS,
                  'l2_weight': L2, 'sim_weight': SIM, 'temperature': TEMPERATURE},
        'interactions': dict(zip(['users', 'items'], shared.columns(shared.INTERACTIONS))),
        'triples': dict(zip(['heads', 'relations', 'tails'], shared.columns(shared.TRIPLES))),
        'graph': {'heads': HEADS, 'relations': RELATION_IDS, 'tails': TAILS},
        'batch': {'users': users, 'positives': positives, 'negatives': negatives},
        'cases': {'intents_%d' % n: case(shared.Draw(10 + n), n) for n in (2, 3, 4)},
    })


if __name__ == '__main__':
    main()
