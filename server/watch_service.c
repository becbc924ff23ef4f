#include "server/watch_service.h"

#include <string.h>

#include "base/arena.h"
#include "base/memory.h"
#include "cairn/v1/admin.pb-c.h"
#include "security/random.h"
#include "server/map_watches.h"
#include "server/refusal.h"

/* ---- The request ---- */

static struct failure *check(const struct services *services, const Cairn__V1__WatchClusterRequest *request) {
  char cluster[RANDOM_ID_HEX_SIZE];
  random_id_hex(services->identity.cluster, cluster);
  if (request->n_topics > MAP_FILTER_TOPICS_MAX)
    return refusal_new(STATUS_INVALID, "%zu topics are named, and may be %u: name none to watch them all", request->n_topics,
                       MAP_FILTER_TOPICS_MAX);
  for (size_t i = 0; i < request->n_topics; i++)
    if (!topic_name_valid(bytes_of_string(request->topics[i])))
      return refusal_new(STATUS_BAD_NAME,
                         "\"%.64s\" is no topic's name: that has 1 to %u characters of a-z A-Z 0-9 . _ - and is neither . nor ..",
                         request->topics[i], TOPIC_NAME_MAX);
  if (request->from_now && request->from_version != 0)
    return refusal_new(STATUS_INVALID, "from_now and from_version %llu exclude each other: give one of them",
                       (unsigned long long)request->from_version);
  if (request->cluster_id[0] != '\0' && strcmp(request->cluster_id, cluster) != 0)
    return refusal_new(STATUS_FOREIGN,
                       "the watch is of cluster %.40s, and this broker belongs to cluster %s: correct the address; to watch this "
                       "one begin with from_version 0 and no cluster_id",
                       request->cluster_id, cluster);
  return NULL;
}

static struct failure *unpack(struct arena *arena, const struct blob *message,
                              const Cairn__V1__WatchClusterRequest **out_request) {
  const ProtobufCMessageDescriptor *descriptor = &cairn__v1__watch_cluster_request__descriptor;
  enum status status = pack_unpack(arena, descriptor, bytes_of(message->data, message->size), out_request);
  if (status == STATUS_OK) return NULL;
  if (status == STATUS_BAD_NAME) return refusal_new(status, "a text in the request has NUL or is not UTF-8");
  return refusal_new(status, "the message is not a %s; compare the client's .proto files", descriptor->name);
}

/* ---- Its way to lane 0 ---- */

static void start(struct task *task) { map_watches_add(container_of(task, struct watching, start_task)); }
static void taken(struct task *task) { map_watches_taken(container_of(task, struct watching, taken_task)); }
static void closed(struct task *task) { map_watches_closed(container_of(task, struct watching, closed_task)); }

static void begin(struct services *services, struct rpc_call *call, const Cairn__V1__WatchClusterRequest *request) {
  struct watching *watching = NEW(struct watching);
  watching->start_task.run = start;
  watching->taken_task.run = taken;
  watching->closed_task.run = closed;
  watching->watches = services->watches;
  watching->services = services;
  watching->call = rpc_call_hold(call);
  watching->from = request->from_version;
  watching->from_now = request->from_now;
  map_filter_init(&watching->filter, request->topics, request->n_topics);
  rpc_call_set_context(call, watching);
  watching->counted = true;
  services_begin(services);
  loop_post(services->hosts[0].loop, &watching->start_task);
}

void watch_service_watch(void *service, struct rpc_call *call, struct blob *message) {
  struct services *services = service;
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  const Cairn__V1__WatchClusterRequest *request = NULL;
  struct failure *failure = services_not_serving(services);
  if (failure == NULL) failure = unpack(arena, message, &request);
  if (failure == NULL) failure = check(services, request);
  blob_release(message);
  if (failure == NULL) begin(services, call, request);
  else services_fail(call, failure);
  arena_free(arena);
}

/* One message is on its way at a time, so the task is not posted twice. */
void watch_service_sent(void *service, struct rpc_call *call) {
  struct services *services = service;
  struct watching *watching = rpc_call_context(call);
  if (watching != NULL) loop_post(services->hosts[0].loop, &watching->taken_task);
}

void watch_service_closed(void *service, struct rpc_call *call, bool cancelled) {
  struct services *services = service;
  struct watching *watching = rpc_call_context(call);
  (void)cancelled;
  if (watching != NULL) loop_post(services->hosts[0].loop, &watching->closed_task);
}
