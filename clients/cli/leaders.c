#include "clients/cli/leaders.h"

#include "base/world.h"
#include "clients/cli/terminal.h"

#define FIRST_MS 2000u
#define NEXT_MS 200u
#define IN_VAIN_NS_MAX 5000000000u

struct asking {
  const struct cli *cli;
  const char *topic;
  struct cairn_client *client; /* gives up sooner than the command's own; NULL until it is needed */
  uint64_t in_vain_ns;         /* waited so far */
  json_t *leaderless;          /* rows: nobody was found who leads them */
};

/* ---- One partition ---- */

static bool tell_leader(struct asking *asking, json_t *row) {
  struct cairn_partition_state state;
  uint32_t partition = (uint32_t)json_integer_value(json_object_get(row, "partition"));
  if (cairn_partition_describe(asking->client, asking->topic, partition, &state, NULL) != CAIRN_OK) return false;
  json_object_set_new(row, "leader_id", json_integer(state.leader_id));
  json_object_set_new(row, "leader", json_string(state.leader));
  json_object_set_new(row, "log_start_offset", json_integer(state.log_start_offset));
  json_object_set_new(row, "high_watermark", json_integer(state.high_watermark));
  return true;
}

/* Somebody may be about to lead it: the first that nobody leads is waited for. By then the others have had that time too. */
static void ask(struct asking *asking, json_t *row) {
  const struct cli *cli = asking->cli;
  uint32_t timeout_ms = asking->in_vain_ns == 0 ? FIRST_MS : NEXT_MS;
  if (timeout_ms > cli->timeout_ms) timeout_ms = cli->timeout_ms;
  const struct cairn_client_options options = {.servers = cli->server, .call_timeout_ms = timeout_ms};
  if (asking->client == NULL && cairn_client_new(&options, &asking->client, NULL) != CAIRN_OK) return;
  uint64_t begun_ns = world_now_ns(cli->world);
  if (tell_leader(asking, row)) return;
  if (asking->in_vain_ns == 0) {
    cairn_client_free(asking->client);
    asking->client = NULL;
  }
  asking->in_vain_ns += world_now_ns(cli->world) - begun_ns;
  json_array_append(asking->leaderless, row);
}

/* ---- All of them ---- */

static bool was_asked(const struct asking *asking, const json_t *row) {
  size_t i;
  json_t *other;
  json_array_foreach(asking->leaderless, i, other) {
    if (other == row) return true;
  }
  return false;
}

/* It is on the same brokers as one that nobody leads, and likely to share its fate. */
static bool is_doubtful(const struct asking *asking, const json_t *row) {
  size_t i;
  json_t *other;
  json_array_foreach(asking->leaderless, i, other) {
    if (json_equal(json_object_get(other, "replicas"), json_object_get(row, "replicas"))) return true;
  }
  return false;
}

static void ask_all(struct asking *asking, json_t *partitions, bool doubtful_too) {
  size_t i;
  json_t *row;
  json_array_foreach(partitions, i, row) {
    if (asking->in_vain_ns > IN_VAIN_NS_MAX || terminal_interrupted()) return;
    if (json_integer_value(json_object_get(row, "leader_id")) != 0 || was_asked(asking, row)) continue;
    if (doubtful_too || !is_doubtful(asking, row)) ask(asking, row);
  }
}

/* What another replica has may be long past, and where none was asked nothing is known. */
static void clear_offsets(json_t *partitions) {
  size_t i;
  json_t *row;
  json_array_foreach(partitions, i, row) {
    if (json_integer_value(json_object_get(row, "leader_id")) != 0) continue;
    json_object_set_new(row, "log_start_offset", json_null());
    json_object_set_new(row, "high_watermark", json_null());
  }
}

void leaders_ask(const struct cli *cli, const char *topic, json_t *partitions) {
  struct asking asking = {.cli = cli, .topic = topic, .leaderless = json_array()};
  ask_all(&asking, partitions, false); /* so that the doubtful do not use up the time of the others */
  ask_all(&asking, partitions, true);
  size_t i;
  json_t *row;
  json_array_foreach(asking.leaderless, i, row) {
    if (!cli->json) json_object_set_new(row, "leader", json_string("none found"));
  }
  clear_offsets(partitions);
  json_decref(asking.leaderless);
  cairn_client_free(asking.client);
}
