/* The seam to a device. The CPU backend is built in; others fill the same table. */
#ifndef TKG_BACKEND_H
#define TKG_BACKEND_H

#include "link.h"
#include "op.h"
#include "ranking.h"
#include "tinykg.h"

/* What is the same for all nodes of one run. */
typedef struct tkg_run_context {
  uint64_t seed;
  uint32_t step;
  int threads;
  bool tf32;    /* matrix products may round what they multiply to TF32 */
  bool fast;    /* ops may be computed in the way that took the least time, whatever its bits */
  double lr, t; /* optimizer updates: learning rate, update count from 1 */
  double beta1, beta2; /* of Adam; its nodes have the same */
} tkg_run_context;

/* A run that a backend has captured, to be queued again as a whole. */
typedef struct tkg_capture tkg_capture;

/* One node with its data, ready to run. Pointers are device memory of the backend. */
typedef struct tkg_call {
  const tkg_node *node;
  const tkg_node *in[TKG_MAX_INPUTS]; /* shapes of the inputs */
  void *data[TKG_MAX_INPUTS];         /* NULL for an optional input that is absent */
  void *out;                          /* may equal data[0] for ops with flag P or U */
  void *scratch;                      /* scratch_bytes(node, in) bytes, contents undefined */
  void *order;                        /* ids_order(...).bytes bytes */
  bool ordered; /* an earlier call has written the order there, for the same ids */
  /* Columns of a slice: a sum over edges may be written over what it reads, so many columns at a
   * time, of which it has all rows in scratch memory; or, where the backend has overlap_bytes, over
   * some of its rows, `out` being a number of rows before or behind data[1]. 0: it may not. */
  int64_t slice;
  int phase; /* of a kernel that runs in several, one after the other */
  const tkg_run_context *context;
  const char *where; /* the recipe's line, or NULL; valid until finish, or as long as the capture */
  const char *ids_line; /* likewise the line that gave it its ids; NULL: the same */
} tkg_call;

/* The line to put before the message of a call that failed: of bad ids that which gave them. */
static inline const char *tkg__line_of(const tkg_call *call, int status) {
  return status == TKG_E_RANGE && call->ids_line ? call->ids_line : call->where;
}

/* A node of a group that runs in tiles (tile.c). Of what lives in a tile only, `data` and `out` are
 * offsets in a tile's memory, where its rows follow each other. */
typedef struct tkg_tile_call {
  tkg_call call;
  uint32_t in_tile; /* bit k: input k is such a value */
  bool out_in_tile;
  bool reduces; /* sums over rows: scratch has a partial result for each chunk, to be added in order
                 */
  bool part_in_tile; /* a chunk's is added up in the tile's memory, at `part`, tile by tile */
  int64_t part;
} tkg_tile_call;

typedef struct tkg_tiling {
  int64_t rows, tile; /* rows 0: a small group, whose ops are computed as wholes, one by one */
  int64_t wide; /* columns of the rows where these are too wide for a tile, which then has `tile`
                   elements, wherever rows end; else 0 */
  int64_t first_row, whole_rows; /* of a group whose rows are dealt to ranks, else 0 (op.h) */
  int chunks;                    /* the rows are cut into so many: the parts of sums over rows */
  int finer;                     /* a part of tkg__row_parts is so many chunks; 0: rows are few, and
                                    chunks are equal */
  char *memory; /* of `memories` tiles, tile_bytes each, if tiles lie in the arena */
  int64_t tile_bytes;
  int memories;
  double *seconds; /* NULL, or [memories, calls] zeros: what each tile memory's calls took is added;
                      a backend that cannot tell leaves them */
} tkg_tiling;

/* Which ops a backend runs in tiles, and how high a tile is. It depends on shapes and on the kind
 * of the device alone. */
typedef struct tkg_tile_rules {
  int64_t tile;  /* rows of the lowest tile */
  int64_t block; /* a tile of a row-wise op is a whole number of so many elements, or of rows */
  int64_t least_rows, least_tiles; /* a group with fewer is not worth one */
  int most_nodes;                  /* of a group */
  /* Sums over rows have a part for so many rows, longer ones where those are many, but no more than
   * most_parts. */
  int64_t part_rows, most_parts;
  /* Of backends whose tiles have memory of their own. Tiles are made higher up to `tallest` rows
   * while a group keeps `many` of them and they take no more than `bytes`. The lowest takes no more
   * than `most_bytes`: values for which there is no room exist as a whole. 0: tiles lie in the
   * arena, as many as threads run. */
  int64_t tallest, many, bytes, most_bytes;
  /* Whether a node that can be computed row by row, or sums over rows, can be so here. */
  bool (*runs)(const tkg_node *node, const tkg_node *const *in);
  /* Bytes of scratch memory of a row-wise node of a group, or of a part of a sum over rows while it
   * is added up. NULL: none, and as many as the result. */
  int64_t (*scratch_bytes)(const tkg_node *node, const tkg_node *const *in);
  /* Of backends that run groups of ops on small values: elements of the largest; 0: none do. And
   * whether a node can be in one: it needs no scratch memory there. */
  int64_t small;
  bool (*runs_small)(const tkg_node *node, const tkg_node *const *in);
  /* Elements of the largest parameter whose update by Adam can be one of a group with rows = 0,
   * all of them with the same attributes. */
  int64_t updates;
  /* Of backends that run groups of elementwise ops on rows for which a tile has no room: whether a
   * node can be in one, and the elements of a tile. NULL: none do. */
  bool (*runs_wide)(const tkg_node *node, const tkg_node *const *in);
  int64_t wide_tile;
} tkg_tile_rules;

/* The order of the ids of an input, which a kernel makes before it adds rows up by id. Calls that
 * need the same order share it. */
typedef struct tkg_ids_order {
  int64_t bytes; /* 0: the node needs none */
  int64_t n;     /* ids are below it */
  int input;
} tkg_ids_order;

enum tkg_device_memory {
  TKG_MEMORY_HELD,
  TKG_MEMORY_USED,
  TKG_MEMORY_PEAK,
  TKG_MEMORY_FREE,
  TKG_MEMORY_TOTAL,
  TKG_MEMORY_COUNT
};

typedef struct tkg_backend {
  const char *name;
  void *(*allocate)(int64_t bytes); /* 64-byte aligned, NULL when there is none */
  void (*release)(void *memory);
  void (*write)(void *to, const void *from_host, int64_t bytes);
  int (*read)(void *to_host, const void *from, int64_t bytes); /* status */
  void (*copy)(void *to, const void *from, int64_t bytes);     /* both on the device */
  void (*zero)(void *memory, int64_t bytes);
  bool (*supports)(int op);
  int64_t (*scratch_bytes)(const tkg_node *node, const tkg_node *const *in);
  /* The same of a sum over edges that is made by slices of so many columns; NULL: none can be. */
  int64_t (*slice_bytes)(const tkg_node *node, int64_t slice);
  /* The same where so many of its rows may lie over what it reads; NULL: all have to. */
  int64_t (*overlap_bytes)(const tkg_node *node, int64_t slice, int64_t rows);
  /* NULL: none. `tiled`: of the node in a group of tiles. */
  tkg_ids_order (*ids_order)(const tkg_node *node, const tkg_node *const *in, bool tiled);
  int (*run)(const tkg_call *call); /* status */
  const char *(*error)(
      void); /* message of this thread's last failed run or read; NULL: tkg_error() */

  /* Whether kernels know which rows of a whole a node has (first_row in op.h): values can be dealt
   * to ranks by rows. Sums over such rows leave this rank's partial sums in scratch, part_bytes
   * each, and the engine puts those of all ranks behind them. */
  bool deals_rows;
  /* Whether those of scatter_add and sddmm_relation do too, which find rows of the whole by id. */
  bool finds_dealt_rows;
  /* Whether kernels leave out the rows that `where` says (AGGREGATE_WHERE, MATMUL). */
  bool leaves_out_rows;
  /* Bytes of a partial sum that `run` leaves, or run_tiles. NULL: of floats, one per element. */
  int64_t (*part_bytes)(const tkg_node *node, const tkg_node *const *in, bool tiled);
  /* Writes the sum of `parts` such, which lie at `all`, to the result. NULL: the engine does, in
   * the host's memory. A status. */
  int (*add_parts)(const tkg_call *call, const void *all, int parts, bool tiled);
  /* Copies `count` rows between blocks, one per rank, each with `bytes` of a row, and whole rows:
   * to the rows (joins), or to the blocks. NULL: memory is the host's, whose the engine does. */
  void (*interleave)(void *blocks, void *rows, int64_t count, int64_t bytes, int ranks, bool joins);
  const tkg_link *link; /* among devices of several ranks; NULL: values travel as the host's */

  /* ---- groups of nodes, a tile of rows at a time ---- */

  const tkg_tile_rules *tiles;
  /* A status; the message then begins with the failed call's `where`. */
  int (*run_tiles)(const tkg_tile_call *calls, int n, const tkg_tiling *tiling);
  /* How many pieces of work (kernels, copies, memsets, calls of libraries) `run_tiles` of these
   * calls queues, or `run` of the only one without a tiling. Addresses tell alignment and are not
   * read. NULL: one. */
  int64_t (*launches)(const tkg_tile_call *calls, int n, const tkg_tiling *tiling);

  /* ---- backends that rank by products of rows without storing all scores; NULL on others ---- */

  /* Bytes of memory that `rank` needs, and a status: each user's k best items (tkg_rank). */
  int64_t (*rank_bytes)(const tkg_ranking *r);
  int (*rank)(const tkg_ranking *r, void *memory);

  /* ---- backends that queue and run behind the caller's back; NULL on others ---- */

  /* Why the device cannot be used any more, after an error that no call recovers from; NULL: it
   * can. */
  const char *(*lost)(void);
  /* Before the first op of a run: hands over what differs from run to run. Until `finish` the
   * device is this thread's. A status. */
  int (*begin)(const tkg_run_context *context);
  /* Behind the last op of a run: the host will read these bytes after it. If they are few they come
   * with the wait that ends the run, and `read` of them waits for nothing until they are changed.
   */
  void (*result)(const void *from, int64_t bytes);
  /* At the end of a run that has begun, failed or not: waits for what was queued and reports what
   * came of it (ids out of range, errors of the device), as a status and a message of at most
   * `size` bytes. */
  int (*finish)(char *message, int size);

  /* ---- backends that can queue a whole run at once; NULL on others ---- */

  /* Between `begin` and `finish`. After `capture_begin`, `run` adds ops to a capture and queues
   * nothing, until `capture_end`. A capture holds the ops as they were called, addresses included,
   * and nothing of the context: the caller replays it only while the addresses hold. An op that has
   * run before on the same addresses allocates nothing, so it can be captured. */
  bool (*capture_begin)(void);         /* false: not now; go on as usual */
  tkg_capture *(*capture_end)(void);   /* NULL: the run could not be captured */
  int (*replay)(tkg_capture *capture); /* queues it, with this run's context. A status. */
  void (*capture_free)(tkg_capture *capture);
  /* An address that is another one when captures made before must not be replayed, as memory of the
   * backend's own that they use is gone. NULL: there is none. */
  const void *(*prepared)(void);

  /* ---- backends that choose among ways by time where a run is `fast`; NULL on others ---- */

  /* What was chosen, a line per shape, and that as it is to be from here on. The text is valid
   * until the next call. set_ways: a status. */
  const char *(*ways)(void);
  int (*set_ways)(const char *text);
  /* Bytes that a library keeps for a node where a run is `fast`, at most, beside its scratch: once
   * for all nodes of one graph, orientation and number of columns, with weights or without. The
   * emulated device has no library but says it too. NULL: none. */
  int64_t (*library_bytes)(const tkg_node *node, const tkg_node *const *in);

  /* Bytes: taken from the device, given out by `allocate`, the most that were, free on the device
   * for whoever asks, and of the device altogether. NULL: the machine's memory, nobody counts. */
  void (*memory)(int64_t bytes[TKG_MEMORY_COUNT], bool reset_peak);

  /* Measures, in a fraction of a second, how many bytes a second copying moves (read and written)
   * and how many flops a second multiply-adds are; 0: not known. NULL: the engine times `copy`. */
  void (*peaks)(int threads, double *copy, double *flops);
} tkg_backend;

/* What a backend in a library of its own exports: its table, or NULL and one line that says why
 * there is none ("no driver", "no such device"). Devices: "cuda", "cuda:N", "auto"; "emu". */
typedef const tkg_backend *(*tkg_backend_opener)(const char *device, char *message, int size);

/* It also exports the stamp that it was compiled with (stamp.h), as `tkg_backend_stamp`. The engine
 * opens no library of another one. */
typedef uint64_t (*tkg_backend_stamper)(void);

extern const tkg_backend tkg__cpu_backend;

#endif
