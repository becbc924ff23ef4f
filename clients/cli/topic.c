#include <jansson.h>

#include "base/memory.h"
#include "clients/cli/commands.h"
#include "clients/cli/leaders.h"
#include "clients/cli/map_json.h"
#include "clients/cli/output.h"
#include "clients/cli/report.h"
#include "clients/cli/table.h"
#include "clients/cli/topic_places.h"

#define PARTITIONS_MAX 10000
#define REPLICAS_MAX 7
#define RETENTION_NONE (-1)

/* ---- As tables ---- */

static const struct column topic_columns[] = {
    {"NAME", "name", COLUMN_TEXT},
    {"PARTITIONS", "partitions", COLUMN_NUMBER},
    {"REPLICAS", "replicas", COLUMN_NUMBER},
    {"RETENTION", "config.retention_bytes", COLUMN_BYTES_OR_NONE},
    {"KEPT", "config.retention_ms", COLUMN_DURATION_OR_NONE},
    {"CREATED", "created_ms", COLUMN_TIME},
    {NULL, NULL, COLUMN_TEXT},
};

static const struct column topic_card[] = {
    {"name", "name", COLUMN_TEXT},
    {"id", "id", COLUMN_NUMBER},
    {"partitions", "partitions", COLUMN_NUMBER},
    {"replicas", "replicas", COLUMN_NUMBER},
    {"retention-bytes", "config.retention_bytes", COLUMN_BYTES_OR_NONE},
    {"retention", "config.retention_ms", COLUMN_DURATION_OR_NONE},
    {"segment-bytes", "config.segment_bytes", COLUMN_BYTES},
    {"record-bytes-max", "config.record_bytes_max", COLUMN_BYTES},
    {"created", "created_ms", COLUMN_TIME},
    {NULL, NULL, COLUMN_TEXT},
};

static int print_topic(const struct cli *cli, const struct cairn_topic *topic) {
  json_t *object = topic_json(topic);
  int code = table_print_card(cli, topic_card, object);
  json_decref(object);
  return code;
}

/* ---- Settings ---- */

#define CONFIG_OPTIONS                                                                                          \
  {"retention-bytes", 0, "SIZE", "delete the oldest segments beyond this; 0: all that are full; -1: no bound"}, \
      {"retention", 0, "TIME",                                                                                  \
       "delete segments whose newest record is older: 12h, 7d; 0: all that are full; -1: keep for ever"},       \
      {"segment-bytes", 0, "SIZE", "size of a segment file, 1MiB to 1GiB"}, {                                   \
    "record-bytes-max", 0, "SIZE", "refuse larger records; at most 3MiB"                                        \
  }

/* The broker judges the values; here they only must be numbers. */
static int read_config(const struct cli *cli, struct cairn_topic_config *config) {
  config->has_retention_bytes = cli_option(cli, "retention-bytes") != NULL;
  config->has_retention_ms = cli_option(cli, "retention") != NULL;
  int code = cli_option_bytes(cli, "retention-bytes", RETENTION_NONE, INT64_MAX, &config->retention_bytes);
  if (code == CLI_OK) code = cli_option_duration_ms(cli, "retention", RETENTION_NONE, INT64_MAX, &config->retention_ms);
  if (code == CLI_OK) code = cli_option_bytes(cli, "segment-bytes", 1, INT64_MAX, &config->segment_bytes);
  if (code == CLI_OK) code = cli_option_bytes(cli, "record-bytes-max", 1, INT64_MAX, &config->record_bytes_max);
  return code;
}

/* ---- create ---- */

static int create(struct cli *cli, const struct cairn_topic_options *options) {
  int code = cli_connect(cli);
  if (code != CLI_OK) return code;
  struct cairn_topic topic;
  struct cairn_error error;
  const char *name = cli->operands[0];
  if (cairn_topic_create(cli->client, name, options, &topic, &error) != CAIRN_OK) {
    return report_error(cli, &error, (struct report_subject){.topic = name}, "cannot create topic \"%s\"", name);
  }
  if (cli->json) return print_topic(cli, &topic);
  output_printf(cli->output, "%s topic %s with %u partition%s\n", options->validate_only ? "would create" : "created", topic.name,
                topic.partitions, topic.partitions == 1 ? "" : "s");
  return CLI_OK;
}

static int create_run(struct cli *cli) {
  struct cairn_topic_options options = {.validate_only = cli_flag(cli, "dry-run")};
  int64_t partitions = 0;
  int64_t replicas = 0;
  struct cairn_place *places = NULL;
  int code = read_config(cli, &options.config);
  if (code == CLI_OK) code = cli_option_number(cli, "partitions", 1, PARTITIONS_MAX, &partitions);
  if (code == CLI_OK) code = cli_option_number(cli, "replicas", 1, REPLICAS_MAX, &replicas);
  if (code == CLI_OK) code = topic_places_read(cli, &places, &options.place_count);
  options.partitions = (uint32_t)partitions;
  options.replicas = (uint32_t)replicas;
  options.places = places;
  if (code == CLI_OK) code = create(cli, &options);
  memory_free(places);
  return code;
}

static const struct option create_options[] = {
    {"partitions", 'p', "N", "how many partitions (default 1)"},
    {"replicas", 'r', "N",
     "how many copies, each on a broker of its own, at most 7 (default: 3, or as many as there are brokers)"},
    {"places", 0, "PLACES", "the brokers of each partition, the first is to lead: 1:2:3,2:3:1 (default: spread evenly)"},
    CONFIG_OPTIONS,
    {"dry-run", 0, NULL, "check everything, change nothing"},
    {NULL, 0, NULL, NULL},
};

static const char *const create_examples[] = {
    "One partition, kept for ever",
    "cairn topic create orders",
    "Eight partitions, a week",
    "cairn topic create clicks --partitions 8 --retention 7d",
    "On five brokers: two may be lost, and nothing with them",
    "cairn topic create orders --replicas 5",
    "Partition 0 on brokers 1, 2 and 3, led by 1; partition 1 on the same, led by 2",
    "cairn topic create orders --places 1:2:3,2:3:1",
    NULL,
};

const struct command topic_create_command = {
    .noun = "topic",
    .verb = "create",
    .operands = "TOPIC",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Create a topic",
    .changes = CHANGES_TOPICS,
    .options = create_options,
    .examples = create_examples,
    .run = create_run,
};

/* ---- list ---- */

static void list_visit(void *context, const struct cairn_topic *topic) { json_array_append_new(context, topic_json(topic)); }

static int list_run(struct cli *cli) {
  int code = cli_connect(cli);
  if (code != CLI_OK) return code;
  json_t *rows = json_array();
  struct cairn_error error;
  if (cairn_topic_list(cli->client, list_visit, rows, &error) == CAIRN_OK) {
    code = table_print(cli, topic_columns, rows);
  } else {
    code = report_error(cli, &error, (struct report_subject){0}, "cannot list topics");
  }
  json_decref(rows);
  return code;
}

static const char *const list_examples[] = {
    "As a table", "cairn topic list", "Their names", "cairn topic list -o json | jq -r '.[].name'", NULL,
};

const struct command topic_list_command = {
    .noun = "topic",
    .verb = "list",
    .alias = "ls",
    .summary = "List the topics",
    .examples = list_examples,
    .run = list_run,
};

/* ---- describe ---- */

static void describe_visit(void *context, const struct cairn_partition *partition) {
  json_t *row = json_pack("{s:I, s:I, s:I, s:s, s:o, s:o, s:I, s:I}", "partition", (json_int_t)partition->partition, "group_id",
                          (json_int_t)partition->group_id, "leader_id", (json_int_t)partition->leader_id, "leader",
                          partition->leader, "replicas", brokers_json(partition->replicas, partition->replica_count), "moving_to",
                          brokers_json(partition->moving_to, partition->moving_to_count), "log_start_offset",
                          (json_int_t)partition->log_start_offset, "high_watermark", (json_int_t)partition->high_watermark);
  json_array_append_new(context, row);
}

static const struct column partition_columns[] = {
    {"PARTITION", "partition", COLUMN_NUMBER},
    {"LEADER", "leader", COLUMN_TEXT},
    {"REPLICAS", "replicas", COLUMN_TEXT},
    {"MOVING TO", "moving_to", COLUMN_TEXT},
    {"START", "log_start_offset", COLUMN_NUMBER},
    {"END", "high_watermark", COLUMN_NUMBER},
    {NULL, NULL, COLUMN_TEXT},
};

static int describe_print(const struct cli *cli, const struct cairn_topic *topic, json_t *partitions) {
  json_t *object = json_pack("{s:o, s:O}", "topic", topic_json(topic), "partitions", partitions);
  int code = CLI_OK;
  if (cli->json) {
    code = table_print_card(cli, topic_card, object);
  } else {
    code = print_topic(cli, topic);
    output_write(cli->output, "\n", 1);
    table_print(cli, partition_columns, partitions);
  }
  json_decref(object);
  return code;
}

static int describe_run(struct cli *cli) {
  int code = cli_connect(cli);
  if (code != CLI_OK) return code;
  const char *name = cli->operands[0];
  json_t *partitions = json_array();
  struct cairn_topic topic;
  struct cairn_error error;
  if (cairn_topic_describe(cli->client, name, &topic, describe_visit, partitions, &error) == CAIRN_OK) {
    leaders_ask(cli, name, partitions);
    code = describe_print(cli, &topic, partitions);
  } else {
    code = report_error(cli, &error, (struct report_subject){.topic = name}, "cannot describe topic \"%s\"", name);
  }
  json_decref(partitions);
  return code;
}

static const char *const describe_examples[] = {
    "Settings and partitions",
    "cairn topic describe orders",
    NULL,
};

const struct command topic_describe_command = {
    .noun = "topic",
    .verb = "describe",
    .operands = "TOPIC",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Show a topic's settings and partitions",
    .examples = describe_examples,
    .run = describe_run,
};

/* ---- alter ---- */

struct alteration {
  const char *name;
  struct cairn_topic_config config;
  bool sets;           /* any of these */
  uint32_t partitions; /* 0: as many as it has */
  struct cairn_place *places;
  size_t place_count;
  bool dry_run;
};

static int read_alteration(const struct cli *cli, struct alteration *out) {
  int64_t partitions = 0;
  *out = (struct alteration){.name = cli->operands[0], .dry_run = cli_flag(cli, "dry-run")};
  int code = read_config(cli, &out->config);
  if (code == CLI_OK) code = cli_option_number(cli, "partitions", 1, PARTITIONS_MAX, &partitions);
  if (code == CLI_OK) code = topic_places_read(cli, &out->places, &out->place_count);
  if (code != CLI_OK) return code;
  const struct cairn_topic_config *config = &out->config;
  out->partitions = (uint32_t)partitions;
  if (partitions == 0 && out->place_count > 0)
    return report_usage(cli, "--places names the brokers of new partitions: say with --partitions how many it is to have then");
  out->sets =
      config->has_retention_bytes || config->has_retention_ms || config->segment_bytes != 0 || config->record_bytes_max != 0;
  return out->sets || partitions > 0 ? CLI_OK : report_usage(cli, "no setting is given");
}

static int grow(struct cli *cli, const struct alteration *this, bool validate_only, struct cairn_topic *out_topic,
                struct cairn_error *error) {
  const struct cairn_growth_options options = {
      .places = this->places, .place_count = this->place_count, .validate_only = validate_only};
  return cairn_topic_grow(cli->client, this->name, this->partitions, &options, out_topic, error);
}

/* What is refused is refused before anything is changed: a topic that is to have both is asked first whether it could grow. `out_set`: its
 * settings were changed, whatever came of the rest. */
static int alter(struct cli *cli, const struct alteration *this, struct cairn_topic *out_topic, bool *out_set,
                 struct cairn_error *error) {
  bool grows = this->partitions > 0;
  int code = grows ? grow(cli, this, this->dry_run || this->sets, out_topic, error) : CAIRN_OK;
  uint32_t grown = code == CAIRN_OK && grows ? out_topic->partitions : 0;
  if (code != CAIRN_OK || !this->sets) return code;
  code = cairn_topic_alter(cli->client, this->name, &this->config, this->dry_run, out_topic, error);
  if (code != CAIRN_OK) return code;
  *out_set = !this->dry_run;
  if (grows && !this->dry_run) return grow(cli, this, false, out_topic, error);
  if (grows) out_topic->partitions = grown;
  return CAIRN_OK;
}

/* Of both together it cannot be said that nothing was done. */
static int report_half(const struct cli *cli, const struct alteration *this, struct cairn_error *error) {
  const char *grown = error->executed == CAIRN_EXECUTED_NO ? "it did not get" : "it is not known to have";
  error->executed = CAIRN_EXECUTED_MAYBE;
  report_error(cli, error, (struct report_subject){.topic = this->name},
               "the settings of topic \"%s\" have been changed, and %s %u partitions", this->name, grown, this->partitions);
  return CLI_PARTIAL;
}

static int alter_and_tell(struct cli *cli, const struct alteration *this) {
  int code = cli_connect(cli);
  if (code != CLI_OK) return code;
  const char *name = this->name;
  struct cairn_topic topic = {0};
  struct cairn_error error;
  bool set = false;
  if (alter(cli, this, &topic, &set, &error) != CAIRN_OK)
    return set ? report_half(cli, this, &error)
               : report_error(cli, &error, (struct report_subject){.topic = name}, "cannot change topic \"%s\"", name);
  if (this->dry_run && !cli->json) output_printf(cli->output, "would change topic %s; it would be\n\n", name);
  return print_topic(cli, &topic);
}

static int alter_run(struct cli *cli) {
  struct alteration alteration;
  int code = read_alteration(cli, &alteration);
  if (code == CLI_OK) code = alter_and_tell(cli, &alteration);
  memory_free(alteration.places);
  return code;
}

static const struct option alter_options[] = {
    {"partitions", 0, "N",
     "as many as it is to have, no fewer than now; open producers and followers see the new ones within a second"},
    {"places", 0, "PLACES", "the brokers of each new partition, the first is to lead: 1:2:3,2:3:1 (default: spread evenly)"},
    CONFIG_OPTIONS,
    {"dry-run", 0, NULL, "check everything, change nothing"},
    {NULL, 0, NULL, NULL},
};

static const char *const alter_examples[] = {
    "Keep at most 10 GiB per partition",
    "cairn topic alter clicks --retention-bytes 10GiB",
    "Twelve partitions, where it had fewer",
    "cairn topic alter clicks --partitions 12",
    "One more than the two that it has, on brokers 3, 1 and 2, led by 3",
    "cairn topic alter orders --partitions 3 --places 3:1:2",
    "Keep for ever again",
    "cairn topic alter clicks --retention -1 --retention-bytes -1",
    NULL,
};

const struct command topic_alter_command = {
    .noun = "topic",
    .verb = "alter",
    .also = "topic grow",
    .operands = "TOPIC",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Change a topic's settings",
    .changes = CHANGES_TOPICS,
    .options = alter_options,
    .details =
        "Settings that are not given keep their values. With both settings and partitions, the settings are changed first: exit\n"
        "status 7 says that they were, and that it did not get the partitions or is not known to have them.\n",
    .examples = alter_examples,
    .run = alter_run,
};

/* ---- delete ---- */

static int delete_run(struct cli *cli) {
  int code = cli_connect(cli);
  if (code != CLI_OK) return code;
  const char *name = cli->operands[0];
  uint64_t id = 0;
  struct cairn_error error;
  bool dry_run = cli_flag(cli, "dry-run");
  if (cairn_topic_delete(cli->client, name, dry_run, &id, &error) != CAIRN_OK) {
    return report_error(cli, &error, (struct report_subject){.topic = name}, "cannot delete topic \"%s\"", name);
  }
  if (cli->json) output_printf(cli->output, "{\"id\": %llu}\n", (unsigned long long)id);
  else output_printf(cli->output, "%s topic %s\n", dry_run ? "would delete" : "deleted", name);
  return CLI_OK;
}

static const struct option delete_options[] = {
    {"dry-run", 0, NULL, "check everything, change nothing"},
    {NULL, 0, NULL, NULL},
};

static const char *const delete_examples[] = {
    "With all its records, for good",
    "cairn topic delete orders",
    "Is it there, and could it be deleted?",
    "cairn topic delete orders --dry-run",
    NULL,
};

const struct command topic_delete_command = {
    .noun = "topic",
    .verb = "delete",
    .alias = "rm",
    .operands = "TOPIC",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Delete a topic and its records, for good",
    .changes = CHANGES_TOPICS,
    .options = delete_options,
    .examples = delete_examples,
    .run = delete_run,
};
