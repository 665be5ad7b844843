--- CFKG: a step draws triples beside its interactions; here they are drawn before it.
local joint = require 'joint'

return {
  task = 'ranking',
  lockstep = {batch_size = 64, kg_batch_size = 48},
  curve = {eval_every = 1},
  parts = joint 'triples',
}
