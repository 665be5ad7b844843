#define _GNU_SOURCE // accept4, getifaddrs; NOLINT(bugprone-reserved-identifier)
#include "lifeline.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

enum { CONNECT_MS = 2000, ALL_MS = 10000, GONE_SECONDS = 6 };

/* What travels: events, and first of all the rank that connects. Both ends are the same program. */
typedef struct frame {
  tkg_line_event event;
  char secret[16]; /* of the first frame */
} frame;

typedef struct line {
  int socket; /* -1: closed */
  size_t have;
  frame in; /* of which `have` bytes have come */
} line;

struct tkg_lifeline {
  int rank, lines; /* rank 0: one line to each other rank, by rank - 1; others: one */
  int listener;
  char secret[16];
  line line[];
};

static tkg_lifeline *make(int rank, int lines) {
  tkg_lifeline *l = calloc(1, sizeof *l + (size_t)lines * sizeof *l->line);
  if (!l) {
    tkg__say("no memory for the lines between ranks");
    return NULL;
  }
  l->rank = rank;
  l->lines = lines;
  l->listener = -1;
  for (int i = 0; i < lines; i++) l->line[i].socket = -1;
  return l;
}

void tkg__lifeline_free(tkg_lifeline *l) {
  if (!l) return;
  for (int i = 0; i < l->lines; i++)
    if (l->line[i].socket >= 0) close(l->line[i].socket);
  if (l->listener >= 0) close(l->listener);
  free(l);
}

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Makes the system notice within seconds that a machine is gone that says nothing any more. */
static void keep_alive(int s) {
  const int on = 1, idle = 2, count = 2;
  const unsigned timeout = GONE_SECONDS * 1000;
  setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(s, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  setsockopt(s, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof idle);
  setsockopt(s, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
  setsockopt(s, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
}

/* ---- rank 0 ---- */

/* The addresses of this machine, loopback first. */
static void own_hosts(bool loopback_only, uint32_t *hosts) {
  struct ifaddrs *all, *a;
  int n = 0;
  hosts[n++] = htonl(INADDR_LOOPBACK);
  if (loopback_only || getifaddrs(&all)) return;
  for (a = all; a && n < TKG_LIFELINE_HOSTS; a = a->ifa_next) {
    if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET) continue;
    struct sockaddr_in in;
    memcpy(&in, a->ifa_addr, sizeof in);
    if (in.sin_addr.s_addr != hosts[0]) hosts[n++] = in.sin_addr.s_addr;
  }
  freeifaddrs(all);
}

tkg_lifeline *tkg__lifeline_listen(int size, bool one_machine, tkg_lifeline_place *out) {
  tkg_lifeline *l = make(0, size - 1);
  if (!l) return NULL;
  struct sockaddr_in at = {.sin_family = AF_INET,
                           .sin_addr.s_addr = htonl(one_machine ? INADDR_LOOPBACK : INADDR_ANY)};
  socklen_t length = sizeof at;
  memset(out, 0, sizeof *out);
  l->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (l->listener < 0 || bind(l->listener, (struct sockaddr *)&at, sizeof at) ||
      listen(l->listener, size) || getsockname(l->listener, (struct sockaddr *)&at, &length) ||
      getrandom(l->secret, sizeof l->secret, 0) != (ssize_t)sizeof l->secret) {
    tkg__say("rank 0 cannot listen for the others: %s", strerror(errno));
    tkg__lifeline_free(l);
    return NULL;
  }
  own_hosts(one_machine, out->hosts);
  out->port = at.sin_port;
  memcpy(out->secret, l->secret, sizeof out->secret);
  return l;
}

/* Reads a whole frame until a moment; false if it does not come. */
static bool read_frame(int s, frame *out, int64_t until) {
  size_t have = 0;
  while (have < sizeof *out) {
    struct pollfd p = {s, POLLIN, 0};
    int64_t left = until - now_ms();
    if (left <= 0 || poll(&p, 1, (int)left) <= 0) return false;
    ssize_t n = recv(s, (char *)out + have, sizeof *out - have, MSG_DONTWAIT);
    if (n <= 0) return false;
    have += (size_t)n;
  }
  return true;
}

/* Accepts one connection; it counts if it knows the secret. */
static bool accept_one(tkg_lifeline *l, int64_t until) {
  struct pollfd p = {l->listener, POLLIN, 0};
  int64_t left = until - now_ms();
  frame hello;
  if (left <= 0 || poll(&p, 1, (int)left) <= 0) return false;
  int s = accept4(l->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (s < 0) return false;
  bool known = read_frame(s, &hello, now_ms() + CONNECT_MS) &&
               memcmp(hello.secret, l->secret, sizeof hello.secret) == 0 && hello.event.rank >= 1 &&
               hello.event.rank <= l->lines && l->line[hello.event.rank - 1].socket < 0;
  if (known && send(s, &hello, sizeof hello, MSG_NOSIGNAL) == (ssize_t)sizeof hello) {
    keep_alive(s);
    l->line[hello.event.rank - 1].socket = s;
    return true;
  }
  close(s);
  return false;
}

bool tkg__lifeline_accept(tkg_lifeline *l) {
  const int64_t until = now_ms() + ALL_MS;
  int there = 0;
  while (there < l->lines && now_ms() < until) there += accept_one(l, until);
  close(l->listener);
  l->listener = -1;
  if (there < l->lines)
    tkg__say("%d of %d ranks did not connect to rank 0", l->lines - there, l->lines);
  return there == l->lines;
}

/* ---- the others ---- */

/* Connects to an address and shakes hands; -1 if that fails. */
static int connect_to(uint32_t host, uint16_t port, const frame *hello) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = host};
  int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct pollfd p = {s, POLLOUT, 0};
  frame answer;
  if (s < 0) return -1;
  if ((connect(s, (struct sockaddr *)&at, sizeof at) == 0 || errno == EINPROGRESS) &&
      poll(&p, 1, CONNECT_MS) > 0 &&
      send(s, hello, sizeof *hello, MSG_NOSIGNAL) == (ssize_t)sizeof *hello &&
      read_frame(s, &answer, now_ms() + CONNECT_MS) &&
      memcmp(answer.secret, hello->secret, sizeof answer.secret) == 0)
    return s;
  close(s);
  return -1;
}

tkg_lifeline *tkg__lifeline_connect(int rank, const tkg_lifeline_place *place) {
  tkg_lifeline *l = make(rank, 1);
  frame hello = {.event.rank = rank};
  if (!l) return NULL;
  memcpy(hello.secret, place->secret, sizeof hello.secret);
  for (int i = 0; i < TKG_LIFELINE_HOSTS && place->hosts[i] && l->line[0].socket < 0; i++)
    l->line[0].socket = connect_to(place->hosts[i], place->port, &hello);
  if (l->line[0].socket >= 0) {
    keep_alive(l->line[0].socket);
    return l;
  }
  tkg__say("no address of rank 0's machine answers on port %d", ntohs(place->port));
  tkg__lifeline_free(l);
  return NULL;
}

/* ---- events ---- */

static void gone(tkg_lifeline *l, int i, tkg_line_event *out) {
  close(l->line[i].socket);
  l->line[i].socket = -1;
  *out = (tkg_line_event){.kind = TKG_LINE_GONE, .rank = l->rank == 0 ? i + 1 : 0};
}

/* Takes what has come on a line; true if it is an event. */
static bool take(tkg_lifeline *l, int i, tkg_line_event *out) {
  line *a = &l->line[i];
  if (a->socket < 0) return false;
  ssize_t n = recv(a->socket, (char *)&a->in + a->have, sizeof a->in - a->have, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return false;
  if (n <= 0) {
    gone(l, i, out);
    return true;
  }
  a->have += (size_t)n;
  if (a->have < sizeof a->in) return false;
  a->have = 0;
  *out = a->in.event;
  out->text[sizeof out->text - 1] = 0;
  return true;
}

void tkg__lifeline_next(tkg_lifeline *l, int milliseconds, tkg_line_event *out) {
  const int64_t until = now_ms() + milliseconds;
  out->kind = 0;
  while (l) {
    for (int i = 0; i < l->lines; i++)
      if (take(l, i, out)) return;
    if (!tkg__lifeline_open(l) || now_ms() >= until) return;
    struct pollfd first = {l->line[0].socket, POLLIN, 0};
    poll(&first, first.fd >= 0, 5);
  }
}

void tkg__lifeline_tell(tkg_lifeline *l, const tkg_line_event *event) {
  frame f = {.event = *event};
  for (int i = 0; l && i < l->lines; i++)
    if (l->line[i].socket >= 0)
      (void)!send(l->line[i].socket, &f, sizeof f, MSG_NOSIGNAL | MSG_DONTWAIT);
}

bool tkg__lifeline_open(const tkg_lifeline *l) {
  for (int i = 0; l && i < l->lines; i++)
    if (l->line[i].socket >= 0) return true;
  return false;
}
