#include <jansson.h>
#include <stdio.h>

#include "clients/cli/commands.h"
#include "clients/cli/report.h"
#include "clients/cli/table.h"

#define TEXT_SIZE 160u

/* The cluster as one broker sees it, and its brokers counted. */
struct view {
  struct cairn_cluster cluster;
  unsigned brokers; /* those that are part of it: who is gone is not */
  unsigned down;
  unsigned drained;
  unsigned leaving;
  unsigned rackless; /* that told no rack */
  json_t *racks;     /* by name, how many of the brokers stand there; owned */
  bool untold;       /* by an older broker, that does not know who is up */
};

enum health { HEALTH_OK, HEALTH_DEGRADED, HEALTH_UNAVAILABLE };
static const char *const health_words[] = {"ok", "degraded", "unavailable"};

static void count_rack(struct view *view, const char *rack) {
  json_int_t known = json_integer_value(json_object_get(view->racks, rack)); /* 0 of what is not there */
  if (rack[0] == '\0') view->rackless++;
  else json_object_set_new(view->racks, rack, json_integer(known + 1));
}

static void count(void *context, const struct cairn_member *member) {
  struct view *view = context;
  if (member->standing == CAIRN_BROKER_GONE) return;
  view->brokers++;
  view->down += member->liveness == CAIRN_BROKER_DOWN;
  view->drained += member->standing == CAIRN_BROKER_DRAINED;
  view->leaving += member->standing == CAIRN_BROKER_LEAVING;
  count_rack(view, member->rack);
  view->untold = view->untold || member->liveness == CAIRN_BROKER_UNTOLD;
}

/* What is drained, leaves or moves is so because somebody wants it. */
static enum health health_of(const struct view *view) {
  const struct cairn_cluster *cluster = &view->cluster;
  if (cluster->controller_id == 0 || view->brokers == 0 || cluster->partitions_without_quorum > 0) return HEALTH_UNAVAILABLE;
  return view->down > 0 || cluster->partitions_short_of_replicas > 0 ? HEALTH_DEGRADED : HEALTH_OK;
}

static const struct column view_card[] = {
    {"cluster", "cluster_id", COLUMN_TEXT},
    {"health", "health", COLUMN_TEXT},
    {"controller", "controller_text", COLUMN_TEXT},
    {"brokers", "brokers_text", COLUMN_TEXT},
    {"racks", "racks_text", COLUMN_TEXT},
    {"topics", "topics", COLUMN_NUMBER},
    {"partitions", "partitions_text", COLUMN_TEXT},
    {"features", "features_text", COLUMN_TEXT},
    {NULL, NULL, COLUMN_TEXT},
};

static json_t *view_numbers(const struct view *view) {
  const struct cairn_cluster *cluster = &view->cluster;
  return json_pack(
      "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:O, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "cluster_id", cluster->cluster_id,
      "health", health_words[health_of(view)], "controller_id", (json_int_t)cluster->controller_id, "brokers",
      (json_int_t)view->brokers, "brokers_down", (json_int_t)view->down, "brokers_drained", (json_int_t)view->drained,
      "brokers_leaving", (json_int_t)view->leaving, "racks", view->racks, "brokers_without_rack", (json_int_t)view->rackless,
      "topics", (json_int_t)cluster->topics, "partitions", (json_int_t)cluster->partitions, "partitions_without_quorum",
      (json_int_t)cluster->partitions_without_quorum, "partitions_short_of_replicas",
      (json_int_t)cluster->partitions_short_of_replicas, "partitions_moving", (json_int_t)cluster->partitions_moving,
      "feature_level", (json_int_t)cluster->feature_level, "feature_level_possible", (json_int_t)cluster->feature_level_possible);
}

/* How many there are, and of how many brokers each. */
static void say_racks(const struct view *view, char *into, size_t size) {
  json_int_t fewest = 0, most = 0;
  const char *name;
  json_t *brokers;
  json_object_foreach(view->racks, name, brokers) {
    json_int_t count = json_integer_value(brokers);
    if (fewest == 0 || count < fewest) fewest = count;
    if (count > most) most = count;
  }
  int at = snprintf(into, size, "%zu", json_object_size(view->racks));
  if (most == 0) return;
  at += snprintf(into + at, size - (size_t)at, fewest == most ? ": %lld" : ": %lld to %lld", (long long)fewest, (long long)most);
  at += snprintf(into + at, size - (size_t)at, " broker%s each", most == 1 ? "" : "s");
  if (view->rackless > 0) snprintf(into + at, size - (size_t)at, ", %u in none", view->rackless);
}

static int print_card(const struct cli *cli, const struct view *view, json_t *object) {
  const struct cairn_cluster *cluster = &view->cluster;
  char text[TEXT_SIZE];
  snprintf(text, sizeof text, cluster->controller_id == 0 ? "nobody is known to lead the map" : "broker %u",
           cluster->controller_id);
  json_object_set_new(object, "controller_text", json_string(text));
  snprintf(text, sizeof text, "%u: %u down, %u drained, %u leaving", view->brokers, view->down, view->drained, view->leaving);
  json_object_set_new(object, "brokers_text", json_string(text));
  say_racks(view, text, sizeof text);
  json_object_set_new(object, "racks_text", json_string(text));
  snprintf(text, sizeof text, "%u: %u without a quorum, %u short of a replica, %u moving", cluster->partitions,
           cluster->partitions_without_quorum, cluster->partitions_short_of_replicas, cluster->partitions_moving);
  json_object_set_new(object, "partitions_text", json_string(text));
  if (cluster->feature_level < cluster->feature_level_possible)
    snprintf(text, sizeof text, "level %u; all brokers can %u: cairn cluster upgrade, from which there is no way back",
             cluster->feature_level, cluster->feature_level_possible);
  else snprintf(text, sizeof text, "level %u", cluster->feature_level);
  if (cluster->feature_level > 0) json_object_set_new(object, "features_text", json_string(text));
  return table_print_card(cli, view_card, object);
}

static int print_view(struct cli *cli, const struct view *view) {
  json_t *object = view_numbers(view);
  int code = cli->json ? table_print_json(cli, object) : print_card(cli, view, object);
  json_decref(object);
  return code;
}

static int look(struct cli *cli, struct view *view, enum health *out_health) {
  struct cairn_error error;
  if (cairn_cluster_describe(cli->client, &view->cluster, count, view, &error) != CAIRN_OK)
    return report_error(cli, &error, (struct report_subject){0}, "cannot describe the cluster");
  if (view->untold)
    return report_failure(cli, CLI_FAILED, "UNSUPPORTED", "cannot tell how the cluster is", "the broker asked is older than this",
                          "ask a newer one with --server, or see cairn broker list");
  *out_health = health_of(view);
  return print_view(cli, view);
}

static int show(struct cli *cli, enum health *out_health) {
  int code = cli_connect(cli);
  if (code != CLI_OK) return code;
  struct view view = {.racks = json_object()};
  code = look(cli, &view, out_health);
  json_decref(view.racks);
  return code;
}

/* ---- status ---- */

static int status_run(struct cli *cli) {
  enum health health;
  return show(cli, &health);
}

static const char *const status_examples[] = {
    "As the brokers that --server names see it: the first that answers",
    "cairn cluster status",
    "Which brokers those are, and which of them are up",
    "cairn broker list",
    NULL,
};

const struct command cluster_status_command = {
    .noun = "cluster",
    .verb = "status",
    .summary = "Show how the cluster stands: brokers, partitions, what is missed",
    .details = "health is \"unavailable\" where nobody leads the map or a partition has no quorum, \"degraded\" where a broker "
               "is down or a\n"
               "partition misses a replica, else \"ok\". It is what one broker sees: one that is cut off sees the others down.\n",
    .examples = status_examples,
    .run = status_run,
};

/* ---- health ---- */

static int health_run(struct cli *cli) {
  enum health health = HEALTH_UNAVAILABLE;
  int code = show(cli, &health);
  if (code != CLI_OK || health == HEALTH_OK) return code;
  return health == HEALTH_DEGRADED ? CLI_PARTIAL : CLI_UNAVAILABLE;
}

static const char *const health_examples[] = {
    "In a script that watches",
    "cairn cluster health -o json > health.json || page-somebody",
    NULL,
};

const struct command cluster_health_command = {
    .noun = "cluster",
    .verb = "health",
    .summary = "The same, and the exit code says it: 0 ok, 7 degraded, 6 unavailable",
    .details = "A broker that has just died is up for an election timeout, and who is up and has not caught up is not known: a "
               "rolling restart\n"
               "waits for each broker's `ready` besides.\n",
    .examples = health_examples,
    .run = health_run,
};
