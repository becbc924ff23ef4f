#include "base/memory.h"
#include "cairn/v1/admin.pb-c.h"
#include "controller/placement.h"
#include "security/random.h"
#include "server/admin_call.h"
#include "server/admin_service.h"

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
  services_tell(this->services, this->call, &response.base);
  admin_call_finish(this);
}

/* A broker with its incarnation in digits; it has what it names. */
struct broker_message {
  Cairn__V1__Broker broker;
  struct map_broker known;
  char incarnation[RANDOM_ID_HEX_SIZE];
};

static void fill_broker(struct broker_message *message, const struct map_broker *broker, const struct placement_load *load,
                        uint32_t controller) {
  cairn__v1__broker__init(&message->broker);
  message->known = *broker;
  random_id_hex(broker->incarnation, message->incarnation);
  message->broker.id = broker->id;
  message->broker.advertised = message->known.advertised;
  message->broker.peer_address = message->known.peer_address;
  message->broker.incarnation = message->incarnation;
  message->broker.controller = broker->id == controller;
  message->broker.replicas = load->replicas;
  message->broker.preferred = load->firsts;
}

static void cluster_run(struct look *look) {
  struct admin_call *this = container_of(look, struct admin_call, look);
  const struct controller *controller = this->services->controller;
  const struct cluster_map *map = controller_map(controller);
  char cluster[RANDOM_ID_HEX_SIZE];
  random_id_hex(this->services->identity.cluster, cluster);
  Cairn__V1__DescribeClusterResponse response;
  cairn__v1__describe_cluster_response__init(&response);
  response.cluster_id = cluster;
  response.controller_id = controller_leader(controller);
  response.topics = (uint32_t)cluster_map_topic_count(map);
  response.partitions = (uint32_t)cluster_map_partition_count(map);
  size_t count = cluster_map_broker_count(map);
  struct broker_message *brokers = memory_new_array(count, sizeof *brokers);
  struct placement_load *loads = memory_new_array(count, sizeof *loads);
  response.brokers = memory_new_array(count, sizeof *response.brokers);
  response.n_brokers = placement_loads(map, loads);
  for (size_t i = 0; i < count; i++) {
    fill_broker(&brokers[i], cluster_map_broker(map, loads[i].broker), &loads[i], response.controller_id);
    response.brokers[i] = &brokers[i].broker;
  }
  services_tell(this->services, this->call, &response.base);
  memory_free(response.brokers);
  memory_free(loads);
  memory_free(brokers);
  admin_call_finish(this);
}

/* ---- The handlers ---- */

void admin_service_describe_broker(void *services, struct rpc_call *call, struct blob *message) {
  admin_call_start_look(services, call, message, &cairn__v1__describe_broker_request__descriptor, broker_run, false);
}
void admin_service_describe_cluster(void *services, struct rpc_call *call, struct blob *message) {
  admin_call_start_look(services, call, message, &cairn__v1__describe_cluster_request__descriptor, cluster_run, false);
}
