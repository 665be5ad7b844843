# tinykg: every command a person types. `make help` lists them.

PREFIX  ?= /usr/local
DESTDIR ?=
BUILD   ?= build
LUAJIT  ?= luajit
CBLAS   ?= -lopenblas
WERROR  ?= -Werror
# CFLAGS and LDFLAGS are the user's and come after our own. V=1 shows whole commands.
CFLAGS  ?= -g
LDFLAGS ?=

LIB  := $(BUILD)/libtinykg.so
DEPS := CC='$(CC)' CBLAS='$(CBLAS)' LUAJIT='$(LUAJIT)' \
  $(if $(filter undefined,$(origin XSMM)),,XSMM='$(XSMM)') tests/tools/deps.sh

# --- flags ---------------------------------------------------------------------------------------

# One result on every machine: no silent fused multiply-add, whatever the compiler's default is.
BASE_FLAGS := -std=c17 -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -Iengine -Ikernels -fPIC -fopenmp \
  -ffp-contract=off -Wall -Wextra -Wshadow -Wconversion $(WERROR)
CC_VERSION = $(shell $(CC) --version 2>/dev/null | head -n 1)
# clang warns where it cannot vectorise what `omp simd` allows; that is no mistake.
ifneq ($(findstring clang,$(CC_VERSION)),)
  BASE_FLAGS += -Wno-pass-failed
endif
MACHINE := $(or $(shell $(CC) -dumpmachine 2>/dev/null),$(shell uname -m))
ARCH   := $(firstword $(subst -, ,$(MACHINE)))
ifneq ($(filter x86_64 amd64,$(ARCH)),)
  ISAS := sse2 avx2 avx512
else ifneq ($(filter aarch64 arm64,$(ARCH)),)
  ISAS := neon
else ifneq ($(filter-out help clean deps deps-dev format,$(or $(MAKECMDGOALS),build)),)
  $(error no CPU kernels for '$(ARCH)': tinykg builds for x86_64 and aarch64)
endif
ISA_FLAGS_sse2   :=
ISA_FLAGS_avx2   := -mavx2 -mfma -mf16c
ISA_FLAGS_avx512 := -march=x86-64-v4
ISA_FLAGS_neon   :=
# libxsmm makes the kernels of narrow matrix products; without it (XSMM=) they are the CBLAS's. Its
# symbols stay in the library: where it is a static one, as Debian's, nothing is needed at run time.
ifeq ($(origin XSMM),undefined)
  XSMM := $(if $(filter sse2,$(ISAS)),$(if $(findstring 1,$(shell \
    printf '%s\n' '\#if __has_include(<libxsmm_version.h>)' '\#include <libxsmm_version.h>' \
    'LIBXSMM_CONFIG_VERSION_MAJOR' '\#endif' | $(CC) -E -P - 2>/dev/null)),-lxsmm -lxsmmnoblas))
endif
ifneq ($(XSMM),)
  BASE_FLAGS += -DTKG_XSMM
  XSMM_LIBS := -Wl,--exclude-libs,libxsmm.a:libxsmmnoblas.a $(XSMM)
endif
LIBS := $(XSMM_LIBS) $(CBLAS) -lz -llzma -lm -ldl
CORE_OPT := -O2
CPU_OPT := -O3 -fno-math-errno -fno-trapping-math

# The name that programs in C ask for at run time: it changes with the C API.
SONAME := libtinykg.so.$(shell sed -n 's/^\#define TKG_ABI \([0-9]*\).*/\1/p' engine/tinykg.h)

# --- what is built -------------------------------------------------------------------------------

LAYERS   := base collective data tape autodiff passes run
SRCS     := $(sort $(wildcard $(LAYERS:%=engine/%/*.c) kernels/cpu/dispatch/*.c))
CPU_SRCS := $(sort $(wildcard kernels/cpu/*.c))
OBJS     := $(SRCS:%.c=$(BUILD)/obj/%.o) \
  $(foreach isa,$(ISAS),$(CPU_SRCS:kernels/cpu/%.c=$(BUILD)/obj/kernels/$(isa)/%.o))

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-4s %s\n' '$(1)' '$(2)')
# $(1): optimisation, $(2): instruction set
COMPILE = $(CC) $(BASE_FLAGS) $(1) $(2) $(CFLAGS) -MMD -MP
LINK    = $(CC) -shared -fopenmp -Wl,-z,defs -Wl,-z,nodelete $(CFLAGS) $(LDFLAGS)

# As many jobs as processors, unless -j was given.
JOBS = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc 2>/dev/null || echo 1))
MAKEFLAGS += --no-print-directory

.PHONY: build test test-cpu test-gpu bench-gpu demo bench bench-check deps deps-dev docs lint format install install-built check-folders uninstall clean help check-asan \
  check-valgrind objects FORCE
.DELETE_ON_ERROR:
.SUFFIXES:

build:
	@$(MAKE) $(JOBS) objects

objects: $(LIB) tinykg

$(LIB): $(OBJS) $(BUILD)/link.flags
	$(call say,LD,$@)
	$(Q)$(LINK) -Wl,-soname,$(SONAME) -o $@.new $(OBJS) $(LIBS) && mv -f $@.new $@

$(BUILD)/obj/%.o: %.c $(BUILD)/compile.flags
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(call COMPILE,$(CORE_OPT)) -c -o $@ $<

define cpu_rule
$(BUILD)/obj/kernels/$(1)/%.o: kernels/cpu/%.c $(BUILD)/compile.flags
	$$(call say,CC,$$< ($(1)))
	$$(Q)mkdir -p $$(@D) && $$(call COMPILE,$$(CPU_OPT),$$(ISA_FLAGS_$(1)) -DTKG_ISA=$(1)) \
	  -c -o $$@ $$<
endef
$(foreach isa,$(ISAS),$(eval $(call cpu_rule,$(isa))))

# The commands of the last build. They change only when the flags, the compiler or the list of files
# do, and then everything that depends on them is built again.
compile_line = $(call COMPILE,$(CORE_OPT),$(foreach i,$(ISAS),$(i): $(CPU_OPT) $(ISA_FLAGS_$(i)))) \
  $(CC_VERSION)
link_line    = $(LINK) $(SONAME) $(OBJS) $(LIBS)
keep_line = @mkdir -p $(@D); printf '%s\n' '$(1)' | cmp -s - $@ || \
  { $(2) printf '%s\n' '$(1)' >$@; }

$(BUILD)/compile.flags: FORCE
	$(call keep_line,$(compile_line),$(DEPS) --check build &&)
$(BUILD)/link.flags: FORCE
	$(call keep_line,$(link_line))

-include $(OBJS:.o=.d)
include kernels/build.mk
include tests/faults/build.mk
include tests/tools/packages.mk

# --- the launcher --------------------------------------------------------------------------------

# $(1): the folder that holds lua/, recipes/ and build/.
define launcher
#!/bin/sh
# Made by make. Runs tinykg from wherever this file really is; TINYKG_LIB names another library.
self=$$(readlink -f "$$0") || exit 1
here=$$(dirname "$$self")
TINYKG_HOME=$(1)
TINYKG_LIB=$${TINYKG_LIB:-$$TINYKG_HOME/build/libtinykg.so}
LUA_PATH="$$TINYKG_HOME/lua/?.lua;$$TINYKG_HOME/lua/?/init.lua;$${LUA_PATH:-;}"
# The engine cuts products for its own threads; each of OpenBLAS's would take 136 MiB of addresses.
OPENBLAS_NUM_THREADS=$${OPENBLAS_NUM_THREADS:-1}
export TINYKG_HOME TINYKG_LIB LUA_PATH OPENBLAS_NUM_THREADS
lua=$${LUAJIT:-luajit}
command -v "$$lua" >/dev/null || {
  echo "tinykg: there is no $$lua here, which runs it: apt-get install luajit, or LUAJIT=path" >&2
  exit 1
}
exec "$$lua" "$$TINYKG_HOME/lua/tinykg/cli/main.lua" "$$@"
endef
export LAUNCHER_HERE := $(call launcher,$$here)

tinykg: FORCE
	@printf '%s\n' "$$LAUNCHER_HERE" | cmp -s - $@ || \
	  { printf '%s\n' "$$LAUNCHER_HERE" >$@.new && chmod 755 $@.new && mv -f $@.new $@; }

# --- running and testing -------------------------------------------------------------------------

# SPEC=word runs the specs whose path contains it (a whole path names one), FILTER=pattern the tests
# whose name matches. The library is named, so that another BUILD can be tested.
ALL_SPECS := $(wildcard tests/spec/*/*_spec.lua tests/faults/*_spec.lua)
SPECS = $(foreach s,$(SPEC),$(or $(strip $(foreach f,$(ALL_SPECS),$(if $(findstring $(s),$(f)),$(f)))),$(s)))
RUN_TESTS = LUAJIT='$(LUAJIT)' FILTER='$(FILTER)' TINYKG_LIB='$(abspath $(1))' \
  tests/tools/test.sh $(SPECS)

emu-tests: $(BUILD)/libtinykg_emu.so $(BUILD)/libnccl_stand_in.so $(call emu_tools,$(BUILD)/emu)

# Not empty where the emulated GPU is needed: by the whole, by a spec that uses it, or as the device.
NEEDS_EMU = $(if $(SPECS),$(filter emu,$(TINYKG_DEVICE))$(shell \
  grep -lE 'support\.emulation|faults\.programs\.run' $(SPECS) 2>/dev/null),yes)

# The specs of ops run a second time on the emulated GPU: its kernels, compiled for the CPU. Where
# nvcc is, its code is checked too.
NEEDS_PTX = $(if $(NVCC),$(if $(SPECS),$(findstring ptx_spec,$(SPECS)),yes))
test:
	@$(DEPS) run test plot
	@$(MAKE) $(JOBS) objects $(if $(NEEDS_PTX),ptx) $(if $(NEEDS_EMU),emu-tests)
	@DEVICES=emu $(call RUN_TESTS,$(LIB))

test-cpu:
	@$(DEPS) run test plot
	@$(MAKE) build
	@EMULATION=no $(call RUN_TESTS,$(LIB))

# For a machine with a GPU: the same specs on it, with what needs a real one, the op check with random
# shapes, and, if time is left, a small recipe under compute-sanitizer. Done in five minutes. Another
# compiler's new warnings stop nothing there.
NEEDS_NVCC = $(if $(NVCC),:,echo 'no nvcc: the GPU backend cannot be built (NVCC=path names one)'; exit 1)
GPU_TESTS_END = $$(($$(date +%s) + 290))
test-gpu:
	@$(DEPS) run test
	@$(NEEDS_NVCC)
	@end=$(GPU_TESTS_END); $(MAKE) WERROR= build && $(MAKE) WERROR= $(JOBS) $(HERE_ARCHS) cuda check-device && \
	  { DEADLINE=$$((end - 50)) TEST_JOBS=1 HOST=no DEVICES=cuda $(call RUN_TESTS,$(LIB)); tests=$$?; \
	    DEADLINE=$$end tests/tools/sanitize.sh && [ $$tests = 0 ]; }

# Figures of the GPU: kernels, steps, memory, PyTorch and PyG beside them, in five minutes with what
# is built. DEVICE=emu QUICK=1 tries it out.
bench-gpu:
	@$(DEPS) run
	@$(if $(filter emu cpu,$(DEVICE)),:,$(NEEDS_NVCC))
	@end=$(GPU_TESTS_END); $(MAKE) WERROR= build && \
	  $(MAKE) WERROR= $(JOBS) $(if $(filter cuda%,$(or $(DEVICE),cuda)),$(HERE_ARCHS) cuda,$(DEVICE:cpu=build)) \
	    $(BUILD)/bench/kernels && \
	  TINYKG_DEVICE='$(or $(DEVICE),cuda)' DEADLINE=$$((end - 5)) timeout $$((end - $$(date +%s))) \
	    ./tinykg tests/bench/gpu.lua $(if $(QUICK),--quick) '$(BUILD)'

demo:
	@$(DEPS) run
	@$(MAKE) build
	@./tinykg demo

# Ratios within one run, into $(BUILD)/bench.json; ten minutes, or with QUICK=1 two.
bench:
	@$(DEPS) run
	@$(MAKE) build
	@./tinykg tests/bench/ratios.lua $(if $(QUICK),--quick) --out '$(BUILD)/bench.json'
	@$(if $(QUICK),:,./tinykg tests/bench/first_screen.lua '$(BUILD)/bench.json' \
	  $(if $(KEEP),--keep) || :)

# What fell since the ratios in tests/bench/ratios.json were kept; before it counts, all is measured
# once more. KEEP=1 keeps these in their place; FILE=bench.json compares what make bench has written.
CHECK_BENCH = ./tinykg tests/bench/check.lua $(if $(KEEP),--keep) '$(or $(FILE),$(BUILD)/bench.json)'
bench-check:
	@$(if $(FILE),$(MAKE) build,$(MAKE) bench)
	@$(CHECK_BENCH) || { [ -z '$(FILE)' ] && echo '== once more' && \
	  ./tinykg tests/bench/ratios.lua $(if $(QUICK),--quick) --best --out '$(BUILD)/bench.json' && \
	  $(CHECK_BENCH); }

deps:
	@$(DEPS) run test plot

deps-dev:
	@$(DEPS) run dev

# The specs under AddressSanitizer and UndefinedBehaviorSanitizer, in a build of its own.
ASAN := $(BUILD)/asan
ASAN_CC ?= gcc
check-asan:
	@$(DEPS) run test
	@$(MAKE) BUILD='$(ASAN)' CC='$(ASAN_CC)' $(JOBS) \
	  CFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
	  -fno-sanitize-recover=undefined' '$(ASAN)/libtinykg.so' tinykg
	@TINYKG_CHECK=asan CC='$(ASAN_CC)' $(call RUN_TESTS,$(ASAN)/libtinykg.so)

# The specs under valgrind; only what touches the library's own code counts.
check-valgrind:
	@$(DEPS) run test dev
	@$(MAKE) build
	@TINYKG_CHECK=valgrind $(call RUN_TESTS,$(LIB))

lint:
	@$(DEPS) run dev
	@CPPFLAGS='$(filter-out -Werror,$(BASE_FLAGS))' ISA='$(firstword $(ISAS))' NVCC='$(NVCC)' tests/tools/lint.sh

format:
	clang-format -i $(wildcard engine/*/*.[ch] engine/*.h kernels/shared/*.h kernels/cpu/*.[ch] kernels/cpu/*/*.[ch] \
	  kernels/emu/* tests/faults/*/*.[ch] tests/kernels/*.h tests/kernels/*.cpp)
	for f in kernels/cuda/* tests/kernels/*.cu tests/bench/*.cpp; do \
	  clang-format --assume-filename=x.cpp <$$f >$$f.new && mv $$f.new $$f; done

# lua/REFERENCE.md, out of the comments in lua/; the manual page, out of
# the commands' --help.
docs: build
	@./tinykg tests/tools/manual.lua && ./tinykg tests/tools/manpage.lua && \
	  ./tinykg tests/tools/completion.lua

# --- installing ----------------------------------------------------------------------------------

# Packagers set what they need: PREFIX, DESTDIR, and each folder by itself.
VERSION = $(shell sed -n 's/^#define TKG_VERSION "\([^"]*\)".*/\1/p' engine/tinykg.h)
BINDIR  ?= $(PREFIX)/bin
LIBDIR  ?= $(PREFIX)/lib
INCDIR  ?= $(PREFIX)/include
MANDIR  ?= $(PREFIX)/share/man
LUADIR  ?= $(PREFIX)/share/lua/5.1
# The Lua part keeps the layout of the repository, below one folder, so that modules find each other,
# the headers and the recipes as they do here.
HOMEDIR ?= $(LIBDIR)/tinykg

# The public headers: the whole C API (ops.def, the list of ops, goes with them). lua/tinykg/engine/lib.lua
# reads its declarations from them.
HEADERS := $(addprefix engine/,tinykg.h base/ops.def base/checksum.h base/sha256.h base/file_stamp.h data/string_table.h data/table.h data/csr.h data/graph.h \
  data/metrics.h)

# A tree that was moved as a whole, or lies below a DESTDIR, is found from the file that is run or
# loaded; where folders were chosen one by one, by their names.
install-built: export LAUNCHER_INSTALLED = $(call launcher,$$here/../lib/tinykg$(or_homedir))
define or_homedir

[ -d "$$TINYKG_HOME" ] || TINYKG_HOME='$(HOMEDIR)'
endef

# `require 'tinykg'` from a plain luajit, on its default path.
define lua_shim
local here = debug.getinfo(1, 'S').source:match('^@(.*)/share/lua/5%.1/tinykg%.lua$$')
local home = here and here .. '/lib/tinykg'
local init = home and loadfile(home .. '/lua/tinykg/init.lua')
if not init then
  home = '$(HOMEDIR)'
  init = assert(loadfile(home .. '/lua/tinykg/init.lua'))
end
package.path = home .. '/lua/?.lua;' .. home .. '/lua/?/init.lua;' .. package.path
require('tinykg.base.search_path').relative_last()
return init(...)
endef
install-built: export LUA_SHIM = $(lua_shim)

# Folders below the prefix are named by it, so that `pkg-config --define-prefix` finds a moved tree.
define pkg_config
prefix=$(PREFIX)
includedir=$(subst $(PREFIX)/,$${prefix}/,$(INCDIR))
libdir=$(subst $(PREFIX)/,$${prefix}/,$(LIBDIR))

Name: tinykg
Description: Training engine for knowledge-graph recommenders
Version: $(VERSION)
Cflags: -I"$${includedir}"
Libs: -L"$${libdir}" -ltinykg
endef
install-built: export PKG_CONFIG_FILE = $(pkg_config)

install: check-folders build
	@$(MAKE) install-built

# The folders are written into files, so they are whole paths, and make expands no ~. What is
# installed into HOMEDIR takes the place of what is there, which must not be what it is made of.
check-folders:
	@for folder in '$(BINDIR)' '$(LIBDIR)' '$(INCDIR)' '$(MANDIR)' '$(LUADIR)' '$(HOMEDIR)'; do \
	  case $$folder in /*) ;; *) printf "'%s' does not begin with /: PREFIX and the other folders are %s\n" \
	    "$$folder" 'whole paths, as /usr/local or "$$HOME/.local" (~ is not expanded)' >&2; exit 1 ;; esac; done
	@[ ! '$(TO)' -ef . ] || { echo 'HOMEDIR is this tree itself: name another folder' >&2; exit 1; }

# Where shells look for completions.
BASH_COMPLETION = $(PREFIX)/share/bash-completion/completions/tinykg
ZSH_COMPLETION = $(PREFIX)/share/zsh/site-functions/_tinykg
FISH_COMPLETION = $(PREFIX)/share/fish/vendor_completions.d/tinykg.fish

# What `make install` does once the engine is there.
TO = $(DESTDIR)$(HOMEDIR)
install-built: check-folders
	install -d '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(LIBDIR)/pkgconfig' '$(DESTDIR)$(INCDIR)/tinykg' \
	  '$(DESTDIR)$(MANDIR)/man1' '$(DESTDIR)$(LUADIR)' '$(TO)/build'
	install -m 755 $(LIB) '$(DESTDIR)$(LIBDIR)/$(SONAME)'
	ln -sf $(SONAME) '$(DESTDIR)$(LIBDIR)/libtinykg.so'
	for lib in $(wildcard $(BUILD)/libtinykg_cuda.so); do \
	  install -m 755 $$lib '$(DESTDIR)$(LIBDIR)' || exit 1; done
	for lib in libtinykg.so $(notdir $(wildcard $(BUILD)/libtinykg_cuda.so)); do \
	  ln -srf '$(DESTDIR)$(LIBDIR)'/$$lib '$(TO)/build'/$$lib || exit 1; done
	install -m 644 $(HEADERS) '$(DESTDIR)$(INCDIR)/tinykg'
	for header in $(HEADERS); do install -D -m 644 $$header '$(TO)'/$$header || exit 1; done
	rm -rf '$(TO)/lua' '$(TO)/recipes'
	find lua recipes \( -name '*.lua' -o -name '*.py' \) -exec install -D -m 644 '{}' '$(TO)/{}' ';'
	install -m 644 lua/tinykg.1 '$(DESTDIR)$(MANDIR)/man1'
	install -D -m 644 lua/completion/tinykg.bash '$(DESTDIR)$(BASH_COMPLETION)'
	install -D -m 644 lua/completion/_tinykg '$(DESTDIR)$(ZSH_COMPLETION)'
	install -D -m 644 lua/completion/tinykg.fish '$(DESTDIR)$(FISH_COMPLETION)'
	printf '%s\n' "$$PKG_CONFIG_FILE" >'$(DESTDIR)$(LIBDIR)/pkgconfig/tinykg.pc'
	printf '%s\n' "$$LUA_SHIM" >'$(DESTDIR)$(LUADIR)/tinykg.lua'
	printf '%s\n' "$$LAUNCHER_INSTALLED" >'$(DESTDIR)$(BINDIR)/tinykg'
	chmod 755 '$(DESTDIR)$(BINDIR)/tinykg' # whatever the umask is
	chmod 644 '$(DESTDIR)$(LIBDIR)/pkgconfig/tinykg.pc' '$(DESTDIR)$(LUADIR)/tinykg.lua'

# Takes away what install put there, with the same PREFIX, DESTDIR and folders; no more.
uninstall: check-folders
	rm -f '$(DESTDIR)$(BINDIR)/tinykg' '$(DESTDIR)$(LUADIR)/tinykg.lua' \
	  '$(DESTDIR)$(LIBDIR)/libtinykg.so' '$(DESTDIR)$(LIBDIR)/$(SONAME)' '$(DESTDIR)$(LIBDIR)/libtinykg_cuda.so' \
	  '$(DESTDIR)$(LIBDIR)/pkgconfig/tinykg.pc' '$(DESTDIR)$(MANDIR)/man1/tinykg.1'
	rm -f '$(DESTDIR)$(BASH_COMPLETION)' '$(DESTDIR)$(ZSH_COMPLETION)' \
	  '$(DESTDIR)$(FISH_COMPLETION)'
	rm -rf '$(TO)/build' '$(TO)/engine' '$(TO)/lua' '$(TO)/recipes' '$(DESTDIR)$(INCDIR)/tinykg'
	[ ! -d '$(TO)' ] || rmdir --ignore-fail-on-non-empty '$(TO)'

clean:
	rm -rf '$(BUILD)' tinykg

define help_text
make                 build the engine and ./tinykg
make demo            install what is missing, build, train the demo, print a summary
make test            install what is missing, build, run every test
                     [SPEC=part of a spec's path: builds what it needs] [FILTER=pattern of test names]
make test-cpu        the same without the emulated GPU, which takes minutes to build
make deps            install what is missing to build and run (apt-get; says what and why)
make deps-dev        the same for the tools that lint and the checks use
make cuda            build the GPU backend (needs nvcc; CUDA_ARCHS='90' chooses devices)
make test-gpu        specs, op check, compute-sanitizer on a real GPU
make bench-gpu       kernels, steps and memory of a real GPU, PyTorch and PyG beside them
make check-ptx       nvcc's code without a GPU, on a checking runtime; check-host: its host code alone
make check-emu       the GPU kernels on the CPU; check-emu-asan, check-emu-tsan: under sanitizers
make bench           speed on this machine, as ratios of PyTorch's, of a copy, of the peak   [QUICK=1]
make bench-check     the same, and what fell since tests/bench/ratios.json   [FILE=build/bench.json] [KEEP=1]
make lint            formatting, clang-tidy, cppcheck, luacheck, sizes, kernels that spill registers
make docs            write lua/REFERENCE.md, the manual page lua/tinykg.1 and lua/completion/
make format          let clang-format lay out the engine
make check-asan      the tests under AddressSanitizer and UndefinedBehaviorSanitizer
make check-valgrind  the tests under valgrind
make check-tsan      races in the engine's threads, by clang and archer
make check-faults    failing disks and allocations, kills, damaged files   [FULL=1: each of them]
make fuzz            readers fuzzed for a minute each   [SECONDS=60] [TARGET=table] [RUNS=10000000]
make fuzz-programs   random programs over every op   [N=2000] [SEED=date] [MEANS=40]
make check-all       all of these checks; hours
make dist            build/tinykg-VERSION.tar.gz, the committed tree
make rock            a source rock of it, for luarocks install
make deb             a package for this release of Debian
make install         into PREFIX (/usr/local) below DESTDIR (empty); make uninstall takes it away
make clean           remove what was built

Variables: CC=clang  CFLAGS=-g  BUILD=build  CBLAS=-lopenblas  XSMM='-lxsmm -lxsmmnoblas'  LUAJIT=luajit  V=1
endef
export HELP_TEXT := $(help_text)
help:
	@printf '%s\n' "$$HELP_TEXT"
