/* A line of TCP from rank 0 to each other rank, beside the transport: it tells that a rank has
 * failed, and why, and the system closes it when a process dies, whatever the launcher does. */
#ifndef TKG_LIFELINE_H
#define TKG_LIFELINE_H

#include <stdbool.h>
#include <stdint.h>

enum { TKG_LIFELINE_TEXT = 1000, TKG_LIFELINE_HOSTS = 14 };

typedef struct tkg_lifeline tkg_lifeline;

/* Where rank 0 listens, as it is sent to the others. */
typedef struct tkg_lifeline_place {
  uint32_t hosts[TKG_LIFELINE_HOSTS]; /* IPv4 addresses, 0: no more */
  uint16_t port;
  char secret[16];
} tkg_lifeline_place;

/* What a line says. */
enum { TKG_LINE_FAILED = 1, TKG_LINE_HEARD, TKG_LINE_GONE };
typedef struct tkg_line_event {
  int kind; /* 0: nothing */
  int rank; /* that failed or is gone */
  int code; /* exit status of a rank that failed */
  char text[TKG_LIFELINE_TEXT];
} tkg_line_event;

/* Rank 0 begins to listen; then it accepts the others, which connect. They return NULL with a
 * message if that fails or takes more than 10 seconds. */
tkg_lifeline *tkg__lifeline_listen(int size, bool one_machine, tkg_lifeline_place *out);
bool tkg__lifeline_accept(tkg_lifeline *line);
tkg_lifeline *tkg__lifeline_connect(int rank, const tkg_lifeline_place *place);
void tkg__lifeline_free(tkg_lifeline *line);

/* Takes the next event, if there is one; waits for it up to `milliseconds`. A line tells that its
 * rank is gone once. */
void tkg__lifeline_next(tkg_lifeline *line, int milliseconds, tkg_line_event *out);

/* Sends an event: rank 0 to all others that are there, others to rank 0. It does not wait. */
void tkg__lifeline_tell(tkg_lifeline *line, const tkg_line_event *event);

/* Whether any line is still there. */
bool tkg__lifeline_open(const tkg_lifeline *line);

#endif
