"""What the golden files share: the small graph, drawn parameters, a check of gradients, JSON."""

import json
import os

import numpy
import torch

USERS, ITEMS, ENTITIES, RELATIONS = 5, 7, 13, 3

# (user, item). User 4 has nothing; item 6 has nothing at all; item 5 is in no triple and is all
# that user 3 knows.
INTERACTIONS = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 3), (2, 0), (2, 3), (2, 4), (3, 5)]

# (head, relation, tail). Entities 6 and 12 are isolated; (9, 2, 9) is a self loop; (0, 0, 7) and
# (0, 2, 7) are parallel; (1, 2, 2) joins two items.
TRIPLES = [(0, 0, 7), (1, 0, 7), (2, 0, 8), (3, 1, 9), (0, 1, 9), (4, 1, 10), (4, 2, 11),
           (7, 2, 8), (9, 2, 9), (0, 2, 7), (1, 2, 2), (10, 0, 11)]

# (user, positive item, negative item); user 0 comes twice, item 6 is an isolated negative.
CF_BATCH = [(0, 1, 3), (1, 3, 0), (2, 0, 6), (3, 5, 2), (0, 2, 4)]


def columns(rows):
    """A list of tuples as a list of columns."""
    return [list(column) for column in zip(*rows)]


class Draw:
    """Parameters: normal, in steps of 2^-10, so that float32 holds them exactly."""

    def __init__(self, seed):
        self.random = numpy.random.RandomState(seed)

    def __call__(self, *shape, scale=0.5):
        values = numpy.round(self.random.standard_normal(shape) * scale * 1024) / 1024
        return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def gradients(loss, parameters):
    """d loss / d each parameter; zeros where the loss does not depend on it."""
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True,
                                retain_graph=True)
    return {name: torch.zeros_like(p) if g is None else g
            for (name, p), g in zip(parameters.items(), found)}


def check_gradients(compute, parameters, step=1e-6, tolerance=1e-6):
    """Central differences of compute() -> loss against autograd, for every number of every
    parameter. Raises at the first that differs."""
    exact = gradients(compute(), parameters)
    with torch.no_grad():
        for name, parameter in parameters.items():
            flat, wanted = parameter.view(-1), exact[name].reshape(-1)
            for i in range(len(flat)):
                kept = flat[i].item()
                flat[i] = kept + step
                above = compute().item()
                flat[i] = kept - step
                below = compute().item()
                flat[i] = kept
                measured = (above - below) / (2 * step)
                if abs(measured - wanted[i].item()) > tolerance * max(1.0, abs(measured)):
                    raise AssertionError('%s[%d]: %g by differences, %g by autograd' % (
                        name, i, measured, wanted[i].item()))


def plain(value):
    """Tensors to nested lists, all the way down."""
    if isinstance(value, torch.Tensor):
        return plain(value.detach().tolist())
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value


def dump(value, indent=0):
    """JSON with one tensor per line, or one batch: short to diff, exact to read (17 digits)."""
    pad = '\n' + ' ' * (indent + 1)
    if isinstance(value, dict):
        inner = [json.dumps(key) + ': ' + dump(value[key], indent + 1) for key in value]
        return '{' + pad + (',' + pad).join(inner) + pad[:-1] + '}'
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return '[' + pad + (',' + pad).join(map(json.dumps, value)) + pad[:-1] + ']'
    return json.dumps(value)


def write(name, value):
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name)
    with open(path, 'w', encoding='ascii') as out:
        out.write(dump(plain(value)) + '\n')
    print('%s: %d bytes' % (path, os.path.getsize(path)))
