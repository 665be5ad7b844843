"""CoLaKG as ziqiangcui/CoLaKG computes it (files below rec_code/; lines are model.py's where none is
named). Its vectors of users' texts are the means of their items' here."""

import numpy
import torch
import torch.nn.functional as F

import shared


class Model(shared.Model):
    """Parameters: users, items; of_items and of_users (semantic_map, user_semantic_map); query and
    mix (W, a). c: users and items of train, texts of items."""

    def __init__(self, o, counts, p, c):
        super().__init__(o, counts, p, c)
        m, n = counts['users'], counts['items']
        taken = torch.zeros(m, n)
        taken[c['users'], c['items']] = 1
        self.texts = c['texts'].to(torch.get_default_dtype())
        self.user_texts = taken @ self.texts / taken.sum(1, keepdim=True).clamp(min=1)
        self.near = self.alike(int(o['neighbors']))
        full = torch.zeros(m + n, m + n)  # dataloader.py:327-353
        full[:m, m:], full[m:, :m] = taken, taken.t()
        scale = full.sum(1) ** -0.5
        scale[torch.isinf(scale)] = 0
        self.adjacency = (full * scale[:, None] * scale).to_sparse()

    def alike(self, count):
        """main.py:25-28."""
        unit = F.normalize(self.texts)
        order = numpy.argsort(-(unit @ unit.t()).numpy(), axis=1, kind='stable')
        return torch.tensor(order[:, 1:count + 1])

    def linear(self, name, x):
        return F.linear(x, self.p[name + '.weight'], self.p[name + '.bias'])

    def vectors(self):
        """288-365, without dropout."""
        u = (self.p['users.weight'] + F.elu(self.linear('of_users', self.user_texts))) / 2
        i = (self.p['items.weight'] + F.elu(self.linear('of_items', self.texts))) / 2
        wh = self.texts[self.near] @ self.p['query']
        wh0 = (self.texts @ self.p['query'])[:, None].expand(wh.shape)
        score = (torch.cat([wh, wh0], -1) @ self.p['mix']).squeeze(-1)
        share = F.softmax(F.leaky_relu(score, 0.2), 1)[..., None]
        i = (i + F.elu((share * i[self.near]).sum(1))) / 2
        layers = [torch.cat([u, i])]
        for _ in range(int(self.o['layers'])):
            layers.append(torch.sparse.mm(self.adjacency, layers[-1]))
        mean = torch.stack(layers, 1).mean(1)
        return mean[:len(u)], mean[len(u):]

    def loss(self, part, batch):
        """374-405; utils.py:35-38."""
        users, items = self.vectors()
        u, i, j = batch['users'], batch['items'], batch['negatives'].flatten()
        loss = F.softplus((users[u] * items[j]).sum(1) - (users[u] * items[i]).sum(1)).mean()
        own = [self.p['users.weight'][u], self.p['items.weight'][i], self.p['items.weight'][j]]
        of_items = self.linear('of_items', self.texts)
        own += [of_items[i], of_items[j], self.linear('of_users', self.user_texts)[u]]
        reg = sum(x.norm(2).pow(2) for x in own) / 2 / len(u)
        return loss + float(self.o['l2']) * reg

    def optimizer(self, part):
        return torch.optim.Adam(self.p.values(), lr=self.o['lr'])  # utils.py:33
