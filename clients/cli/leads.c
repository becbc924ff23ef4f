#include "clients/cli/leads.h"

#include <stdio.h>

#include "base/memory.h"
#include "clients/cli/report.h"
#include "clients/cli/terminal.h"

#define ASK_MS 1000u /* a broker that does not answer, or a partition that nobody leads */

enum answers { NOT_ASKED, ANSWERS, SILENT };

struct other {
  uint32_t id;
  char address[CAIRN_ADDRESS_SIZE];
  bool votes; /* on the map */
  enum answers answers;
};

struct counting {
  struct cli *cli;
  uint32_t broker;
  struct other *others; /* of whom nothing else is wanted than to lead */
  size_t count;
  bool leads_map;
  bool votes_told; /* who votes on the map */
  char (*topics)[CAIRN_NAME_MAX + 1];
  size_t topic_count;
  const char *topic;           /* that is looked at */
  struct cairn_client *client; /* gives up sooner than the command's own; NULL until it is needed */
  struct leads leads;
};

/* ---- Who could lead ---- */

static void member_visit(void *context, const struct cairn_member *member) {
  struct counting *counting = context;
  counting->votes_told = counting->votes_told || member->votes;
  if (member->broker_id == counting->broker) counting->leads_map = member->controller;
  else if (member->standing == CAIRN_BROKER_IN) {
    counting->others = memory_grow_array(counting->others, counting->count + 1, sizeof *counting->others);
    struct other *other = &counting->others[counting->count++];
    *other = (struct other){.id = member->broker_id, .votes = member->votes};
    snprintf(other->address, sizeof other->address, "%s", member->advertised);
  }
}

static bool answers(const struct counting *counting, struct other *other) {
  if (other->answers != NOT_ASKED || terminal_interrupted()) return other->answers == ANSWERS;
  uint32_t timeout_ms = ASK_MS < counting->cli->timeout_ms ? ASK_MS : counting->cli->timeout_ms;
  const struct cairn_client_options options = {.servers = other->address, .call_timeout_ms = timeout_ms};
  struct cairn_client *client = NULL;
  struct cairn_broker broker;
  bool answered =
      cairn_client_new(&options, &client, NULL) == CAIRN_OK && cairn_broker_describe(client, &broker, NULL) == CAIRN_OK;
  cairn_client_free(client);
  other->answers = answered ? ANSWERS : SILENT;
  return answered;
}

static bool has(const struct cairn_partition *partition, uint32_t broker) {
  for (size_t i = 0; i < partition->replica_count; i++)
    if (partition->replicas[i] == broker) return true;
  return false;
}

/* `partition` NULL: the map, which is everywhere, and is led by those that vote on it. */
static bool may_lead(const struct counting *counting, const struct other *other, const struct cairn_partition *partition) {
  return partition != NULL ? has(partition, other->id) : other->votes || !counting->votes_told;
}

static void count_one(struct counting *counting, const struct cairn_partition *partition) {
  for (size_t i = 0; i < counting->count; i++) {
    struct other *other = &counting->others[i];
    if (!may_lead(counting, other, partition) || !answers(counting, other)) continue;
    counting->leads.others++;
    return;
  }
  counting->leads.alone++;
}

/* ---- What it leads ---- */

static uint32_t leader_of(struct counting *counting, uint32_t partition) {
  uint32_t timeout_ms = ASK_MS < counting->cli->timeout_ms ? ASK_MS : counting->cli->timeout_ms;
  const struct cairn_client_options options = {.servers = counting->cli->server, .call_timeout_ms = timeout_ms};
  if (counting->client == NULL && cairn_client_new(&options, &counting->client, NULL) != CAIRN_OK) return 0;
  struct cairn_partition_state state;
  bool told = cairn_partition_describe(counting->client, counting->topic, partition, &state, NULL) == CAIRN_OK;
  return told ? state.leader_id : 0;
}

static void partition_visit(void *context, const struct cairn_partition *partition) {
  struct counting *counting = context;
  if (!has(partition, counting->broker) || terminal_interrupted()) return;
  uint32_t leader = partition->leader_id != 0 ? partition->leader_id : leader_of(counting, partition->partition);
  if (leader == counting->broker) count_one(counting, partition);
}

static void topic_visit(void *context, const struct cairn_topic *topic) {
  struct counting *counting = context;
  counting->topics = memory_grow_array(counting->topics, counting->topic_count + 1, sizeof *counting->topics);
  snprintf(counting->topics[counting->topic_count++], sizeof *counting->topics, "%s", topic->name);
}

static int report_unseen(const struct counting *counting, const struct cairn_error *error) {
  return report_error(counting->cli, error, (struct report_subject){.topic = counting->topic}, "cannot see what broker %u leads",
                      counting->broker);
}

static int count_all(struct counting *counting) {
  struct cairn_client *client = counting->cli->client;
  struct cairn_error error;
  if (cairn_cluster_describe(client, NULL, member_visit, counting, &error) != CAIRN_OK) return report_unseen(counting, &error);
  if (cairn_topic_list(client, topic_visit, counting, &error) != CAIRN_OK) return report_unseen(counting, &error);
  if (counting->leads_map) count_one(counting, NULL);
  for (size_t i = 0; i < counting->topic_count && !terminal_interrupted(); i++) {
    counting->topic = counting->topics[i];
    int code = cairn_topic_describe(client, counting->topic, NULL, partition_visit, counting, &error);
    if (code != CAIRN_OK && code != CAIRN_NOT_FOUND) return report_unseen(counting, &error); /* deleted meanwhile: fine */
  }
  return CLI_OK;
}

int leads_count(struct cli *cli, uint32_t broker, struct leads *out_leads) {
  struct counting counting = {.cli = cli, .broker = broker};
  int code = count_all(&counting);
  if (code == CLI_OK) *out_leads = counting.leads;
  cairn_client_free(counting.client);
  memory_free(counting.topics);
  memory_free(counting.others);
  return code;
}
