--- Recipes on DBbook2014, each with settings that its validation chose among eight points, beside
--- the same with another graph or none. `tinykg recipes/reproduce/tuned.lua [--data DIR]`; with
--- --search it makes the searches of which `found` is what came out. See study.lua.
local study = require 'study'

-- The same for all: eight points of these ranges by the same draws, of which the best two train to
-- the end; batches of 2,048; training ends where four validations, of every fifth epoch, bring
-- nothing. l2 is of a mean over the batch, but BPR-MF's of a sum.
local COMMON = 'batch_size=2048 epochs=400 eval_every=5 patience=4'
local RANGES = 'lr=1e-3..2e-2:log l2=1e-5..1e-1:log'

study{
  title = 'DBbook2014, tuned', data = 'cikgrec-dbbook2014', folder = 'tuned-dbbook2014',
  own_splits = true, metrics = {'recall@20', 'ndcg@20'}, seeds = '0,1,2,3,4', bits = '32,8,4,2,1',
  controls = 'shuffled,none', baseline = 'bpr-mf', search = 'asha=8',
  entries = {
    {name = 'bpr-mf', recipe = 'bpr-mf', settings = COMMON, seconds = 10, graph = false,
     bits = '32', -- nothing is kept in fewer
     ranges = 'lr=1e-3..2e-2:log l2=1e-8..1e-4:log', found = 'lr=0.001432 l2=9.599e-06'},
    {name = 'lightgcn', recipe = 'lightgcn', settings = COMMON, seconds = 30, graph = false,
     ranges = RANGES, found = 'lr=0.00823 l2=0.001043'},
    {name = 'sgl', recipe = 'sgl', settings = COMMON, seconds = 150, graph = false,
     ranges = RANGES, found = 'lr=0.01594 l2=0.02771'},
    -- From BPR-MF's vectors, as its program does (KGAT-pytorch parser/parser_kgat.py:15).
    {name = 'kgat', recipe = 'kgat', seconds = 200,
     settings = COMMON .. ' kg_batch_size=8192 pretrain={bpr-mf-32}/best.safetensors',
     ranges = RANGES, found = 'lr=0.00203 l2=0.0001241'},
    {name = 'kgin', recipe = 'kgin', settings = COMMON, seconds = 100,
     ranges = RANGES, found = 'lr=0.001919 l2=0.002477'},
    {name = 'kgrec', recipe = 'kgrec', settings = COMMON, seconds = 150,
     ranges = RANGES, found = 'lr=0.001919 l2=0.002477'},
    {name = 'kgcl', recipe = 'kgcl', settings = COMMON, seconds = 200,
     ranges = RANGES, found = 'lr=0.001432 l2=0.009599'},
  },
}
