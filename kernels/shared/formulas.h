/* The formulas of elementwise ops, which the CPU's loops, the GPU's kernels and their tests share.
 * A line is X(NAME, work, formula); `work` is the cost of an element in reads and writes of one
 * float. `op` is a constant where these functions are called, so the compiler removes their
 * switches. */
#ifndef TKG_FORMULAS_H
#define TKG_FORMULAS_H

#include "base/op.h"
#include "vmath.h"

/* An op without a formula: no list below has it. */
#ifdef __CUDA_ARCH__
#define TKG_TRAP() __trap()
#else
#define TKG_TRAP() __builtin_trap()
#endif

/* With relu's slope of 0 an infinity below zero gives 0, not 0 * inf. 0 is added for |x|, whose
 * slope is -1: it has no zero below zero. */
TKG_INLINE float leaky(float x, float slope) {
  float below = slope == 0.0F ? 0.0F : slope * x + 0.0F;
  return x <= 0.0F ? below : x;
}

/* e^x - 1 = 2 t / (1 - t) with t = tanh(x / 2): no digits are lost near 0. */
TKG_INLINE float elu(float x, float scale) {
  float t = v_tanh(0.5F * (x > 0.0F ? 0.0F : x)), below = scale * (2.0F * t / (1.0F - t));
  return x > 0.0F ? x : below;
}

TKG_INLINE float leaky_grad(float g, float y, float slope) {
  float scaled = slope * g; /* in both cases, so that a choice remains, which vectorises */
  return y > 0.0F ? g : scaled;
}

TKG_INLINE float clamped(float x, float low, float high) {
  x = x < low ? low : x;
  return x > high ? high : x;
}

/* The formatter takes a product for a pointer. */
/* clang-format off */

/* Formulas of x, f0 and f1. */
#define UNARY_OPS(X)                                                                               \
  X(AFFINE, 1, f0 * x + f1)                                                                        \
  X(LEAKY_RELU, 1, leaky(x, f0))                                                                   \
  X(SIGMOID, 4, v_sigmoid(x))                                                                      \
  X(TANH, 4, v_tanh(x))                                                                            \
  X(ELU, 4, elu(x, f0))                                                                            \
  X(SOFTPLUS, 8, v_softplus(x))                                                                    \
  X(EXP, 4, v_exp(x))                                                                              \
  X(LOG, 4, v_log(x))                                                                              \
  X(SQRT, 1, sqrtf(x))                                                                             \
  X(SQUARE, 1, x * x)                                                                              \
  X(CLAMP, 1, clamped(x, f0, f1))                                                                  \
  X(SIN, 8, v_sin(x))                                                                              \
  X(COS, 8, v_cos(x))                                                                              \
  X(ASIN, 4, v_asin(x))                                                                            \
  X(POW, 8, v_pow(x, f0, f1))

/* Formulas of a and b, which broadcast. */
#define ARITHMETIC_OPS(X)                                                                              \
  X(ADD, 1, a + b)                                                                                 \
  X(SUB, 1, a - b)                                                                                 \
  X(MUL, 1, a * b)                                                                                 \
  X(DIV, 1, a / b)                                                                                 \
  X(GREATER, 1, a > b ? 1.0F : 0.0F)                                                               \
  X(GREATER_EQUAL, 1, a >= b ? 1.0F : 0.0F)                                                        \
  X(EQUAL, 1, a == b ? 1.0F : 0.0F)                                                                \
  X(NOT_EQUAL, 1, a != b ? 1.0F : 0.0F)

/* The same, of what is chosen by b's sign, which may be a mask. */
#define CHOICE_OPS(X)                                                                              \
  X(SELECT, 1, b > 0.0F ? a : 0.0F)                                                                \
  X(REJECT, 1, b > 0.0F ? 0.0F : a)

#define BINARY_OPS(X) ARITHMETIC_OPS(X) CHOICE_OPS(X)

/* Gradients: formulas of g, of what forward saw, f0 and f1. */
#define GRAD_OPS(X)                                                                                \
  X(LEAKY_RELU_GRAD, 1, leaky_grad(g, y, f0))                                                      \
  X(SIGMOID_GRAD, 1, g * (y * (1.0F - y)))                                                         \
  X(TANH_GRAD, 1, g * (1.0F - y * y))                                                              \
  X(ELU_GRAD, 1, y > 0.0F ? g : g * (y + f0))                                                      \
  X(CLAMP_GRAD, 1, y >= f0 && y <= f1 ? g : 0.0F)

/* clang-format on */

#define X(name, work, formula)                                                                     \
  case TKG_OP_##name:                                                                              \
    return formula;

TKG_INLINE float unary(int op, float x, float f0, float f1) {
  (void)f0, (void)f1;
  switch (op) { UNARY_OPS(X) }
  TKG_TRAP();
}

TKG_INLINE float binary(int op, float a, float b) {
  switch (op) { BINARY_OPS(X) }
  TKG_TRAP();
}

TKG_INLINE float grad(int op, float g, float y, float f0, float f1) {
  (void)f0, (void)f1;
  switch (op) { GRAD_OPS(X) }
  TKG_TRAP();
}

#undef X

#endif
