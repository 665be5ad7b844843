/* tinykg: a training engine for knowledge-graph recommenders. This is the whole C API of the
 * engine; readers of data, graphs, metrics and checksums have headers of their own beside it, to
 * which the conventions apply too.
 *
 * Conventions
 *   - A function that can fail returns a status: TKG_OK, which is 0, or another tkg_status, and
 *     tkg_error() has the message of the calling thread. Functions that record return a node number
 *     instead, -1 on failure.
 *   - Objects are opaque. `create` gives the caller one reference, `retain` adds one and `release`
 *     drops one; release(NULL) does nothing. NULL in place of any other object, text or array fails
 *     (TKG_E_ARGUMENT; functions that return no status return 0, -1, "" or NULL).
 *   - Texts that are returned belong to the engine; they are valid as long as their object is.
 *   - Sizes are in elements or bytes, 64 bits wide; counts are returned as double, which Lua reads
 *     without boxing.
 *   - An engine and all its objects are used by one thread at a time; engines are independent.
 *
 * A step: values are recorded on a tape, which computes nothing. A step object then compiles the
 * tape to a plan - gradients, what is saved for them, memory layout - and runs it. */
#ifndef TINYKG_H
#define TINYKG_H

#include <stdint.h>

#define TKG_ABI 3           /* changes when this header does */
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

/* What functions return; tkg_status_text says what each means. */
enum tkg_status {
  TKG_OK,
  TKG_E_ARGUMENT,
  TKG_E_SHAPE,
  TKG_E_DTYPE,
  TKG_E_RANGE,
  TKG_E_MEMORY,
  TKG_E_FILE,
  TKG_E_FORMAT,
  TKG_E_GENERATION,
  TKG_E_STALE,
  TKG_E_INTERRUPTED,
  TKG_E_UNSUPPORTED,
  TKG_E_DEVICE,
  TKG_E_NOT_FINITE,
  TKG_E_RANKS
};

uint32_t tkg_abi(void);        /* TKG_ABI of the library */
const char *tkg_version(void); /* TKG_VERSION of the library */
const char *tkg_error(void);   /* message of the last failure in this thread */
const char *tkg_status_text(int status);

/* ---- engine: a device, a seed, a number of threads, memory counters ---- */

/* Opens a device: "cpu", "cuda" or "cuda:N" (a GPU), "emu" (the GPU's kernels on the CPU, for
 * tests) or "auto", which takes a GPU that works, else the CPU; tkg_engine_note then says why,
 * otherwise it is "". TKG_E_ARGUMENT for another name, TKG_E_DEVICE if the device cannot be used.
 */
int tkg_engine_create(const char *device, tkg_engine **out);
/* Drops the caller's reference. Tensors, tapes, steps and optimizers hold references too. */
void tkg_engine_release(tkg_engine *engine);
const char *tkg_engine_device(const tkg_engine *engine);
const char *tkg_engine_note(const tkg_engine *engine);
int tkg_engine_supports(const tkg_engine *engine, int op); /* 1: the device has this op */
void tkg_engine_set_seed(tkg_engine *engine, uint64_t seed);
int tkg_engine_set_threads(tkg_engine *engine,
                           int threads); /* 0..1024; 0: one per core, shared with other ranks */
int tkg_engine_threads(const tkg_engine *engine);
/* Sets how many tiles of rows plans made from here on run at a time, at most; 0, the default: one
 * for each thread. Each has memory of its own. The results are the same bits. */
int tkg_engine_set_tiles(tkg_engine *engine, int tiles);
int tkg_engine_tiles(const tkg_engine *engine);
/* Sets how GPUs with TF32 multiply matrices: "float32" is exact and the default; "tf32" rounds the
 * factors to 10 bits of fraction and is several times faster; "fast" does so too, and lets sums
 * over edges be computed by cuSPARSE or by our own kernel, whichever took the least time when a
 * shape was met first: two runs need not have the same bits. */
int tkg_engine_set_precision(tkg_engine *engine, const char *name);
const char *tkg_engine_precision(const tkg_engine *engine);
/* What "fast" chose on this device, a line per shape; valid until the next call. Setting such a
 * text makes a run that goes on take the same ways; other devices ignore it. TKG_E_ARGUMENT: a line
 * is none. */
const char *tkg_engine_ways(const tkg_engine *engine);
int tkg_engine_set_ways(tkg_engine *engine, const char *text);
/* Sets whether a plan that runs again on the same memory is queued as a whole, on devices that can
 * (default 1). The results are the same bits. */
void tkg_engine_set_replay(tkg_engine *engine, int on);
int tkg_engine_replay(const tkg_engine *engine);
/* Frees the memory that all steps share; the next step allocates what it needs. Call it after the
 * largest steps and before other large allocations. */
void tkg_engine_trim(tkg_engine *engine);
/* Makes an engine plan-only, or ends that: steps are then planned and their memory is counted as if
 * they ran, but nothing is computed or allocated, and their outputs are zeros. Each call resets the
 * counts of step memory to those before the first. */
void tkg_engine_set_plan_only(tkg_engine *engine, int on);

/* ---- ranks: processes of one launcher that compute together ---- */

/* Joins the processes that a launcher (mpirun, srun) has started with this one; all of them call
 * it. `how`: "none" (alone, as an engine is at first), "mpi", or "auto", which is "mpi" where the
 * launcher's variables tell of more than one process. A process joins once; its engines share the
 * ranks. TKG_E_ARGUMENT for another name, TKG_E_UNSUPPORTED if no MPI library fits the launcher
 * (TINYKG_MPI names one), TKG_E_DEVICE. */
int tkg_engine_join(tkg_engine *engine, const char *how);
/* Both: joins, then opens a device. Of several ranks on a machine each takes a GPU of its own where
 * the device has no number ("cuda", "auto"): that of its place among them, modulo the GPUs. All
 * ranks open devices in the same order. */
int tkg_engine_create_rank(const char *device, const char *how, tkg_engine **out);
/* A line per rank: machine and device; "" alone. */
const char *tkg_engine_rank_devices(const tkg_engine *engine);
/* What NCCL takes of the GPU with the engine's ranks, planned or there, at most, in bytes; 0 on
 * other devices, or alone. */
double tkg_engine_link_bytes(const tkg_engine *engine);
/* What cuSPARSE keeps on the GPU for the plans so far, at most, in bytes, where the precision is
 * 'fast': the engine's other figures lack it. 0 on other devices; a plan-only engine of the
 * emulated GPU has those of a GPU. */
double tkg_engine_library_bytes(const tkg_engine *engine);
/* What would join the devices of ranks, "NCCL 2.28.9"; "": nothing, tkg_error() says why. */
const char *tkg_engine_link_library(const tkg_engine *engine);
int tkg_engine_rank(const tkg_engine *engine);               /* 0 alone */
int tkg_engine_ranks(const tkg_engine *engine);              /* how many there are; 1 alone */
int tkg_engine_local_ranks(const tkg_engine *engine);        /* on this machine */
const char *tkg_engine_ranks_note(const tkg_engine *engine); /* library and machines; "" alone */
/* Plans steps from here on as if there were so many ranks (0: those that there are), this one being
 * rank 0: for a plan-only engine. */
int tkg_engine_plan_ranks(tkg_engine *engine, int ranks);
int tkg_engine_planned_ranks(const tkg_engine *engine); /* as set; 0 by default */
const char *tkg_mpi_library(void); /* that would be used; "": none, tkg_error() says why */
/* What the launcher's variables say, before or without joining: its name (NULL: no launcher) and
 * this process's rank and number of ranks. */
const char *tkg_launcher_name(void);
int tkg_launcher_rank(void);
int tkg_launcher_ranks(void);
/* Collective operations on host memory: each rank calls them in the same order. They fail with
 * TKG_E_RANKS and its message when another rank fails or dies. */
int tkg_collective_broadcast(tkg_engine *engine, void *data, int64_t bytes, int root);
/* Writes the chunks of all ranks to `all`, in order; rank r's has bytes[r] bytes. */
int tkg_collective_gather(tkg_engine *engine, const void *mine, void *all, const int64_t *bytes);
int tkg_collective_all_to_all(tkg_engine *engine, const void *send, const int64_t *send_bytes,
                              void *receive, const int64_t *receive_bytes);
/* Replaces n elements by their sum or maximum over ranks: "sum f32" "max f32" "sum f64" "sum i64"
 * "max i64". Sums are made in the order of ranks. */
int tkg_collective_reduce(tkg_engine *engine, const char *how, void *values, int64_t n);
int tkg_collective_barrier(tkg_engine *engine);
/* TKG_E_RANKS if a rank has failed or died, without waiting. */
int tkg_collective_check(tkg_engine *engine);
/* Before the process exits with `code`. 0: waits until all ranks are here; TKG_E_RANKS if one fails
 * instead. Else: tells the others `message`, if this rank is the first to fail, and ranks other
 * than 0, which prints, wait until that has ended. Later calls do nothing. */
int tkg_collective_leave(tkg_engine *engine, int code, const char *message);
/* Bytes that this rank has sent, or calls: "all_to_all" "all_gather" "all_reduce" "broadcast"
 * "barrier"; of operations since the last reset. -1: no such kind. */
double tkg_collective_bytes(const tkg_engine *engine, const char *kind);
double tkg_collective_calls(const tkg_engine *engine, const char *kind);
void tkg_collective_reset(tkg_engine *engine);

/* Memory in bytes, by kind: parameter gradient optimizer kept_exact kept_quantized transient graph
 * data. Kind -1 is their sum; its peak is the largest sum since the last reset. */
int tkg_memory_kinds(void);            /* how many kinds there are */
const char *tkg_memory_kind(int kind); /* name, NULL for no kind */
double tkg_memory_live(const tkg_engine *engine, int kind);
double tkg_memory_peak(const tkg_engine *engine, int kind);
/* How many tensors of 1 MiB or more there were at most since the last reset, the memory of steps
 * being one: a GPU's driver gives each of them whole pages. */
double tkg_memory_blocks(const tkg_engine *engine);
void tkg_memory_reset_peak(tkg_engine *engine);
/* Returns a figure of the device in bytes: "held" (allocated from it, free blocks included),
 * "used", "peak" (of used, since the last reset), "free" and "total" (of the whole device). -1: the
 * CPU has none of these, or there is no such figure. */
double tkg_memory_device(const tkg_engine *engine, const char *what);

/* Ctrl-C. While signals are watched (1: SIGINT; 2: SIGTERM too; 0: none), a signal sets a flag that
 * runs check between nodes (TKG_E_INTERRUPTED). A second signal at least half a second later, with
 * the flag still set, ends the process, unless `survive` is on, as it is at a prompt. A SIGTERM
 * whose flag is not read within five seconds ends it too, through SIGALRM. Returns 0, or -1 as
 * sigaction. */
int tkg_interrupt_watch(int signals);
void tkg_interrupt_survive(int on);
int tkg_interrupted(int clear); /* the signal's number, or 0; clears the flag if asked */

/* ---- tensors: values with memory of their own ---- */

/* Creates a tensor of zeros: dtype 0 is f32 and 1 is i32, rank 0..4, kind as in tkg_memory_kind. At
 * most 2^48 elements. A large table of the parameters' kind is divided among ranks at once
 * (tkg_tensor_divide). */
int tkg_tensor_create(tkg_engine *engine, int dtype, int rank, const int64_t *shape, int kind,
                      tkg_tensor **out);
tkg_tensor *tkg_tensor_retain(tkg_tensor *tensor);
void tkg_tensor_release(tkg_tensor *tensor);
const char *tkg_tensor_device(const tkg_tensor *tensor);
int tkg_tensor_dtype(const tkg_tensor *tensor); /* of its numbers: those of 16 bits are f32 */
int tkg_tensor_bits(const tkg_tensor *tensor);  /* 32, or 16 */
int tkg_tensor_rank(const tkg_tensor *tensor);
double tkg_tensor_size(const tkg_tensor *tensor, int dim); /* dim 0..rank-1; -1: element count */
/* Copy `count` elements of 4 bytes from or to host memory, from element `first` on. TKG_E_RANGE if
 * they are not all inside the tensor. NaNs with a payload become the usual NaN. */
int tkg_tensor_write(tkg_tensor *tensor, const void *from, int64_t first, int64_t count);
int tkg_tensor_read(const tkg_tensor *tensor, void *to, int64_t first, int64_t count);
int tkg_tensor_copy(tkg_tensor *to, const tkg_tensor *from); /* same device, dtype and count */
/* Writes a number into each element; TKG_E_ARGUMENT for one that an i32 tensor cannot have. */
int tkg_tensor_fill(tkg_tensor *tensor, double value);
/* Fill an f32 tensor with random numbers, a function of the engine's seed and `stream` alone. */
int tkg_tensor_uniform(tkg_tensor *tensor, double low, double high, uint32_t stream);
int tkg_tensor_normal(tkg_tensor *tensor, double mean, double deviation, uint32_t stream);
/* Sets whether a tensor gets gradients; its memory is then counted as parameter, else as data, and
 * a gradient that it had is released. */
void tkg_tensor_set_parameter(tkg_tensor *tensor, int wanted);
int tkg_tensor_is_parameter(const tkg_tensor *tensor);
/* Sets how a parameter is updated, from the next step on: "lr" (a factor of the optimizer's),
 * "weight_decay" (instead of the optimizer's; each other value is a new plan of the step) or
 * "frozen" (1: it gets no gradient, loses the one that it has, and stays as it is; a new plan too).
 * TKG_E_ARGUMENT for another option or a negative value. */
int tkg_tensor_set_group(tkg_tensor *tensor, const char *option, double value);
/* Keeps an f32 parameter in 16 bits (bf16), or in 32 again. Reading and writing it goes on in f32,
 * rounded to the nearest; adam's updates round at random, with noise that depends on `number`, so
 * parameters should have different ones (0 to 2^20 - 1). TKG_E_ARGUMENT or TKG_E_MEMORY. */
int tkg_tensor_set_bits(tkg_tensor *tensor, int bits, int number);
/* Divides a parameter that is a large table by columns among the ranks that train together, if it
 * can be; alone it does nothing. Reading it then needs all ranks. A status. */
int tkg_tensor_divide(tkg_tensor *tensor);
int tkg_tensor_is_divided(const tkg_tensor *tensor);
/* Makes a divided tensor whole on each rank; all ranks call it. A status. */
int tkg_tensor_join(tkg_tensor *tensor);
/* Whether it is a large table rather than a weight: a matrix of more rows than columns and 4,096
 * elements or more. Such parameters may have 16 bits or row-wise moments. */
int tkg_tensor_is_table(const tkg_tensor *tensor);
tkg_tensor *tkg_tensor_gradient(tkg_tensor *tensor); /* a new reference, or NULL */
/* Gives a parameter a copy of `from`, f32 of its shape and on its device, as its gradient; one that
 * it had is released. TKG_E_SHAPE, TKG_E_ARGUMENT if it is none or frozen, or TKG_E_MEMORY. */
int tkg_tensor_set_gradient(tkg_tensor *tensor, const tkg_tensor *from);
void tkg_tensor_drop_gradient(tkg_tensor *tensor);
double tkg_tensor_version(const tkg_tensor *tensor); /* grows whenever its numbers change */
/* Writes a random permutation of 0..n-1, n < 2^31, a function of the last three arguments alone. */
int tkg_shuffle(int32_t *ids, int64_t n, uint64_t seed, uint32_t epoch, uint32_t stream);
/* Writes 4 words of random bits, a function of these numbers alone (Philox4x32-10). */
void tkg_philox(uint64_t seed, uint64_t block, uint32_t step, uint32_t stream, uint32_t out[4]);

/* ---- ranking by products of rows ---- */

enum { TKG_RANKED_USERS = 256 }; /* that the CPU ranks together */

/* Whether tkg_rank works on the engine's device. */
int tkg_ranks(const tkg_engine *engine);
/* Lists for each of n users the k best items, as tkg_metrics_topk does, without a matrix of all
 * scores. A score is the sum over `parts` tables of the product of a row of users[p] and one of
 * items[p], of as many columns, of 32 or 16 bits; the first item_count rows are ranked. User i has
 * row rows[i] in each table, and the known items of user ids[i], which ascend (both NULL: none).
 * top and top_scores are [n, k]. TKG_E_ARGUMENT for a NaN, TKG_E_RANGE for rows and known items
 * that are not there, TKG_E_SHAPE, TKG_E_MEMORY, TKG_E_UNSUPPORTED. Lists of users in several
 * calls are the same bits if all but the last call get a multiple of TKG_RANKED_USERS. */
int tkg_rank(tkg_engine *engine, const tkg_tensor *const *users, const tkg_tensor *const *items,
             int parts, int64_t item_count, const int32_t *rows, const int32_t *ids, int64_t n,
             const int32_t *known_offsets, const int32_t *known_items, int k, int32_t *top,
             float *top_scores);

/* ---- tape: values recorded, not computed ---- */

typedef struct tkg_attributes {
  double f[4];
  int64_t i[4];
  int32_t rank; /* of `shape`, for ops whose output shape is given */
  int64_t shape[4];
} tkg_attributes;

int tkg_tape_create(tkg_engine *engine, tkg_tape **out);
void tkg_tape_release(tkg_tape *tape);
void tkg_tape_begin(tkg_tape *tape); /* empties it; node numbers from before are invalid */
/* Releases the tensors that were recorded: their memory may be needed before the tape is begun
 * anew. Until then it can be printed, but a step refuses it (TKG_E_STALE). */
void tkg_tape_end(tkg_tape *tape);
int tkg_tape_length(const tkg_tape *tape);
/* Ops by name; ops.def, which lies beside this header, has their inputs and attributes. */
int tkg_op_code(const char *name); /* -1 when there is none */
int tkg_op_count(void);
const char *tkg_op_name(int op);
/* Records a tensor, which the tape retains; the same tensor gives the same node. -1 with a message
 * for one of another engine, or without memory. */
int tkg_tape_leaf(tkg_tape *tape, tkg_tensor *tensor);
/* Records an op on n nodes and checks dtypes and shapes; optional inputs are left out at the end.
 * `where` is the recipe's "file:line", copied, for reports; NULL or "" repeats that of the tape's
 * last recording, for as long as the ops and their inputs are the same, and is none for NULL and
 * TKG_NO_LINE for "" from then on: nothing was recorded, and the op needs its line. Returns the
 * node, TKG_NO_LINE, or -1 with a message. */
enum { TKG_NO_LINE = -2 };
int tkg_tape_record(tkg_tape *tape, int op, const int32_t *inputs, int n,
                    const tkg_attributes *attributes, const char *where);
int tkg_tape_dtype(const tkg_tape *tape, int node);
int tkg_tape_rank(const tkg_tape *tape, int node);
double tkg_tape_size(const tkg_tape *tape, int node, int dim); /* as tkg_tensor_size */
/* Sets in how many bits the nodes recorded from now on are saved: 32|8|4|2|1; 0: the step's. */
int tkg_tape_set_bits(tkg_tape *tape, int bits);
/* Sets how one node is saved: default recompute mask exact quantize. */
int tkg_tape_set_rule(tkg_tape *tape, int node, const char *rule);
/* Drops the nodes that none of the n live ones needs; renumber[old] = new number, or -1. */
int tkg_tape_compact(tkg_tape *tape, const int32_t *live, int n, int32_t *renumber);
/* Writes the tape into `text`, one line per node, cut to `size` bytes with the final zero. Returns
 * the bytes that the whole takes, so that a call with NULL and 0 measures it. */
int64_t tkg_tape_print(const tkg_tape *tape, char *text, int64_t size);

/* ---- optimizers: updates recorded as nodes ---- */

/* kind: "sgd", "adam", "adamw" or "adagrad". Options: lr beta1 beta2 eps eps_hat weight_decay
 * momentum decay_rank clip (most that the norm of all gradients together may be; 0 or more than any
 * float: any norm) bits (of Adam's state, 32 or 8), t (updates made); a kind ignores those it has
 * no use for. TKG_E_ARGUMENT for another name, a value that is not >= 0 and finite, a beta from 1
 * on, a t that is not whole, or a clip between 0 and the least float. */
int tkg_optimizer_create(tkg_engine *engine, const char *kind, tkg_optimizer **out);
void tkg_optimizer_release(tkg_optimizer *optimizer);
int tkg_optimizer_set(tkg_optimizer *optimizer, const char *option, double value);
int tkg_optimizer_get(const tkg_optimizer *optimizer, const char *option, double *value);
/* Returns the state of a parameter, created if missing: slots 0 and 1 are m and v of Adam.
 * Borrowed; NULL if there is no such slot. With "bits" 8, parameters of 4096 elements or more have
 * the codes of both, as int32, and their scales. */
tkg_tensor *tkg_optimizer_state(tkg_optimizer *optimizer, tkg_tensor *parameter, int slot);
int tkg_optimizer_knows(const tkg_optimizer *optimizer,
                        const tkg_tensor *parameter); /* 1: it has state */
/* Updates n parameters by their gradients, which are released; frozen ones and those without a
 * gradient stay. */
int tkg_optimizer_update(tkg_optimizer *optimizer, tkg_tensor *const *parameters, int n);

/* ---- steps: from tape to plan to numbers ---- */

int tkg_step_create(tkg_engine *engine, tkg_step **out);
void tkg_step_release(tkg_step *step);
/* Sets an option; TKG_E_ARGUMENT for another name or value.
 *   bits      32|8|4|2|1: in how many bits values are saved for backward (default 32)
 *   rounding  0 dither, 1 stochastic, 2 nearest, 3 dither with a random number per element
 *   small     values of at most so many bytes are saved exactly (default 4096)
 *   number    of the step: random numbers depend on it
 *   save      0: save exactly whatever backward reads
 *   fuse      0: make gathered rows also where a sum over neighbours could read their table
 *   rows      0: compute whole values where only some of their rows are gathered
 *   tiles     0: run each node on its own, without tiles of rows
 *   sums_in_place  0: sums over edges have memory of their own, which is faster
 *   check     1: stop at the first value that is NaN or infinite, before parameters are updated */
int tkg_step_set(tkg_step *step, const char *option, double value);
/* Sets in how many bits the value of one op is saved, that is, of the nth op that recipe line
 * `where` recorded. nth is the same whatever the batch's size; tkg_step_kept returns it. Without it
 * a value has the step's bits; those of tkg_tape_set_bits come first. TKG_E_ARGUMENT for other
 * numbers, and once the step has a plan. */
int tkg_step_set_value(tkg_step *step, const char *where, int nth, int bits);
/* Runs the part of the tape that `loss` and the n `nodes` need. loss -1: forward only. With an
 * optimizer: forward, backward, update; without one, each parameter gets its gradient
 * (tkg_tensor_gradient). outputs[i] is a new tensor with the value of nodes[i], owned by the
 * caller, or NULL on failure. Errors: TKG_E_MEMORY, with what the step would take at fewer bits;
 * TKG_E_STALE if a tensor has changed since it was recorded; TKG_E_INTERRUPTED, TKG_E_NOT_FINITE,
 * TKG_E_RANGE for ids, TKG_E_DEVICE, also for a tape or an optimizer of another engine;
 * TKG_E_ARGUMENT, outputs untouched, for a loss or nodes that the tape does not have. */
int tkg_step_run(tkg_step *step, tkg_tape *tape, int loss, tkg_optimizer *optimizer,
                 const int32_t *nodes, int n, tkg_tensor **outputs);
/* Compiles the plan that tkg_step_run would run. */
int tkg_step_plan(tkg_step *step, tkg_tape *tape, int loss, tkg_optimizer *optimizer,
                  const int32_t *nodes, int n);
/* Returns a figure of the largest plan, in bytes: reference_bytes stored_bytes exact_bytes
 * arena_bytes kept_exact kept_quantized gradient transient moved_bytes (that its ops read and
 * write, a sum over a graph reading a row per edge) exchanged_bytes (that this rank sends to
 * others, the sum of exchanged_layers: values by columns and rows, and their gradients,
 * exchanged_again: such values that backward exchanges anew, exchanged_rows: rows of a batch,
 * exchanged_sums: parts of sums over rows); or counts: nodes, values (saved ones). Over all plans:
 * plans (compiled), replayed (runs that were queued as a whole), reference_peak (tkg_reference_peak
 * of this step). -1: no such figure. */
double tkg_step_figure(const tkg_step *step, const char *name);
/* Returns the bytes that an op-by-op FP32 program with these n steps would hold at its fullest, as
 * planned so far: parameters, optimizer state, graphs and the largest step. -1: no memory. */
double tkg_reference_peak(const tkg_step *const *steps, int n);
typedef struct tkg_kept {
  const char *where, *op, *rule;
  double exact_bytes, kept_bytes;
  int32_t bits, rounding, dtype, rank; /* rounding: as the step's option; -1: not in codes */
  int32_t nth;     /* its op among those that its line recorded, as of tkg_step_set_value */
  int32_t readers; /* times that backward reads it; packed codes are read twice */
  int64_t shape[4];
} tkg_kept;
/* Describes saved value `index` (0..values-1) of the largest plan; TKG_E_RANGE outside. Its texts
 * are valid until the next run. */
int tkg_step_kept(const tkg_step *step, int index, tkg_kept *out);
/* What ops move through memory in a step of the plan that moves most. Bytes: of this plan on this
 * device. Compulsory ones: that no plan of these ops does without, whatever runs in tiles.
 * Launches: kernels, copies, memsets and calls of libraries that the device is given. */
typedef struct tkg_moved {
  double ops, launches, bytes, compulsory; /* ops: how many, or groups */
} tkg_moved;
/* Fills rows[0..tkg_op_count()], one per op and at last that of groups that run in tiles, which
 * has their launches. TKG_E_ARGUMENT if the step has no plan yet; TKG_E_MEMORY. */
int tkg_step_traffic(const tkg_step *step, tkg_moved *rows);
/* Writes the largest plan, one line per node in the order they run; as tkg_tape_print. */
int64_t tkg_step_print(const tkg_step *step, char *text, int64_t size);

/* ---- profiles: where the time of steps goes ---- */

typedef struct tkg_profile tkg_profile;
/* Begins a profile of all that the engine runs from here on. Ops are timed one by one (on a GPU
 * each is waited for, and nothing is replayed), the ops of a group that runs in tiles by their
 * share of it. Results are the same bits. TKG_E_ARGUMENT inside another profile, TKG_E_MEMORY. */
int tkg_profile_begin(tkg_engine *engine, tkg_profile **out);
void tkg_profile_end(tkg_profile *profile); /* it can still be read */
void tkg_profile_release(tkg_profile *profile);
/* A figure: seconds (from begin to end), runs, in_runs (seconds within them), events, dropped
 * (events beyond the first 131,072). -1: there is no such figure. */
double tkg_profile_figure(const tkg_profile *profile, const char *name);
/* What an op did altogether. Bytes are those that it cannot do without moving, whatever its kernel
 * does: through memory, where values that live in a tile do not go; and through the cache, where a
 * row is read for each edge. */
typedef struct tkg_profile_op {
  double calls, seconds, bytes, cached, flops;
} tkg_profile_op;
int tkg_profile_of(const tkg_profile *profile, int op, tkg_profile_op *out); /* TKG_E_RANGE */
enum { TKG_PROFILE_GROUP = -1, TKG_PROFILE_RUN = -2 };
/* Something that took time, in the order of its end; seconds from the begin of the profile. */
typedef struct tkg_profile_event {
  double at, seconds;
  int32_t op;         /* or GROUP, whose ops follow it one after another; or RUN */
  double count;       /* ops of a group; number of a run */
  int64_t rows, cols; /* of the op's result; rows that a group has */
  double bytes, flops;
  const char *where; /* the end of the recipe's line, or "" */
} tkg_profile_event;
/* Its text is the profile's. TKG_E_RANGE outside 0..events-1. */
int tkg_profile_event_at(const tkg_profile *profile, int index, tkg_profile_event *out);
/* Measures the machine, in a fraction of a second, on the engine's threads: bytes a second, read
 * and written, of copying within memory; flops a second of multiply-adds. 0: the device cannot
 * tell. */
int tkg_peaks(tkg_engine *engine, double *copy, double *flops);
/* ffi:end */

#ifdef __cplusplus
}
#endif

#endif
