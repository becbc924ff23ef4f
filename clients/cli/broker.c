#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "clients/cli/commands.h"
#include "clients/cli/report.h"
#include "clients/cli/standing.h"
#include "clients/cli/table.h"
#include "clients/cli/terminal.h"

#define ASK_MS 1000u

/* ---- list ---- */

static const struct column broker_columns[] = {
    {"BROKER", "broker_id", COLUMN_NUMBER}, {"ADDRESS", "advertised", COLUMN_TEXT},  {"PEERS", "peer_address", COLUMN_TEXT},
    {"RACK", "rack", COLUMN_TEXT},          {"ROLE", "role", COLUMN_TEXT},           {"STATE", "liveness", COLUMN_TEXT},
    {"STANDING", "standing", COLUMN_TEXT},  {"REPLICAS", "replicas", COLUMN_NUMBER}, {"PREFERRED", "preferred", COLUMN_NUMBER},
    {"LEADS", "leads", COLUMN_NUMBER},      {"FEATURES", "features", COLUMN_TEXT},   {NULL, NULL, COLUMN_TEXT},
};

const char *standing_word(enum cairn_broker_standing standing) {
  switch (standing) {
    case CAIRN_BROKER_IN: return "in";
    case CAIRN_BROKER_DRAINED: return "drained";
    case CAIRN_BROKER_LEAVING: return "leaving";
    case CAIRN_BROKER_GONE: return "gone";
    case CAIRN_BROKER_UNKNOWN: break;
  }
  return "unknown";
}

static const char *liveness_word(enum cairn_broker_liveness liveness) {
  switch (liveness) {
    case CAIRN_BROKER_UP: return "up";
    case CAIRN_BROKER_DOWN: return "down";
    case CAIRN_BROKER_UNTOLD: break;
  }
  return "unknown";
}

static void list_visit(void *context, const struct cairn_member *member) {
  json_t *row = json_pack("{s:I, s:s, s:s, s:s, s:s, s:b, s:b, s:s, s:s, s:s, s:I, s:I, s:n}", "broker_id",
                          (json_int_t)member->broker_id, "advertised", member->advertised, "peer_address", member->peer_address,
                          "incarnation", member->incarnation, "rack", member->rack, "controller", (int)member->controller,
                          "votes", (int)member->votes, "role", member->controller ? "controller" : "broker", "liveness",
                          liveness_word(member->liveness), "standing", standing_word(member->standing), "replicas",
                          (json_int_t)member->replicas, "preferred", (json_int_t)member->preferred, "leads");
  if (member->feature_most > 0) {
    char features[32];
    snprintf(features, sizeof features, "%u-%u", member->feature_least, member->feature_most);
    json_object_set_new(row, "features", json_string(features));
    json_object_set_new(row, "feature_least", json_integer(member->feature_least));
    json_object_set_new(row, "feature_most", json_integer(member->feature_most));
  }
  json_array_append_new(context, row);
}

/* How much a broker leads only itself knows for certain. One that does not answer in a second has none shown. */
static void ask_leads(const struct cli *cli, json_t *row) {
  const char *address = json_string_value(json_object_get(row, "advertised"));
  bool down = strcmp(json_string_value(json_object_get(row, "liveness")), liveness_word(CAIRN_BROKER_DOWN)) == 0;
  bool gone = strcmp(json_string_value(json_object_get(row, "standing")), standing_word(CAIRN_BROKER_GONE)) == 0;
  if (down || gone || address[0] == '\0' || terminal_interrupted()) return;
  uint32_t timeout_ms = ASK_MS < cli->timeout_ms ? ASK_MS : cli->timeout_ms;
  const struct cairn_client_options options = {.servers = address, .call_timeout_ms = timeout_ms};
  struct cairn_client *client = NULL;
  struct cairn_broker broker;
  bool told = cairn_client_new(&options, &client, NULL) == CAIRN_OK && cairn_broker_describe(client, &broker, NULL) == CAIRN_OK;
  cairn_client_free(client);
  bool same = told && broker.broker_id == (uint32_t)json_integer_value(json_object_get(row, "broker_id"));
  if (same) json_object_set_new(row, "leads", json_integer(broker.leads));
}

static int list_run(struct cli *cli) {
  int code = cli_connect(cli);
  if (code != CLI_OK) return code;
  json_t *rows = json_array();
  struct cairn_error error;
  if (cairn_cluster_describe(cli->client, NULL, list_visit, rows, &error) == CAIRN_OK) {
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) ask_leads(cli, row);
    code = table_print(cli, broker_columns, rows);
  } else {
    code = report_error(cli, &error, (struct report_subject){0}, "cannot list the brokers");
  }
  json_decref(rows);
  return code;
}

static const char *const list_examples[] = {
    "As a table",
    "cairn broker list",
    "Who leads the map",
    "cairn broker list -o json | jq '.[] | select(.controller).broker_id'",
    NULL,
};

const struct command broker_list_command = {
    .noun = "broker",
    .verb = "list",
    .alias = "ls",
    .also = "cluster brokers",
    .summary = "List the brokers of the cluster",
    .details =
        "PREFERRED is how many partitions a broker is to lead, LEADS how many it does lead: each is asked for that itself, and\n"
        "one that does not answer in a second has \"-\". FEATURES are the feature levels that it can: see `cairn cluster upgrade "
        "--help`.\n",
    .examples = list_examples,
    .run = list_run,
};

/* ---- describe ---- */

static const struct column broker_card[] = {
    {"broker", "broker_id", COLUMN_NUMBER},
    {"version", "version", COLUMN_TEXT},
    {"advertised", "advertised", COLUMN_TEXT},
    {"cluster", "cluster_id", COLUMN_TEXT},
    {"incarnation", "incarnation", COLUMN_TEXT},
    {"topics", "topics", COLUMN_NUMBER},
    {"partitions", "partitions", COLUMN_NUMBER},
    {"leads", "leads", COLUMN_NUMBER},
    {NULL, NULL, COLUMN_TEXT},
};

static int describe_run(struct cli *cli) {
  int code = cli_connect(cli);
  if (code != CLI_OK) return code;
  struct cairn_broker broker;
  struct cairn_error error;
  if (cairn_broker_describe(cli->client, &broker, &error) != CAIRN_OK) {
    return report_error(cli, &error, (struct report_subject){0}, "cannot describe the broker at %s", cli->server);
  }
  json_t *object = json_pack("{s:I, s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "broker_id", (json_int_t)broker.broker_id, "cluster_id",
                             broker.cluster_id, "incarnation", broker.incarnation, "version", broker.version, "advertised",
                             broker.advertised, "topics", (json_int_t)broker.topics, "partitions", (json_int_t)broker.partitions,
                             "leads", (json_int_t)broker.leads);
  code = table_print_card(cli, broker_card, object);
  json_decref(object);
  return code;
}

static const char *const describe_examples[] = {
    "The broker on this machine", "cairn broker describe", "Another one", "cairn --server db1:7411 broker describe", NULL,
};

const struct command broker_describe_command = {
    .noun = "broker",
    .verb = "describe",
    .summary = "Show who a broker is and what it runs",
    .examples = describe_examples,
    .run = describe_run,
};
