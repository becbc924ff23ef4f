#include "tests/unit/clients/watch_teller.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/memory.h"
#include "cairn/v1/admin.pb-c.h"
#include "proto/failure.h"
#include "proto/pack.h"
#include "proto/rpc_grpc.h"

/* ---- Messages ---- */

/* protobuf-c's strings are not const; it only reads what it packs. */
static char *text(const char *constant) { return (char *)(uintptr_t)constant; }

struct told_topic {
  Cairn__V1__ClusterChange change;
  Cairn__V1__Topic topic;
  char name[16];
};

static void fill_topic(struct told_topic *told, const struct step *step, uint32_t number) {
  bool whole = step->begins || step->partial;
  cairn__v1__cluster_change__init(&told->change);
  cairn__v1__topic__init(&told->topic);
  snprintf(told->name, sizeof told->name, "t%u", number + 1);
  told->topic.name = told->name;
  told->topic.id = (step->id == 0 ? 1 : step->id) + number;
  told->topic.partitions = step->partitions == 0 ? 3 : step->partitions;
  told->change.kind = step->deleted ? CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_TOPIC_DELETED
                                    : CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_TOPIC;
  told->change.version = whole ? step->version : step->follows + number + 1;
  told->change.topic = &told->topic;
}

static void send_step(const struct watch_teller *teller, struct rpc_call *call, const struct step *step, bool first) {
  Cairn__V1__WatchClusterResponse response;
  struct told_topic told[STEP_TOPICS_MAX];
  Cairn__V1__ClusterChange *list[STEP_TOPICS_MAX];
  char *addresses[1] = {text(teller->other)};
  CHECK(step->topics <= STEP_TOPICS_MAX);
  cairn__v1__watch_cluster_response__init(&response);
  response.cluster_id = text(step->cluster == NULL ? HERE : step->cluster);
  response.broker_id = response.controller_id = 1;
  response.follows = step->follows;
  response.version = step->version;
  response.begins = step->begins;
  response.partial = step->partial;
  response.n_addresses = first && teller->other != NULL ? 1 : 0;
  response.addresses = addresses;
  for (uint32_t i = 0; i < step->topics; i++) {
    fill_topic(&told[i], step, i);
    list[i] = &told[i].change;
  }
  response.n_changes = step->topics;
  response.changes = list;
  struct blob_part part = pack_part(&response.base);
  rpc_call_send(call, &part, 1);
}

/* A change of the next version, of a topic with a name that is none, so that it is large. */
static void send_flood(struct watch_teller *teller, struct rpc_call *call) {
  Cairn__V1__WatchClusterResponse response;
  Cairn__V1__ClusterChange change, *changes = &change;
  Cairn__V1__Topic topic;
  cairn__v1__watch_cluster_response__init(&response);
  cairn__v1__cluster_change__init(&change);
  cairn__v1__topic__init(&topic);
  topic.name = memory_new(FLOOD_BYTES + 1);
  memset(topic.name, 'x', FLOOD_BYTES);
  change.topic = &topic;
  change.kind = CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_TOPIC_ALTERED;
  response.cluster_id = text(HERE);
  response.controller_id = 1;
  response.follows = teller->version;
  response.version = change.version = ++teller->version;
  response.n_changes = 1;
  response.changes = &changes;
  struct blob_part part = pack_part(&response.base);
  memory_free(topic.name);
  rpc_call_send(call, &part, 1);
}

/* ---- The call ---- */

static void note_request(struct watch_teller *teller, const Cairn__V1__WatchClusterRequest *request, unsigned number) {
  CHECK(number < CALLS_MAX);
  teller->from[number] = request->from_version;
  teller->from_now[number] = request->from_now;
  teller->topics[number] = request->n_topics;
  snprintf(teller->cluster[number], sizeof teller->cluster[number], "%s", request->cluster_id);
}

static void on_watch(void *service, struct rpc_call *call, struct blob *message) {
  struct watch_teller *teller = service;
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  const Cairn__V1__WatchClusterRequest *request = NULL;
  enum status status =
      pack_unpack(arena, &cairn__v1__watch_cluster_request__descriptor, bytes_of(message->data, message->size), &request);
  CHECK(status == STATUS_OK);
  pthread_mutex_lock(&teller->lock);
  unsigned number = teller->calls++;
  note_request(teller, request, number);
  pthread_mutex_unlock(&teller->lock);
  blob_release(message);
  arena_free(arena);
  for (unsigned i = 0; i < STEPS_MAX; i++) {
    const struct step *step = &teller->script[number][i];
    if (step->end != STATUS_OK) failure_refuse_call(call, step->end, "the script says so");
    else if (step->version != 0) send_step(teller, call, step, i == 0);
    if (step->end != STATUS_OK || step->version == 0) return;
  }
}

static void on_sent(void *service, struct rpc_call *call) {
  struct watch_teller *teller = service;
  pthread_mutex_lock(&teller->lock);
  if (teller->flooded < teller->flood) {
    teller->flooded++;
    send_flood(teller, call);
  }
  pthread_mutex_unlock(&teller->lock);
}

static const struct rpc_handler handlers[] = {
    {.method = "/cairn.v1.Admin/WatchCluster", .kind = RPC_SERVER_STREAM, .message = on_watch, .sent = on_sent},
};

/* ---- Life ---- */

void watch_teller_start(struct watch_teller *teller) {
  *teller = (struct watch_teller){0};
  pthread_mutex_init(&teller->lock, NULL);
  enum status status = rpc_grpc_open(&teller->rpc);
  CHECK(status == STATUS_OK);
  const struct rpc_serve_options options = {.listen = "127.0.0.1:0",
                                            .handlers = handlers,
                                            .handler_count = 1,
                                            .service = teller,
                                            .message_bytes_max = 1u << 20,
                                            .memory_bytes_max = 64u << 20,
                                            .streams_max = 100,
                                            .calls_max = 100};
  uint16_t port = 0;
  status = rpc_serve(teller->rpc, &options, &port);
  CHECK(status == STATUS_OK);
  snprintf(teller->address, sizeof teller->address, "127.0.0.1:%u", port);
}

void watch_teller_stop(struct watch_teller *teller) {
  rpc_serve_stop(teller->rpc, 0);
  rpc_grpc_close(teller->rpc);
  pthread_mutex_destroy(&teller->lock);
}

void watch_teller_agree(struct watch_teller *teller) {
  pthread_mutex_lock(&teller->lock);
  pthread_mutex_unlock(&teller->lock);
}
