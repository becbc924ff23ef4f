#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "clients/cli/commands.h"
#include "clients/cli/map_json.h"
#include "clients/cli/output.h"
#include "clients/cli/quantity.h"
#include "clients/cli/report.h"
#include "clients/cli/rounds.h"
#include "clients/cli/stuck.h"
#include "clients/cli/table.h"

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
  json_t *row = move_json(move);
  if (!listing->cli->json) set_texts(row, move);
  json_array_append_new(listing->rows, row);
}

static int show(void *context, bool again, size_t *out_left) {
  struct cli *cli = context;
  struct listing listing = {cli, json_array()};
  struct cairn_error error;
  int code = cairn_move_list(cli->client, move_visit, &listing, &error);
  *out_left = json_array_size(listing.rows);
  if (code != CAIRN_OK) {
    json_decref(listing.rows);
    return report_error(cli, &error, (struct report_subject){0}, "cannot list the moves");
  }
  if (again && isatty(STDOUT_FILENO) != 0) output_printf(cli->output, "\033[H\033[J");
  if (*out_left == 0 && !cli->json) output_printf(cli->output, "nothing is on its way\n");
  else table_print(cli, move_columns, listing.rows);
  if (!cli->json) stuck_print(cli, listing.rows);
  output_flush(cli->output);
  json_decref(listing.rows);
  return CLI_OK;
}

static int moves_run(struct cli *cli) {
  const struct rounds rounds = {.cli = cli, .watches = cli_flag(cli, "watch"), .look = show, .context = cli};
  int code = cli_connect(cli);
  return code == CLI_OK ? rounds_run(&rounds) : code;
}

static const struct option moves_options[] = {
    {"watch", 0, NULL, "again each second, until nothing is on its way"},
    {NULL, 0, NULL, NULL},
};

static const char *const moves_examples[] = {
    "What is on its way, and how far is it?",
    "cairn cluster moves --watch",
    "Brokers that leave, too, and how each is taken back",
    "cairn cluster work",
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
