/* Ctrl-C and SIGTERM: signals belong to the process, so the flag that they set does too. */
#include <signal.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

#include "tinykg.h"

enum { ANSWER_SECONDS = 5 }; /* a SIGTERM whose flag is not read for so long ends the process */

static volatile sig_atomic_t interrupted;
static volatile sig_atomic_t survives;
static const int numbers[] = {SIGINT, SIGTERM};
static struct sigaction before[2];   /* their handlers before they were watched */
static struct sigaction before_late; /* the handler of SIGALRM */
static int watched;
static struct timespec first_at;

static void end_by(int signal_number) {
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

/* A second Ctrl-C ends the process. One within half a second counts as the first: a signal sent to
 * the process and to its group arrives twice. Programs send SIGTERM once, so an alarm takes the
 * place of the second one. */
static void on_interrupt(int signal_number) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  double since =
      (double)(now.tv_sec - first_at.tv_sec) + 1e-9 * (double)(now.tv_nsec - first_at.tv_nsec);
  if (interrupted && !survives && since > 0.5) end_by(signal_number);
  if (signal_number == SIGTERM && !interrupted) alarm(ANSWER_SECONDS);
  if (!interrupted) first_at = now;
  interrupted = signal_number;
}

static void on_late(int signal_number) {
  (void)signal_number;
  if (interrupted) end_by(SIGTERM);
}

int tkg_interrupt_watch(int signals) {
  struct sigaction action = {.sa_handler = on_interrupt}, late = {.sa_handler = on_late};
  int status = 0;
  interrupted = 0;
  sigemptyset(&action.sa_mask);
  sigemptyset(&late.sa_mask);
  late.sa_flags = action.sa_flags = SA_RESTART;
  if (watched > 1) status |= sigaction(SIGALRM, &before_late, NULL);
  if (signals > 1) status |= sigaction(SIGALRM, &late, &before_late);
  for (int i = 0; i < 2; i++) {
    if (i < watched) status |= sigaction(numbers[i], &before[i], NULL);
    if (i < signals) status |= sigaction(numbers[i], &action, &before[i]);
  }
  watched = signals < 2 ? signals : 2;
  return status;
}

void tkg_interrupt_survive(int on) { survives = on; }

/* Reading the flag also stops the alarm. */
int tkg_interrupted(int clear) {
  int was = interrupted;
  if (was && watched > 1) alarm(0);
  if (clear) interrupted = 0;
  return was;
}
