/* Preloaded into LuaJIT: one system call on the files of a folder fails, or is the last.
 *
 * A seccomp filter traps open, write, fsync, rename and the like, also those that the C library
 * makes on its own, and a handler does them, or not. Environment: FAULT_FOLDER   the folder,
 * absolute; calls on what lies in it are counted from 1 FAULT_AT       the number of the call to be
 * hit; 0: none FAULT_KIND     EIO, ENOSPC  the call fails so, and nothing is done short        a
 * write writes half of its bytes kill         SIGKILL before the call, a write's after half of its
 * bytes FAULT_REPORT   a file that gets `hit CALL PATH` and, at the end, `calls N` */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* ---- the machine ---------------------------------------------------------------------------- */

long raw_call(long number, long a, long b, long c, long d, long e, long f);
extern char raw_call_end[];

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
__asm__("raw_call: mov %rdi,%rax; mov %rsi,%rdi; mov %rdx,%rsi; mov %rcx,%rdx; mov %r8,%r10\n"
        "mov %r9,%r8; mov 8(%rsp),%r9; syscall\n"
        "raw_call_end: ret\n");
static long argument(const ucontext_t *u, int i) {
  static const int at[] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};
  return (long)u->uc_mcontext.gregs[at[i]];
}
static void set_result(ucontext_t *u, long result) { u->uc_mcontext.gregs[REG_RAX] = result; }
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
__asm__("raw_call: mov x8,x0; mov x0,x1; mov x1,x2; mov x2,x3; mov x3,x4; mov x4,x5; mov x5,x6\n"
        "svc 0\n"
        "raw_call_end: ret\n");
static long argument(const ucontext_t *u, int i) { return (long)u->uc_mcontext.regs[i]; }
static void set_result(ucontext_t *u, long result) {
  u->uc_mcontext.regs[0] = (unsigned long long)result;
}
#else
#error "no machine that this shim knows"
#endif

/* ---- the calls ------------------------------------------------------------------------------ */

/* Where a call says which file it means. */
enum subject { DESCRIPTOR, PATH, PATH_AT };

static const struct call {
  long number;
  const char *name;
  enum subject subject;
  int makes; /* it may need room on the disk */
} calls[] = {
#ifdef SYS_open
    {SYS_open, "open", PATH, 1},
    {SYS_rename, "rename", PATH, 1},
    {SYS_mkdir, "mkdir", PATH, 1},
    {SYS_rmdir, "rmdir", PATH, 0},
    {SYS_unlink, "unlink", PATH, 0},
#endif
    {SYS_openat, "open", PATH_AT, 1},
    {SYS_mkdirat, "mkdir", PATH_AT, 1},
    {SYS_unlinkat, "unlink", PATH_AT, 0},
    {SYS_renameat, "rename", PATH_AT, 1},
    {SYS_renameat2, "rename", PATH_AT, 1},
    {SYS_write, "write", DESCRIPTOR, 1},
    {SYS_pwrite64, "write", DESCRIPTOR, 1},
    {SYS_fsync, "fsync", DESCRIPTOR, 1},
    {SYS_fdatasync, "fsync", DESCRIPTOR, 1},
    {SYS_ftruncate, "truncate", DESCRIPTOR, 1},
    {SYS_close, "close", DESCRIPTOR, 0},
};
enum { CALLS = sizeof calls / sizeof *calls };

static const char *folder, *kind;
static long hit_at, count;
static int report = -1;

static const struct call *call_of(long number) {
  for (int i = 0; i < CALLS; i++)
    if (calls[i].number == number) return &calls[i];
  return NULL;
}

/* The path that a call is about, as far as it can be told; "" where it is none. */
static void path_of(const struct call *call, const ucontext_t *u, char path[PATH_MAX]) {
  char link[40];
  path[0] = '\0';
  if (call->subject == DESCRIPTOR) {
    snprintf(link, sizeof link, "/proc/self/fd/%ld", argument(u, 0));
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = '\0';
    return;
  }
  const char *given = (const char *)argument(u, call->subject == PATH_AT);
  if (given) snprintf(path, PATH_MAX, "%s", given);
}

static int in_folder(const char *path) {
  size_t n = strlen(folder);
  return !strncmp(path, folder, n) && (path[n] == '\0' || path[n] == '/' || path[n] == '.');
}

static void say(const char *text) {
  if (report >= 0) raw_call(SYS_write, report, (long)text, (long)strlen(text), 0, 0, 0);
}

static long perform(long number, const ucontext_t *u) {
  return raw_call(number, argument(u, 0), argument(u, 1), argument(u, 2), argument(u, 3),
                  argument(u, 4), argument(u, 5));
}

static long half_a_write(long number, const ucontext_t *u) {
  return raw_call(number, argument(u, 0), argument(u, 1), argument(u, 2) / 2, argument(u, 3), 0, 0);
}

/* Whether a fault of this kind can happen to the call. */
static int applies(const struct call *call) {
  if (!strcmp(kind, "short")) return !strcmp(call->name, "write");
  return call->makes || strcmp(kind, "ENOSPC") != 0;
}

/* Does the call that is to be hit, as far as its fault lets it. */
static long hit(const struct call *call, long number, const ucontext_t *u) {
  int writes = !strcmp(call->name, "write") && argument(u, 2) > 1;
  if (!strcmp(kind, "short")) return writes ? half_a_write(number, u) : perform(number, u);
  if (!strcmp(kind, "kill")) {
    if (writes) half_a_write(number, u);
    raw_call(SYS_kill, getpid(), SIGKILL, 0, 0, 0, 0);
  }
  if (!strcmp(call->name, "close")) perform(number, u); /* it closes, and says that it failed */
  return !strcmp(kind, "ENOSPC") ? -ENOSPC : -EIO;
}

static void handle(int signal, siginfo_t *info, void *context) {
  (void)signal;
  ucontext_t *u = context;
  int kept = errno;
  long number = info->si_syscall;
  const struct call *call = call_of(number);
  char path[PATH_MAX];
  path_of(call, u, path);
  long result;
  if (in_folder(path) && applies(call) &&
      __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED) == hit_at) {
    say("hit ");
    say(call->name);
    say(" ");
    say(path);
    say("\n");
    result = hit(call, number, u);
  } else {
    result = perform(number, u);
  }
  set_result(u, result);
  errno = kept;
}

/* ---- beginning and end ---------------------------------------------------------------------- */

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define UNLESS(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 0, skip)
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, what)

/* Traps the calls above unless they come from raw_call. */
static int trap(void) {
  struct sock_filter filter[9 + CALLS + 2];
  int n = 0;
  uint64_t own = (uint64_t)(uintptr_t)raw_call_end;
  uint32_t ip = offsetof(struct seccomp_data, instruction_pointer);
  filter[n++] = (struct sock_filter)LOAD(arch);
  filter[n++] = (struct sock_filter)UNLESS(THIS_ARCH, 4);
  filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ip);
  filter[n++] = (struct sock_filter)UNLESS(own & 0xFFFFFFFF, 3);
  filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ip + 4);
  filter[n++] = (struct sock_filter)UNLESS(own >> 32, 1);
  filter[n++] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
  filter[n++] = (struct sock_filter)LOAD(nr);
  for (int i = 0; i < CALLS; i++)
    filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i].number,
                                               (uint8_t)(CALLS - i), 0);
  filter[n++] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
  filter[n++] = (struct sock_filter)RETURN(SECCOMP_RET_TRAP);
  struct sock_fprog program = {.len = (unsigned short)n, .filter = filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return -1;
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("FAULT_REPORT"), *at = getenv("FAULT_AT");
  folder = getenv("FAULT_FOLDER");
  kind = getenv("FAULT_KIND");
  if (!folder || !kind) return;
  hit_at = at ? atol(at) : 0;
  if (path) report = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  unsetenv("LD_PRELOAD"); /* a child has no handler for what the filter traps */
  struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_NODEFER};
  if (sigaction(SIGSYS, &action, NULL) || trap()) say("cannot trap system calls\n");
}

__attribute__((destructor)) static void end(void) {
  char text[40];
  snprintf(text, sizeof text, "calls %ld\n", count);
  say(text);
}
