--- Our own product with more columns than a grid has tiles along y, 65,535 of 64, on the emulated
--- GPU.
---   TKG_CUBLAS=no tinykg tests/kernels/wide_product.lua
local tk = require 'tinykg'

local COLUMNS = 65536 * 64 + 1
tk.device 'emu'
local product = tk.tensor{{2}}:matmul(tk.full(3, 1, COLUMNS))
local right = product:eq(6):sum():item()
print(('%d of %d elements are right'):format(right, COLUMNS))
os.exit(right == COLUMNS and 0 or 1)
