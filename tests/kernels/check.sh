#!/bin/sh
# The emulation and the kernels on it, under a checker:
#   check.sh plain|asan|tsan DIR LIBTINYKG_EMU LIBTINYKG
# DIR holds harness, bugs and ops, built by kernels/build.mk. Prints one line per test. Exit status
# 1 if one failed. SEED and ROUNDS are those of the op check, which by default runs with seed 1 and
# with the date.
set -u
mode=$1 dir=$2 kernels=$3 engine=$4
failed=0
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT

# Leaks of the process under test are not checked here.
export ASAN_OPTIONS=detect_leaks=0 TSAN_OPTIONS=halt_on_error=1
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"

# passes NAME COMMAND...
passes() {
  name=$1; shift
  if "$@" >"$log" 2>&1; then
    printf '  ok   %-22s %s\n' "$name" "$(tail -n 1 "$log")"
  else
    printf '  FAIL %s\n' "$name"; tail -n 40 "$log"; failed=1
  fi
}

# caught BUG TEXT: the planted bug must end the program with a report that contains TEXT
caught() {
  if "$dir/bugs" "$1" >"$log" 2>&1; then
    printf '  FAIL %-22s was not caught\n' "$1"; failed=1
  elif grep -q -- "$2" "$log"; then
    printf '  ok   %-22s caught: %s\n' "$1" "$2"
  else
    printf '  FAIL %-22s ended otherwise\n' "$1"; tail -n 20 "$log"; failed=1
  fi
}

passes harness "$dir/harness"
case $mode in
  plain)
    caught divergent_barrier 'emu: deadlock'
    caught mixed_collectives 'different collectives'
    caught not_in_mask 'mask lacks it' ;;
  asan)
    caught off_by_one 'heap-buffer-overflow'
    caught beside_shared 'use-after-poison' ;;
  tsan)
    for bug in plain_sum warp_in_step no_barrier one_barrier_short between_blocks; do
      caught $bug 'data race'
    done ;;
  *) echo "check.sh: plain, asan or tsan, not '$mode'" >&2; exit 2 ;;
esac
for seed in ${SEED:-1 $(date -u +%Y%m%d)}; do
  passes "ops, seed $seed" "$dir/ops" "$engine" "$kernels" emu "$seed" "${ROUNDS:-10}"
done
exit $failed
