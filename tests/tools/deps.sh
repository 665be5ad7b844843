#!/bin/sh
# What tinykg needs from the system: looks for each thing itself, not for a package's name.
#   deps.sh run [GROUP...]  installs what is missing to build and run; groups: test (the specs), plot
#                           (what draws), dev (what lints and checks)
#   deps.sh --check build   installs nothing; says what a build lacks, exit status 1
set -u
CC=${CC:-cc} CBLAS=${CBLAS:--lopenblas} LUAJIT=${LUAJIT:-luajit}
check=no
[ "${1:-}" = --check ] && { check=yes; shift; }
groups=${*:-run}

has() { command -v "$1" >/dev/null 2>&1; }
# compiles LINES FLAGS...: does a small program with these lines build?
compiles() {
  lines=$1; shift
  printf '%s\nint main(void) { return 0; }\n' "$lines" |
    $CC "$@" -x c - -o /dev/null $links >/dev/null 2>&1
}
links=
library() { links=$2; compiles "#include <$1>"; r=$?; links=; return $r; }
lua() { "$LUAJIT" -e "require '$1'" >/dev/null 2>&1; }
openmp() { compiles '#include <omp.h>
int threads(void);
int threads(void) { return omp_get_max_threads(); }' -fopenmp; }

# The usual case in two processes: everything is there.
all_libraries() {
  links="$CBLAS -lz -llzma -lm"
  compiles '#include <cblas.h>
#include <lzma.h>
#include <omp.h>
#include <zlib.h>' -fopenmp; r=$?; links=; return $r
}

missing= names= extra=
# need PACKAGE WHY PROBE...
need() {
  package=$1 why=$2; shift 2
  "$@" && return
  missing="$missing  $package: $why
"
  case " $names " in *" $package "*) ;; *) names="${names:+$names }$package" ;; esac
}

# want PACKAGE WHY PROBE...: what can be done without: it is no failure when it cannot be had.
want() {
  package=$1 why=$2; shift 2
  "$@" && return
  extra="${extra:+$extra }$package"
  echo "not here: $package: $why" >&2
}

compiler_package() { case $CC in *clang*) echo clang ;; *) echo gcc ;; esac; }
openmp_package() { case $CC in *clang*) echo libomp-dev ;; *) echo gcc ;; esac; }

build_group() {
  need "$(compiler_package)" "the C compiler ($CC)" has "${CC%% *}"
  has "${CC%% *}" || return
  all_libraries && return
  if ! compiles '#include <stdio.h>'; then
    need libc6-dev 'the headers of the C library' compiles '#include <stdio.h>'
  fi
  need "$(openmp_package)" "OpenMP for $CC, threads in the engine" openmp
  need libopenblas-dev 'matrix products (any CBLAS: CBLAS=-l...)' library cblas.h "$CBLAS"
  need zlib1g-dev 'reads .gz files' library zlib.h -lz
  need liblzma-dev 'reads .xz files' library lzma.h -llzma
}

# What XSMM names, nothing if it is empty, is the user's choice. Debian has libxsmm for x86-64 alone.
xsmm() { [ "${XSMM+given}" ] || [ "$(uname -m)" != x86_64 ] || compiles '#include <libxsmm.h>'; }

# has_modules NAME...: in one process, the usual case. Without LuaJIT no module can be probed: then
# all of them are named, and apt skips what it has.
has_modules() {
  "$LUAJIT" -e "for m in ('$*'):gmatch '%S+' do require(m) end" >/dev/null 2>&1
}
run_group() {
  build_group
  want libxsmm-dev 'faster products of narrow matrices (XSMM= does without)' xsmm
  need luajit 'runs the Lua part' has "$LUAJIT"
  has_modules argparse cjson lfs posix readline && return
  need lua-argparse 'the command line' lua argparse
  need lua-cjson 'reads and writes JSON' lua cjson
  need lua-filesystem 'looks at folders' lua lfs
  need lua-posix 'processes, signals, terminals' lua posix
  need lua-readline 'edits and completes lines at the prompt' lua readline
}
test_group() {
  need xz-utils 'makes .xz files in the tests' has xz
  want openmpi-bin 'mpirun, for the tests of ranks' has mpirun
  want procps 'pgrep, for the tests of ranks' has pgrep
  has_modules lpty busted.runner && return
  need lua-lpty 'a pseudo-terminal, for the tests of the prompt' lua lpty
  need lua-busted 'runs the tests' lua busted.runner
}
plot_group() { need gnuplot-nox 'draws what tk.plot is given' has gnuplot; }

dev_group() {
  need clang-format 'make lint, make format' has clang-format
  need clang-tidy 'make lint' has clang-tidy
  need libomp-dev 'omp.h for clang-tidy' clang_has_omp
  need cppcheck 'make lint' has cppcheck
  need lua-check 'luacheck, make lint' has luacheck
  need universal-ctags 'lengths of functions, make lint' has ctags
  need valgrind 'make check-valgrind' has valgrind
}
clang_has_omp() {
  dir=$(mktemp -d) || return 1
  printf '#include <omp.h>\n' >"$dir/omp.c"
  clang-tidy --quiet '--checks=-*,misc-static-assert' "$dir/omp.c" -- -fopenmp >/dev/null 2>&1
  r=$?; rm -rf "$dir"; return $r
}

# For make fuzz and make check-tsan.
attack_group() {
  need clang 'make fuzz, make check-tsan' has clang
  need libclang-rt-dev 'the fuzzer and the sanitizers of clang' clang_builds '' \
    -fsanitize=address
  need libomp-dev 'OpenMP for clang, with archer for races' clang_builds '#include <omp.h>' -fopenmp
  need libluajit-5.1-dev 'LuaJIT within the programs of make fuzz' clang_builds '#include <lua.h>' \
    -I/usr/include/luajit-2.1
}
clang_builds() (CC=clang; compiles "$@")

look() {
  missing= names= extra=
  for group in $groups; do
    case $group in
      build) build_group ;;
      run) run_group ;;
      test) test_group ;;
      plot) plot_group ;;
      dev) dev_group ;;
      attack) attack_group ;;
      *) echo "deps: unknown group '$group'; known: build run test plot dev attack" >&2; exit 2 ;;
    esac
  done
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
can_be_root() {
  [ "$(id -u)" = 0 ] && return
  has sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }
}
apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@"; }
apt_knows() {
  for name in $names; do
    apt-cache show --no-all-versions "$name" >/dev/null 2>&1 || return 1
  done
}
known_extra() {
  for name in $extra; do
    apt-cache show --no-all-versions "$name" >/dev/null 2>&1 && echo "$name"
  done
}
apt_install() { apt install -y --no-install-recommends $names $(known_extra); }
# Not where packages were brought along: there is no network, and to look for one takes a minute.
install_extra() {
  [ ! -d build/packages ] || return
  has apt-get && can_be_root && [ -n "$(known_extra)" ] || return
  echo "installing: $(known_extra)"
  apt_install >/dev/null 2>&1 || echo "apt-get could not install it; going on without" >&2
}

look
if [ -z "$names" ]; then
  install_extra
  exit 0
fi
printf 'missing:\n%s' "$missing" >&2
if [ $check = yes ]; then
  echo "make deps installs them, or: apt-get install $names" >&2
  exit 1
fi
# What was brought along to a machine without a network.
if [ -d build/packages ] && can_be_root; then
  as_root sh "$(dirname "$0")/gpu-packages.sh" unpack build/packages >&2
  look
  [ -z "$names" ] && exit 0
fi
if ! has apt-get; then
  echo "No apt-get here. Install with this system's package manager what Debian calls: $names" >&2
  exit 1
fi
if ! can_be_root; then
  echo "Not root, and no sudo. As root: apt-get install --no-install-recommends $names" >&2
  exit 1
fi
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
echo "installing: $names"
{
  { apt_knows || apt update; } && { apt_install || { apt update && apt_install; }; }
} >"$log" 2>&1 || {
  tail -n 20 "$log" >&2
  echo "apt-get could not install: $names" >&2
  exit 1
}
look
[ -z "$names" ] && exit 0
printf 'still missing after the installation:\n%s' "$missing" >&2
exit 1
