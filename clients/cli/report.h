/* What went wrong, in three lines on standard error, and the exit code for it:
 *
 *   error[UNKNOWN_TOPIC]: cannot append to topic "orders"
 *   why: there is no topic "orders"
 *   try: cairn topic create orders
 *
 * With -o json the same as one object on one line: {"error": {"reason", "code", "executed", "what", "why", "try", ...}}.
 */
#ifndef CAIRN_CLIENTS_CLI_REPORT_H
#define CAIRN_CLIENTS_CLI_REPORT_H

#include "clients/cli/cli.h"

/* About what: names that a suggestion can use. Zero is fine. */
struct report_subject {
  const char *topic;
  bool has_partition;
  uint32_t partition;
  uint64_t unknown;         /* records that may have been appended */
  int64_t record_bytes_max; /* the topic's, where it is known */
};

/* `format` says what could not be done. Returns the exit code. */
int report_error(const struct cli *cli, const struct cairn_error *error, struct report_subject subject, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A failure of our own: `try_this` is an exact command or a sentence. Returns `exit_code`. */
int report_failure(const struct cli *cli, int exit_code, const char *reason, const char *what, const char *why,
                   const char *try_this);

/* A command line that makes no sense. Returns CLI_USAGE. */
int report_usage(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

int report_exit_code(const struct cairn_error *error);

#endif
