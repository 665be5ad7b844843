--- The ways to round kept values, by name: `tkg_rounding` of kernels/shared/codec.h.
local rounding = {}

rounding.NAMES = {'dither', 'dither-independent', 'stochastic', 'nearest'}
rounding.NUMBERS = {dither = 0, stochastic = 1, nearest = 2, ['dither-independent'] = 3}

rounding.BY_NUMBER = {}
for name, number in pairs(rounding.NUMBERS) do rounding.BY_NUMBER[number] = name end

--- 'dither, dither-independent, stochastic or nearest', for messages and help.
rounding.CHOICES = table.concat(rounding.NAMES, ', '):gsub(', (%a+)$', ' or %1')

return rounding
