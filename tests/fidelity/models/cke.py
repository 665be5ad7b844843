"""CKE as the program in KGAT's repository computes it
(xiangwang1223/knowledge_graph_attention_network, files below Model/)."""

import torch
import torch.nn.functional as F

import shared


def unit(x):
    """tf.math.l2_normalize."""
    return x * (x * x).sum(1, keepdim=True).clamp(min=1e-12).rsqrt()


class Model(shared.Model):
    """Parameters: users, items, entities, relations, projections [R, d, k]."""

    def item(self, ids):
        return self.p['items.weight'][ids] + self.p['entities.weight'][ids]  # CKE.py:124-132

    def projected(self, ids, relations):
        """Unit vectors of entities in a relation's space (CKE.py:99-120)."""
        matrices = self.p['projections'][relations]
        return unit((self.p['entities.weight'][ids][:, None] @ matrices)[:, 0])

    def loss(self, part, batch):
        """CKE.py:87-94, 134-161."""
        r = batch['kg_relations']
        rows = [self.projected(batch['kg_' + name], r) for name in ('heads', 'tails', 'negatives')]
        relation = unit(self.p['relations.weight'][r])
        near, far = (((rows[0] + relation - t) ** 2).sum(1) for t in rows[1:])
        kg = -F.logsigmoid(far - near).mean()
        constant = sum((x * x).sum() / 2 for x in rows + [relation])
        u, i = self.p['users.weight'][batch['users']], self.item(batch['items'])
        j = self.item(batch['negatives'].flatten())
        cf = -torch.log(1e-10 + ((u * i).sum(1) - (u * j).sum(1)).sigmoid()).mean()
        l2 = sum((x * x).sum() / 2 for x in (u, i, j))
        return cf + kg + self.o['l2'] * l2, 1e-5 * constant  # regs[1]: utility/parser.py:39

    def optimizer(self, part):
        return shared.TensorFlowAdam(self.p.values(), self.o['lr'])  # CKE.py:97
