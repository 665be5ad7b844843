--- What a process takes of a GPU beside the bytes that the engine counts.
local C = require 'tinykg.engine.lib'
local runtime = require 'tinykg.engine.runtime'

local gpu_memory = {}

local MIB = 2 ^ 20

--- The context that the driver makes: 107 MiB on a GeForce RTX 4060 Ti, 555 MiB on an RTX PRO 6000
--- (measured in github.com/ggml-org/llama.cpp, pull request 23604); it grows with the number of
--- multiprocessors. The larger is taken for all.
gpu_memory.CONTEXT = 555 * MIB
--- The workspace of cuBLAS (kernels/cuda/matmul.cu).
gpu_memory.WORKSPACE = 32 * MIB
--- What the driver adds to a large block at most: it gives memory in pages of 2 MiB. (Blocks that
--- are free in the pool, kernels/cuda/pool.cu, are given back when memory is short.)
gpu_memory.PAGE = 2 * MIB

--- The buffers of NCCL, if there are several ranks, or they are planned for (kernels/cuda/nccl.cu).
---@return number bytes at most
function gpu_memory.nccl() return C.tkg_engine_link_bytes(runtime.engine) end

--- What cuSPARSE keeps for sums over edges, where the precision is 'fast' (kernels/cuda/spmm.cu).
---@return number bytes at most
function gpu_memory.cusparse() return C.tkg_engine_library_bytes(runtime.engine) end

--- All of it. ---@param plan {blocks: integer, cusparse: number?} a WidthPlan
---@return number bytes
function gpu_memory.beside(plan)
  return gpu_memory.CONTEXT + gpu_memory.WORKSPACE + gpu_memory.nccl() + (plan.cusparse or 0) +
    plan.blocks * gpu_memory.PAGE
end

return gpu_memory
