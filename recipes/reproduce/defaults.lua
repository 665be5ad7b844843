--- Every recipe by its defaults on a small set: none may end no better than popularity.
---   tinykg data demo small --users 300 --items 200
---   tinykg recipes/reproduce/defaults.lua --data small; any data set to rank; see study.lua.
local study = require 'study'

-- Seconds that a run takes there.
local entries = {}
for name, seconds in ('bpr-mf 2 lightgcn 5 sgl 300 cke 5 cfkg 5 kgcn 5 kgnn-ls 10 ripplenet 240 '
                      .. 'ckan 3600 mkr 20 ktup 20 kgat 120 kgin 20 kgcl 120 kgrec 60 mcclk 300 '
                      .. 'diffkg 300'):gmatch '(%S+) (%d+)' do
  entries[#entries + 1] = {name = name, recipe = name, data_set = 'task=ranking',
                           seconds = tonumber(seconds)}
end

study{
  title = 'defaults', data = 'recbole-ml-100k', folder = 'defaults', metrics = {'recall@20'},
  seeds = '1', bits = '32', entries = entries,
}
