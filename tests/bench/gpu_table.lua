--- The table of make bench-gpu, out of its records: a line per step, then the kernels that matter
--- most. Of several ways the fastest counts; a dash stands for what was not measured.

--- The record with the least of a field among those that `fits` lets through, else an empty one.
local function least(records, field, fits)
  local best
  for _, r in ipairs(records) do
    if r[field] and fits(r) and not (best and best[field] <= r[field]) then best = r end
  end
  return best or {}
end

local function text(value, form) return value and (form or '%.3f'):format(value) or '-' end

local function ratio(a, b) return a and b and a / b or nil end

local function mib(bytes) return bytes and bytes / 2^20 end

local function row(...) return '| ' .. table.concat({...}, ' | ') .. ' |\n' end

local function step_row(records, name)
  local function time(who, bits)
    return least(records, 'min_ms', function(r)
      return r.step == name and r.who == who and (not bits or r.bits == bits)
    end).min_ms
  end
  local function memory(bits)
    return least(records, 'planned', function(r) return r.step == name and r.bits == bits end)
  end
  local own, torch, pyg = time('tinykg', 32), time('PyTorch'), time('PyG')
  local few, exact = memory(2), memory(32)
  local torch_peak = least(records, 'peak', function(r)
    return r.step == name and r.who == 'PyTorch'
  end).peak
  return row(name, text(own), text(time('tinykg', 8)), text(time('tinykg', 2)), text(torch),
             text(ratio(torch, own), '%.2f'), text(pyg), text(ratio(pyg, own), '%.2f'),
             text(mib(exact.counted), '%.1f'), text(mib(few.counted), '%.1f'),
             text(mib(torch_peak), '%.1f'), text(ratio(exact.taken, exact.planned)),
             text(ratio(few.taken, few.planned)))
end

local KERNELS = {'copy', 'aggregate, weights', 'aggregate, weights, 8 bits',
                 'aggregate, weights, 2 bits', 'aggregate_mul', "matmul a'b"}

local function kernel_rows(records)
  local out = {}
  for _, op in ipairs(KERNELS) do
    local k = least(records, 'us', function(r) return r.op == op end)
    local library = least(records, 'us', function(r)
      return r.op and r.op:sub(1, #op + 10) == op .. ', cuSPARSE'
    end).us
    if k.us then
      out[#out + 1] = row(op, text(k.us, '%.1f'), text(k.gb_s, '%.0f'), text(k.share, '%.2f'),
                          text(library, '%.1f'))
    end
  end
  return table.concat(out)
end

--- Markdown. ---@param all {records: table[], device: string, gpu: string?, version: string}
---@return string
return function(all)
  local names, seen = {}, {}
  for _, r in ipairs(all.records) do
    if r.part == 'step' and not seen[r.step] then
      seen[r.step], names[#names + 1] = true, r.step
    end
  end
  local out = {('tinykg %s on %s%s\n\n'):format(all.version, all.gpu or all.device,
                                               all.quick and ', tiny sizes: no figures' or ''),
    row('ms per step, least', '32 bits', '8', '2', 'PyTorch', 'x', 'PyG', 'x', 'MiB at 32 bits',
        'at 2', 'PyTorch', 'taken / planned at 32', 'at 2'),
    '|---|---|---|---|---|---|---|---|---|---|---|---|---|\n'}
  for _, name in ipairs(names) do out[#out + 1] = step_row(all.records, name) end
  out[#out + 1] = '\n' .. row('kernel', 'us', 'GB/s', 'of a copy', 'cuSPARSE, us')
  out[#out + 1] = '|---|---|---|---|---|\n' .. kernel_rows(all.records)
  return table.concat(out)
end
