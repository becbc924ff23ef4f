#include "clients/cli/terminal.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clients/cli/quantity.h"

#define PROGRESS_AFTER_NS 1000000000u
#define PROGRESS_EVERY_NS 200000000u
#define WAIT_NS 200000000

bool terminal_color(int fd) {
  const char *term = getenv("TERM");
  return isatty(fd) && getenv("NO_COLOR") == NULL && term != NULL && strcmp(term, "dumb") != 0;
}

/* ---- Interrupts ---- */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number) {
  interrupted = 1;
  signal(number, SIG_DFL); /* the second one ends us */
}

void terminal_catch_interrupts(void) {
  /* No SA_RESTART: what waits shall wake up. */
  struct sigaction action = {.sa_handler = on_interrupt};
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  signal(SIGPIPE, SIG_IGN);
}

bool terminal_interrupted(void) { return interrupted != 0; }

/* ---- Progress ---- */

void progress_begin(struct progress *progress, uint64_t now_ns) {
  *progress = (struct progress){.shown = isatty(STDERR_FILENO), .begun_ns = now_ns, .drawn_ns = now_ns};
}

/* Is the line to be drawn now? */
static bool progress_due(struct progress *progress, uint64_t now_ns) {
  if (!progress->shown || now_ns - progress->begun_ns < PROGRESS_AFTER_NS) return false;
  if (progress->drawn && now_ns - progress->drawn_ns < PROGRESS_EVERY_NS) return false;
  progress->drawn = true;
  progress->drawn_ns = now_ns;
  return true;
}

void progress_show(struct progress *progress, uint64_t now_ns, const char *what, uint64_t records, uint64_t bytes,
                   uint64_t total_bytes) {
  if (!progress_due(progress, now_ns)) return;
  double seconds = (double)(now_ns - progress->begun_ns) / 1e9;
  char size[32];
  char rate[32];
  fprintf(stderr, "\r%s %" PRIu64 " records, %s, %s/s", what, records, quantity_format_bytes(size, sizeof size, (double)bytes),
          quantity_format_bytes(rate, sizeof rate, (double)bytes / seconds));
  if (total_bytes > bytes && bytes > 0) {
    fprintf(stderr, ", %.0f %%, %.0f s left", 100.0 * (double)bytes / (double)total_bytes,
            seconds * (double)(total_bytes - bytes) / (double)bytes);
  }
  fputs("\033[K", stderr);
}

void progress_wait(struct progress *progress, uint64_t now_ns, const char *what) {
  if (progress_due(progress, now_ns))
    fprintf(stderr, "\r%s: %" PRIu64 " s\033[K", what, (now_ns - progress->begun_ns) / 1000000000u);
  nanosleep(&(struct timespec){.tv_nsec = WAIT_NS}, NULL);
}

void progress_end(struct progress *progress) {
  if (progress->drawn) fputs("\r\033[K", stderr);
  progress->drawn = false;
}
