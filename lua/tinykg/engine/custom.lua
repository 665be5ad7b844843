--- Ops that a recipe composes of others and gives its own gradient, like PyTorch's
--- autograd.Function.
-- Each call records both functions, backward right behind forward, with a value that stands for the
-- incoming gradient (engine/autodiff/custom_vjp.c). A running step calls neither: what backward
-- computes is planned, saved and printed like all other nodes.
local runtime = require 'tinykg.engine.runtime'
local tensor = require 'tinykg.engine.tensor'

local FIELDS = {name = 'string', forward = 'function', backward = 'function'}

local function check_spec(spec)
  runtime.options('custom', spec, 'name forward backward')
  if spec == nil then runtime.fail('custom: expected {name, forward, backward}') end
  for field, wanted in pairs(FIELDS) do
    if type(spec[field]) ~= wanted then
      runtime.fail('custom: %s is a %s, expected a %s', field, type(spec[field]), wanted)
    end
  end
end

local function text_of(x)
  if not tensor.is(x) then return 'a ' .. type(x) end
  return ('%s [%s]'):format(x:dtype(), table.concat(x:size(), ', '))
end

local function is_float(x) return tensor.is(x) and x:dtype() == 'f32' end

--- Errors: `dx` cannot be the gradient of argument k.
local function check_gradient(name, k, x, dx)
  if not is_float(x) then
    runtime.fail('%s: backward returned a gradient for argument %d, which is %s and has none: ' ..
                 'return nil there', name, k, text_of(x))
  end
  local fits = is_float(dx) and table.concat(x:size(), ' ') == table.concat(dx:size(), ' ')
  if not fits then
    runtime.fail('%s: backward returned %s as the gradient of argument %d, which is %s', name,
                 text_of(dx), k, text_of(x))
  end
end

local function pack(...) return {n = select('#', ...), ...} end

local function apply(spec, ...)
  local ctx, n = {}, select('#', ...)
  local made = pack(spec.forward(ctx, ...))
  local y = made[1]
  if made.n ~= 1 or not is_float(y) then
    runtime.fail('%s: forward must return one f32 tensor, not %s', spec.name,
                 made.n == 1 and text_of(y) or made.n .. ' values')
  end
  tensor.attribute()
  local upstream = tensor.record('upstream', tensor.set_shape(y:size()))
  local gradients = pack(spec.backward(ctx, upstream))
  local out = y:detach()
  for k = 1, math.max(n, gradients.n) do
    local x, dx = (select(k, ...)), gradients[k]
    if dx ~= nil then
      if k > n then
        runtime.fail('%s: backward returned %d gradients for %d arguments', spec.name, k, n)
      end
      check_gradient(spec.name, k, x, dx)
      out = tensor.record('custom_vjp', nil, out, upstream, x, dx:detach())
    end
  end
  return out
end

--- Makes an op that is composed of others, with its own gradient instead of the composition's:
---
---     local swish = tk.custom{
---       name = 'swish',
---       forward = function(ctx, x)
---         ctx.x, ctx.s = x, x:sigmoid()
---         return x * ctx.s
---       end,
---       backward = function(ctx, dy) return dy * (ctx.s + ctx.x * ctx.s * (1 - ctx.s)) end,
---     }
---     local y = swish(tk.randn(3))
---
--- forward(ctx, ...) gets the op's arguments and returns one f32 tensor. `ctx` is a table, new for
--- each call, for values that backward needs. backward(ctx, dy) gets the gradient of that tensor
--- and returns a gradient for each argument, in their order and of their shapes; nil for an
--- argument without one: ids, numbers, tables.
---
--- It works inside and outside of steps. No gradient goes through forward in any other way: a
--- parameter that is no argument gets none. Values of forward that backward reads are saved as the
--- step's `bits` and saved_as() say; the rest is computed in backward. `dy` has no numbers yet when
--- backward is called, so it cannot be printed.
---@param spec {name: string, forward: function, backward: function}
---@return fun(...): Tensor
return function(spec)
  check_spec(spec)
  local own = {name = spec.name, forward = spec.forward, backward = spec.backward}
  return function(...) return (apply(own, ...)) end
end
