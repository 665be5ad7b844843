--- Ranking on the official split of KGAT's Amazon-Book (kgat-amazon-book), interactions only.
--- `tinykg recipes/reproduce/amazon-book.lua [--only bpr-mf]`; see study.lua.
local study = require 'study'

local SOURCE = 'KGCL, SIGIR 2022, as quoted in Sci. Rep. 2025, s41598-025-88858-9, table 3'

study{
  title = 'kgat-amazon-book', data = 'kgat-amazon-book', metrics = {'recall@20', 'ndcg@20'},
  seeds = '1,2,3,4,5', bits = '32,8,4,2,1',
  entries = {
    {name = 'bpr-mf', recipe = 'bpr-mf', seconds = 1800, source = SOURCE,
     settings = 'epochs=300 eval_every=10 patience=5 eval_users=10000',
     published = {['recall@20'] = 0.1244, ['ndcg@20'] = 0.0658}},
    {name = 'lightgcn', recipe = 'lightgcn', seconds = 36000, source = SOURCE,
     settings = 'layers=3 eval_every=10 patience=5 eval_users=10000',
     published = {['recall@20'] = 0.1398, ['ndcg@20'] = 0.0736}},
  },
}
