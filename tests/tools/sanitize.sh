#!/bin/sh
# A small recipe on the GPU under compute-sanitizer: memcheck (bounds, leaks of access) and racecheck
# (shared memory). Prints a line a tool; skips, with the reason, where there is none or no time is left.
# Environment: DEADLINE in seconds since 1970, DEVICE (cuda).
set -u
cd "$(dirname "$0")/../.." || exit 1
device=${DEVICE:-cuda}
PATH=$PATH:/usr/local/cuda/bin # where the toolkit usually is
command -v compute-sanitizer >/dev/null || {
  echo '  skip compute-sanitizer: not on the PATH (it comes with the CUDA toolkit)'
  exit 0
}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
./tinykg data demo "$work/data" --users 60 --items 60 >/dev/null || exit 1

# train: some steps and an evaluation, with sampling, sorting, codes, products and a replay
cat >"$work/train.lua" <<'LUA'
local tk = require 'tinykg'
tk.device(arg[2])
tk.seed(1)
local recipe, data = dofile 'recipes/kgcn.lua', tk.data.load(arg[1], {seed = 1})
local o = recipe:complete{dim = 16, hops = 2, neighbors = 4, dropout = 0.1}
local model = recipe.build(data, o):train()
local step = tk.step(function(batch) return model:loss(batch) end,
                     {optimizer = tk.optim.adam{lr = 1e-3}, bits = 2, small = 0})
local n, loss = 0
for batch in data:batches{size = 32, seed = 1, epoch = 1} do
  n, loss = n + 1, step(batch)
  if n == 4 then break end
end
print(('%d steps, loss %.4f'):format(n, loss))
LUA

failed=0
for tool in memcheck racecheck; do
  limit=180
  [ -z "${DEADLINE:-}" ] || limit=$((DEADLINE - $(date +%s)))
  [ "$limit" -gt 20 ] || { echo "  skip $tool       no time left"; continue; }
  timeout -k 10 "$limit" compute-sanitizer --tool "$tool" --target-processes all \
    --error-exitcode 9 --print-limit 5 ./tinykg "$work/train.lua" "$work/data" "$device" >"$work/log" 2>&1
  status=$?
  if [ $status = 0 ]; then
    printf '  ok   %-10s %s\n' "$tool" "$(grep ' steps, loss ' "$work/log")"
  elif [ $status = 124 ]; then
    printf '  skip %-10s ran out of time\n' "$tool"
  elif grep -q 'Device not supported' "$work/log"; then
    printf '  skip %-10s the device refuses it: %s\n' "$tool" "$(grep -m 1 'not supported' "$work/log")"
  else
    printf '  FAIL %s\n' "$tool"
    tail -n 40 "$work/log"
    failed=1
  fi
done
exit $failed
