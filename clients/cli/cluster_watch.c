#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/commands.h"
#include "clients/cli/map_json.h"
#include "clients/cli/output.h"
#include "clients/cli/report.h"
#include "clients/cli/standing.h"
#include "clients/cli/terminal.h"

#define LOOK_MS 200u
#define BROKERS_TEXT_SIZE 128u
#define TOPICS_SIZE (CAIRN_WATCH_TOPICS_MAX * (CAIRN_NAME_MAX + 1))

struct watching {
  struct cli *cli;
  bool json;
  struct cairn_watch_options options;
  const char *topics[CAIRN_WATCH_TOPICS_MAX];
  char topics_text[TOPICS_SIZE];
  struct cairn_watch *watch;
};

/* ---- Words ---- */

/* The same in JSON and, but for the first ones, in lines. */
static const char *kind_word(enum cairn_change_kind kind) {
  switch (kind) {
    case CAIRN_CHANGE_BROKER: return "broker";
    case CAIRN_CHANGE_TOPIC: return "topic";
    case CAIRN_CHANGE_TOPIC_CREATED: return "topic_created";
    case CAIRN_CHANGE_TOPIC_ALTERED: return "topic_altered";
    case CAIRN_CHANGE_TOPIC_GROWN: return "topic_grown";
    case CAIRN_CHANGE_TOPIC_DELETED: return "topic_deleted";
    case CAIRN_CHANGE_PARTITION_MOVING: return "partition_moving";
    case CAIRN_CHANGE_PARTITION_MOVED: return "partition_moved";
    case CAIRN_CHANGE_FEATURE_LEVEL: return "feature_level";
    case CAIRN_CHANGE_MAP_BEGINS: return "map_begins";
    case CAIRN_CHANGE_MAP_WHOLE: return "map_whole";
  }
  return "other"; /* than this program knows */
}

static const char *brokers_text(char text[BROKERS_TEXT_SIZE], const uint32_t *brokers, size_t count) {
  int at = 0;
  text[0] = '\0';
  for (size_t i = 0; i < count && at >= 0 && (size_t)at < BROKERS_TEXT_SIZE; i++)
    at += snprintf(text + at, BROKERS_TEXT_SIZE - (size_t)at, "%s%u", i == 0 ? "" : ",", brokers[i]);
  return text;
}

/* ---- As lines ---- */

static void print_place(struct output *output, const struct cairn_change *change, bool arrived) {
  char text[BROKERS_TEXT_SIZE];
  for (size_t i = 0; i < change->partition_count; i++) {
    const struct cairn_partition *partition = &change->partitions[i];
    if (arrived) brokers_text(text, partition->replicas, partition->replica_count);
    else brokers_text(text, partition->moving_to, partition->moving_to_count);
    output_printf(output, "partition %s/%u %s %s\n", change->topic->name, partition->partition,
                  arrived ? "is now on" : "moves to", text);
  }
}

static void print_topic(struct output *output, const struct cairn_change *change) {
  const struct cairn_topic *topic = change->topic;
  const char *plural = topic->partitions == 1 ? "" : "s";
  switch (change->kind) {
    case CAIRN_CHANGE_TOPIC_CREATED:
      output_printf(output, "topic %s created: %u partition%s, replicas %u\n", topic->name, topic->partitions, plural,
                    topic->replicas);
      return;
    case CAIRN_CHANGE_TOPIC_ALTERED:
      output_printf(output,
                    "topic %s altered: retention-bytes %lld, retention-ms %lld, segment-bytes %lld, record-bytes-max %lld\n",
                    topic->name, (long long)topic->config.retention_bytes, (long long)topic->config.retention_ms,
                    (long long)topic->config.segment_bytes, (long long)topic->config.record_bytes_max);
      return;
    case CAIRN_CHANGE_TOPIC_GROWN:
      output_printf(output, "topic %s grown: %u partition%s\n", topic->name, topic->partitions, plural);
      return;
    case CAIRN_CHANGE_TOPIC_DELETED: output_printf(output, "topic %s deleted\n", topic->name); return;
    case CAIRN_CHANGE_PARTITION_MOVING:
    case CAIRN_CHANGE_PARTITION_MOVED: print_place(output, change, change->kind == CAIRN_CHANGE_PARTITION_MOVED); return;
    default:
      output_printf(output, "topic %s: %u partition%s, replicas %u\n", topic->name, topic->partitions, plural, topic->replicas);
  }
}

static void print_line(struct watching *watching, const struct cairn_change *change) {
  struct output *output = watching->cli->output;
  output_printf(output, "%llu  ", (unsigned long long)change->version);
  if (change->kind == CAIRN_CHANGE_MAP_BEGINS)
    output_printf(output, "the whole map of cluster %s:\n", cairn_watch_cluster_id(watching->watch));
  else if (change->kind == CAIRN_CHANGE_MAP_WHOLE) output_printf(output, "that was the whole map\n");
  else if (change->member != NULL)
    output_printf(output, "broker %u %s, at %s%s%s\n", change->member->broker_id, standing_word(change->member->standing),
                  change->member->advertised, change->member->rack[0] == '\0' ? "" : ", in rack ", change->member->rack);
  else if (change->topic != NULL) print_topic(output, change);
  else if (change->kind == CAIRN_CHANGE_FEATURE_LEVEL) output_printf(output, "feature level %u\n", change->feature_level);
  else output_printf(output, "something that this program does not know: use a newer one\n");
}

/* ---- As JSON, an object a line ---- */

static json_t *partitions_json(const struct cairn_change *change) {
  json_t *array = json_array();
  for (size_t i = 0; i < change->partition_count; i++) {
    const struct cairn_partition *partition = &change->partitions[i];
    json_array_append_new(array, json_pack("{s:I, s:I, s:o, s:o}", "partition", (json_int_t)partition->partition, "group_id",
                                           (json_int_t)partition->group_id, "replicas",
                                           brokers_json(partition->replicas, partition->replica_count), "moving_to",
                                           brokers_json(partition->moving_to, partition->moving_to_count)));
  }
  return array;
}

static void print_json(struct watching *watching, const struct cairn_change *change) {
  json_t *object = json_pack("{s:I, s:s}", "version", (json_int_t)change->version, "change", kind_word(change->kind));
  if (change->kind == CAIRN_CHANGE_TOPIC_DELETED)
    json_object_set_new(object, "topic",
                        json_pack("{s:s, s:I}", "name", change->topic->name, "id", (json_int_t)change->topic->id));
  else if (change->topic != NULL) json_object_set_new(object, "topic", topic_json(change->topic));
  if (change->partition_count > 0) json_object_set_new(object, "partitions", partitions_json(change));
  if (change->member != NULL)
    json_object_set_new(object, "broker",
                        json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "id", (json_int_t)change->member->broker_id,
                                  "advertised", change->member->advertised, "peer_address", change->member->peer_address,
                                  "incarnation", change->member->incarnation, "standing", standing_word(change->member->standing),
                                  "rack", change->member->rack, "feature_least", (json_int_t)change->member->feature_least,
                                  "feature_most", (json_int_t)change->member->feature_most));
  if (change->kind == CAIRN_CHANGE_FEATURE_LEVEL)
    json_object_set_new(object, "feature_level", json_integer(change->feature_level));
  else if (change->topic == NULL && change->member == NULL)
    json_object_set_new(object, "cluster_id", json_string(cairn_watch_cluster_id(watching->watch)));
  char *text = json_dumps(object, JSON_COMPACT);
  output_printf(watching->cli->output, "%s\n", text);
  free(text);
  json_decref(object);
}

/* ---- Watching ---- */

/* Until it is interrupted, nobody reads any more, or it fails. */
static int watch_all(struct watching *watching) {
  struct output *output = watching->cli->output;
  struct cairn_change change;
  struct cairn_error error;
  while (!terminal_interrupted() && !output_broken(output)) {
    int code = cairn_watch_next(watching->watch, 0, &change, &error);
    if (code == CAIRN_WAIT) {
      output_flush(output);
      code = cairn_watch_next(watching->watch, LOOK_MS, &change, &error);
    }
    if (code == CAIRN_WAIT) continue;
    if (code != CAIRN_OK) {
      output_flush(output);
      return report_error(watching->cli, &error, (struct report_subject){0}, "cannot watch the map of the cluster");
    }
    if (watching->json) print_json(watching, &change);
    else print_line(watching, &change);
  }
  return terminal_interrupted() ? CLI_INTERRUPTED : CLI_OK;
}

/* Where it ended for a reason that trying again would not mend, there is nothing to go on with; and of what could not be written nobody knows how much
 * arrived. */
static void say_where(const struct watching *watching, int code) {
  unsigned long long version = cairn_watch_version(watching->watch);
  bool goes_on = code == CLI_OK || code == CLI_INTERRUPTED || code == CLI_UNAVAILABLE;
  if (goes_on && version > 0 && !output_broken(watching->cli->output))
    fprintf(stderr, "watched to version %llu; it goes on with --from %llu\n", version, version);
}

static int read_topics(struct watching *watching) {
  const char *text = cli_option(watching->cli, "topic");
  if (text == NULL) return CLI_OK;
  if (strlen(text) >= sizeof watching->topics_text)
    return report_usage(watching->cli, "--topic names too many topics; without it all are watched");
  snprintf(watching->topics_text, sizeof watching->topics_text, "%s", text);
  for (char *at = watching->topics_text; at != NULL;) {
    char *comma = strchr(at, ',');
    if (comma != NULL) *comma = '\0';
    if (at[0] == '\0')
      return report_usage(watching->cli, "--topic is \"%s\"; it is a topic's name, or several with commas between", text);
    if (watching->options.topic_count == CAIRN_WATCH_TOPICS_MAX)
      return report_usage(watching->cli, "--topic names more than %d topics; without it all are watched", CAIRN_WATCH_TOPICS_MAX);
    watching->topics[watching->options.topic_count++] = at;
    at = comma == NULL ? NULL : comma + 1;
  }
  watching->options.topics = watching->topics;
  return CLI_OK;
}

static int watch_run(struct cli *cli) {
  struct watching watching = {.cli = cli, .json = cli->json || cli_flag(cli, "json")};
  int64_t from = -1;
  int code = cli_option_number(cli, "from", 0, INT64_MAX, &from);
  if (code == CLI_OK) code = read_topics(&watching);
  if (code == CLI_OK) code = cli_connect(cli);
  if (code != CLI_OK) return code;
  struct cairn_error error;
  watching.options.from_now = from < 0;
  watching.options.from_version = from < 0 ? 0 : (uint64_t)from;
  watching.options.cluster_id = cli_option(cli, "cluster");
  watching.options.retry_timeout_ms = cli->timeout_ms;
  if (cairn_watch_new(cli->client, &watching.options, &watching.watch, &error) != CAIRN_OK)
    return report_error(cli, &error, (struct report_subject){0}, "cannot watch the map of the cluster");
  code = watch_all(&watching);
  output_flush(cli->output);
  say_where(&watching, code);
  cairn_watch_free(watching.watch);
  return code;
}

static const struct option watch_options_table[] = {
    {"from", 0, "VERSION", "go on behind this version of the map; 0: the whole map first (default: what changes from now on)"},
    {"topic", 0, "TOPIC,...", "of topics, only these; brokers in any case"},
    {"cluster", 0, "ID", "the cluster that --from is a version of: another one is refused"},
    {"json", 0, NULL, "the same as -o json"},
    {NULL, 0, NULL, NULL},
};

static const char *const watch_examples[] = {
    "What changes, as it changes",
    "cairn cluster watch",
    "The whole map, and then what changes, for a program",
    "cairn cluster watch --from 0 -o json | jq -c .",
    "On behind the last line of an earlier one",
    "cairn cluster watch --from 1234",
    NULL,
};

const struct command cluster_watch_command = {
    .noun = "cluster",
    .verb = "watch",
    .summary = "Show each change of the map: brokers, topics, partitions",
    .options = watch_options_table,
    .details =
        "A line for each change, with the version of the map that it came with. It goes on by itself at another broker when one "
        "fails, and ends\n"
        "when none can be reached for --timeout. Where the changes since a version are not known any more the whole map "
        "comes. Who leads a\n"
        "partition is not in the map: `cairn topic describe` tells. With -o json there is one object a line: version, change, "
        "and topic,\n"
        "partitions or broker.\n",
    .examples = watch_examples,
    .run = watch_run,
};
