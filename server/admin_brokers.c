#include "base/memory.h"
#include "cairn/v1/admin.pb-c.h"
#include "controller/cluster_health.h"
#include "controller/feature_level.h"
#include "controller/map_public.h"
#include "controller/placement.h"
#include "security/random.h"
#include "server/admin_call.h"
#include "server/admin_service.h"

/* ---- This one ---- */

static void broker_run(struct look *look) {
  struct admin_call *this = container_of(look, struct admin_call, look);
  struct services *services = this->services;
  const struct cluster_map *map = controller_map(services->controller);
  char cluster[RANDOM_ID_HEX_SIZE];
  char incarnation[RANDOM_ID_HEX_SIZE];
  char version[] = CAIRND_VERSION;
  random_id_hex(this->services->identity.cluster, cluster);
  random_id_hex(services->identity.incarnation, incarnation);
  Cairn__V1__DescribeBrokerResponse response;
  cairn__v1__describe_broker_response__init(&response);
  response.broker_id = services->identity.broker_id;
  response.cluster_id = cluster;
  response.incarnation = incarnation;
  response.version = version;
  response.advertised = services->advertised;
  response.topics = (uint32_t)cluster_map_topic_count(map);
  response.partitions = (uint32_t)cluster_map_partition_count(map);
  for (unsigned i = 0; i < services->lane_count; i++)
    response.leads += (uint32_t)atomic_load_explicit(&services->hosts[i].led, memory_order_relaxed);
  services_tell(this->services, this->call, &response.base);
  admin_call_finish(this);
}

/* ---- The cluster ---- */

static void fill_broker(struct services *services, struct public_broker *message, const struct map_broker *broker,
                        const struct placement_load *load, uint32_t controller) {
  public_broker_fill(message, broker);
  message->broker.controller = broker->id == controller;
  message->broker.votes = broker->standing != STANDING_GONE && controller_counts_on(services->controller, broker->id);
  message->broker.replicas = load->replicas;
  message->broker.preferred = load->firsts;
  message->broker.liveness = admin_call_broker_is_up(services, broker->id) ? CAIRN__V1__BROKER_LIVENESS__BROKER_LIVENESS_UP
                                                                           : CAIRN__V1__BROKER_LIVENESS__BROKER_LIVENESS_DOWN;
}

static void fill_health(struct services *services, Cairn__V1__DescribeClusterResponse *response) {
  struct cluster_health health = cluster_health_of(controller_map(services->controller), admin_call_broker_is_up, services);
  response->partitions_without_quorum = health.without_quorum;
  response->partitions_short_of_replicas = health.short_of_some;
  response->partitions_moving = health.moving;
}

/* To tell its map as it is would be to say that there is nothing. */
static void refuse_unheard(struct admin_call *this, uint32_t leader) {
  uint32_t self = this->services->identity.broker_id;
  struct failure *failure = refusal_new(STATUS_NOT_LEADER,
                                        "broker %u has just been started, and has heard nothing of the cluster's map yet: ask "
                                        "another one, or again in a moment",
                                        self);
  if (leader != self) routing_address(this->services->routing, leader, failure->leader);
  admin_call_refuse(this, failure);
}

static void cluster_run(struct look *look) {
  struct admin_call *this = container_of(look, struct admin_call, look);
  const struct controller *controller = this->services->controller;
  const struct cluster_map *map = controller_map(controller);
  size_t count = cluster_map_broker_count(map);
  if (count == 0 && !this->services->alone) {
    refuse_unheard(this, controller_leader(controller));
    return;
  }
  char cluster[RANDOM_ID_HEX_SIZE];
  random_id_hex(this->services->identity.cluster, cluster);
  Cairn__V1__DescribeClusterResponse response;
  cairn__v1__describe_cluster_response__init(&response);
  response.cluster_id = cluster;
  response.controller_id = controller_leader(controller);
  response.topics = (uint32_t)cluster_map_topic_count(map);
  response.partitions = (uint32_t)cluster_map_partition_count(map);
  struct feature_reach features = feature_reach_of(map);
  response.feature_level = features.level;
  response.feature_level_possible = features.all;
  fill_health(this->services, &response);
  struct public_broker *brokers = memory_new_array(count, sizeof *brokers);
  struct placement_load *loads = memory_new_array(count, sizeof *loads);
  response.brokers = memory_new_array(count, sizeof *response.brokers);
  response.n_brokers = placement_loads(map, loads);
  for (size_t i = 0; i < count; i++) {
    fill_broker(this->services, &brokers[i], cluster_map_broker(map, loads[i].broker), &loads[i], response.controller_id);
    response.brokers[i] = &brokers[i].broker;
  }
  services_tell(this->services, this->call, &response.base);
  memory_free(response.brokers);
  memory_free(loads);
  memory_free(brokers);
  admin_call_finish(this);
}

/* ---- What is wanted of one ---- */

/* That a broker is gone is not a wish: the cluster finds it out. */
static bool read_standing(Cairn__V1__BrokerStanding word, enum map_standing *out_standing) {
  for (unsigned i = 0; i < STANDINGS; i++) {
    if (public_standings[i] != word || i == STANDING_GONE) continue;
    *out_standing = (enum map_standing)i;
    return true;
  }
  return false;
}

static void refuse_standing(struct admin_call *this) {
  const struct change *change = &this->change;
  if (admin_call_refuse_elsewhere(this, change)) return;
  admin_call_refuse(this, change->problem[0] == '\0' ? refusal_of_status(change->status)
                                                     : refusal_new(change->status, "broker %u: %s: %s", change->broker.id,
                                                                   status_text(change->status), change->problem));
}

static void standing_set(struct change *change) {
  struct admin_call *this = container_of(change, struct admin_call, change);
  if (change->status != STATUS_OK) {
    refuse_standing(this);
    return;
  }
  const struct controller *controller = this->services->controller;
  const struct cluster_map *map = controller_map(controller);
  const struct map_broker *broker = cluster_map_broker(map, change->broker.id);
  size_t count = cluster_map_broker_count(map), at = 0;
  struct placement_load *loads = memory_new_array(count, sizeof *loads);
  (void)placement_loads(map, loads);
  while (loads[at].broker != broker->id) at++;
  struct public_broker message;
  fill_broker(this->services, &message, broker, &loads[at], controller_leader(controller));
  memory_free(loads);
  Cairn__V1__SetBrokerStandingResponse response;
  cairn__v1__set_broker_standing_response__init(&response);
  response.broker = &message.broker;
  services_answer(this->call, pack_part(&response.base));
  admin_call_finish(this);
}

static void standing_run(struct task *task) {
  struct admin_call *this = container_of(task, struct admin_call, task);
  const Cairn__V1__SetBrokerStandingRequest *request = (const void *)this->request;
  struct change *change = &this->change;
  if (!read_standing(request->standing, &change->broker.standing)) {
    admin_call_refuse(this, refusal_new(STATUS_INVALID,
                                        "broker %u is to have standing %d: ask for IN (1), DRAINED (2) or LEAVING (3); the "
                                        "cluster itself says when a broker that leaves is gone",
                                        request->broker_id, (int)request->standing));
    return;
  }
  change->kind = COMMAND_SET_STANDING;
  change->validate_only = request->validate_only != 0;
  change->broker.id = request->broker_id;
  change->done = standing_set;
  controller_change(this->services->controller, change);
}

/* ---- The handlers ---- */

void admin_service_set_broker_standing(void *services, struct rpc_call *call, struct blob *message) {
  admin_call_start_change(services, call, message, &cairn__v1__set_broker_standing_request__descriptor, standing_run);
}
void admin_service_describe_broker(void *services, struct rpc_call *call, struct blob *message) {
  admin_call_start_look(services, call, message, &cairn__v1__describe_broker_request__descriptor, broker_run, false);
}
void admin_service_describe_cluster(void *services, struct rpc_call *call, struct blob *message) {
  admin_call_start_look(services, call, message, &cairn__v1__describe_cluster_request__descriptor, cluster_run, false);
}
