#!/bin/sh
# The emulation and the kernels on it, under a checker:
#   check.sh plain|asan|tsan DIR LIBTINYKG_EMU LIBTINYKG
#   check.sh ptx|host DIR LIBTINYKG_CUDA LIBTINYKG       nvcc's code on the checking runtime
# DIR holds harness, bugs and ops, or faults, built by kernels/build.mk. Prints one line per test. Exit status
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
  if "$dir/${bugs:-bugs}" "$1" >"$log" 2>&1; then
    printf '  FAIL %-22s was not caught\n' "$1"; failed=1
  elif grep -q -- "$2" "$log"; then
    printf '  ok   %-22s caught: %s\n' "$1" "$2"
  else
    printf '  FAIL %-22s ended otherwise\n' "$1"; tail -n 20 "$log"; failed=1
  fi
}

# Faults of the host are found without running kernels.
host_faults() {
  caught allocates_in_capture 'check: cudaMalloc while'
  caught waits_in_capture 'check: cudaStreamSynchronize while'
  caught uploads_in_capture 'check: a copy from or to the host while'
  caught frees_twice 'is no block'
  caught keeps_a_freed_pointer 'is freed device memory'
  caught passes_host_memory "points to the host's memory"
  caught changes_a_source 'pinned memory changed'
  caught copies_too_much 'run over the end'
  caught reads_on_the_host 'the host touched device memory'
  caught uses_another_stream 'on another stream'
  caught asks_for_too_large_a_grid 'a grid of'
  caught asks_for_too_much_shared_memory 'bytes of shared memory'
  caught uses_another_buffer 'another buffer or algorithm'
  caught changes_a_graph 'a graph changed after cuSPARSE'
  caught prepares_in_capture 'check: cusparseSpMM_preprocess while'
}

# says DEVICE TEXT: a device that cannot be used is refused with a line that contains TEXT
says() {
  TKG_CHECK_DEVICE=$1 TINYKG_LIB="$dir/libtinykg.so" ./tinykg tests/kernels/ptx/open.lua >"$log" 2>&1
  if grep -q -- "$2" "$log"; then
    printf '  ok   %-22s says: %s\n' "$1" "$2"
  else
    printf '  FAIL %-22s says\n' "$1"; tail -n 5 "$log"; failed=1
  fi
}

kernel_faults() {
  caught loads_a_misaligned_vector 'misaligned access of 16 bytes'
  caught writes_behind_a_block 'no live device memory'
  caught reads_behind_shared_memory 'shared: beyond the end'
  caught shuffles_outside_its_mask 'mask lacks it'
}

case $mode in
  ptx | host)
    bugs=faults
    [ $mode = ptx ] || export TKG_CHECK_RUN=no
    passes 'no fault' "$dir/faults" nothing
    host_faults
    says no_driver 'no NVIDIA driver, or one older than CUDA'
    says no_code 'no code for compute capability 9.0: make cuda CUDA_ARCHS=90 builds it' ;;
  *) passes harness "$dir/harness" ;;
esac
case $mode in
  host) passes recipes env TINYKG_LIB="$dir/libtinykg.so" ./tinykg tests/kernels/ptx/recipes.lua
    exit $failed ;;
  ptx) kernel_faults
    passes recipes env TINYKG_LIB="$dir/libtinykg.so" ./tinykg tests/kernels/ptx/recipes.lua
    passes 'sums by cuSPARSE' env TINYKG_LIB="$dir/libtinykg.so" ./tinykg tests/kernels/ptx/sparse.lua
    passes 'instructions of tiles' env TINYKG_LIB="$dir/count/libtinykg.so" \
      ./tinykg tests/kernels/ptx/count.lua
    passes 'replayed steps' env TINYKG_LIB="$(readlink -f "$dir")/libtinykg.so" TINYKG_DEVICE=cuda \
      tests/tools/test.sh tests/spec/engine/replay_spec.lua
    passes 'bench-gpu, tried out' env TINYKG_LIB="$dir/libtinykg.so" TINYKG_DEVICE=cuda \
      ./tinykg tests/bench/gpu.lua --quick "$dir" ;;
  plain)
    caught divergent_barrier 'emu: deadlock'
    caught mixed_collectives 'different collectives'
    caught not_in_mask 'mask lacks it'
    passes 'a wide product' env TKG_CUBLAS=no TINYKG_LIB="$engine" \
      ./tinykg tests/kernels/wide_product.lua ;;
  asan)
    caught off_by_one 'heap-buffer-overflow'
    caught beside_shared 'use-after-poison' ;;
  tsan)
    for bug in plain_sum warp_in_step no_barrier one_barrier_short between_blocks; do
      caught $bug 'data race'
    done ;;
  *) echo "check.sh: plain, asan, tsan, ptx or host, not '$mode'" >&2; exit 2 ;;
esac
case $mode in ptx) device=cuda tools=$dir/../emu ;; *) device=emu tools=$dir ;; esac
for seed in ${SEED:-1 $(date -u +%Y%m%d)}; do
  passes "ops, seed $seed" "$tools/ops" "$engine" "$kernels" $device "$seed" "${ROUNDS:-10}"
done
exit $failed
