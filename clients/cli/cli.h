/* What every command gets, and what all of them share: options already parsed, a client when one is needed, one way to say what
 * went wrong, one way to write.
 *
 *   commands.h   the table: nouns, verbs, options, examples. Parsing, help and completion come from it and from nothing else
 *   arguments.h  the command line against that table
 *   report.h     errors and exit codes
 *   output.h     standard output: buffered, and quiet about a reader that went away
 *   table.h      tables and JSON for what is listed or described
 *
 * One thread, but for what libcairn does. A command returns its exit code; nothing calls exit().
 */
#ifndef CAIRN_CLIENTS_CLI_CLI_H
#define CAIRN_CLIENTS_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clients/c/cairn_admin.h"

/* Exit codes; `cairn help exit-codes` prints them. */
enum {
  CLI_OK = 0,
  CLI_FAILED = 1,
  CLI_USAGE = 2,
  CLI_NOT_FOUND = 3,
  CLI_PRECONDITION = 4, /* exists already, or another precondition does not hold */
  CLI_DENIED = 5,
  CLI_UNAVAILABLE = 6,  /* or a timeout */
  CLI_PARTIAL = 7,      /* some of it was done */
  CLI_CHECK_FAILED = 8, /* verify found damage */
  CLI_INTERRUPTED = 130
};

#define CLI_OPTIONS_MAX 24u
#define CLI_OPERANDS_MAX 4u

struct option {
  const char *name;     /* "partition", given as --partition */
  char letter;          /* 'p', or 0 */
  const char *argument; /* "N"; NULL: a flag */
  const char *help;
};

struct cli;

/* What a command changes: where its outcome is unknown, that is where one looks. */
enum changes { CHANGES_NOTHING, CHANGES_RECORDS, CHANGES_TOPICS, CHANGES_BROKERS };

struct command {
  const char *noun;     /* "topic" */
  const char *verb;     /* "create"; NULL when the noun is all there is */
  const char *alias;    /* of the verb, or of the noun when there is no verb; NULL */
  const char *also;     /* another noun and verb that it goes by; NULL */
  const char *operands; /* "TOPIC"; for the usage line */
  unsigned operands_min;
  unsigned operands_max;
  enum changes changes;
  const char *summary;          /* one line */
  const struct option *options; /* ends with a NULL name; may be NULL */
  const char *details;          /* more paragraphs; may be NULL */
  const char *const *examples;  /* pairs: what it does, the command; ends with NULL */
  int (*run)(struct cli *cli);
};

struct world;
struct output;

struct cli {
  const struct command *command;
  const char *noun;                    /* a known one, of a command that is not */
  const char *values[CLI_OPTIONS_MAX]; /* by the option's place in the table; "" for a flag that is given */
  const char *operands[CLI_OPERANDS_MAX];
  unsigned operand_count;

  const char *server; /* flag, CAIRN_SERVER, or the default */
  bool server_given;  /* by flag: commands that we suggest repeat it */
  bool json;
  bool help;
  uint32_t timeout_ms;

  struct world *world;         /* clocks */
  struct cairn_client *client; /* NULL until cli_connect() */
  struct output *output;
};

/* The client for --server. On failure the error is reported and an exit code returned. */
int cli_connect(struct cli *cli);

/* An operand that is the number of a partition. CLI_USAGE: reported. */
int cli_operand_partition(const struct cli *cli, unsigned operand, uint32_t *out_partition);
/* An operand that is the number of a broker. CLI_USAGE: reported. */
int cli_operand_broker(const struct cli *cli, unsigned operand, uint32_t *out_broker);

/* ---- Options by name; the table has the name, or it is a bug ---- */

const char *cli_option(const struct cli *cli, const char *name); /* NULL when not given */
bool cli_flag(const struct cli *cli, const char *name);
/* These leave `*out` alone when the option is not given. CLI_USAGE: reported. */
int cli_option_number(const struct cli *cli, const char *name, int64_t min, int64_t max, int64_t *out);
int cli_option_bytes(const struct cli *cli, const char *name, int64_t min, int64_t max, int64_t *out);       /* 64KiB, 1M */
int cli_option_duration_ms(const struct cli *cli, const char *name, int64_t min, int64_t max, int64_t *out); /* 7d, 250ms */
/* 2,3,4: at most `max`, for which `out_brokers` has room. */
int cli_option_brokers(const struct cli *cli, const char *name, size_t max, uint32_t *out_brokers, size_t *out_count);

#endif
