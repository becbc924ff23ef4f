/* What may be shown to a person and not to a pipe: color and progress; and what the person may do: Ctrl-C. */
#ifndef CAIRN_CLIENTS_CLI_TERMINAL_H
#define CAIRN_CLIENTS_CLI_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

/* A terminal that is not "dumb", and NO_COLOR is not set. */
bool terminal_color(int fd);

/* From now on SIGINT and SIGTERM do not end the process but interrupt what it waits for; SIGPIPE is ignored. A second one ends it. */
void terminal_catch_interrupts(void);
bool terminal_interrupted(void);

/* A line on standard error that is drawn again and again: only on a terminal, and only after a second. */
struct progress {
  bool shown;
  bool drawn;
  uint64_t begun_ns;
  uint64_t drawn_ns;
};
void progress_begin(struct progress *progress, uint64_t now_ns);
/* `what`: "appended". `total_bytes` 0: unknown. Cheap when nothing is to be drawn. */
void progress_show(struct progress *progress, uint64_t now_ns, const char *what, uint64_t records, uint64_t bytes,
                   uint64_t total_bytes);
/* Of what has no numbers: `what`, and for how long. Then 200 ms pass, or less when that is interrupted: until it is looked at again. */
void progress_wait(struct progress *progress, uint64_t now_ns, const char *what);
void progress_end(struct progress *progress); /* clears the line */

#endif
