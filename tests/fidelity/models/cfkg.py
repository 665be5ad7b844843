"""CFKG as RecBole computes it (recbole/model/knowledge_aware_recommender/cfkg.py), with its default
inner product; and with the distances of the program in KGAT's repository
(xiangwang1223/knowledge_graph_attention_network, Model/CFKG.py)."""

import torch
import torch.nn.functional as F

import shared


class Model(shared.Model):
    """Parameters: nodes (entities, then users; two tables there), relations, "takes" the last."""

    def sides(self, batch):
        """h, r, t and a drawn t of interactions and of triples (cfkg.py:72-113)."""
        nodes, relations = self.p['nodes.weight'], self.p['relations.weight']
        u = nodes[self.counts['entities'] + batch['users']]
        return [torch.cat(pair) for pair in (
            (u, nodes[batch['kg_heads']]),
            (relations[-1].expand_as(u), relations[batch['kg_relations']]),
            (nodes[batch['items']], nodes[batch['kg_tails']]),
            (nodes[batch['negatives'].flatten()], nodes[batch['kg_negatives']]))]

    def loss(self, part, batch):
        h, r, t, drawn = self.sides(batch)
        kind = self.o['distance']
        if kind == 'inner':  # cfkg.py:128-134
            good, bad = (((h + r) * x).sum(1) for x in (t, drawn))
            return (F.softplus(-good) + F.softplus(bad)).mean()
        power = {'l1': torch.abs, 'l2': torch.square}[kind]  # CFKG.py:118-129
        near, far = (power(h + r - x).sum(1) for x in (t, drawn))
        return (near - far + self.o['margin']).clamp(min=0).mean()

    def optimizer(self, part):
        return torch.optim.Adam(self.p.values(), lr=self.o['lr'])  # RecBole's learner
