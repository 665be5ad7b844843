--- Ranking on the official split of KGAT's Amazon-Book (kgat-amazon-book), interactions only.
--- `tinykg recipes/reproduce/amazon-book.lua [--only bpr-mf]`; see study.lua.
---
--- The figures are of KGCL's table. Its LightGCN is model lgn of yuh-yang/KGCL-SIGIR22 (code/): an
--- epoch draws as many users as there are interactions, uniformly, with a positive of each
--- (utils.py:88-120); lr 1e-3, batches of 2,048, 3 layers (parse.py:13-20); each way of an
--- interaction stays with .8 (world.py:95-97; model.py:88-97); L2 of weight 1e-4 / batch beside the
--- sum of BPR, not its mean (model.py:193-203; utils.py:57-69), which is 1e-4 / 2048 here. It stops
--- after five tests without a better Recall and reports the best test (main.py:82-99;
--- world.py:101-102); here valid1.txt, 15 % of train, says when. BPR has no program there: of
--- LightGCN-PyTorch's mf a file's name is left (utils.py:133). Its l2 and epochs are those that
--- were best on valid1.txt; bpr-mf-all then trains on all of train.
local study = require 'study'

local SOURCE = 'KGCL, SIGIR 2022, as quoted in Sci. Rep. 2025, s41598-025-88858-9, table 3'
local BPR = {['recall@20'] = 0.1244, ['ndcg@20'] = 0.0658}
local LIGHTGCN = {['recall@20'] = 0.1398, ['ndcg@20'] = 0.0736}

study{
  title = 'kgat-amazon-book', data = 'kgat-amazon-book', metrics = {'recall@20', 'ndcg@20'},
  seeds = '1,2,3,4,5', bits = '32,8,4,2,1',
  entries = {
    {name = 'bpr-mf', recipe = 'bpr-mf', seconds = 1800, source = SOURCE, published = BPR,
     settings = 'epochs=300 eval_every=10 patience=3'},
    {name = 'bpr-mf-all', recipe = 'bpr-mf', seconds = 700, source = SOURCE, published = BPR,
     data_set = 'valid_ratio=0', settings = 'epochs=120'},
    {name = 'lightgcn', recipe = 'lightgcn', seconds = 3600, source = SOURCE, published = LIGHTGCN,
     settings = 'dropout=0.2 l2=4.8828125e-8 epochs=200 eval_every=3 patience=3'},
  },
}
