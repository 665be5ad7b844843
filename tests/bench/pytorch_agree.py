#!/usr/bin/python3
"""Whether the programs beside this file make the step that tinykg makes: loss and gradients.

    pytorch_agree.py kgat|kgin|kgcn FOLDER [options of pytorch_NAME.py]

FOLDER/step.safetensors is what beside_pytorch_spec.lua writes: p.NAME, parameters; c.NAME, what was
drawn once; of each kind of step b.KIND.FIELD, its batch, l.KIND, its loss, g.KIND.NAME, gradients.
Prints a JSON line per form and kind: both losses, and the largest difference of a gradient, as a
share of the largest entry of that gradient.
"""

import importlib
import os
import sys

import torch

import pytorch_forms

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'fidelity'))
import shared  # noqa: E402

ALL = slice(None)


def kgat(trainer):
    """Our names: (parameter, its rows that these are, the order of ours there). Our relations are
    those of triples, then user -> item, then all of them backwards."""
    model, r = trainer.model, trainer.graph.relations // 2 - 1
    order = torch.tensor([r, 2 * r + 1, *range(r), *range(r + 1, 2 * r + 1)])
    names = {'nodes.weight': (model.embeddings, ALL, ALL),
             'projections': (model.transform, ALL, order),
             'relations.weight': (model.relations, ALL, order)}
    for k, layer in enumerate(model.layers, 1):
        for name, linear in (('sum', layer.first), ('product', layer.second)):
            names['layers.%d.%s.weight' % (k, name)] = (linear.weight, ALL, ALL)
            names['layers.%d.%s.bias' % (k, name)] = (linear.bias, ALL, ALL)
    losses = {'cf': (trainer.cf_loss, ('users', 'items', 'negatives')),
              'kg': (trainer.kg_loss, ('heads', 'relations', 'tails', 'negatives'))}
    return names, losses, order.argsort()


def kgin(trainer):
    model, users = trainer.model, trainer.model.graph.users
    return {'users.weight': (model.nodes, slice(users), ALL),
            'entities.weight': (model.nodes, slice(users, None), ALL),
            'relations.weight': (model.relations, ALL, ALL),
            'latent.weight': (model.latent, ALL, ALL), 'mixture': (model.weights, ALL, ALL),
            }, {'loss': (trainer.loss, ('users', 'items', 'negatives'))}, None


def kgcn(trainer):
    model = trainer.model
    names = {'users.weight': model.user, 'entities.weight': model.entity,
             'relations.weight': model.relation}
    names = {name: (table.weight, ALL, ALL) for name, table in names.items()}
    for k, layer in enumerate(model.layers, 1):
        names['layers.%d.weight' % k] = (layer.dense.weight, ALL, ALL)
        names['layers.%d.bias' % k] = (layer.dense.bias, ALL, ALL)

    def loss(batch):
        return trainer.loss(torch.stack(batch, 1))
    return names, {'loss': (loss, ('users', 'items', 'labels'))}, None


@torch.no_grad()
def begin(trainer, names, step):
    for name, ours in shared.below('p.', step).items():
        parameter, rows, order = names[name]
        if rows == ALL:
            parameter.data = ours[order].clone()  # KGCN's table of relations has one more here
        else:
            parameter[rows] = ours
    for name, ours in shared.below('c.', step).items():
        getattr(trainer.model, name).copy_(ours)


def compare(form, make, trainer, step):
    names, losses, relations = make(trainer)
    begin(trainer, names, step)
    for kind, (loss_of, fields) in losses.items():
        batch = shared.below('b.%s.' % kind, step)
        if relations is not None and 'relations' in batch:
            batch['relations'] = relations[batch['relations']]
        trainer.model.zero_grad()
        loss = loss_of(tuple(batch[field].long() for field in fields))
        loss.backward()
        far = 0
        for name, ours in shared.below('g.%s.' % kind, step).items():
            parameter, rows, order = names[name]
            difference = (parameter.grad[rows] - ours[order]).abs().max()
            far = max(far, float(difference / ours.abs().max()))
        pytorch_forms.say(form=form, kind=kind, loss=loss.item(), ours=float(step['l.' + kind]),
                          gradients=far)


def main(name, folder, *words):
    program = importlib.import_module('pytorch_' + name)
    options = program.parse(['step', *words])
    step = shared.read_tensors(os.path.join(folder, 'step.safetensors'))
    data = program.data_of(options)
    for form in options.forms.split(','):
        options.form = form
        try:
            trainer = program.Trainer(data, options)
        except ImportError as problem:
            pytorch_forms.say(form=form, missing=str(problem))
            continue
        compare(form, globals()[name], trainer, step)


if __name__ == '__main__':
    main(*sys.argv[1:])
