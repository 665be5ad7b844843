--- The ways to round kept values, by name: `tkg_rounding` of kernels/shared/codec.h.
local rounding = {}

rounding.NAMES = {'dither', 'dither-independent', 'stochastic', 'nearest'}
rounding.NUMBERS = {dither = 0, stochastic = 1, nearest = 2, ['dither-independent'] = 3}

--- 'dither, dither-independent, stochastic or nearest', for messages and help.
rounding.CHOICES = table.concat(rounding.NAMES, ', '):gsub(', (%a+)$', ' or %1')

return rounding
