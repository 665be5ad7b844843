#define _GNU_SOURCE // on_exit; NOLINT(bugprone-reserved-identifier)
/* Joining the launcher's ranks, and leaving them. The ranks are the process's: MPI is begun once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "launcher.h"
#include "state.h"

static tkg_collective joined;

/* ---- joining ---- */

/* Finds out which ranks share a machine. */
static int look_at_machines(tkg_collective *c) {
  tkg_machine own, *all = malloc((size_t)c->transport->size * sizeof *all);
  if (!all) return tkg__fail(TKG_E_MEMORY, "no memory to look at %d ranks", c->transport->size);
  tkg__machine_describe(&own);
  int status = tkg__all_gather_equal(c, &own, all, sizeof own);
  if (!status) c->sharing = tkg__machine_sharing(all, c->transport->size, c->transport->rank);
  free(all);
  return status;
}

/* Draws the lines from rank 0 to the others. Where one cannot be, none is: a note says so. */
static int draw_lines(tkg_collective *c) {
  tkg_lifeline_place place = {.port = 0};
  int64_t missing = 0;
  const int rank = c->transport->rank;
  tkg_lifeline *l = NULL;
  if (rank == 0) l = tkg__lifeline_listen(c->transport->size, c->sharing.machines == 1, &place);
  int status = tkg__broadcast(c, &place, sizeof place, 0);
  if (status) return status;
  if (rank != 0 && place.port) l = tkg__lifeline_connect(rank, &place);
  missing = !l || (rank == 0 && !tkg__lifeline_accept(l));
  status = tkg__all_reduce(c, TKG_SUM_I64, &missing, 1);
  if (status) return status;
  if (missing == 0)
    c->lifeline = l;
  else
    tkg__lifeline_free(l);
  return TKG_OK;
}

static void describe(tkg_collective *c) {
  const int machines = c->sharing.machines;
  snprintf(c->note, sizeof c->note, "%s, %d ranks on %d machine%s%s", c->transport->name,
           c->transport->size, machines, machines == 1 ? "" : "s",
           c->lifeline ? "" : " without TCP between them: a dead rank is the launcher's to notice");
  c->base_note = strlen(c->note);
}

static int join(tkg_collective *c) {
  int status = tkg__mpi_open(&c->transport);
  if (status) return status;
  const size_t size = (size_t)c->transport->size;
  c->parts = calloc(size, sizeof *c->parts);
  c->sizes = calloc(size, sizeof *c->sizes);
  if (!c->parts || !c->sizes)
    return tkg__fail(TKG_E_MEMORY, "no memory for %d ranks", c->transport->size);
  status = look_at_machines(c);
  if (!status) status = draw_lines(c);
  if (!status) describe(c);
  tkg__collective_reset_counts(c);
  return status;
}

/* Leaves for a program that ends by exit() without. */
static void at_exit(int code, void *nothing) {
  (void)nothing;
  tkg__collective_leave(&joined, code, "ended early");
}

int tkg__collective_join(const char *how, tkg_collective **out) {
  bool any = strcmp(how, "auto") == 0;
  *out = NULL;
  if (!any && strcmp(how, "mpi") != 0 && strcmp(how, "none") != 0)
    return tkg__fail(TKG_E_ARGUMENT, "ranks '%s' is not one of auto, mpi, none", how);
  if (strcmp(how, "none") == 0 || (any && tkg__launcher().size <= 1)) return TKG_OK;
  if (joined.left) return tkg__fail(TKG_E_ARGUMENT, "ranks: this process has left them");
  if (!joined.transport) {
    int status = join(&joined);
    if (status) {
      joined.transport = NULL;
      return status;
    }
#ifdef __GLIBC__
    on_exit(at_exit, NULL);
#else
    (void)at_exit;
#endif
  }
  if (joined.transport->size > 1) *out = &joined;
  return TKG_OK;
}

/* ---- failures ---- */

/* Says it again. A failure of this rank's own gets the line of whoever asked, another's has one. */
static int say_failed(const tkg_collective *c) {
  const tkg_line_event *e = &c->failed;
  if (e->rank == c->transport->rank) return tkg__fail(TKG_E_ARGUMENT, "%s", e->text);
  if (e->kind == TKG_LINE_FAILED && e->code > 128) /* by a signal */
    return tkg__fail(TKG_E_INTERRUPTED, "interrupted");
  if (e->kind == TKG_LINE_GONE)
    return tkg__fail(TKG_E_RANKS, "rank %d is gone: it was killed, or its machine is down",
                     e->rank);
  return tkg__fail(TKG_E_RANKS, "rank %d: %s", e->rank, e->text);
}

int tkg__hear(tkg_collective *c, int milliseconds) {
  tkg_line_event e;
  if (c->failed.kind) return say_failed(c);
  tkg__lifeline_next(c->lifeline, milliseconds, &e);
  if (e.kind != TKG_LINE_FAILED && e.kind != TKG_LINE_GONE) return TKG_OK;
  c->failed = e;
  return say_failed(c);
}

int tkg__collective_check(tkg_collective *c) { return c ? tkg__hear(c, 0) : TKG_OK; }

/* ---- leaving ---- */

/* Seconds that a rank waits for rank 0 to hear of its failure, and then for rank 0 to end. */
enum { HEARD_SECONDS = 60, END_SECONDS = 600 };
/* In which it is heard what another rank does instead of leaving. */
enum { NEWS_MS = 2000 };

/* Rank 0 tells all others; it has said why the run ends, and may end. */
static void tell_all(tkg_collective *c, int code, const char *message) {
  tkg_line_event e = c->failed;
  if (!e.kind) {
    e = (tkg_line_event){.kind = TKG_LINE_FAILED, .rank = 0, .code = code};
    snprintf(e.text, sizeof e.text, "%s", message);
  }
  tkg__lifeline_tell(c->lifeline, &e);
}

/* The others tell rank 0, and stay until it has ended: their end would make the launcher end it.
 * Without an answer for long, they end all ranks. */
static void tell_first(tkg_collective *c, int code, const char *message) {
  tkg_line_event e = {.kind = TKG_LINE_FAILED, .rank = c->transport->rank, .code = code};
  const bool of_another = c->failed.kind && c->failed.rank != e.rank;
  bool heard = of_another || code > 128; /* a signal comes to all */
  snprintf(e.text, sizeof e.text, "%s", message);
  tkg__lifeline_tell(c->lifeline, &e);
  for (int second = 0; tkg__lifeline_open(c->lifeline); second++) {
    tkg_interrupted(0);
    tkg__lifeline_next(c->lifeline, 1000, &e);
    heard |= e.kind != 0;
    if (second > (heard ? END_SECONDS : HEARD_SECONDS)) return;
  }
}

/* Waits for all ranks. Of two that do not do the same the other one knows the line. */
static int wait_for_all(tkg_collective *c) {
  const int rank = c->transport->rank;
  const bool failed = c->failed.kind != 0;
  int status = tkg__barrier(c);
  if (!status || failed || c->failed.rank != rank) return status;
  tkg_line_event e;
  tkg__lifeline_next(c->lifeline, NEWS_MS, &e);
  if (e.kind == TKG_LINE_FAILED) c->failed = e;
  return say_failed(c);
}

int tkg__collective_leave(tkg_collective *c, int code, const char *message) {
  if (!c || c->left || !c->transport) return TKG_OK;
  c->left = true;
  int status = code ? TKG_OK : wait_for_all(c);
  if (c->link) c->link->leave(code || status);
  if (!code && !status) return c->transport->finish();
  if (status) message = tkg_error();
  if (!c->lifeline)
    c->transport->abort(code ? code : 1);
  else if (c->transport->rank == 0)
    tell_all(c, code, message);
  else
    tell_first(c, code, message);
  return status;
}
