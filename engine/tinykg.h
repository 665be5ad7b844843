/* tinykg: a training engine for knowledge-graph recommenders. This is the whole C API.
 *
 * Conventions
 *   - A function that can fail returns a status, 0 for success (errors.def); tkg_error() then has
 *     the message of the calling thread. Recording functions return a node number instead, or -1.
 *   - Objects are opaque. `create` gives one reference, `retain` adds and `release` drops one;
 *     release(NULL) does nothing. NULL in place of another object, text or array is refused
 *     (TKG_E_ARGUMENT; 0, -1, "" or NULL where no status comes back).
 *   - Sizes are 64 bit; counts come back as double, which Lua reads without boxing.
 *   - An engine and what belongs to it is used by one thread at a time; engines are independent.
 *
 * The way of a step: values are recorded on a tape (nothing is computed), then a step object turns
 * the tape into a plan - gradients, what is kept for them, memory layout - and runs it. */
#ifndef TINYKG_H
#define TINYKG_H

#include <stdint.h>

#define TKG_ABI 1           /* changes when this header does */
#define TKG_VERSION "0.1.0" /* install_spec compares the rockspec and the changelog with it */

#ifdef __cplusplus
extern "C" {
#endif

/* ffi:begin */
typedef struct tkg_engine tkg_engine;
typedef struct tkg_tensor tkg_tensor;
typedef struct tkg_tape tkg_tape;
typedef struct tkg_step tkg_step;
typedef struct tkg_optimizer tkg_optimizer;

uint32_t tkg_abi(void);        /* TKG_ABI of the library */
const char *tkg_version(void); /* TKG_VERSION of the library */
const char *tkg_error(void);   /* message of the last failure in this thread */
const char *tkg_status_text(int status);

/* ---- engine: a device, a seed, a number of threads, memory counters ---- */
/* device: "cpu", "cuda" or "cuda:N" (a GPU), "emu" (its kernels on the CPU, for tests), or "auto":
 * a GPU where there is one that works, else the CPU; tkg_engine_note then says why, or is "". */
int tkg_engine_create(const char *device, tkg_engine **out);
void tkg_engine_release(tkg_engine *engine); /* lives on while anything of it does */
const char *tkg_engine_device(const tkg_engine *engine);
const char *tkg_engine_note(const tkg_engine *engine);
int tkg_engine_supports(const tkg_engine *engine, int op);
void tkg_engine_set_seed(tkg_engine *engine, uint64_t seed);
int tkg_engine_set_threads(tkg_engine *engine, int threads); /* 0: one per core */
int tkg_engine_threads(const tkg_engine *engine);
/* How matrix products are computed on a GPU that has TF32: "float32", exact, unless "tf32" is asked
 * for: what is multiplied is rounded to 10 bits of fraction, several times faster. */
int tkg_engine_set_precision(tkg_engine *engine, const char *name);
const char *tkg_engine_precision(const tkg_engine *engine);
/* Whether runs of a plan on the same memory are queued as a whole, on a device that can (default
 * 1). The results are the same bits. */
void tkg_engine_set_replay(tkg_engine *engine, int on);
int tkg_engine_replay(const tkg_engine *engine);
/* Frees the memory that steps share; the next step allocates what it needs. Useful after the
 * largest steps, before other memory is allocated. */
void tkg_engine_trim(tkg_engine *engine);
/* On a plan-only engine steps are planned and their memory is counted as if they ran, but nothing
 * is computed or allocated: results are zeros. Each call resets the counts to those before the
 * first. */
void tkg_engine_set_plan_only(tkg_engine *engine, int on);

/* Bytes by kind: parameter gradient optimizer kept_exact kept_quantized transient graph data.
 * `peak` of kind -1 is the largest sum seen since the last reset. */
int tkg_memory_kinds(void);
const char *tkg_memory_kind(int kind);
double tkg_memory_live(const tkg_engine *engine, int kind);
double tkg_memory_peak(const tkg_engine *engine, int kind);
void tkg_memory_reset_peak(tkg_engine *engine);
/* The device's own figures: "held" (taken from it, idle blocks included), "used" (in use), "peak"
 * (most used since the last reset), "free" and "total" (of the device). -1: the CPU has none. */
double tkg_memory_device(const tkg_engine *engine, const char *what);

/* Ctrl-C: while watched (1: SIGINT; 2: SIGTERM too; 0: neither), a signal sets a flag that runs
 * look at between nodes (TKG_E_INTERRUPTED). A second one, half a second later with the first
 * unanswered, ends the process as usual, unless it is to survive, as a prompt is. A SIGTERM that
 * nobody has looked at for five seconds ends it too (by SIGALRM, which is then taken).
 * tkg_interrupted: the signal's number, 0 when there was none. */
int tkg_interrupt_watch(int signals);
void tkg_interrupt_survive(int on);
int tkg_interrupted(int clear);

/* ---- tensors: kept values, reference counted ---- */
/* dtype 0 = f32, 1 = i32; rank 0..4; zeroed. kind as in tkg_memory_kind. */
int tkg_tensor_create(tkg_engine *engine, int dtype, int rank, const int64_t *shape, int kind,
                      tkg_tensor **out);
tkg_tensor *tkg_tensor_retain(tkg_tensor *tensor);
void tkg_tensor_release(tkg_tensor *tensor);
const char *tkg_tensor_device(const tkg_tensor *tensor); /* where it lies */
int tkg_tensor_dtype(const tkg_tensor *tensor);
int tkg_tensor_rank(const tkg_tensor *tensor);
double tkg_tensor_size(const tkg_tensor *tensor, int dim); /* dim 0..rank-1; -1: element count */
int tkg_tensor_write(tkg_tensor *tensor, const void *from, int64_t first, int64_t count);
int tkg_tensor_read(const tkg_tensor *tensor, void *to, int64_t first, int64_t count);
int tkg_tensor_copy(tkg_tensor *to, const tkg_tensor *from); /* same device, dtype and count */
int tkg_tensor_fill(tkg_tensor *tensor, double value);
/* Drawn from the engine's seed and `stream`: the same stream gives the same numbers. */
int tkg_tensor_uniform(tkg_tensor *tensor, double low, double high, uint32_t stream);
int tkg_tensor_normal(tkg_tensor *tensor, double mean, double deviation, uint32_t stream);
void tkg_tensor_set_parameter(tkg_tensor *tensor, int wanted); /* gradient wanted; kind follows */
int tkg_tensor_is_parameter(const tkg_tensor *tensor);
tkg_tensor *tkg_tensor_gradient(tkg_tensor *tensor); /* a new reference, or NULL */
double tkg_tensor_version(const tkg_tensor *tensor); /* another one whenever its numbers change */
int tkg_shuffle(int32_t *ids, int64_t n, uint64_t seed, uint32_t epoch, uint32_t stream);
/* 4 words of random bits, a function of these numbers alone (kernels/shared/philox.h). */
void tkg_philox(uint64_t seed, uint64_t block, uint32_t step, uint32_t stream, uint32_t out[4]);

/* ---- tape: values recorded, not computed ---- */
typedef struct tkg_attributes {
  double f[4];
  int64_t i[4];
  int32_t rank; /* of `shape`, for ops whose output shape is given */
  int64_t shape[4];
} tkg_attributes;

int tkg_tape_create(tkg_engine *engine, tkg_tape **out);
void tkg_tape_release(tkg_tape *tape);
void tkg_tape_begin(tkg_tape *tape); /* empties it; values recorded before are over */
int tkg_tape_length(const tkg_tape *tape);
/* Ops by name, their inputs and attributes: ops.def, which lies beside this header. */
int tkg_op_code(const char *name); /* -1 when there is none */
int tkg_op_count(void);
const char *tkg_op_name(int op);
int tkg_tape_leaf(tkg_tape *tape, tkg_tensor *tensor);
/* `where`: the recipe's "file:line" for reports; NULL: as when this tape was last recorded, for as
 * long as the ops are the same. Absent optional inputs are left out. */
int tkg_tape_record(tkg_tape *tape, int op, const int32_t *inputs, int n,
                    const tkg_attributes *attributes, const char *where);
int tkg_tape_dtype(const tkg_tape *tape, int node);
int tkg_tape_rank(const tkg_tape *tape, int node);
double tkg_tape_size(const tkg_tape *tape, int node, int dim);
int tkg_tape_set_bits(tkg_tape *tape, int bits); /* for what is recorded next; 0: step's */
int tkg_tape_set_rule(tkg_tape *tape, int node,
                      const char *rule); /* recompute mask exact quantize */
/* Keeps only what the given nodes need; renumber[old] = new number or -1. */
int tkg_tape_compact(tkg_tape *tape, const int32_t *live, int n, int32_t *renumber);
/* The tape, one node a line, into text (at most `size` bytes with the 0); returns bytes needed. */
int64_t tkg_tape_print(const tkg_tape *tape, char *text, int64_t size);

/* ---- optimizers: updates recorded as nodes ---- */
int tkg_optimizer_create(tkg_engine *engine, const char *kind, tkg_optimizer **out);
void tkg_optimizer_release(tkg_optimizer *optimizer);
int tkg_optimizer_set(tkg_optimizer *optimizer, const char *option, double value);
int tkg_optimizer_get(const tkg_optimizer *optimizer, const char *option, double *value);
/* State of a parameter (slot 0, 1: m, v of Adam); made when missing. Borrowed. NULL: no such slot.
 * With "bits" 8 a parameter of 4096 elements or more has codes of both, as int32, and their scales
 * (moments.h). */
tkg_tensor *tkg_optimizer_state(tkg_optimizer *optimizer, tkg_tensor *parameter, int slot);
int tkg_optimizer_knows(const tkg_optimizer *optimizer,
                        const tkg_tensor *parameter); /* has state */
int tkg_optimizer_update(tkg_optimizer *optimizer, tkg_tensor *const *parameters, int n);

/* ---- steps: from tape to plan to numbers ---- */
int tkg_step_create(tkg_engine *engine, tkg_step **out);
void tkg_step_release(tkg_step *step);
/* bits 32|8|4|2|1, rounding 0 dither 1 stochastic 2 nearest, small (bytes), number (of the step),
 * save 0|1 (0: keep whatever backward reads, exactly), rows 0|1 (0: compute whole values where only
 * some of their rows are gathered), tiles 0|1 (0: node after node), check 0|1 (1: each value is
 * looked at; the first that is not finite stops the step, before parameters are updated). */
int tkg_step_set(tkg_step *step, const char *option, double value);
/* loss -1: forward only. With an optimizer: forward, backward, update. Without one, gradients go
 * to tkg_tensor_gradient of each parameter. outputs[i]: a new tensor with the value of roots[i]. */
int tkg_step_run(tkg_step *step, tkg_tape *tape, int loss, tkg_optimizer *optimizer,
                 const int32_t *roots, int n, tkg_tensor **outputs);
/* Plans as tkg_step_run would, runs nothing. */
int tkg_step_plan(tkg_step *step, tkg_tape *tape, int loss, tkg_optimizer *optimizer,
                  const int32_t *roots, int n);
/* Of the largest plan: reference_bytes stored_bytes exact_bytes arena_bytes kept_exact
 * kept_quantized gradient transient nodes values. Of all its plans: plans (made), replayed (runs
 * that a device queued as a whole). -1: no such figure. */
double tkg_step_figure(const tkg_step *step, const char *name);
typedef struct tkg_kept {
  const char *where, *op, *rule;
  double exact_bytes, kept_bytes;
  int32_t bits, dtype, rank;
  int64_t shape[4];
} tkg_kept;
int tkg_step_kept(const tkg_step *step, int index, tkg_kept *out);
int64_t tkg_step_print(const tkg_step *step, char *text, int64_t size);
/* ffi:end */

#ifdef __cplusplus
}
#endif

#endif
