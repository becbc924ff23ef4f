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

#define PREFIX_SIZE 128u
#define RECORD_BYTES_MAX (3 * 1024 * 1024)

/* What it goes by. */
struct suggestion {
  const struct cli *cli;
  const struct cairn_error *error;
  struct report_subject subject;
  char cairn[PREFIX_SIZE];
  char partition[32];
  const char *topic;
};

static enum changes changes_of(const struct cli *cli) { return cli->command == NULL ? CHANGES_NOTHING : cli->command->changes; }
static bool noun_is(const struct cli *cli, const char *noun) {
  return cli->command != NULL && strcmp(cli->command->noun, noun) == 0;
}

/* That a broker which says so would be asked once more for the same helps nobody. */
static bool shows_the_cluster(const struct cli *cli) {
  bool shows =
      noun_is(cli, "cluster") && (strcmp(cli->command->verb, "status") == 0 || strcmp(cli->command->verb, "health") == 0);
  return shows || (noun_is(cli, "broker") && strcmp(cli->command->verb, "list") == 0);
}

/* Can there be a topic of that name, and can it be typed as it is? */
static bool is_name(const char *topic) {
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
  size_t size = strlen(topic);
  if (size == 0 || size > CAIRN_NAME_MAX || topic[0] == '-') return false;
  return topic[strspn(topic, letters)] == '\0' && strcmp(topic, ".") != 0 && strcmp(topic, "..") != 0;
}

/* Is the command about topics that are there? */
static bool needs_topics(const struct cli *cli) {
  return noun_is(cli, "topic") || noun_is(cli, "partition") || noun_is(cli, "cluster");
}

static void suggest_topic(const struct suggestion *this, char *into, size_t size) {
  if (needs_topics(this->cli) || !is_name(this->topic)) snprintf(into, size, "%s topic list", this->cairn);
  else if (noun_is(this->cli, "bench")) snprintf(into, size, "%s bench append %s", this->cairn, this->topic);
  else snprintf(into, size, "%s topic create %s", this->cairn, this->topic);
}

static void suggest_smaller(const struct suggestion *this, char *into, size_t size) {
  if (changes_of(this->cli) == CHANGES_TOPICS)
    snprintf(into, size, "fewer partitions, or `%s topic list` to see what can be deleted", this->cairn);
  else if (this->subject.topic == NULL || this->subject.record_bytes_max >= RECORD_BYTES_MAX)
    snprintf(into, size, "smaller records");
  else snprintf(into, size, "smaller records, or `%s topic alter %s --record-bytes-max 3MiB`", this->cairn, this->topic);
}

/* Where to see whether it was done. */
static void suggest_look(const struct suggestion *this, char *into, size_t size) {
  static const char until[] = "to see what was done before you do it again";
  switch (changes_of(this->cli)) {
    case CHANGES_NOTHING: snprintf(into, size, "the same with a longer --timeout, or `%s cluster health`", this->cairn); return;
    case CHANGES_RECORDS:
      snprintf(into, size, "%s read %s%s --from -10, %s", this->cairn, this->topic, this->partition, until);
      return;
    case CHANGES_TOPICS:
      if (is_name(this->topic)) snprintf(into, size, "%s topic describe %s, %s", this->cairn, this->topic, until);
      else snprintf(into, size, "%s topic list, %s", this->cairn, until);
      return;
    case CHANGES_BROKERS: snprintf(into, size, "%s broker list, %s", this->cairn, until); return;
  }
}

static void suggest_help(const struct command *command, char *into, size_t size) {
  snprintf(into, size, "cairn %s%s%s --help", command->noun, command->verb == NULL ? "" : " ",
           command->verb == NULL ? "" : command->verb);
}

static void suggest_room(const struct suggestion *this, char *into, size_t size) {
  if (changes_of(this->cli) == CHANGES_RECORDS)
    snprintf(into, size, "free space on the broker's disk, or `%s topic alter %s --retention-bytes SIZE`", this->cairn,
             this->topic);
  else snprintf(into, size, "free space on the broker's disk: `%s topic list` shows what could go", this->cairn);
}

static void suggest(const struct suggestion *this, char *into, size_t size) {
  const struct cli *cli = this->cli;
  const struct cairn_error *error = this->error;
  const char *reason = error->reason;
  if (strcmp(reason, "UNKNOWN_TOPIC") == 0) {
    suggest_topic(this, into, size);
  } else if (strcmp(reason, "NOT_FOUND") == 0) { /* of what a broker can miss, these are left */
    snprintf(into, size, "%s broker list", this->cairn);
  } else if (strcmp(reason, "TOO_LARGE") == 0) {
    suggest_smaller(this, into, size);
  } else if (strcmp(reason, "UNKNOWN_PARTITION") == 0 || strcmp(reason, "TOPIC_EXISTS") == 0) {
    snprintf(into, size, "%s topic describe %s", this->cairn, this->topic);
  } else if (this->subject.unknown > 0) {
    snprintf(into, size, "%s read %s%s --from -%llu, to see which of the unknown records are there before you append the rest",
             this->cairn, this->topic, this->partition, (unsigned long long)this->subject.unknown);
  } else if (error->executed == CAIRN_EXECUTED_MAYBE && changes_of(cli) != CHANGES_NOTHING) {
    suggest_look(this, into, size);
  } else if (strcmp(reason, "TRANSPORT") == 0) {
    snprintf(into, size, "start a broker with `cairnd`, or name one with --server HOST:PORT (asked: %s)", cli->server);
  } else if (strcmp(reason, "NOT_LEADER") == 0 && !shows_the_cluster(cli)) {
    snprintf(into, size, "%s cluster status", this->cairn);
  } else if (error->has_next_offset && noun_is(cli, "read")) {
    snprintf(into, size, "%s read %s%s --from %lld", this->cairn, this->topic, this->partition, (long long)error->next_offset);
  } else if (strcmp(reason, "BEYOND_END") == 0 && error->has_next_offset && this->subject.has_partition) {
    snprintf(into, size, "%s partition describe %s %u", this->cairn, this->topic, this->subject.partition);
  } else if (strcmp(reason, "DISK_FULL") == 0) {
    suggest_room(this, into, size);
  } else if (error->executed == CAIRN_EXECUTED_MAYBE) {
    suggest_look(this, into, size);
  } else if (error->code == CAIRN_INVALID_ARGUMENT && cli->command != NULL) {
    suggest_help(cli->command, into, size);
  } else {
    snprintf(into, size, "%s broker describe", this->cairn);
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

/* By Ctrl-C, in the middle of a call. A command may have made others before: only of this one is known that it did nothing. */
static bool was_interrupted(const struct cairn_error *error) { return error->code == CAIRN_CANCELLED && terminal_interrupted(); }

static int report_cut_short(const struct suggestion *this, const char *what) {
  const struct cairn_error *error = this->error;
  bool changes = changes_of(this->cli) != CHANGES_NOTHING;
  bool unknown = changes && error->executed != CAIRN_EXECUTED_NO;
  char try_this[TEXT_SIZE];
  if (changes) suggest_look(this, try_this, sizeof try_this);
  else snprintf(try_this, sizeof try_this, "%s cluster status", this->cairn);
  print(this->cli, error, "INTERRUPTED", what,
        unknown ? "it was interrupted before an answer came: whether it was done is not known"
                : "it was interrupted before an answer came",
        try_this);
  return CLI_INTERRUPTED;
}

int report_error(const struct cli *cli, const struct cairn_error *error, struct report_subject subject, const char *format, ...) {
  char what[TEXT_SIZE];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(what, sizeof what, format, arguments);
  va_end(arguments);
  char try_this[TEXT_SIZE];
  struct suggestion suggestion = {.cli = cli, .error = error, .subject = subject, .cairn = "cairn"};
  if (cli->server_given) snprintf(suggestion.cairn, sizeof suggestion.cairn, "cairn --server %s", cli->server);
  if (subject.has_partition) snprintf(suggestion.partition, sizeof suggestion.partition, " --partition %u", subject.partition);
  suggestion.topic = subject.topic == NULL ? "TOPIC" : subject.topic;
  if (was_interrupted(error)) return report_cut_short(&suggestion, what);
  suggest(&suggestion, try_this, sizeof try_this);
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
    suggest_help(command, try_this, sizeof try_this);
  }
  print(cli, NULL, "USAGE", "the command line makes no sense", why, try_this);
  return CLI_USAGE;
}
