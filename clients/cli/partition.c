#include <jansson.h>

#include "clients/cli/commands.h"
#include "clients/cli/output.h"
#include "clients/cli/report.h"
#include "clients/cli/table.h"

/* ---- describe ---- */

static json_t *damaged_json(const struct cairn_partition_state *state) {
  json_t *ranges = json_array();
  for (size_t i = 0; i < state->damaged_count && i < CAIRN_DAMAGED_MAX; i++) {
    json_array_append_new(ranges, json_pack("{s:I, s:I}", "first_offset", (json_int_t)state->damaged[i].first_offset,
                                            "end_offset", (json_int_t)state->damaged[i].end_offset));
  }
  return ranges;
}

static json_t *state_json(const char *topic, uint32_t partition, const struct cairn_partition_state *state) {
  return json_pack("{s:s, s:I, s:I, s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:b, s:o}", "topic", topic, "partition",
                   (json_int_t)partition, "log_start_offset", (json_int_t)state->log_start_offset, "next_offset",
                   (json_int_t)state->next_offset, "high_watermark", (json_int_t)state->high_watermark, "leader", state->leader,
                   "leader_id", (json_int_t)state->leader_id, "term", (json_int_t)state->term, "group_id",
                   (json_int_t)state->group_id, "log_bytes", (json_int_t)state->log_bytes, "max_timestamp_ms",
                   (json_int_t)state->max_timestamp_ms, "fenced", state->fenced, "damaged", damaged_json(state));
}

static const struct column state_card[] = {
    {"topic", "topic", COLUMN_TEXT},
    {"partition", "partition", COLUMN_NUMBER},
    {"log start", "log_start_offset", COLUMN_NUMBER},
    {"high watermark", "high_watermark", COLUMN_NUMBER},
    {"next offset", "next_offset", COLUMN_NUMBER},
    {"leader", "leader", COLUMN_TEXT},
    {"leader id", "leader_id", COLUMN_NUMBER},
    {"term", "term", COLUMN_NUMBER},
    {"group id", "group_id", COLUMN_NUMBER},
    {"log size", "log_bytes", COLUMN_BYTES},
    {"newest record", "max_timestamp_ms", COLUMN_TIME},
    {"fenced", "fenced", COLUMN_TEXT},
    {NULL, NULL, COLUMN_TEXT},
};

static int describe_run(struct cli *cli) {
  uint32_t partition = 0;
  int code = cli_operand_partition(cli, 1, &partition);
  if (code == CLI_OK) code = cli_connect(cli);
  if (code != CLI_OK) return code;
  const char *topic = cli->operands[0];
  struct cairn_partition_state state;
  struct cairn_error error;
  if (cairn_partition_describe(cli->client, topic, partition, &state, &error) != CAIRN_OK) {
    return report_error(cli, &error, (struct report_subject){.topic = topic, .has_partition = true, .partition = partition},
                        "cannot describe partition %u of \"%s\"", partition, topic);
  }
  json_t *object = state_json(topic, partition, &state);
  code = table_print_card(cli, state_card, object);
  for (size_t i = 0; !cli->json && i < state.damaged_count && i < CAIRN_DAMAGED_MAX; i++) {
    output_printf(cli->output, "damaged         %lld to %lld\n", (long long)state.damaged[i].first_offset,
                  (long long)state.damaged[i].end_offset - 1);
  }
  json_decref(object);
  return code;
}

static const char *const describe_examples[] = {
    "Where partition 0 of orders begins and ends",
    "cairn partition describe orders 0",
    NULL,
};

const struct command partition_describe_command = {
    .noun = "partition",
    .verb = "describe",
    .operands = "TOPIC PARTITION",
    .operands_min = 2,
    .operands_max = 2,
    .summary = "Show where a partition begins and ends, who leads it, and its damage",
    .examples = describe_examples,
    .run = describe_run,
};

/* ---- producers ---- */

static void add_producer(void *context, const struct cairn_producer_state *state) {
  json_t *row =
      json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "name", state->name, "epoch", (json_int_t)state->epoch, "next_sequence",
                (json_int_t)state->next_sequence, "window_sequence", (json_int_t)state->window_sequence, "batches",
                (json_int_t)state->batches, "last_offset", (json_int_t)state->last_offset);
  json_array_append_new(context, row);
}

static const struct column producer_columns[] = {
    {"producer", "name", COLUMN_TEXT},
    {"epoch", "epoch", COLUMN_NUMBER},
    {"next sequence", "next_sequence", COLUMN_NUMBER},
    {"last offset", "last_offset", COLUMN_NUMBER},
    {"recognised from", "window_sequence", COLUMN_NUMBER},
    {"batches", "batches", COLUMN_NUMBER},
    {NULL, NULL, COLUMN_TEXT},
};

static int producers_run(struct cli *cli) {
  uint32_t partition = 0;
  int code = cli_operand_partition(cli, 1, &partition);
  if (code == CLI_OK) code = cli_connect(cli);
  if (code != CLI_OK) return code;
  const char *topic = cli->operands[0];
  json_t *rows = json_array();
  struct cairn_error error;
  if (cairn_list_producers(cli->client, topic, partition, add_producer, rows, NULL, &error) == CAIRN_OK) {
    code = table_print(cli, producer_columns, rows);
  } else {
    code = report_error(cli, &error, (struct report_subject){.topic = topic, .has_partition = true, .partition = partition},
                        "cannot list the producers of partition %u of \"%s\"", partition, topic);
  }
  json_decref(rows);
  return code;
}

static const char *const producers_examples[] = {
    "Who appended to partition 0 of orders, and how far they are",
    "cairn partition producers orders 0",
    NULL,
};

const struct command partition_producers_command = {
    .noun = "partition",
    .verb = "producers",
    .operands = "TOPIC PARTITION",
    .operands_min = 2,
    .operands_max = 2,
    .summary = "List the producers that a partition remembers",
    .details =
        "A producer appends under a name (cairn append --producer). What it sends again is recognised, from the sequence shown\n"
        "on; sequences count its records in this partition. Producers are forgotten only when there are too many.\n",
    .examples = producers_examples,
    .run = producers_run,
};

/* ---- trim ---- */

static int trim_run(struct cli *cli) {
  uint32_t partition = 0;
  int64_t before = -1;
  int code = cli_operand_partition(cli, 1, &partition);
  if (code == CLI_OK) code = cli_option_number(cli, "before", 0, INT64_MAX, &before);
  if (code == CLI_OK && before < 0) code = report_usage(cli, "--before OFFSET is missing");
  if (code == CLI_OK) code = cli_connect(cli);
  if (code != CLI_OK) return code;
  const char *topic = cli->operands[0];
  int64_t start = 0;
  struct cairn_error error;
  if (cairn_trim(cli->client, topic, partition, before, &start, &error) != CAIRN_OK) {
    return report_error(cli, &error, (struct report_subject){.topic = topic, .has_partition = true, .partition = partition},
                        "cannot trim partition %u of \"%s\"", partition, topic);
  }
  if (cli->json) output_printf(cli->output, "{\"log_start_offset\": %lld}\n", (long long)start);
  else output_printf(cli->output, "partition %u of %s begins at offset %lld now\n", partition, topic, (long long)start);
  return CLI_OK;
}

static const struct option trim_options[] = {
    {"before", 0, "OFFSET", "everything before this offset goes, for good"},
    {NULL, 0, NULL, NULL},
};

static const char *const trim_examples[] = {
    "Give up the records 0 to 9,999",
    "cairn partition trim orders 0 --before 10000",
    NULL,
};

const struct command partition_trim_command = {
    .noun = "partition",
    .verb = "trim",
    .operands = "TOPIC PARTITION",
    .operands_min = 2,
    .operands_max = 2,
    .summary = "Give up the oldest records of a partition, for good",
    .changes = CHANGES_TOPICS,
    .options = trim_options,
    .details = "Space is freed later, a segment at a time. Offsets are never used again.\n",
    .examples = trim_examples,
    .run = trim_run,
};
