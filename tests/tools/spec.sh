#!/bin/sh
# Runs one spec file in a process of its own, so that a crash costs one file, not the run.
#   spec.sh SPEC [DEVICE]
# Prints its name, what failed or was skipped, and a line of counts. Appends `PASSED FAILED SKIPPED`
# to the file that TEST_RESULTS names. Environment: see test.sh, which calls it.
set -u
spec=$1
[ -z "${2:-}" ] || export TINYKG_DEVICE="$2"
LUAJIT=${LUAJIT:-luajit}
work=$(mktemp -d) || exit 1
child=
trap 'rm -rf "$work"' EXIT
trap '[ -z "$child" ] || kill "$child" 2>/dev/null; exit 130' INT
trap '[ -z "$child" ] || kill "$child" 2>/dev/null; exit 143' TERM
export TINYKG_TALLY="$work/tally" TINYKG_CURRENT="$work/current"
: >"$TINYKG_TALLY"
: >"$TINYKG_CURRENT"

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

# Sets limit: the seconds that the spec may take. False when the deadline has passed.
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

run() {
  # In the background, for the traps; there a shell ignores Ctrl-C, which specs send to programs.
  env --default-signal=INT,QUIT timeout -k 10 "$limit" $prefix "$LUAJIT" tests/tools/busted.lua \
    --ignore-lua --output=tests/tools/output.lua ${FILTER:+"--filter=$FILTER"} "$spec" </dev/null &
  child=$!
  wait "$child"
  status=$?
  if [ "${TINYKG_CHECK:-}" = valgrind ]; then
    reports=$(own_reports)
    [ -z "$reports" ] || { printf '%s\n' "$reports"; fail "valgrind has reports, see above"; }
  fi
  case $status in
    124 | 137) fail "$spec ran out of time in: $(cat "$TINYKG_CURRENT")" ;;
    *)
      if [ "$(counted d)" = 0 ]; then
        fail "$spec ended early, status $status, in: $(cat "$TINYKG_CURRENT")"
      elif [ "$(counted f)" = 0 ] && [ $status != 0 ]; then
        fail "$spec passed, then ended with status $status"
      elif [ "$(counted pfs)" = 0 ] && [ -z "${FILTER:-}" ]; then
        fail "$spec holds no test"
      fi ;;
  esac
}

prefix_for
start=$(date +%s)
printf '%s%s\n' "$spec" "${TINYKG_DEVICE:+ on $TINYKG_DEVICE}"
if [ ! -f "$spec" ]; then fail "no such spec: $spec"
elif time_left; then run
else fail "$spec: no time left"; fi
times >"$work/times" # the last line: user and system time of what this shell waited for, as 0m1.25s
used=$(awk -F'[ms ]+' 'END { printf "%.0f", $1 * 60 + $2 + $3 * 60 + $4 }' "$work/times")
printf '  %d passed, %d failed, %d skipped in %d s, %s s of a processor\n' "$(counted p)" \
  "$(counted f)" "$(counted s)" $(($(date +%s) - start)) "$used"
echo "$(counted p) $(counted f) $(counted s)" >>"${TEST_RESULTS:-/dev/null}"
[ "$(counted f)" = 0 ]
