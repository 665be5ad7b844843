#!/bin/bash
# Everything `make lint` looks at. Runs all checks, then fails if one did.
# Environment from make: CPPFLAGS (compile flags), ISA (the one that CPU files are read as).
set -uo pipefail
shopt -s nullglob extglob
cd "$(dirname "$0")/../.." || exit 1
CPPFLAGS=${CPPFLAGS:--std=c17 -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -Iengine -Ikernels -fopenmp}
CXXFLAGS='-x c++ -std=c++17 -fopenmp -Iengine -Ikernels -Ikernels/emu -Wall -Wextra'
ISA=${ISA:-sse2}
MAX_FUNCTION=70 MAX_FILE=500
core=(engine/!(example)/*.c kernels/cpu/dispatch/*.c) cpu=(kernels/cpu/*.c)
headers=(engine/*.h engine/*/*.h kernels/{shared,cpu,cpu/dispatch}/*.h)
examples=(engine/example/*.c tests/faults/*/*.[ch])
cxx_sources=(kernels/cuda/*.cu kernels/emu/*.cpp tests/kernels/*.cu tests/kernels/*.cpp
  tests/bench/*.cpp)
cxx=("${cxx_sources[@]}" {kernels/{cuda,emu},tests/kernels}/*.h kernels/cuda/*.cuh)
lua=(.busted .luacheckrc) sized=(engine kernels)
for d in lua recipes tests; do [ -d $d ] && lua+=("$d"); done
for d in lua recipes; do [ -d $d ] && sized+=("$d"); done
bad=0

# step NAME COMMAND...: quiet when clean
step() {
  local name=$1 out start=$SECONDS; shift
  if out=$("$@" 2>&1); then
    printf '  ok   %-13s %3d s\n' "$name" $((SECONDS - start))
  else
    printf '  FAIL %s\n%s\n' "$name" "$out"
    bad=1
  fi
}

format() {
  local out
  out=$(clang-format --dry-run -Werror "${core[@]}" "${cpu[@]}" "${headers[@]}" \
    "${examples[@]}" 2>&1) && return
  printf '%s\n' "$out" | awk -F: '/error:/ { n[$1]++ }
    END { for (f in n) print f ": " n[f] " places; make format lays them out" }' | sort
  return 1
}

# As `make format` does it: clang-format does not know the ending .cu everywhere.
format_cxx() {
  local file bad=0
  for file in "${cxx[@]}"; do
    clang-format --assume-filename=x.cpp <"$file" | cmp -s - "$file" && continue
    echo "$file: make format lays it out"; bad=1
  done
  return $bad
}

# Registers that do not suffice make a kernel go through memory; ptxas says so, and then a kernel of
# ours does not compile (kernels/build.mk). Only what has changed since the last look is compiled.
spills() {
  make --no-print-directory BUILD=build/lint CUDA_ARCHS=90 spills
}

# tidy FLAGS FILE...: one process per file (clang-tidy 14 confuses the va_lists of several). V=1 shows
# the path to each complaint. Two underscores in a name are reserved in C++ alone, so they are
# allowed in what .cu files share with C.
tidy() {
  local flags=$1 out checks=; shift
  case $flags in *c++*) checks=-bugprone-reserved-identifier ;; esac
  [ $# -gt 0 ] || return 0
  # shellcheck disable=SC2086
  out=$(printf '%s\n' "$@" | xargs -P "$(nproc)" -n 1 sh -c \
    'flags=$1 checks=$2; shift 2; clang-tidy --quiet --checks="$checks" "$@" -- $flags' \
    tidy "$flags" "$checks" 2>/dev/null) && return
  [ -n "${V:-}" ] || out=$(printf '%s\n' "$out" | grep -E ' (error|warning): ')
  printf '%s\n' "$out"
  return 1
}

# cpp_check LANGUAGE STANDARD FILE...: tensors hold int32 or float by design; gcc and clang both shift
# signed numbers arithmetically; a kernel's arguments are passed by value.
cpp_check() {
  local language=$1 standard=$2; shift 2
  cppcheck -q -j "$(nproc)" --std="$standard" --language="$language" \
    --enable=warning,performance,portability \
    --inline-suppr --suppress=missingIncludeSystem --suppress=unmatchedSuppression \
    --suppress=passedByValue --suppress=invalidPointerCast --suppress=shiftNegativeLHS \
    --suppress=shiftTooManyBitsSigned \
    --check-level=exhaustive --error-exitcode=1 "-DTKG_ISA=$ISA" "-D__$(uname -m)__=1" -D__GNUC__=12 \
    -Iengine -Ikernels -Ikernels/emu "$@"
}
# Older releases know no levels.
cppcheck --help 2>/dev/null | grep -q -- --check-level ||
  eval "$(declare -f cpp_check | sed 's/ *--check-level=exhaustive//')"

function_sizes() {
  ctags --languages=C,C++ --langmap=C:.c.h,C++:.cpp.cu.cuh --kinds-C=f --kinds-C++=f --fields=+ne \
    -x --_xformat='%{input}:%{line} %{end} %{name}' "${core[@]}" "${cpu[@]}" "${headers[@]}" \
    "${examples[@]}" "${cxx[@]}" |
    awk -v max=$MAX_FUNCTION '{ split($1, at, ":"); n = $2 - at[2] + 1 }
      $2 ~ /^[0-9]+$/ && n > max { print $1 ": " $3 " has " n " lines, at most " max; bad = 1 }
      END { exit bad }'
}

file_sizes() {
  find "${sized[@]}" -type f \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.cpp' \
    -o -name '*.lua' -o -name '*.def' \) \
    -exec wc -l {} + | awk -v max=$MAX_FILE '$2 != "total" && $1 > max {
      print $2 " has " $1 " lines, at most " max; bad = 1 } END { exit bad }'
}

step clang-format format
step 'format kernels' format_cxx
step luacheck luacheck -q "${lua[@]}"
step functions function_sizes
step files file_sizes
step cppcheck cpp_check c c11 "${core[@]}" "${cpu[@]}"
step 'cppcheck cxx' cpp_check c++ c++17 "${cxx_sources[@]}"
step clang-tidy tidy "$CPPFLAGS" "${core[@]}"
if [ -n "${NVCC:-}" ]; then
  step 'spills' spills
else
  echo '  skip spills: no nvcc'
fi
step 'clang-tidy cpu' tidy "$CPPFLAGS -DTKG_ISA=$ISA" "${cpu[@]}"
step 'clang-tidy cxx' tidy "$CXXFLAGS" "${cxx_sources[@]}"
exit $bad
