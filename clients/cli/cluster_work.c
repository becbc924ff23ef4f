#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "clients/cli/commands.h"
#include "clients/cli/output.h"
#include "clients/cli/quantity.h"
#include "clients/cli/report.h"
#include "clients/cli/rounds.h"
#include "clients/cli/stuck.h"
#include "clients/cli/table.h"
#include "clients/cli/work.h"

#define TEXT_SIZE 640u

static const struct column work_columns[] = {
    {"WORK", "work", COLUMN_TEXT},      {"TO GO", "to_go_text", COLUMN_TEXT}, {"PACE", "pace_text", COLUMN_TEXT},
    {"LEFT", "left_text", COLUMN_TEXT}, {"UNDO", "undo", COLUMN_TEXT},        {NULL, NULL, COLUMN_TEXT},
};

/* What both kinds have; `behind`: of the bytes to go. */
static void set_pace(json_t *row, uint64_t bytes_to_go, uint64_t bytes_per_second, const char *behind) {
  char size[32], text[64];
  int64_t seconds = work_seconds_left(bytes_to_go, bytes_per_second);
  json_object_set_new(row, "seconds_left", seconds < 0 ? json_null() : json_integer(seconds));
  snprintf(text, sizeof text, "%s%s", quantity_format_bytes(size, sizeof size, (double)bytes_to_go), behind);
  json_object_set_new(row, "to_go_text", json_string(text));
  if (seconds < 0) return;
  snprintf(text, sizeof text, "%s/s", quantity_format_bytes(size, sizeof size, (double)bytes_per_second));
  json_object_set_new(row, "pace_text", json_string(text));
  json_object_set_new(row, "left_text", json_string(quantity_format_duration(size, sizeof size, seconds * 1000)));
}

static json_t *departure_row(const struct departure *departure) {
  char text[TEXT_SIZE];
  json_t *row =
      json_pack("{s:s, s:I, s:I, s:I, s:I, s:b, s:I, s:s}", "kind", "decommission", "broker_id", (json_int_t)departure->broker_id,
                "replicas", (json_int_t)departure->replicas, "moving", (json_int_t)departure->moving, "bytes_to_go",
                (json_int_t)departure->bytes_to_go, "more_to_go", (int)departure->more_to_go, "bytes_per_second",
                (json_int_t)departure->bytes_per_second, "stuck", departure->stuck);
  snprintf(text, sizeof text, "broker %u leaves: %u replica%s left, %u on %s way", departure->broker_id, departure->replicas,
           departure->replicas == 1 ? "" : "s", departure->moving, departure->moving == 1 ? "its" : "their");
  json_object_set_new(row, "work", json_string(text));
  snprintf(text, sizeof text, "cairn broker decommission %u --undo", departure->broker_id);
  json_object_set_new(row, "undo", json_string(text));
  set_pace(row, departure->bytes_to_go, departure->bytes_per_second, departure->more_to_go ? " +" : "");
  return row;
}

static void add_brokers(char *into, size_t size, const json_t *brokers) {
  size_t i, at = 0;
  json_t *one;
  into[0] = '\0';
  json_array_foreach(brokers, i, one) {
    int put = snprintf(into + at, size - at, "%s%lld", i == 0 ? "" : ",", (long long)json_integer_value(one));
    at += (size_t)put < size - at ? (size_t)put : size - at - 1;
  }
}

static json_t *move_row(json_t *move) {
  char text[TEXT_SIZE], from[80], to[80];
  const char *topic = json_string_value(json_object_get(move, "topic"));
  long long partition = json_integer_value(json_object_get(move, "partition"));
  bool told = json_is_true(json_object_get(move, "told"));
  json_t *row = json_copy(move);
  json_object_set_new(row, "kind", json_string("move"));
  add_brokers(from, sizeof from, json_object_get(move, "from"));
  add_brokers(to, sizeof to, json_object_get(move, "to"));
  snprintf(text, sizeof text, "partition %lld of %s moves from %s to %s%s", partition, topic, from, to,
           told ? "" : ", begins or changes over");
  json_object_set_new(row, "work", json_string(text));
  snprintf(text, sizeof text, "cairn partition move %s %lld --cancel", topic, partition);
  json_object_set_new(row, "undo", json_string(text));
  if (told)
    set_pace(row, (uint64_t)json_integer_value(json_object_get(move, "bytes_to_go")),
             (uint64_t)json_integer_value(json_object_get(move, "bytes_per_second")), "");
  else json_object_set_new(row, "seconds_left", json_null());
  return row;
}

static json_t *rows_of(const struct work *work) {
  json_t *rows = json_array(), *move;
  size_t i;
  for (i = 0; i < work->departure_count; i++) json_array_append_new(rows, departure_row(&work->departures[i]));
  json_array_foreach(work->moves, i, move) json_array_append_new(rows, move_row(move));
  return rows;
}

/* For people alone: the table has no room for it. */
static void print_stuck(const struct cli *cli, const struct work *work) {
  for (size_t i = 0; i < work->departure_count; i++) {
    const struct departure *departure = &work->departures[i];
    if (departure->stuck[0] != '\0') output_printf(cli->output, "broker %u waits: %s\n", departure->broker_id, departure->stuck);
  }
}

/* Texts for people are no part of what programs get. */
static void strip(json_t *rows) {
  static const char *const texts[] = {"to_go_text", "pace_text", "left_text"};
  size_t i;
  json_t *row;
  json_array_foreach(rows, i, row) {
    for (size_t at = 0; at < sizeof texts / sizeof *texts; at++) json_object_del(row, texts[at]);
  }
}

static int print_work(struct cli *cli, const struct work *work, bool again) {
  json_t *rows = rows_of(work);
  if (again && isatty(STDOUT_FILENO) != 0) output_printf(cli->output, "\033[H\033[J");
  if (cli->json) strip(rows);
  if (json_array_size(rows) == 0 && !cli->json) output_printf(cli->output, "nothing is under way\n");
  else table_print(cli, work_columns, rows);
  if (!cli->json) print_stuck(cli, work);
  if (!cli->json) stuck_print(cli, work->moves);
  output_flush(cli->output);
  json_decref(rows);
  return CLI_OK;
}

static int look(void *context, bool again, size_t *out_left) {
  struct cli *cli = context;
  struct work work;
  struct cairn_error error;
  if (work_look(cli, &work, &error) != CAIRN_OK)
    return report_error(cli, &error, (struct report_subject){0}, "cannot list what is under way");
  *out_left = json_array_size(work.moves) + work.departure_count;
  bool silent = cli_flag(cli, "wait") && *out_left > 0;
  int code = silent ? CLI_OK : print_work(cli, &work, again);
  work_deinit(&work);
  return code;
}

static int work_run(struct cli *cli) {
  bool watches = cli_flag(cli, "watch") || cli_flag(cli, "wait");
  const struct rounds rounds = {.cli = cli, .watches = watches, .look = look, .context = cli};
  if (cli_flag(cli, "watch") && cli_flag(cli, "wait")) return report_usage(cli, "--watch waits too: name one of the two");
  int code = cli_connect(cli);
  return code == CLI_OK ? rounds_run(&rounds) : code;
}

static const struct option work_options[] = {
    {"watch", 0, NULL, "again each second, until nothing is under way"},
    {"wait", 0, NULL, "until nothing is under way, and only then say so"},
    {NULL, 0, NULL, NULL},
};

static const char *const work_examples[] = {
    "What is under way, how long will it take, and how is it taken back?",
    "cairn cluster work --watch",
    "In a script: go on when the cluster has come to rest",
    "cairn cluster work --wait",
    "Is anything stuck?",
    "cairn cluster work -o json | jq '.[] | select(.stuck != \"\") | {work, stuck}'",
    NULL,
};

const struct command cluster_work_command = {
    .noun = "cluster",
    .verb = "work",
    .summary = "Show all long work under way: moves, and brokers that leave",
    .details =
        "Of each how much is to go, at which pace, for how long at that, and the command that takes it back. What is in the "
        "way of a\n"
        "move is told with what to do; of a broker that leaves with its first such partition. Bytes are estimated; \"+\": there "
        "are "
        "partitions whose\n"
        "size is not known. All of it goes on by itself, whether somebody looks or not.\n",
    .options = work_options,
    .examples = work_examples,
    .run = work_run,
};
