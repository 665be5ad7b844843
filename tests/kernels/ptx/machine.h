/* What a translated kernel (translate.py) runs on: one function template per PTX instruction, named
 * after it. Threads are those of kernels/emu. Each access to memory is checked: its alignment, that
 * a global one lies in a live block of device memory, a shared one in the block's shared memory. */
#ifndef TKG_PTX_MACHINE_H
#define TKG_PTX_MACHINE_H

#include <stdio.h>

#include <limits>

#include "emu.h"
#include "translated.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
typedef uint8_t b8;
typedef uint16_t b16;
typedef uint32_t b32;
typedef uint64_t b64;
typedef float f32;
typedef double f64;
typedef bool pred;

/* What the running kernel has: addresses of its parameters, its shared memory. */
struct machine {
  const char *const *parameters;
  char *shared;
  s64 shared_bytes;
  u32 *ran; /* [stretch_count]: how often this thread ran each stretch */
};

[[noreturn]] static inline void bad_access(const char *what, u64 address, s64 bytes) {
  fprintf(stderr, "check: %s access of %lld bytes at %#llx in block (%u,%u,%u), thread %u\n", what,
          (long long)bytes, (unsigned long long)address, blockIdx.x, blockIdx.y, blockIdx.z,
          emu_at->running);
  abort();
}

/* ---- types that belong to others ---- */

template <class T> struct half_of;
template <> struct half_of<b64> { typedef u32 type; };
template <> struct half_of<b32> { typedef u16 type; };

template <class T> struct unsigned_of { typedef typename std::make_unsigned<T>::type type; };
template <> struct unsigned_of<float> { typedef float type; };
template <> struct unsigned_of<double> { typedef double type; };
template <> struct unsigned_of<bool> { typedef unsigned type; };

template <class T> struct wide_of;
template <> struct wide_of<s16> { typedef s32 type; };
template <> struct wide_of<u16> { typedef u32 type; };
template <> struct wide_of<s32> { typedef s64 type; };
template <> struct wide_of<u32> { typedef u64 type; };
template <> struct wide_of<s64> { typedef __int128 type; };
template <> struct wide_of<u64> { typedef unsigned __int128 type; };

template <class T, int N> struct vector_of { T at[N]; };

/* Instructions are members of a class: g++ calls a template that is none after it has saved each
 * name of the calling function, which has a variable per register: minutes for one file. */
namespace {
struct instructions {

  /* ---- registers: untyped bits, read as what an instruction says ---- */

  template <class T, class R> static inline T as(R r) {
    if constexpr (sizeof(T) == sizeof(R) && !std::is_same<R, bool>::value) {
      T t;
      memcpy(&t, &r, sizeof t);
      return t;
    } else {
      return (T)r;
    }
  }
  template <class T> static inline T bits_of(u64 bits) {
    typename std::conditional<sizeof(T) == 4, u32, u64>::type b = bits;
    return as<T>(b);
  }
  template <class T> static inline u64 address_of(T *p) { return (u64)(uintptr_t)p; }

  template <class T, class R> static inline typename half_of<T>::type low(R r) {
    return (typename half_of<T>::type)as<T>(r);
  }
  template <class T, class R> static inline typename half_of<T>::type high(R r) {
    return (typename half_of<T>::type)(as<T>(r) >> 4 * sizeof(T));
  }
  template <class T, class A, class B> static inline T join(A a, B b) {
    typedef typename half_of<T>::type half;
    return (T)as<half>(a) | (T)as<half>(b) << 4 * sizeof(T);
  }

  static inline u32 tid_x(void) { return threadIdx.x; }
  static inline u32 tid_y(void) { return threadIdx.y; }
  static inline u32 tid_z(void) { return threadIdx.z; }
  static inline u32 ntid_x(void) { return blockDim.x; }
  static inline u32 ntid_y(void) { return blockDim.y; }
  static inline u32 ntid_z(void) { return blockDim.z; }
  static inline u32 ctaid_x(void) { return blockIdx.x; }
  static inline u32 ctaid_y(void) { return blockIdx.y; }
  static inline u32 ctaid_z(void) { return blockIdx.z; }
  static inline u32 nctaid_x(void) { return gridDim.x; }
  static inline u32 nctaid_y(void) { return gridDim.y; }
  static inline u32 nctaid_z(void) { return gridDim.z; }
  static inline u32 laneid(void) { return emu_at->running % 32; }

  /* ---- memory ---- */

  static inline char *checked(const char *what, u64 address, s64 bytes, bool inside) {
    if (address % (u64)bytes) bad_access("misaligned", address, bytes);
    if (!inside) bad_access(what, address, bytes);
    return (char *)(uintptr_t)address;
  }
  static inline char *global_at(u64 address, s64 bytes) {
    return checked("global: no live device memory:", address, bytes,
                   is_device_memory(address, bytes));
  }
  static inline char *shared_at(const machine &m, u64 offset, s64 bytes) {
    const s64 at = (s64)offset;
    if (at % bytes) bad_access("misaligned shared", offset, bytes);
    if (at < 0 || at + bytes > m.shared_bytes) bad_access("shared: beyond the end:", offset, bytes);
    return m.shared + at;
  }
  /* A generic address is a host address: of global, shared or local memory. */
  static inline char *generic_at(const machine &m, u64 address, s64 bytes) {
    const s64 in_shared = (s64)(address - address_of(m.shared));
    if (in_shared >= 0 && in_shared < m.shared_bytes) return shared_at(m, (u64)in_shared, bytes);
    return global_at(address, bytes);
  }

#define MEMORY(space, place)                                                                       \
  template <class T> static inline T ld_##space(const machine &m, u64 a) {                         \
    T v;                                                                                           \
    (void)m;                                                                                       \
    memcpy(&v, place, sizeof v);                                                                   \
    return v;                                                                                      \
  }                                                                                                \
  template <class T> static inline void st_##space(const machine &m, u64 a, T v) {                 \
    (void)m;                                                                                       \
    memcpy(place, &v, sizeof v);                                                                   \
  }                                                                                                \
  template <class T, int N> static inline vector_of<T, N> ld_##space(const machine &m, u64 a) {    \
    return ld_##space<vector_of<T, N>>(m, a);                                                      \
  }                                                                                                \
  template <class T, int N>                                                                        \
  static inline void st_##space(const machine &m, u64 a, const vector_of<T, N> &v) {               \
    st_##space<vector_of<T, N>>(m, a, v);                                                          \
  }
  MEMORY(global, global_at(a, sizeof v))
  MEMORY(shared, shared_at(m, (u32)a, sizeof v))
  MEMORY(generic, generic_at(m, a, sizeof v))
  MEMORY(local, (char *)a)
  MEMORY(param, (char *)a)
#undef MEMORY

  template <class T, class A> static inline T cvta_global(const machine &, A a) { return as<T>(a); }
  template <class T, class A> static inline T cvta_local(const machine &, A a) { return as<T>(a); }
  template <class T, class A> static inline T cvta_shared(const machine &m, A a) {
    return address_of(m.shared) + as<u64>(a);
  }

/* ---- arithmetic: integers wrap, floats round each operation once ---- */

/* In the type without a sign, where overflow is defined. */
#define BINARY(name, expression)                                                                   \
  template <class T, class A, class B> static inline T name(const machine &, A a, B b) {           \
    typedef typename unsigned_of<T>::type U;                                                       \
    const U x = (U)as<T>(a), y = (U)as<T>(b);                                                      \
    return (T)(expression);                                                                        \
  }
#define SIGNED(name, expression)                                                                   \
  template <class T, class A, class B> static inline T name(const machine &, A a, B b) {           \
    const T x = as<T>(a), y = as<T>(b);                                                            \
    return (T)(expression);                                                                        \
  }
#define UNARY(name, expression)                                                                    \
  template <class T, class A> static inline T name(const machine &, A a) {                         \
    const T x = as<T>(a);                                                                          \
    return (T)(expression);                                                                        \
  }
  BINARY(add, x + y)
  BINARY(add_rn, x + y)
  BINARY(sub, x - y)
  BINARY(sub_rn, x - y)
  BINARY(mul, x *y)
  BINARY(mul_rn, x *y)
  BINARY(and_, x &y)
  BINARY(or_, x | y)
  BINARY(xor_, x ^ y)
  SIGNED(div, x / y)
  SIGNED(div_rn, x / y)
  SIGNED(rem, x % y)
  UNARY(mov, x)
  UNARY(rcp_rn, 1 / x)
  UNARY(sqrt_rn, sqrtf(x))

  template <class T, class A> static inline T not_(const machine &, A a) {
    if constexpr (std::is_same<T, bool>::value)
      return !a;
    else
      return (T)~as<T>(a);
  }
  template <class T, class A> static inline T neg(const machine &m, A a) {
    if constexpr (std::is_floating_point<T>::value)
      return -as<T>(a);
    else
      return sub<T>(m, (T)0, as<T>(a));
  }
  template <class T, class A> static inline T abs(const machine &m, A a) {
    const T x = as<T>(a);
    if constexpr (std::is_floating_point<T>::value)
      return (T)fabs(x);
    else
      return x < 0 ? neg<T>(m, x) : x;
  }
  template <class T, class A, class B> static inline T min(const machine &, A a, B b) {
    const T x = as<T>(a), y = as<T>(b);
    if constexpr (std::is_floating_point<T>::value)
      return (T)fmin(x, y);
    else
      return x < y ? x : y;
  }
  template <class T, class A, class B> static inline T max(const machine &, A a, B b) {
    const T x = as<T>(a), y = as<T>(b);
    if constexpr (std::is_floating_point<T>::value)
      return (T)fmax(x, y);
    else
      return x > y ? x : y;
  }

  template <class T, class A, class B, class C>
  static inline T fma_rn(const machine &, A a, B b, C c) {
    return (T)fmaf(as<T>(a), as<T>(b), as<T>(c));
  }

  template <class T, class A, class B>
  static inline typename wide_of<T>::type mul_wide(const machine &, A a, B b) {
    return (typename wide_of<T>::type)as<T>(a) * as<T>(b);
  }
  template <class T, class A, class B> static inline T mul_hi(const machine &m, A a, B b) {
    return (T)(mul_wide<T>(m, a, b) >> 8 * sizeof(T));
  }
  template <class T, class A, class B, class C>
  static inline T mad(const machine &m, A a, B b, C c) {
    return add<T>(m, mul<T>(m, a, b), c);
  }
  template <class T, class A, class B, class C>
  static inline typename wide_of<T>::type mad_wide(const machine &m, A a, B b, C c) {
    typedef typename wide_of<T>::type W;
    return add<W>(m, mul_wide<T>(m, a, b), c);
  }

  /* ---- bits ---- */

  template <class T, class A, class N> static inline T shl(const machine &, A a, N n) {
    const u32 by = as<u32>(n);
    return by >= 8 * sizeof(T) ? 0 : (T)(as<T>(a) << by);
  }
  template <class T, class A, class N> static inline T shr(const machine &, A a, N n) {
    const u32 by = as<u32>(n), most = 8 * sizeof(T);
    if (by >= most) return std::is_signed<T>::value ? (T)(as<T>(a) >> (most - 1)) : 0;
    return (T)(as<T>(a) >> by);
  }
  template <class T, class A, class B, class P, class L>
  static inline T bfi(const machine &, A a, B b, P position, L length) {
    const u32 p = as<u32>(position) & 255, l = as<u32>(length) & 255;
    if (p >= 8 * sizeof(T)) return as<T>(b);
    const T ones = l >= 8 * sizeof(T) ? (T) ~(T)0 : (T)(((T)1 << l) - 1), mask = (T)(ones << p);
    return (as<T>(b) & ~mask) | ((T)(as<T>(a) << p) & mask);
  }
  template <class T, class A> static inline u32 bfind_shiftamt(const machine &, A a) {
    const T x = as<T>(a);
    return x ? (u32)__builtin_clzll(x) - (64 - 8 * (u32)sizeof(T)) : ~0u;
  }
  template <class T, class A> static inline T brev(const machine &, A a) {
    T x = as<T>(a), reversed = 0;
    for (unsigned k = 0; k < 8 * sizeof(T); k++, x >>= 1) reversed = (T)(reversed << 1 | (x & 1));
    return reversed;
  }
  template <class T, class A> static inline u32 popc(const machine &, A a) {
    return (u32)__builtin_popcountll(as<T>(a));
  }
  /* Each of four selectors takes a byte of b:a, or its sign. */
  template <class T, class A, class B, class C>
  static inline T prmt(const machine &, A a, B b, C c) {
    const u64 bytes = (u64)as<u32>(b) << 32 | as<u32>(a);
    u32 picked = 0;
    for (int k = 0; k < 4; k++) {
      const u32 selector = as<u32>(c) >> 4 * k & 15;
      u32 byte = (u32)(bytes >> 8 * (selector & 7)) & 255;
      if (selector & 8) byte = byte & 128 ? 255 : 0;
      picked |= byte << 8 * k;
    }
    return picked;
  }

  /* ---- conversions and comparisons ---- */

  template <class To, class T, class A> static inline To cvt(const machine &, A a) {
    return (To)as<T>(a);
  }
  template <class To, class T, class A> static inline To cvt_rn(const machine &, A a) {
    return (To)as<T>(a);
  }
  /* To an integer, towards zero; beyond its range the nearest. */
  template <class To, class T, class A> static inline To cvt_rzi(const machine &, A a) {
    const double x = trunc((double)as<T>(a));
    typedef std::numeric_limits<To> limits;
    if (std::isnan(x)) return 0;
    if (x >= (double)limits::max()) return limits::max();
    if (x <= (double)limits::min()) return limits::min();
    return (To)x;
  }

#define COMPARE(name, expression)                                                                  \
  template <class T, class A, class B> static inline bool setp_##name(const machine &, A a, B b) { \
    const T x = as<T>(a), y = as<T>(b);                                                            \
    return expression;                                                                             \
  }
  COMPARE(eq, x == y)
  COMPARE(ne, x<y || x> y)
  COMPARE(lt, x < y)
  COMPARE(le, x <= y)
  COMPARE(gt, x > y)
  COMPARE(ge, x >= y)
  COMPARE(equ, !(x < y || x > y))
  COMPARE(neu, x != y)
  COMPARE(ltu, !(x >= y))
  COMPARE(leu, !(x > y))
  COMPARE(gtu, !(x <= y))
  COMPARE(geu, !(x < y))
  COMPARE(num, x == x && y == y)
  COMPARE(nan, !(x == x && y == y))
#undef COMPARE

  template <class T, class A, class B> static inline T selp(const machine &, A a, B b, bool first) {
    return first ? as<T>(a) : as<T>(b);
  }

  /* ---- threads ---- */

  static inline void bar(const machine &, s64) { emu_barrier(); }
  template <class M> static inline void bar_warp(const machine &, M mask) {
    emu_collective(EMU_SYNCWARP, as<u32>(mask), 0, 0);
  }

  struct shuffled {
    u32 value;
    bool inside;
  };
  /* c: the clamp in bits 0 to 4, the mask of a segment in 8 to 12. */
  template <class V, class C, class M>
  static inline shuffled shuffle(V value, int from, bool inside, C c, M mask) {
    (void)c;
    const int lane = inside ? from : (int)laneid();
    return {(u32)emu_collective(EMU_SHUFFLE, as<u32>(mask), as<u32>(value), (unsigned)lane & 31),
            inside};
  }
  static inline int segment_first(u32 c) { return (int)(laneid() & (c >> 8 & 31)); }
  static inline int segment_last(u32 c) {
    const u32 mask = c >> 8 & 31;
    return (int)((laneid() & mask) | ((c & 31) & ~mask));
  }
  template <class T, class V, class B, class C, class M>
  static inline shuffled shfl_bfly(const machine &, V v, B b, C c, M mask) {
    const int from = (int)(laneid() ^ (as<u32>(b) & 31));
    return shuffle(v, from, from <= segment_last(as<u32>(c)), c, mask);
  }
  template <class T, class V, class B, class C, class M>
  static inline shuffled shfl_up(const machine &, V v, B b, C c, M mask) {
    const int from = (int)laneid() - (int)(as<u32>(b) & 31);
    return shuffle(v, from, from >= segment_last(as<u32>(c)), c, mask);
  }
  template <class T, class V, class B, class C, class M>
  static inline shuffled shfl_down(const machine &, V v, B b, C c, M mask) {
    const int from = (int)laneid() + (int)(as<u32>(b) & 31);
    return shuffle(v, from, from <= segment_last(as<u32>(c)), c, mask);
  }
  template <class T, class V, class B, class C, class M>
  static inline shuffled shfl_idx(const machine &, V v, B b, C c, M mask) {
    const u32 segment = as<u32>(c) >> 8 & 31;
    const int from = segment_first(as<u32>(c)) | (int)((as<u32>(b) & 31) & ~segment);
    return shuffle(v, from, from <= segment_last(as<u32>(c)), c, mask);
  }
  template <class T, class M> static inline u32 vote_ballot(const machine &, bool p, M mask) {
    return (u32)emu_collective(EMU_BALLOT, as<u32>(mask), p, 0);
  }
  template <class T, class M> static inline bool vote_any(const machine &m, bool p, M mask) {
    return vote_ballot<T>(m, p, mask) != 0;
  }
  template <class T, class M> static inline bool vote_all(const machine &m, bool p, M mask) {
    return vote_ballot<T>(m, !p, mask) == 0;
  }

#define ATOMIC(space, place)                                                                       \
  template <class T, class V> static inline T atom_##space##_add(const machine &m, u64 a, V v) {   \
    (void)m;                                                                                       \
    return atomicAdd((T *)place, as<T>(v));                                                        \
  }                                                                                                \
  template <class T, class V> static inline T atom_##space##_min(const machine &m, u64 a, V v) {   \
    (void)m;                                                                                       \
    return atomicMin((T *)place, as<T>(v));                                                        \
  }                                                                                                \
  template <class T, class V> static inline T atom_##space##_exch(const machine &m, u64 a, V v) {  \
    (void)m;                                                                                       \
    return atomicExch((T *)place, as<T>(v));                                                       \
  }
  ATOMIC(global, global_at(a, sizeof(T)))
  ATOMIC(shared, shared_at(m, (u32)a, sizeof(T)))
#undef ATOMIC
#undef BINARY
#undef SIGNED
#undef UNARY

}; // instructions
} // namespace

#endif
