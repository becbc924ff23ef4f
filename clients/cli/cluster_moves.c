#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "base/world.h"
#include "clients/cli/commands.h"
#include "clients/cli/map_json.h"
#include "clients/cli/output.h"
#include "clients/cli/quantity.h"
#include "clients/cli/report.h"
#include "clients/cli/table.h"
#include "clients/cli/terminal.h"

#define LOOK_NS 1000000000u /* between two looks of --watch */

static const struct column move_columns[] = {
    {"TOPIC", "topic", COLUMN_TEXT},    {"PARTITION", "partition", COLUMN_NUMBER}, {"FROM", "from", COLUMN_TEXT},
    {"TO", "to", COLUMN_TEXT},          {"DONE", "done_text", COLUMN_TEXT},        {"TO GO", "to_go_text", COLUMN_TEXT},
    {"PACE", "pace_text", COLUMN_TEXT}, {"LEFT", "left_text", COLUMN_TEXT},        {NULL, NULL, COLUMN_TEXT},
};

static void set_size(json_t *row, const char *field, uint64_t bytes, const char *behind) {
  char size[32], text[48];
  snprintf(text, sizeof text, "%s%s", quantity_format_bytes(size, sizeof size, (double)bytes), behind);
  json_object_set_new(row, field, json_string(text));
}

/* For people: what is not known is left out. */
static void set_texts(json_t *row, const struct cairn_move *move) {
  char left[32];
  if (!move->told) {
    json_object_set_new(row, "done_text", json_string("begins or changes over"));
    return;
  }
  set_size(row, "done_text", move->bytes_done, "");
  set_size(row, "to_go_text", move->bytes_to_go, "");
  set_size(row, "pace_text", move->bytes_per_second, "/s");
  if (move->bytes_per_second == 0) return;
  uint64_t seconds = move->bytes_to_go / move->bytes_per_second;
  json_object_set_new(row, "left_text", json_string(quantity_format_duration(left, sizeof left, (int64_t)(seconds + 1) * 1000)));
}

struct listing {
  const struct cli *cli;
  json_t *rows;
};

static void move_visit(void *context, const struct cairn_move *move) {
  struct listing *listing = context;
  json_t *row =
      json_pack("{s:s, s:I, s:I, s:I, s:o, s:o, s:I, s:b, s:I, s:I, s:I, s:I}", "topic", move->topic, "topic_id",
                (json_int_t)move->topic_id, "partition", (json_int_t)move->partition, "number", (json_int_t)move->number, "from",
                brokers_json(move->from, move->from_count), "to", brokers_json(move->to, move->to_count), "bytes_per_second_max",
                (json_int_t)move->bytes_per_second_max, "told", (int)move->told, "learners", (json_int_t)move->learners,
                "bytes_done", (json_int_t)move->bytes_done, "bytes_to_go", (json_int_t)move->bytes_to_go, "bytes_per_second",
                (json_int_t)move->bytes_per_second);
  if (!listing->cli->json) set_texts(row, move);
  json_array_append_new(listing->rows, row);
}

/* `out_count`: how many are under way. */
static int show(struct cli *cli, bool again, size_t *out_count) {
  struct listing listing = {cli, json_array()};
  struct cairn_error error;
  int code = cairn_move_list(cli->client, move_visit, &listing, &error);
  *out_count = json_array_size(listing.rows);
  if (code != CAIRN_OK) {
    json_decref(listing.rows);
    return report_error(cli, &error, (struct report_subject){0}, "cannot list the moves");
  }
  if (again && isatty(STDOUT_FILENO) != 0) output_printf(cli->output, "\033[H\033[J");
  if (*out_count == 0 && !cli->json) output_printf(cli->output, "nothing is on its way\n");
  else table_print(cli, move_columns, listing.rows);
  output_flush(cli->output);
  json_decref(listing.rows);
  return CLI_OK;
}

static void pause_between(struct cli *cli) {
  struct progress progress = {0};
  uint64_t until_ns = world_now_ns(cli->world) + LOOK_NS;
  progress_begin(&progress, until_ns); /* nothing is drawn before that */
  while (!terminal_interrupted() && world_now_ns(cli->world) < until_ns) progress_wait(&progress, progress.begun_ns, "");
}

static int moves_run(struct cli *cli) {
  bool watches = cli_flag(cli, "watch");
  size_t count = 0;
  int code = cli_connect(cli);
  if (code == CLI_OK) code = show(cli, watches, &count);
  while (code == CLI_OK && watches && count > 0 && !output_broken(cli->output)) {
    pause_between(cli);
    if (terminal_interrupted()) return CLI_INTERRUPTED;
    code = show(cli, true, &count);
  }
  return code;
}

static const struct option moves_options[] = {
    {"watch", 0, NULL, "again each second, until nothing is on its way"},
    {NULL, 0, NULL, NULL},
};

static const char *const moves_examples[] = {
    "What is on its way, and how far is it?",
    "cairn cluster moves --watch",
    "One of them is taken back: the partition stays where it was",
    "cairn partition move orders 0 --cancel",
    NULL,
};

const struct command cluster_moves_command = {
    .noun = "cluster",
    .verb = "moves",
    .summary = "Show the partitions that are on their way to other brokers",
    .details = "Bytes are estimated, of all new replicas of a partition together, as its leader told within the last seconds. "
               "Ctrl-C ends\n"
               "--watch, and the moves go on.\n",
    .options = moves_options,
    .examples = moves_examples,
    .run = moves_run,
};
