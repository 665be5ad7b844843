#!/bin/sh
# Looks for data races in the engine on several threads, with clang's ThreadSanitizer and archer,
# which tells it what OpenMP orders.
#   check.sh FOLDER   FOLDER holds host, planted, right and libtinykg.so, all made for that
# First a planted race must be found and its right version must pass; then nothing may be found in
# specs of ops and training, nor in a run of each recipe.
set -u
cd "$(dirname "$0")/../../.." || exit 1
folder=$(cd "$1" && pwd) || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
OMP_TOOL_LIBRARIES=$(realpath "$(clang -print-resource-dir)/../../libarcher.so")
export OMP_TOOL_LIBRARIES
export OMP_NUM_THREADS=4 OPENBLAS_NUM_THREADS=1
export TSAN_OPTIONS="ignore_noninstrumented_modules=1 history_size=5 exitcode=66 \
allocator_may_return_null=1 ${TSAN_OPTIONS:-}"
export TINYKG_LIB="$folder/libtinykg.so" TINYKG_CHECK=tsan
bad=0

[ -f "$OMP_TOOL_LIBRARIES" ] || { echo '  skip races: no libarcher.so (libomp-dev)'; exit 0; }

"$folder/planted" >"$work/log" 2>&1
if grep -q 'WARNING: ThreadSanitizer: data race' "$work/log"; then
  echo '  ok   the planted race is found'
else
  echo '  FAIL the planted race is not found'; cat "$work/log"; exit 1
fi
"$folder/right" >"$work/log" 2>&1 || { echo '  FAIL a race is seen where none is'; cat "$work/log"; exit 1; }
echo '  ok   none is seen in what is right'

LUAJIT="$folder/host" tests/tools/test.sh ${SPEC:-tests/faults/races/*_spec.lua tests/spec/engine/ops_*spec.lua \
  tests/spec/engine/gradient_spec.lua tests/spec/engine/step_spec.lua tests/spec/engine/metrics_spec.lua \
  tests/spec/engine/metrics_ranking_spec.lua} || bad=1
exit $bad
