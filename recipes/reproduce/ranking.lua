--- Every recipe by full ranking, trained for a few epochs: what widths cost, not how good models
--- are. `tinykg recipes/reproduce/ranking.lua [--data DIR]`, any data set to rank; see study.lua.
local study = require 'study'

study{
  title = 'all recipes, a few epochs', data = 'cikgrec-dbbook2014', own_splits = true,
  metrics = {'recall@20', 'ndcg@20'}, seeds = '0,1,2,3,4', bits = '32,8,4,2,1',
  entries = {
    {name = 'bpr-mf', recipe = 'bpr-mf', settings = 'epochs=20 eval_every=2', seconds = 10,
     bits = '32'}, -- here and below: nothing is kept in fewer bits
    {name = 'lightgcn', recipe = 'lightgcn', settings = 'lr=5e-3 epochs=12 eval_every=4',
     seconds = 20},
    {name = 'sgl', recipe = 'sgl', settings = 'lr=5e-3 epochs=12 eval_every=4', seconds = 60},
    {name = 'cke', recipe = 'cke', settings = 'lr=1e-3 epochs=12 eval_every=4', seconds = 40,
     bits = '32'},
    {name = 'cfkg', recipe = 'cfkg', settings = 'epochs=20 eval_every=4', seconds = 40,
     bits = '32'},
    {name = 'kgcn', recipe = 'kgcn', seconds = 60,
     settings = 'preset=movie batch_size=1024 epochs=6 eval_every=2 patience=0'},
    {name = 'kgnn-ls', recipe = 'kgnn-ls', seconds = 60,
     settings = 'preset=movie batch_size=1024 epochs=6 eval_every=2 patience=0'},
    {name = 'ripplenet', recipe = 'ripplenet', settings = 'epochs=4 eval_every=2', seconds = 90},
    {name = 'ckan', recipe = 'ckan', seconds = 120,
     settings = 'dim=16 layers=2 item_triples=16 epochs=6 eval_every=3'},
    {name = 'mkr', recipe = 'mkr', settings = 'epochs=20 eval_every=5', seconds = 10},
    {name = 'ktup', recipe = 'ktup', settings = 'epochs=40 eval_every=20', seconds = 120},
    {name = 'kgat', recipe = 'kgat', seconds = 60,
     settings = 'lr=5e-3 epochs=6 eval_every=2 kg_batch_size=8192'},
    {name = 'kgin', recipe = 'kgin', settings = 'lr=2e-3 epochs=5 eval_every=5', seconds = 60},
    {name = 'kgcl', recipe = 'kgcl', seconds = 90,
     settings = 'lr=5e-3 batch_size=1024 epochs=12 eval_every=4'},
    {name = 'kgrec', recipe = 'kgrec', settings = 'lr=2e-3 epochs=6 eval_every=6', seconds = 60},
    {name = 'mcclk', recipe = 'mcclk', seconds = 120,
     settings = 'batch_size=1024 epochs=4 eval_every=4'},
  },
}
