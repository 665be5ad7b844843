/* The instruction set that the CPU kernels run on. Every file of kernels/cpu is compiled once per
 * instruction set; the machine's best is chosen at run time. */
#ifndef TKG_ISA_H
#define TKG_ISA_H

/* The name of the one in use: "avx512", "avx2" or "sse2" on x86-64, "neon" on aarch64. The first
 * call reads the processor and the environment variable TINYKG_ISA, which may ask for less than the
 * best; a name that is unknown or not supported here is ignored. */
const char *tkg__isa(void);

/* The same as a number: 0 = sse2 or neon, 1 = avx2, 2 = avx512. */
int tkg__isa_index(void);

/* Sets the one in use; NULL chooses as described above. Call it between computations, not during
 * one. TKG_E_ARGUMENT for an unknown name, TKG_E_UNSUPPORTED if the machine lacks it; nothing
 * changes then. */
int tkg_set_isa(const char *name);

/* A family of kernels is a constant `name` of type `type` that kernels/cpu/x.c defines once per
 * instruction set, as TKG_ISA_NAME(name). A caller writes, outside functions,
 *   TKG__DECLARE_TABLES(tkg__codec_kernels, tkg__cpu_codec);
 * and then TKG__PICK(tkg__cpu_codec) is a pointer to the table to use now. For a family that is an
 * array, TKG__DECLARE_ARRAYS; TKG__PICK_ARRAY is then a pointer to its first entry. */
#if defined(__x86_64__)
#define TKG__DECLARE_TABLES(type, name) extern const type name##_sse2, name##_avx2, name##_avx512
#define TKG__DECLARE_ARRAYS(type, name)                                                            \
  extern const type name##_sse2[], name##_avx2[], name##_avx512[]
#define TKG__PICK(name)                                                                            \
  (tkg__isa_index() == 2 ? &name##_avx512 : tkg__isa_index() == 1 ? &name##_avx2 : &name##_sse2)
#define TKG__PICK_ARRAY(name)                                                                      \
  (tkg__isa_index() == 2 ? name##_avx512 : tkg__isa_index() == 1 ? name##_avx2 : name##_sse2)
#elif defined(__aarch64__)
#define TKG__DECLARE_TABLES(type, name) extern const type name##_neon
#define TKG__DECLARE_ARRAYS(type, name) extern const type name##_neon[]
#define TKG__PICK(name) (&name##_neon)
#define TKG__PICK_ARRAY(name) (name##_neon)
#else
#error "no CPU kernels for this architecture"
#endif

#endif
