--- Pseudorandom numbers for programs of specs, the same in each run and on each rank.
---@param seed integer ---@return fun(count: integer, n: integer): integer[] of 0..n-1
return function(seed)
  local state = seed
  return function(count, n)
    local list = {}
    for i = 1, count do
      state = (state * 1103515245 + 12345) % 2 ^ 31
      list[i] = math.floor(state / 65536) % n
    end
    return list
  end
end
