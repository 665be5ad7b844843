#!/bin/sh
# Runs spec files, as many at a time as there are processors.
#   test.sh [SPEC...]            default: those of tests/spec and tests/faults, then the specs of ops
#                                once more on each device that DEVICES names; HOST=no leaves the
#                                former out
# The last line is `N passed, N failed, N skipped`; the exit status is 1 when anything failed.
# Environment: TINYKG_LIB the library; FILTER a Lua pattern of test names; TEST_JOBS specs at a time;
# TEST_TIMEOUT seconds a file; DEADLINE in seconds since 1970, what has not run by then has failed;
# TINYKG_CHECK=asan|valgrind runs LuaJIT under that checker, tsan says that it is under one (specs may
# read it and do less).
set -u
cd "$(dirname "$0")/../.." || exit 1
root=$PWD
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

export TINYKG_LIB="${TINYKG_LIB:-$root/build/libtinykg.so}"
export TINYKG_CACHE=off # but where a spec says otherwise
export LUA_PATH="$root/lua/?.lua;$root/lua/?/init.lua;${LUA_PATH:-;}"
# Threads that wait leave the processor to those of other specs.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
export TEST_RESULTS="$work/results"
: >"$TEST_RESULTS"

# A real device also gets what runs on the emulated one by itself.
specs_of() {
  echo tests/spec/engine/ops*_spec.lua tests/spec/engine/gradient_spec.lua tests/spec/engine/tile_spec.lua
  [ "$1" = emu ] || echo tests/spec/engine/device_spec.lua tests/spec/engine/replay_spec.lua
}

if [ $# -gt 0 ]; then
  DEVICES=
elif [ "${HOST:-yes}" = yes ]; then
  set -- tests/spec/*/*_spec.lua tests/faults/*_spec.lua
fi
{
  for spec; do printf '%s\n' "$spec"; done
  for device in ${DEVICES:-}; do
    for spec in $(specs_of "$device"); do printf '%s %s\n' "$spec" "$device"; done
  done
} >"$work/all"

# The longest first, so that at the end none runs alone for long; then the others, as they came.
awk 'FNR == NR { if ($0 !~ /^#/ && NF) long[++n] = $0; next }
  { all[++m] = $0; there[$0] = 1 }
  END {
    for (i = 1; i <= n; i++) if (there[long[i]]) { print long[i]; done[long[i]] = 1 }
    for (i = 1; i <= m; i++) if (!done[all[i]]) print all[i]
  }' tests/tools/longest "$work/all" >"$work/queue"

# Runs a spec, prints what it printed in one piece and keeps its failures for the end.
export TEST_WORK="$work"
one='out=$(mktemp "$TEST_WORK/out.XXXXXX") && {
  tests/tools/spec.sh $0 >"$out" 2>&1; failed=$?
  flock "$TEST_WORK/queue" cat "$out"
  [ $failed = 0 ] || flock "$TEST_WORK/queue" tests/tools/failures.awk "$out" >>"$TEST_WORK/failures"
  rm -f "$out"; }'
number=$(wc -l <"$work/queue")
jobs=${TEST_JOBS:-$(nproc 2>/dev/null || echo 1)}
if [ "$number" = 1 ]; then
  read -r spec <"$work/queue" && tests/tools/spec.sh $spec
else
  xargs -P "$jobs" -I '{}' sh -c "$one" '{}' <"$work/queue"
fi

# What failed, once more: above stands the output of a hundred specs.
[ ! -s "$work/failures" ] || { echo; cat "$work/failures"; }
echo
awk -v number="$number" '{ p += $1; f += $2; s += $3 }
  END {
    if (NR < number) printf "  FAIL %d specs have left no result\n", number - NR
    printf "%d passed, %d failed, %d skipped\n", p, f + number - NR, s
    exit f + number - NR > 0
  }' "$TEST_RESULTS"
