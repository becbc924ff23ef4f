#include "clients/cli/report.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clients/cli/terminal.h"

#define TEXT_SIZE 1024u

/* ---- Exit codes ---- */

int report_exit_code(const struct cairn_error *error) {
  switch (error->code) {
    case CAIRN_OK: return CLI_OK;
    case CAIRN_INVALID_ARGUMENT: return CLI_USAGE;
    case CAIRN_NOT_FOUND: return CLI_NOT_FOUND;
    case CAIRN_ALREADY_EXISTS:
    case CAIRN_FAILED_PRECONDITION:
    case CAIRN_ABORTED: return CLI_PRECONDITION;
    case CAIRN_PERMISSION_DENIED:
    case CAIRN_UNAUTHENTICATED: return CLI_DENIED;
    case CAIRN_UNAVAILABLE:
    case CAIRN_DEADLINE_EXCEEDED: return CLI_UNAVAILABLE;
    case CAIRN_RESOURCE_EXHAUSTED: return strcmp(error->reason, "TOO_LARGE") == 0 ? CLI_FAILED : CLI_UNAVAILABLE;
    default: return CLI_FAILED;
  }
}

/* ---- What to try ---- */

static void suggest(const struct cli *cli, const struct cairn_error *error, struct report_subject subject, char *into,
                    size_t size) {
  char cairn[128] = "cairn";
  if (cli->server_given) snprintf(cairn, sizeof cairn, "cairn --server %s", cli->server);
  char partition[32] = "";
  if (subject.has_partition) snprintf(partition, sizeof partition, " --partition %u", subject.partition);
  const char *topic = subject.topic == NULL ? "TOPIC" : subject.topic;
  const char *reason = error->reason;
  const char *noun = cli->command == NULL ? "" : cli->command->noun;
  bool about_topics = strcmp(noun, "topic") == 0 || strcmp(noun, "partition") == 0;
  if (strcmp(reason, "UNKNOWN_TOPIC") == 0 && about_topics) {
    snprintf(into, size, "%s topic list", cairn);
  } else if (strcmp(reason, "UNKNOWN_TOPIC") == 0) {
    snprintf(into, size, "%s topic create %s", cairn, topic);
  } else if (strcmp(reason, "NOT_FOUND") == 0) { /* of what a broker can miss, these are left */
    snprintf(into, size, "%s broker list", cairn);
  } else if (strcmp(reason, "TOO_LARGE") == 0 && subject.topic != NULL) {
    snprintf(into, size, "smaller records, or `%s topic alter %s --record-bytes-max 3MiB`", cairn, topic);
  } else if (strcmp(reason, "UNKNOWN_PARTITION") == 0 || strcmp(reason, "TOPIC_EXISTS") == 0) {
    snprintf(into, size, "%s topic describe %s", cairn, topic);
  } else if (subject.unknown > 0) {
    snprintf(into, size, "%s read %s%s --from -%llu, to see which of the unknown records are there before you append the rest",
             cairn, topic, partition, (unsigned long long)subject.unknown);
  } else if (strcmp(reason, "TRANSPORT") == 0) {
    snprintf(into, size, "start a broker with `cairnd`, or name one with --server HOST:PORT (asked: %s)", cli->server);
  } else if (error->has_next_offset && cli->command != NULL && strcmp(cli->command->noun, "read") == 0) {
    snprintf(into, size, "%s read %s%s --from %lld", cairn, topic, partition, (long long)error->next_offset);
  } else if (strcmp(reason, "BEYOND_END") == 0 && error->has_next_offset && subject.has_partition) {
    snprintf(into, size, "%s partition describe %s %u", cairn, topic, subject.partition);
  } else if (strcmp(reason, "DISK_FULL") == 0) {
    snprintf(into, size, "free space on the broker's disk, or `%s topic alter %s --retention-bytes SIZE`", cairn, topic);
  } else if (error->executed == CAIRN_EXECUTED_MAYBE && subject.topic != NULL) {
    snprintf(into, size, "%s read %s%s --from -10, to see what was done before you do it again", cairn, topic, partition);
  } else if (error->code == CAIRN_INVALID_ARGUMENT && cli->command != NULL) {
    snprintf(into, size, "cairn %s%s%s --help", cli->command->noun, cli->command->verb == NULL ? "" : " ",
             cli->command->verb == NULL ? "" : cli->command->verb);
  } else {
    snprintf(into, size, "%s broker describe", cairn);
  }
}

/* ---- The three lines ---- */

static const char *executed_word(enum cairn_executed executed) {
  return executed == CAIRN_EXECUTED_NO ? "no" : executed == CAIRN_EXECUTED_YES ? "yes" : "maybe";
}

static void print_json(const struct cairn_error *error, const char *reason, const char *what, const char *why,
                       const char *try_this) {
  json_t *fields = json_pack("{s:s, s:s, s:s, s:s}", "reason", reason, "what", what, "why", why, "try", try_this);
  if (error != NULL) {
    json_object_set_new(fields, "code", json_integer(error->code));
    json_object_set_new(fields, "executed", json_string(executed_word(error->executed)));
    if (error->leader[0] != '\0') json_object_set_new(fields, "leader", json_string(error->leader));
    if (error->has_next_offset) json_object_set_new(fields, "next_offset", json_integer(error->next_offset));
  }
  json_t *object = json_pack("{s:o}", "error", fields);
  json_dumpf(object, stderr, JSON_COMPACT);
  fputc('\n', stderr);
  json_decref(object);
}

static void print(const struct cli *cli, const struct cairn_error *error, const char *reason, const char *what, const char *why,
                  const char *try_this) {
  if (cli->json) {
    print_json(error, reason, what, why, try_this);
    return;
  }
  bool color = terminal_color(STDERR_FILENO);
  fprintf(stderr, "%serror[%s]%s: %s\n", color ? "\033[1;31m" : "", reason, color ? "\033[0m" : "", what);
  fprintf(stderr, "why: %s\n", why);
  fprintf(stderr, "try: %s\n", try_this);
}

int report_error(const struct cli *cli, const struct cairn_error *error, struct report_subject subject, const char *format, ...) {
  char what[TEXT_SIZE];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(what, sizeof what, format, arguments);
  va_end(arguments);
  char try_this[TEXT_SIZE];
  suggest(cli, error, subject, try_this, sizeof try_this);
  print(cli, error, error->reason, what, error->message, try_this);
  return report_exit_code(error);
}

int report_failure(const struct cli *cli, int exit_code, const char *reason, const char *what, const char *why,
                   const char *try_this) {
  print(cli, NULL, reason, what, why, try_this);
  return exit_code;
}

int report_usage(const struct cli *cli, const char *format, ...) {
  char why[TEXT_SIZE];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(why, sizeof why, format, arguments);
  va_end(arguments);
  char try_this[128] = "cairn help";
  const struct command *command = cli->command;
  if (command == NULL && cli->noun != NULL) {
    snprintf(try_this, sizeof try_this, "cairn %s --help", cli->noun);
  } else if (command != NULL) {
    snprintf(try_this, sizeof try_this, "cairn %s%s%s --help", command->noun, command->verb == NULL ? "" : " ",
             command->verb == NULL ? "" : command->verb);
  }
  print(cli, NULL, "USAGE", "the command line makes no sense", why, try_this);
  return CLI_USAGE;
}
