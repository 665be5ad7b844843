#!/bin/sh
# make bench: ratios on this machine. Real data where TINYKG_DATA (default ../shared/data) has it,
# else a generated set; PyTorch beside it where python3 has torch.
set -eu
sets=${TINYKG_DATA:-../shared/data}
music=$sets/kgcn-music last=$sets/kgat-last-fm
if [ ! -d "$music" ]; then
  music=build/bench-data
  [ -d "$music" ] || ./tinykg data demo "$music" >/dev/null
fi
python=${PYTHON:-/usr/bin/python3}
torch=no
"$python" -c 'import torch' 2>/dev/null && torch=yes
[ $torch = yes ] || echo '(no PyTorch comparison: python3 has no torch)'

# PyTorch 1.13 with glibc kept from giving memory back between steps: its better figures.
in_torch() {
  script=$1; shift
  [ $torch = yes ] || return 0
  echo "-- PyTorch: $script $*"
  MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_MMAP_THRESHOLD_=17179869184 OMP_NUM_THREADS=1 \
    "$python" "tests/bench/pytorch_$script.py" step --threads 1 "$@"
}
steps() { ./tinykg bench step --recipe "recipes/$1.lua" --data "$2" --bits 32,8,4,2,1 $3; }

echo "== KGCN on $music: published settings for music; for book, with 3 hops"
for threads in 1 2; do
  steps kgcn "$music" "--threads $threads --steps 200 --set preset=music"
  steps kgcn "$music" "--threads $threads --steps 25 --set preset=book --set hops=3"
done
if [ -d "$music/derived" ]; then
  in_torch kgcn --preset music --l2-form decay --data "$music"
  in_torch kgcn --preset book --hops 3 --l2-form decay --data "$music" --steps 15
  steps ripplenet "$music" "--threads 1 --steps 40"
  in_torch ripplenet --data "$music" --steps 20
fi
if [ -d "$last" ]; then
  for recipe in kgat kgin; do
    echo "== $recipe on $last"
    for threads in 1 2; do steps $recipe "$last" "--threads $threads --steps 6"; done
    in_torch $recipe --data "$last" --steps 4
  done
  echo "== the peak on $last: planned, and of PyTorch"
  for recipe in lightgcn kgin kgat; do
    ./tinykg memory "recipes/$recipe.lua" --data "$last" --bits 2 | sed -n '1p;3,7p'
    mean=; [ $recipe = kgin ] && mean='--mean scatter'
    [ $torch = no ] || MALLOC_MMAP_THRESHOLD_=65536 OMP_NUM_THREADS=1 \
      "$python" "tests/bench/pytorch_$recipe.py" peak --data "$last" $mean
  done
fi
echo "== ops, codec, reading, ranking"
./tinykg bench ops codec overhead load eval --threads 1
