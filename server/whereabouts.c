#include "server/whereabouts.h"

#include <stdio.h>

#include "base/arena.h"
#include "cairn/internal/v1/register.pb-c.h"
#include "controller/map_message.h"
#include "proto/pack.h"

#define ANSWER_ARENA_BYTES (64u << 10)

static void add(struct address_list *list, uint32_t broker, const uint8_t incarnation[CLUSTER_ID_SIZE], const char *address,
                bool gone) {
  if (list->count == PEER_BROKERS_MAX) return;
  list->gone[list->count] = gone;
  struct peer_address *row = &list->rows[list->count++];
  row->id = replica_id_of(broker, incarnation);
  snprintf(row->address, sizeof row->address, "%s", address);
}

static void add_known(struct address_list *list, const struct map_broker *broker) {
  add(list, broker->id, broker->incarnation, broker->peer_address, broker->standing == STANDING_GONE);
}

static bool has(const struct address_list *list, uint32_t broker) {
  for (size_t i = 0; i < list->count; i++)
    if (list->rows[i].id.broker == broker) return true;
  return false;
}

static void keep(struct address_list *list, bool gone_too) {
  size_t kept = 0;
  for (size_t i = 0; i < list->count; i++) {
    if (list->rows[i].address[0] == '\0' || (list->gone[i] && !gone_too)) continue;
    list->gone[kept] = list->gone[i];
    list->rows[kept++] = list->rows[i];
  }
  list->count = kept;
}

static void gather(const struct whereabouts *whereabouts, const struct cluster_map *map, struct address_list *out_list) {
  bool told = whereabouts->told_version > cluster_map_version(map);
  out_list->count = 0;
  if (told) *out_list = whereabouts->told;
  const struct map_broker *broker = told ? NULL : cluster_map_broker_after(map, 0);
  for (; broker != NULL; broker = cluster_map_broker_after(map, broker->id)) add_known(out_list, broker);
  for (uint32_t i = 0; i < whereabouts->identity->founder_count; i++) {
    const struct log_founder *founder = &whereabouts->identity->founders[i];
    if (!has(out_list, founder->broker_id)) add(out_list, founder->broker_id, founder->incarnation, founder->address, false);
  }
}

void whereabouts_peers(const struct whereabouts *whereabouts, const struct cluster_map *map, struct address_list *out_list) {
  gather(whereabouts, map, out_list);
  keep(out_list, false);
}

void whereabouts_anybody(const struct whereabouts *whereabouts, const struct cluster_map *map, struct address_list *out_list) {
  gather(whereabouts, map, out_list);
  keep(out_list, true);
}

struct blob_part whereabouts_answer(const struct cluster_map *map, bool elsewhere, broker_id leader) {
  struct arena *arena = arena_new(ANSWER_ARENA_BYTES);
  Cairn__Internal__V1__Broker *brokers[PEER_BROKERS_MAX];
  Cairn__Internal__V1__RegisterResponse response;
  cairn__internal__v1__register_response__init(&response);
  response.map_version = cluster_map_version(map);
  response.brokers = brokers;
  response.not_leader = elsewhere;
  response.leader = elsewhere ? leader : 0;
  const struct map_broker *broker = cluster_map_broker_after(map, 0);
  for (; broker != NULL && response.n_brokers < PEER_BROKERS_MAX; broker = cluster_map_broker_after(map, broker->id))
    brokers[response.n_brokers++] = broker_to_message(arena, broker);
  struct blob_part part = pack_part(&response.base);
  arena_free(arena);
  return part;
}

static enum status take_list(const Cairn__Internal__V1__RegisterResponse *response, struct address_list *out_list) {
  out_list->count = 0;
  for (size_t i = 0; i < response->n_brokers; i++) {
    struct map_broker broker;
    enum status status = broker_from_message(response->brokers[i], &broker);
    if (status == STATUS_OK && has(out_list, broker.id)) status = STATUS_CORRUPT;
    if (status != STATUS_OK) return status;
    add_known(out_list, &broker);
  }
  return STATUS_OK;
}

enum status whereabouts_take(struct whereabouts *whereabouts, struct bytes answer) {
  struct arena *arena = arena_new(ANSWER_ARENA_BYTES);
  const Cairn__Internal__V1__RegisterResponse *response = NULL;
  struct address_list list;
  enum status status = pack_unpack(arena, &cairn__internal__v1__register_response__descriptor, answer, &response);
  if (status == STATUS_OK) status = take_list(response, &list);
  if (status == STATUS_OK) {
    whereabouts->elsewhere = response->not_leader;
    whereabouts->leader = response->leader;
  }
  if (status == STATUS_OK && response->map_version > whereabouts->told_version) {
    whereabouts->told_version = response->map_version;
    whereabouts->told = list;
  }
  arena_free(arena);
  return status;
}
