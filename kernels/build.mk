# Building the kernels: libtinykg_cuda.so by nvcc, libtinykg_emu.so from the same sources by the C++
# compiler, and the checks that run on the latter. Included by the Makefile, which sets BUILD, CC,
# CFLAGS, WERROR, Q and say.

CXX  ?= g++
ifeq ($(origin NVCC),undefined)
  NVCC := $(or $(shell command -v nvcc 2>/dev/null),$(wildcard /usr/local/cuda/bin/nvcc))
endif
# Compute capabilities to compile for, as far as the toolkit knows them. Newer devices take the PTX of
# the last one.
CUDA_ARCHS ?= 75 80 86 89 90 100 120

# For runs on this machine: code for its device alone, if the driver names it.
HERE_CAP   = $(shell nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | sort -u | tr -d .)
HERE_ARCHS = $(if $(filter file default,$(origin CUDA_ARCHS)),$(if $(HERE_CAP),CUDA_ARCHS='$(HERE_CAP)'))

# Those that compile long come first, so that at the end no processor waits for one.
LONG         := $(wildcard $(patsubst %,kernels/cuda/%.cu,tiles small elementwise aggregate softmax relation saved))
KERNELS      := $(LONG) $(filter-out $(LONG),$(sort $(wildcard kernels/cuda/*.cu)))
KERNEL_HEADS := $(wildcard kernels/cuda/*.h kernels/cuda/*.cuh kernels/shared/*.h engine/base/*.h engine/base/*.def engine/data/*.h)
EMU_HEADS    := kernels/emu/emu.h kernels/emu/context.h kernels/emu/runtime.h
EMU          := emu runtime
# Each library has copies of these; it shares nothing with the engine but the table.
SHARED_C     := op error stamp

# --- CUDA ----------------------------------------------------------------------------------------

ifneq ($(NVCC),)
  NVCC_KNOWS := $(patsubst compute_%,%,$(shell $(NVCC) --list-gpu-arch 2>/dev/null))
  ARCHS      := $(or $(filter $(NVCC_KNOWS),$(CUDA_ARCHS)),$(lastword $(NVCC_KNOWS)))
  CUDA_LIB   := $(wildcard $(patsubst %/bin/,%/lib64,$(dir $(realpath $(NVCC)))))
endif
# -fmad=false: one rounding per operation, as on the CPU, so that codes and noise are the same bits. A
# kernel that spills registers does not compile, but for CUB's.
NVCC_FLAGS = -std=c++17 -O3 -fmad=false -Iengine -Ikernels $(if $(WERROR),-Werror all-warnings) \
  $(if $(filter kernels/cuda/radix_sort.cu,$<),,-Xptxas -warn-spills) -Xcompiler -fPIC,-fvisibility=hidden,-Wall,-Wextra \
  $(foreach a,$(ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) \
  -gencode arch=compute_$(lastword $(ARCHS)),code=compute_$(lastword $(ARCHS))
CUDA_OBJS  := $(KERNELS:kernels/cuda/%.cu=$(BUILD)/cuda/%.o) $(SHARED_C:%=$(BUILD)/shared/%.o)

# With other devices or flags everything is compiled again.
nvcc_line = $(NVCC) $(ARCHS) $(WERROR)
$(BUILD)/cuda.flags: FORCE
	$(call keep_line,$(nvcc_line))

# For make lint.
spills: $(KERNELS:kernels/cuda/%.cu=$(BUILD)/cuda/%.o)

.PHONY: spills cuda emu check-emu check-emu-asan check-emu-tsan check-device emu-tests

cuda: $(if $(NVCC),$(BUILD)/libtinykg_cuda.so)
	@$(if $(NVCC),:,echo 'no nvcc: libtinykg_cuda.so is not built (NVCC=path names one)')

# libcudart is linked statically, so that without a driver the library still loads and says what is
# missing. cuBLAS is opened by the first product, cuSPARSE by a sum over edges of a fast run: the toolkit's, or that of NVIDIA's Python package.
CUBLAS_FOLDERS = $(CUDA_LIB) $(shell python3 -c 'import glob, sys; print(*sum((glob.glob(p + "/nvidia/*/lib") for p in sys.path), []))' 2>/dev/null)
$(BUILD)/libtinykg_cuda.so: $(CUDA_OBJS)
	$(call say,NVLD,$@)
	$(Q)$(NVCC) -shared -o $@.new $^ -Xlinker -z,defs,-z,nodelete \
	  $(CUBLAS_FOLDERS:%=-Xlinker -rpath -Xlinker %) -ldl && mv -f $@.new $@

$(BUILD)/cuda/%.o: kernels/cuda/%.cu $(KERNEL_HEADS) $(BUILD)/cuda.flags
	$(call say,NVCC,$<)
	$(Q)mkdir -p $(@D) && $(NVCC) $(NVCC_FLAGS) -c -o $@ $<

SHARED_C_FLAGS = -std=c17 -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -Iengine -Ikernels -fPIC -O2 \
  -fvisibility=hidden -Wall -Wextra -Wshadow -Wconversion $(WERROR) $(CFLAGS)
SHARED_O := $(foreach c,$(SHARED_C),$(BUILD)/shared/$(c).o)
$(SHARED_O): $(BUILD)/shared/%.o: engine/base/%.c $(KERNEL_HEADS)
	$(call say,CC,$< (kernels))
	$(Q)mkdir -p $(@D) && $(CC) $(SHARED_C_FLAGS) -c -o $@ $<

# --- the same on a CPU ---------------------------------------------------------------------------

EMU_FLAGS = -std=c++17 -g -fPIC -ffp-contract=off -fvisibility=hidden -Iengine -Ikernels -Ikernels/emu -Wall \
  -Wextra $(WERROR)

emu: $(BUILD)/libtinykg_emu.so

# What takes NCCL's place in tests on the emulated GPU.
$(BUILD)/libnccl_stand_in.so: tests/kernels/nccl/stand_in.cpp kernels/cuda/nccl.h
	$(call say,CXX,$@)
	$(Q)$(CXX) -std=c++17 -O1 -g -fPIC -shared -Ikernels -Wall -Wextra $(WERROR) $< -o $@

# $(1): folder of the library; $(2): of objects; $(3): flags of kernels; $(4): of the runtime. The race
# detector does not know OpenMP, so with it blocks run one after the other.
define emu_rules
$(2)/%.o: kernels/cuda/%.cu $(KERNEL_HEADS) $(EMU_HEADS)
	$$(call say,CXX,$$< (emu))
	$$(Q)mkdir -p $$(@D) && $(CXX) $$(EMU_FLAGS) $(3) -x c++ -c -o $$@ $$<
$(EMU:%=$(2)/emu/%.o): $(2)/emu/%.o: kernels/emu/%.cpp $(EMU_HEADS)
	$$(call say,CXX,$$<)
	$$(Q)mkdir -p $$(@D) && $(CXX) $$(EMU_FLAGS) -O2 $(4) -c -o $$@ $$<
$(1)/libtinykg_emu.so: $(KERNELS:kernels/cuda/%.cu=$(2)/%.o) $(EMU:%=$(2)/emu/%.o) $(SHARED_O)
	$$(call say,LD,$$@)
	$$(Q)$(CXX) -shared $(3) -Wl,-z,nodelete -o $$@.new $$^ -lpthread && mv -f $$@.new $$@
$(2)/harness $(2)/bugs: $(2)/%: tests/kernels/%.cu $(EMU:%=$(2)/emu/%.o) $(KERNEL_HEADS)
	$$(call say,CXX,$$@)
	$$(Q)$(CXX) $$(EMU_FLAGS) $(3) -x c++ $$< -x none $(EMU:%=$(2)/emu/%.o) -o $$@ -lpthread
$(2)/ops: tests/kernels/ops.cpp $$(wildcard tests/kernels/*.h) $(KERNEL_HEADS)
	$$(call say,CXX,$$@)
	$$(Q)mkdir -p $$(@D) && $(CXX) -std=c++17 -O1 -g -Iengine -Ikernels -Wall -Wextra $(WERROR) $(3) $$< -o $$@ -ldl
endef
EMU_ASAN := -O1 -fopenmp -fsanitize=address,undefined -fno-sanitize-recover=undefined
EMU_TSAN := -O1 -fsanitize=thread
$(eval $(call emu_rules,$(BUILD),$(BUILD)/emu,-O2 -fopenmp,-fopenmp))
$(eval $(call emu_rules,$(BUILD)/emu-asan,$(BUILD)/emu-asan,$(EMU_ASAN),-fopenmp -DEMU_ASAN))
$(eval $(call emu_rules,$(BUILD)/emu-tsan,$(BUILD)/emu-tsan,$(EMU_TSAN),-Wno-unknown-pragmas -DEMU_TSAN))

# --- checks: tests/kernels/check.sh says what they look for ------------------------------------------

emu_tools = $(1)/harness $(1)/bugs $(1)/ops
check-emu: $(BUILD)/libtinykg_emu.so $(call emu_tools,$(BUILD)/emu) $(LIB)
	@tests/kernels/check.sh plain '$(BUILD)/emu' '$(BUILD)/libtinykg_emu.so' '$(LIB)'
check-emu-asan: $(BUILD)/emu-asan/libtinykg_emu.so $(call emu_tools,$(BUILD)/emu-asan) $(LIB)
	@tests/kernels/check.sh asan '$(BUILD)/emu-asan' '$(BUILD)/emu-asan/libtinykg_emu.so' '$(LIB)'
check-emu-tsan: $(BUILD)/emu-tsan/libtinykg_emu.so $(call emu_tools,$(BUILD)/emu-tsan) $(LIB)
	@ROUNDS=$${ROUNDS:-2} tests/kernels/check.sh tsan '$(BUILD)/emu-tsan' \
	  '$(BUILD)/emu-tsan/libtinykg_emu.so' '$(LIB)'

# nvcc's own code without a GPU: its host code on a checking runtime, its PTX translated to C++. The
# devices of check-ptx and check-host are the same library; the latter runs no kernels.
PTX       := $(BUILD)/ptx
PTX_CU    := $(filter-out %/radix_sort.cu %/cublas.cu %/cusparse.cu,$(KERNELS))
PTX_PARTS := $(PTX_CU:kernels/cuda/%.cu=$(PTX)/%.o)
PTX_HEADS := $(wildcard tests/kernels/ptx/*.h) $(EMU_HEADS)
PTX_RUN   := $(patsubst %,$(PTX)/runtime/%.o,device stream launch library sparse fibers)
PTX_FLAGS  = -std=c++17 -fPIC -Wall -Wextra $(WERROR) -Itests/kernels/ptx -Ikernels/emu -Ikernels \
  -I$(realpath $(dir $(realpath $(NVCC)))../include)

.PHONY: check-ptx check-host ptx
.SECONDARY: $(PTX_CU:kernels/cuda/%.cu=$(PTX)/%.cpp) $(PTX)/faults.cpp
ptx: $(if $(NVCC),$(PTX)/libtinykg_cuda.so $(PTX)/libtinykg.so $(PTX)/faults $(PTX)/bench/kernels \
  $(PTX)/count/libtinykg_cuda.so $(PTX)/count/libtinykg.so)
check-ptx check-host: ptx $(BUILD)/emu/ops tinykg
	@$(if $(NVCC),tests/kernels/check.sh $(@:check-%=%) '$(PTX)' '$(PTX)/libtinykg_cuda.so' '$(LIB)',echo 'no nvcc: its code is not checked')

# The object, the PTX and the registers of each kernel come from one compilation.
$(PTX)/nvcc/%.o: kernels/cuda/%.cu $(KERNEL_HEADS)
	$(call ptx_compile)
$(PTX)/nvcc/faults.o: tests/kernels/ptx/faults.cu kernels/cuda/cusparse.h
	$(call ptx_compile)
define ptx_compile
	$(call say,NVCC,$< (PTX))
	$(Q)mkdir -p $(@:.o=) && $(NVCC) -std=c++17 -O3 -fmad=false -Iengine -Ikernels -Xcompiler -fPIC \
	  -gencode arch=compute_90,code=sm_90 -Xptxas -v --keep --keep-dir $(@:.o=) -c -o $@ $< 2>$(@:.o=.log) \
	  || { cat $(@:.o=.log); exit 1; }
	$(Q)mv $(@:.o=)/$(basename $(notdir $<)).ptx $(@:.o=.ptx) && rm -r $(@:.o=)
endef
$(PTX)/%.cpp: $(PTX)/nvcc/%.o tests/kernels/ptx/translate.py
	$(Q)python3 tests/kernels/ptx/translate.py $(<:.o=.ptx) $(<:.o=.log) >$@.new && mv $@.new $@
# After inlining, g++ takes minutes for the interpreters, whose instructions are calls.
$(PTX)/%.o: $(PTX)/%.cpp $(PTX_HEADS)
	$(call say,CXX,$<)
	$(Q)$(CXX) $(PTX_FLAGS) -O1 $(if $(filter $(PTX)/tiles.o $(PTX)/small.o $(PTX)/wide.o,$@),-fno-inline) -ffp-contract=off -w -c -o $@ $<
$(PTX)/runtime/%.o: tests/kernels/ptx/%.cpp $(PTX_HEADS)
	$(call say,CXX,$<)
	$(Q)mkdir -p $(@D) && $(CXX) $(PTX_FLAGS) -O2 -g -c -o $@ $<
PTX_LINK = $(CXX) -fopenmp -o $@.new $^ -Wl,-z,nodelete,-z,defs -ldl -lpthread
$(PTX)/libtinykg_cuda.so: $(PTX_CU:kernels/cuda/%.cu=$(PTX)/nvcc/%.o) $(PTX_PARTS) $(PTX_RUN) $(BUILD)/emu/emu/emu.o $(SHARED_O)
	$(call say,LD,$@)
	$(Q)$(PTX_LINK) -shared && mv -f $@.new $@
$(PTX)/faults: $(PTX)/nvcc/faults.o $(PTX)/faults.o $(PTX_RUN) $(BUILD)/emu/emu/emu.o
	$(Q)$(PTX_LINK) && mv -f $@.new $@
$(PTX)/bench/kernels: $(BUILD)/bench/kernels
	$(Q)mkdir -p $(@D) && cp $< $@
# A backend that counts the instructions of the one above.
$(PTX)/count/libtinykg_cuda.so: tests/kernels/ptx/count.cpp $(SHARED_O) $(PTX_HEADS) $(KERNEL_HEADS)
	$(call say,CXX,$@)
	$(Q)mkdir -p $(@D) && $(CXX) $(PTX_FLAGS) -Iengine -O1 -g -shared $< $(SHARED_O) -Wl,-z,nodelete,-z,defs -ldl -o $@
# The engine opens the backend that lies beside it.
$(PTX)/libtinykg.so $(PTX)/count/libtinykg.so: $(LIB)
	$(Q)mkdir -p $(@D) && cp $< $@

# Times kernels through the backend's table, for tests/bench/gpu.lua.
$(BUILD)/bench/kernels: tests/bench/kernels.cpp $(KERNEL_HEADS)
	$(call say,CXX,$@)
	$(Q)mkdir -p $(@D) && $(CXX) -std=c++17 -O2 -g -Iengine -Ikernels -Wall -Wextra $(WERROR) $< -o $@ -ldl

# The op check on a real device. DEVICE=cuda:1 for another than the first.
check-device: $(BUILD)/libtinykg_cuda.so $(BUILD)/emu/ops $(LIB)
	'$(BUILD)/emu/ops' '$(LIB)' '$(BUILD)/libtinykg_cuda.so' '$(or $(DEVICE),cuda)' 1 60
