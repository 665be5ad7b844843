/* The name of a kernel table in the ISA that this file is being compiled for:
 *   const tkg__codec_kernels TKG_ISA_NAME(tkg__cpu_codec) = {...};
 * defines tkg__cpu_codec_avx2 under -DTKG_ISA=avx2. dispatch/isa.h declares and picks tables. */
#ifndef TKG_CPU_ISA_H
#define TKG_CPU_ISA_H

#include "cpu/dispatch/isa.h"

#define TKG__PASTE_(a, b) a##_##b
#define TKG__PASTE(a, b) TKG__PASTE_(a, b)
#define TKG_ISA_NAME(name) TKG__PASTE(name, TKG_ISA)

#endif
