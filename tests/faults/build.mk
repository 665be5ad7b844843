# Attacks: fuzz targets, a race detector over the engine, short and full forms of tests/faults.
# Included by the Makefile, which sets BUILD, CC, LIB, Q, say, DEPS, JOBS and RUN_TESTS.

# --- fuzzing -------------------------------------------------------------------------------------

# Targets in C are linked with the few files they attack; those of FUZZ_LUA, readers written in Lua,
# are one program, which loads the engine as Lua does. tests/faults/fuzz/run.sh says how they run.
FUZZ_CC   ?= clang
FUZZ_C    := table ragged names csr
FUZZ_LUA  := safetensors npy npz json folder
FUZZ      := $(BUILD)/fuzz
FUZZ_SAN  := -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=undefined
FUZZ_FLAGS = -std=c17 -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -Iengine -Itests/faults/fuzz -Wall \
  -Wextra -Wshadow -Wconversion $(WERROR) $(FUZZ_SAN) -DTKG__READER_BYTES=64 -fopenmp -Wno-pass-failed -fsanitize=fuzzer,address,undefined
FUZZ_ENGINE := engine/base/error.c engine/base/checksum.c $(filter-out engine/data/graph.c engine/data/metrics.c,$(wildcard engine/data/*.c))
FUZZ_HEADS  := $(wildcard engine/*.h engine/base/*.h engine/base/*.def engine/data/*.h tests/faults/fuzz/*.h)
LUAJIT_FLAGS = $(shell pkg-config --cflags --libs luajit 2>/dev/null || \
  echo -I/usr/include/luajit-2.1 -lluajit-5.1)

$(FUZZ_C:%=$(FUZZ)/%): $(FUZZ)/%: tests/faults/fuzz/%.c tests/faults/fuzz/input.c $(FUZZ_ENGINE) $(FUZZ_HEADS)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(FUZZ_CC) $(FUZZ_FLAGS) -o $@ $(filter %.c,$^) -lz -llzma -lm

$(FUZZ)/readers: tests/faults/fuzz/readers.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(FUZZ_CC) $(FUZZ_FLAGS) -rdynamic -o $@ $< $(LUAJIT_FLAGS)

# make fuzz TARGET=table RUNS=10000000, or SECONDS=60 for each of them
.PHONY: fuzz fuzz-build fuzz-programs check-tsan check-faults check-all
fuzz-build: $(FUZZ_C:%=$(FUZZ)/%) $(FUZZ)/readers
fuzz: $(if $(TARGET),,fuzz-programs)
	@$(DEPS) run attack
	@$(MAKE) build
	@$(MAKE) $(JOBS) fuzz-build
	@TINYKG_LIB='$(abspath $(LIB))' SECONDS_EACH='$(or $(SECONDS),60)' RUNS='$(RUNS)' \
	  tests/faults/fuzz/run.sh '$(FUZZ)' $(or $(TARGET),$(FUZZ_C) $(FUZZ_LUA))

# Random programs over every op against double precision: N of them from SEED (a number; the date
# without one), MEANS others with 64 gradients at few bits (N / 50); none begins after SECONDS.
fuzz-programs:
	@$(DEPS) run
	@$(MAKE) build
	@$(MAKE) $(JOBS) $(BUILD)/libtinykg_emu.so
	@./tinykg tests/faults/programs/main.lua $(or $(N),2000) $(or $(SEED),date) \
	  $(or $(MEANS),default) $(SECONDS)

# The specs of tests/faults, as `make test` runs them; FULL=1: every allocation, call, bit and value.
check-faults:
	@$(DEPS) run test
	@$(MAKE) build
	@FAULTS=$(if $(FULL),full) TEST_TIMEOUT=$(if $(FULL),7200) \
	  $(call RUN_TESTS,$(LIB)) $(if $(SPEC),,tests/faults/*_spec.lua)

# Everything there is to check on a machine without a GPU. It takes hours.
check-all:
	@$(DEPS) run test plot dev attack
	@bad=; for check in test check-emu check-emu-asan check-emu-tsan check-asan check-tsan \
	    'check-faults FULL=1' fuzz; do \
	  echo "== make $$check"; $(MAKE) $$check || bad="$$bad $$check,"; done; \
	  [ -z "$$bad" ] || { echo "failed:$$bad see above"; exit 1; }

# --- data races in the engine, on the CPU --------------------------------------------------------

TSAN := $(BUILD)/tsan
$(TSAN)/host: tests/faults/races/host.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && clang -O1 -g -fsanitize=thread -Wall -Wextra $(WERROR) -rdynamic -o $@ $< $(LUAJIT_FLAGS)
$(TSAN)/planted $(TSAN)/right: tests/faults/races/planted.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && clang -O1 -g -fsanitize=thread -fopenmp $(if $(filter right,$(@F)),-DRIGHT) -o $@ $<

check-tsan:
	@$(DEPS) run test attack
	@$(MAKE) tinykg $(TSAN)/host $(TSAN)/planted $(TSAN)/right
	@$(MAKE) BUILD='$(TSAN)' CC=clang $(JOBS) \
	  CFLAGS='-O1 -g -fsanitize=thread' LDFLAGS='-Wl,-z,undefs' '$(TSAN)/libtinykg.so'
	@SPEC='$(SPEC)' tests/faults/races/check.sh '$(TSAN)'
