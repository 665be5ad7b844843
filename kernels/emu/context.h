/* Switching stacks: by a few instructions on x86-64, else by the C library. */
#ifndef TKG_EMU_CONTEXT_H
#define TKG_EMU_CONTEXT_H

enum { STACK = 64 * 1024 }; /* bytes */

#if defined(__x86_64__) && !defined(EMU_UCONTEXT)

/* Saves the registers that a callee must keep, then continues where `to` was saved. */
extern "C" void emu_switch(void **from, void *to);
__asm__(".text\n.local emu_switch\n.type emu_switch,@function\nemu_switch:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, (%rdi)\n  movq %rsi, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
        "  popq %rcx\n  jmp *%rcx\n" /* a return would go elsewhere than the processor expects */
        ".size emu_switch,.-emu_switch\n");

struct context {
  void *sp;
};
static inline void context_switch(context *from, context *to) { emu_switch(&from->sp, to->sp); }
static inline void context_make(context *c, char *stack, void (*entry)(void)) {
  void **sp = (void **)(stack + STACK);
  *--sp = nullptr; /* keeps the entry 16-byte aligned */
  *--sp = (void *)entry;
  for (int i = 0; i < 6; i++) *--sp = nullptr;
  c->sp = sp;
}

#else
#include <ucontext.h>

struct context {
  ucontext_t u;
};
static inline void context_switch(context *from, context *to) { swapcontext(&from->u, &to->u); }
static inline void context_make(context *c, char *stack, void (*entry)(void)) {
  getcontext(&c->u);
  c->u.uc_stack.ss_sp = stack;
  c->u.uc_stack.ss_size = STACK;
  c->u.uc_link = nullptr;
  makecontext(&c->u, entry, 0);
}

#endif

#endif
