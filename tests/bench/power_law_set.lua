--- Writes a set of about Book-Crossing's sizes, which the papers of KGCN and RippleNet train on.
--   tinykg tests/bench/power_law_set.lua DIR
local power_law = require 'tinykg.bench.power_law'

power_law.write_kgcn(assert(arg[1], 'usage: tinykg tests/bench/power_law_set.lua DIR'), {
  users = 18000, items = 15000, entities = 78000, relations = 25, interactions = 140000,
  triples = 151500, seed = 1})
