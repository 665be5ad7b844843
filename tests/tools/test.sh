#!/bin/sh
# Runs spec files, each in a process of its own, so that a crash costs one file, not the run.
#   test.sh [SPEC...]            default: those of tests/spec and tests/faults, then the specs of ops
#                                once more on each device that DEVICES names; HOST=no leaves the
#                                former out
# The last line is `N passed, N failed, N skipped`; the exit status is 1 when anything failed.
# Environment: TINYKG_LIB the library; FILTER a Lua pattern of test names; TEST_TIMEOUT seconds a
# file; DEADLINE in seconds since 1970, what has not run by then has failed; TINYKG_CHECK=asan|valgrind
# runs LuaJIT under that checker, tsan says that it is under one (specs may read it and do less).
set -u
cd "$(dirname "$0")/../.." || exit 1
root=$PWD
LUAJIT=${LUAJIT:-luajit}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

export TINYKG_LIB="${TINYKG_LIB:-$root/build/libtinykg.so}"
export TINYKG_TALLY="$work/tally" TINYKG_CURRENT="$work/current"
export TINYKG_CACHE=off # but where a spec says otherwise
export LUA_PATH="$root/lua/?.lua;$root/lua/?/init.lua;${LUA_PATH:-;}"
: >"$TINYKG_TALLY"

# Sets prefix: the words that come before luajit on the command line.
prefix_for() {
  case ${TINYKG_CHECK:-} in
    '') prefix= seconds=600 ;;
    asan)
      # LuaJIT's own heap is invisible to the leak checker, so leaks are valgrind's business.
      asan=$(${CC:-cc} -print-file-name=libasan.so) || exit 1
      prefix="env LD_PRELOAD=$asan \
        ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:abort_on_error=0:exitcode=99:${ASAN_OPTIONS:-} \
        UBSAN_OPTIONS=print_stacktrace=1:${UBSAN_OPTIONS:-}"
      seconds=1800 ;;
    valgrind)
      prefix="valgrind -q --error-limit=no --num-callers=30 --keep-debuginfo=yes --leak-check=full \
        --show-leak-kinds=definite --suppressions=tests/tools/valgrind.supp \
        --log-file=$work/valgrind.%p"
      seconds=3600 ;;
    tsan) prefix= seconds=1800 ;; # LUAJIT is a program that the sanitizer watches
    *) echo "TINYKG_CHECK: unknown '$TINYKG_CHECK', known: asan tsan valgrind" >&2; exit 2 ;;
  esac
}

# Sets limit: the seconds that a spec may take. False when the deadline has passed.
time_left() {
  limit=${TEST_TIMEOUT:-$seconds}
  [ -n "${DEADLINE:-}" ] || return 0
  left=$((DEADLINE - $(date +%s)))
  [ "$limit" -le "$left" ] || limit=$left
  [ "$limit" -gt 0 ]
}

counted() { tr -cd "$1" <"$TINYKG_TALLY" | wc -c | tr -d ' '; }
fail() { printf f >>"$TINYKG_TALLY"; printf '  FAIL %s\n' "$1"; }

# Reports of valgrind that name the engine; LuaJIT, the C library and OpenBLAS answer for themselves.
own_reports() {
  for log in "$work"/valgrind.*; do
    [ -f "$log" ] || continue
    sed 's/^==[0-9]*== \{0,1\}//' "$log" |
      awk 'BEGIN { RS = "" } /libtinykg\.so|tkg_/ { print $0 "\n" }'
    rm -f "$log"
  done
}

run_spec() {
  spec=$1
  : >"$TINYKG_CURRENT"
  passed=$(counted p) failed=$(counted f) skipped=$(counted s) done=$(counted d)
  start=$(date +%s)
  printf '%s%s\n' "$spec" "${TINYKG_DEVICE:+ on $TINYKG_DEVICE}"
  time_left || { fail "$spec: no time left"; return; }
  timeout -k 10 "$limit" $prefix "$LUAJIT" tests/tools/busted.lua --ignore-lua \
    --output=tests/tools/output.lua ${FILTER:+"--filter=$FILTER"} "$spec" </dev/null
  status=$?
  if [ "${TINYKG_CHECK:-}" = valgrind ]; then
    reports=$(own_reports)
    [ -z "$reports" ] || { printf '%s\n' "$reports"; fail "valgrind has reports, see above"; }
  fi
  passed=$(($(counted p) - passed)) skipped=$(($(counted s) - skipped))
  now_failed=$(($(counted f) - failed))
  case $status in
    124 | 137) fail "$spec ran out of time in: $(cat "$TINYKG_CURRENT")" ;;
    *)
      if [ "$(counted d)" = "$done" ]; then
        fail "$spec ended early, status $status, in: $(cat "$TINYKG_CURRENT")"
      elif [ "$now_failed" = 0 ] && [ $status != 0 ]; then
        fail "$spec passed, then ended with status $status"
      elif [ $((passed + skipped + now_failed)) = 0 ] && [ -z "${FILTER:-}" ]; then
        fail "$spec holds no test"
      fi ;;
  esac
  printf '  %d passed, %d failed, %d skipped in %d s\n' "$passed" $(($(counted f) - failed)) \
    "$skipped" $(($(date +%s) - start))
}

prefix_for
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
for spec; do
  if [ -f "$spec" ]; then run_spec "$spec"; else fail "no such spec: $spec"; fi
done
for device in ${DEVICES:-}; do
  export TINYKG_DEVICE="$device"
  for spec in $(specs_of "$device"); do run_spec "$spec"; done
done
failed=$(counted f)
echo
echo "$(counted p) passed, $failed failed, $(counted s) skipped"
[ "$failed" = 0 ]
