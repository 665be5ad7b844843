--- Click-through prediction on KGCN's Last.FM (kgcn-music): settings of the programs, a split 6:2:2
--- of its own per seed. `tinykg recipes/reproduce/music.lua`; see study.lua.
local study = require 'study'

study{
  title = 'kgcn-music', data = 'kgcn-music', metrics = {'auc', 'f1'}, own_splits = true,
  seeds = '0,1,2,3,4', bits = '32,8,4,2,1',
  entries = {
    {name = 'bpr-mf', recipe = 'bpr-mf', settings = 'batch_size=128 epochs=10', seconds = 3},
    {name = 'kgcn', recipe = 'kgcn', settings = 'preset=music', seconds = 4,
     published = {auc = 0.796, f1 = 0.721}, source = 'Wang et al., WWW 2019'},
    -- each neighbour equally often: without the bad outcomes of drawing with replacement
    {name = 'kgcn-each', recipe = 'kgcn', settings = 'preset=music replacement=false', seconds = 4,
     published = {auc = 0.796, f1 = 0.721}, source = 'Wang et al., WWW 2019'},
    {name = 'kgnn-ls', recipe = 'kgnn-ls', settings = 'preset=music epochs=10 patience=0',
     seconds = 6},
    {name = 'ripplenet', recipe = 'ripplenet', settings = 'epochs=5', seconds = 25},
    {name = 'mkr', recipe = 'mkr', settings = 'preset=music', seconds = 3},
    {name = 'ckan', recipe = 'ckan', settings = 'preset=music', seconds = 90},
  },
}
