--- CKE: a step draws triples beside its interactions; here they are drawn before it.
local joint = require 'joint'

return {
  task = 'ranking',
  lockstep = {lr = 1e-3, batch_size = 64},
  curve = {lr = 1e-3, eval_every = 1},
  parts = joint 'heads',
}
