#!/bin/sh
# make bench: ratios on this machine. Real data where TINYKG_DATA (default ../shared/data) has it,
# else a generated set; PyTorch beside it where python3 has torch.
set -eu
data=${TINYKG_DATA:-../shared/data}/kgcn-music
if [ ! -d "$data" ]; then
  data=build/bench-data
  [ -d "$data" ] || ./tinykg data demo "$data" >/dev/null
fi
echo "== KGCN steps on $data (one thread, then two)"
./tinykg tests/bench/kgcn_step.lua "$data" 1
./tinykg tests/bench/kgcn_step.lua "$data" 2
python=${PYTHON:-/usr/bin/python3}
if [ -d "$data/derived" ] && "$python" -c 'import torch' 2>/dev/null; then
  echo "== the same steps in PyTorch, one thread (L2 as weight decay in both)"
  "$python" tests/bench/pytorch_kgcn.py step --preset music --l2-form decay --threads 1 --data "$data"
  "$python" tests/bench/pytorch_kgcn.py step --preset book --hops 3 --l2-form decay --threads 1 --data "$data" --steps 15
  MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_MMAP_THRESHOLD_=17179869184 \
    "$python" tests/bench/pytorch_kgcn.py step --preset book --hops 3 --l2-form decay --threads 1 --data "$data" --steps 15
else
  echo "(no PyTorch comparison: python3 has no torch, or the data set is not there)"
fi
echo "== codec"
luajit tests/bench/codec_bench.lua
