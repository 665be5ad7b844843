#!/bin/sh
# Runs fuzz targets one after the other and says how it went, one line per target.
#   run.sh FOLDER TARGET...   FOLDER holds what was built: TARGET, or `readers` for those in Lua
# Environment: SECONDS_EACH (60) or RUNS, whichever is given ends a target; TINYKG_LIB.
# New inputs stay in FOLDER/corpus/TARGET for the next time, one that broke a promise in FOLDER.
set -u
cd "$(dirname "$0")/../../.." || exit 1
folder=$1; shift
limit="-max_total_time=${SECONDS_EACH:-60}"
[ -z "${RUNS:-}" ] || limit="-runs=$RUNS"

# A tensor's memory is reused at once and stacks are not kept: four times as many runs a second.
export ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=1:malloc_context_size=2:${ASAN_OPTIONS:-}
export LUA_PATH="./?.lua;lua/?.lua;lua/?/init.lua;${LUA_PATH:-;}"
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

fuzz() {
  target=$1 program=$folder/$1
  [ -x "$program" ] || program=$folder/readers
  seeds=tests/faults/fuzz/corpus/$target kept=$folder/corpus/$target log=$folder/$target.log
  mkdir -p "$kept"
  words=tests/faults/fuzz/dictionary/$target
  FUZZ_READER=$target "$program" "$limit" ${SEED:+-seed="$SEED"} -max_len=1024 -timeout=20 \
    -rss_limit_mb=4096 -print_final_stats=1 -artifact_prefix="$folder/$target-" \
    $([ -f "$words" ] && echo "-dict=$words") "$kept" "$seeds" >"$log" 2>&1
  status=$?
  figure() { sed -n "s/^stat::$1: *//p" "$log"; }
  if [ $status = 0 ]; then
    printf '  ok   %-12s %9s runs, %6s per second\n' "$target" "$(figure number_of_executed_units)" \
      "$(figure average_exec_per_sec)"
    return 0
  fi
  printf '  FAIL %s: %s\n' "$target" "$(grep -a -m 1 -E 'violated|ERROR|error' "$log")"
  grep -a -E 'violated|Test unit|^ +#[0-9]+ .* in ' "$log" | head -n 30
  return 1
}

bad=0
for name; do fuzz "$name" || bad=1; done
exit $bad
