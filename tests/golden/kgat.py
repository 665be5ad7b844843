#!/usr/bin/python3
"""Golden numbers of KGAT in float64, for a graph small enough to follow by hand.

Written from the text of LunaBlack/KGAT-pytorch, whose files and lines are cited, in our own words
and without its classes; where the authors' TensorFlow program (xiangwang1223/
knowledge_graph_attention_network) differs it is a variant. Needs torch and numpy. Run it to write
kgat.json anew: the file must not change. Gradients are checked against central differences on the
way.
"""

import math

import torch
import torch.nn.functional as F

import shared

DIM, RELATION_DIM = 6, 5
LAYERS = [6, 4, 3]
CF_L2, KG_L2 = 0.01, 0.02
NODES = shared.ENTITIES + shared.USERS
RELATIONS = 2 + 2 * shared.RELATIONS

# (head, relation, tail, negative tail), nodes and relation ids of the joined graph: an item, a
# user, the self loop, an item's inverse edge, an entity's inverse edge. Node 17 is user 4.
KG_BATCH = [(0, 2, 7, 12), (13, 0, 1, 3), (9, 4, 9, 6), (4, 3, 10, 17), (7, 5, 1, 2)]

CONVENTIONS = {
    'nodes': 'entities 0..12 (items 0..6 are the first), then users: node = 13 + user',
    'relations': '0 user->item, 1 item->user, 2+r triple (head, r, tail), 5+r its inverse',
    'edges': 'graph.heads/relations/tails, sorted by head, relation, tail; parallel edges and '
             'both directions of the self loop are edges of their own',
    'aggregation': 'y[h] = sum over edges (h, r, t) of weight * x[t]; 0 without edges',
    'scores': 'of edges: (e_t M_r) . tanh(e_h M_r + e_r) (model/KGAT.py:188-199)',
    'merged': 'the scores of edges of one head and tail are added, then softmax over the pairs of a '
              'head (torch.sparse.softmax of an uncoalesced matrix, model/KGAT.py:225-228); a pair '
              'is listed once, sorted by head, tail; a constant in every loss (line 114)',
    'apart': 'softmax over all edges of one head (eq. 5; Model/KGAT.py:384 of the TensorFlow '
             'program)',
    'initial': 'before the first refresh: 1 / (edges of this head with this relation) '
               '(data_loader/loader_kgat.py:115-123, 136)',
    'projection': 'row vector times M_r; transform is [relation, dim, relation_dim]',
    'linear': 'y = x W^T + b, W is [outputs, inputs]; NAME_k.weight and .bias, layer k from 0: '
              'sum (W1) and product (W2) for bi-interaction, else linear (W)',
    'bi-interaction': 'leaky((x + y) W1^T + b1) + leaky((x * y) W2^T + b2)',
    'gcn': 'leaky((x + y) W^T + b)',
    'graphsage': 'leaky([x, y] W^T + b)',
    'leaky': 'slope 0.01 for negative numbers (model/KGAT.py:20: torch\'s default); 0.2 in the '
             'variant named tf (Model/KGAT.py:277, 284)',
    'next layer': 'reads what the layer gave; only what is concatenated is l2-normalised, '
                  'x / max(|x|, 1e-12) (model/KGAT.py:121-124; Model/KGAT.py:287-294)',
    'variants': 'of results: merged, apart, initial: these edge weights; tf: weights apart and '
                'slope 0.2',
    'final': 'concat of the embeddings themselves and each layer\'s normalised rows: '
             '6 + 6 + 4 + 3 columns; no dropout anywhere',
    'cf': 'ranking = mean over the batch of softplus(-(u.i - u.j)); l2 = (|u|^2 + |i|^2 + |j|^2)'
          ' / 2 / batch on the final rows; total = ranking + cf_l2 * l2 (model/KGAT.py:6, '
          '131-153)',
    'kg': 'f = |e_h M_r + e_r - e_t M_r|^2; ranking = mean of softplus(-(f(negative) - '
          'f(positive))); l2 = (|e_h M_r|^2 + |e_r|^2 + |e_t M_r|^2 + |e_n M_r|^2) / 2 / batch;'
          ' total = ranking + kg_l2 * l2 (model/KGAT.py:163-185)',
    'rankings': 'results.*.scores: of every user (rows) for every item (columns), dot of the final '
                'rows',
    'gradients': 'of the named loss for every parameter; ranking and l2 without their weights',
}


def build_edges():
    """Every interaction and triple in both directions, in the order of the file."""
    edges = []
    for user, item in shared.INTERACTIONS:
        node = shared.ENTITIES + user
        edges += [(node, 0, item), (item, 1, node)]
    for head, relation, tail in shared.TRIPLES:
        edges += [(head, 2 + relation, tail), (tail, 2 + shared.RELATIONS + relation, head)]
    assert len(set(edges)) == len(edges)
    return torch.tensor(sorted(edges)).unbind(1)


HEADS, KINDS, TAILS = build_edges()


def project(nodes, kinds, p):
    """e M_r for each pair of node and relation."""
    return torch.einsum('nd,ndk->nk', p['embeddings'][nodes], p['transform'][kinds])


def edge_scores(p):
    """pi(h, r, t) before any softmax: model/KGAT.py:188-199."""
    return (project(TAILS, KINDS, p)
            * torch.tanh(project(HEADS, KINDS, p) + p['relations'][KINDS])).sum(1).detach()


def apart(scores):
    """Softmax over the edges of each head, parallel edges each for itself."""
    weights = torch.zeros_like(scores)
    for head in HEADS.unique():
        mine = HEADS == head
        weights[mine] = torch.softmax(scores[mine], 0)
    return weights


def merged(scores):
    """{(head, tail): weight}, sorted: parallel edges are one, whose score is the sum of theirs."""
    total = {}
    for head, tail, score in zip(HEADS.tolist(), TAILS.tolist(), scores.tolist()):
        total[head, tail] = total.get((head, tail), 0.0) + score
    weights = {}
    for head, tail in sorted(total):
        whole = sum(math.exp(total[pair]) for pair in total if pair[0] == head)
        weights[head, tail] = math.exp(total[head, tail]) / whole
    return weights


def initial():
    count = {}
    for key in zip(HEADS.tolist(), KINDS.tolist()):
        count[key] = count.get(key, 0) + 1
    return torch.tensor([1.0 / count[key] for key in zip(HEADS.tolist(), KINDS.tolist())],
                        dtype=torch.float64)


def matrix_of_edges(weights):
    matrix = torch.zeros(NODES, NODES, dtype=torch.float64)
    return matrix.index_put_((HEADS, TAILS), weights, accumulate=True)


def matrix_of_pairs(weights):
    matrix = torch.zeros(NODES, NODES, dtype=torch.float64)
    for (head, tail), weight in weights.items():
        matrix[head, tail] = weight
    return matrix


def representations(p, kind, matrix, slope=0.01):
    """Final rows of all nodes: model/KGAT.py:40-65 (a layer, without dropout) and 117-128."""
    x = p['embeddings']
    parts = [x]
    for k in range(len(LAYERS)):
        y = matrix @ x

        def dense(z, name):
            out = z @ p['%s_%d.weight' % (name, k)].t() + p['%s_%d.bias' % (name, k)]
            return F.leaky_relu(out, slope)

        if kind == 'bi-interaction':
            x = dense(x + y, 'sum') + dense(x * y, 'product')
        elif kind == 'gcn':
            x = dense(x + y, 'linear')
        else:
            x = dense(torch.cat([x, y], 1), 'linear')
        parts.append(x / x.norm(dim=1, keepdim=True).clamp_min(1e-12))
    return torch.cat(parts, 1)


def halves(*rows):
    return sum(0.5 * (r * r).sum() for r in rows) / len(rows[0])


def cf_losses(final):
    users, positives, negatives = torch.tensor(shared.CF_BATCH).unbind(1)
    u, i, j = final[shared.ENTITIES + users], final[positives], final[negatives]
    ranking = F.softplus(-((u * i).sum(1) - (u * j).sum(1))).mean()
    l2 = halves(u, i, j)
    return {'ranking': ranking, 'l2': l2, 'total': ranking + CF_L2 * l2}


def kg_losses(p):
    heads, kinds, tails, negatives = torch.tensor(KG_BATCH).unbind(1)
    h, t, n = (project(nodes, kinds, p) for nodes in (heads, tails, negatives))
    r = p['relations'][kinds]
    positive, negative = ((h + r - t) ** 2).sum(1), ((h + r - n) ** 2).sum(1)
    ranking = F.softplus(-(negative - positive)).mean()
    l2 = halves(h, r, t, n)
    return {'ranking': ranking, 'l2': l2, 'total': ranking + KG_L2 * l2}


def with_gradients(compute, parameters):
    losses = compute()
    out = {name: {'loss': loss, 'gradients': shared.gradients(loss, parameters)}
           for name, loss in losses.items()}
    for name in losses:
        shared.check_gradients(lambda: compute()[name], parameters)
    return out


def draw_layers(draw, kind):
    layers, width = {}, DIM
    names = ['sum', 'product'] if kind == 'bi-interaction' else ['linear']
    for k, size in enumerate(LAYERS):
        for name in names:
            inputs = 2 * width if kind == 'graphsage' else width
            layers['%s_%d.weight' % (name, k)] = draw(size, inputs)
            layers['%s_%d.bias' % (name, k)] = draw(size, scale=0.25)
        width = size
    return layers


def split_rows(final):
    return {'users': final[shared.ENTITIES:], 'entities': final[:shared.ENTITIES]}


def main():
    draw = shared.Draw(4)  # of 60 seeds, the one whose rows before normalising are longest
    tables = {'embeddings': draw(NODES, DIM), 'relations': draw(RELATIONS, RELATION_DIM),
              'transform': draw(RELATIONS, DIM, RELATION_DIM)}
    scores = edge_scores(tables)
    pairs = merged(scores)
    matrices = {'initial': matrix_of_edges(initial()), 'apart': matrix_of_edges(apart(scores)),
                'merged': matrix_of_pairs(pairs)}
    cases = {}
    for kind in ('bi-interaction', 'gcn', 'graphsage'):
        layers = draw_layers(draw, kind)
        p = dict(tables, **layers)
        used = dict(layers, embeddings=tables['embeddings'])
        settings = {name: {'matrix': matrix} for name, matrix in matrices.items()}
        if kind == 'bi-interaction':
            settings['tf'] = {'matrix': matrices['apart'], 'slope': 0.2}
        results = {}
        for name, setting in settings.items():
            def compute(setting=setting):
                return cf_losses(representations(p, kind, **setting))
            rows = split_rows(representations(p, kind, **setting))
            results[name] = {'representations': rows,
                             'scores': rows['users'] @ rows['entities'][:shared.ITEMS].t(),
                             'cf': with_gradients(compute, used)}
        cases[kind] = {'parameters': layers, 'results': results}
    users, positives, negatives = shared.columns(shared.CF_BATCH)
    heads, kinds, tails, negative_tails = shared.columns(KG_BATCH)
    shared.write('kgat.json', {
        'model': 'KGAT', 'written_by': 'tests/golden/kgat.py', 'conventions': CONVENTIONS,
        'sizes': {'users': shared.USERS, 'items': shared.ITEMS, 'entities': shared.ENTITIES,
                  'nodes': NODES, 'relations': RELATIONS, 'kg_relations': shared.RELATIONS,
                  'dim': DIM, 'relation_dim': RELATION_DIM, 'layers': LAYERS,
                  'cf_l2': CF_L2, 'kg_l2': KG_L2},
        'interactions': dict(zip(['users', 'items'], shared.columns(shared.INTERACTIONS))),
        'triples': dict(zip(['heads', 'relations', 'tails'], shared.columns(shared.TRIPLES))),
        'graph': {'heads': HEADS, 'relations': KINDS, 'tails': TAILS},
        'batch': {'users': users, 'positives': positives, 'negatives': negatives},
        'kg_batch': {'heads': heads, 'relations': kinds, 'tails': tails,
                     'negatives': negative_tails},
        'parameters': tables,
        'attention': {'scores': scores, 'apart': apart(scores), 'initial': initial(),
                      'merged': {'heads': [head for head, _ in pairs],
                                 'tails': [tail for _, tail in pairs],
                                 'weights': list(pairs.values())}},
        'kg': with_gradients(lambda: kg_losses(tables), tables),
        'cases': cases,
    })


if __name__ == '__main__':
    main()
