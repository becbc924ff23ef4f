#include "controller/registration.h"

#include <string.h>

#include "controller/feature_level.h"

static bool has_racks(const struct cluster_map *map) {
  const struct map_broker *broker = cluster_map_broker_after(map, 0);
  while (broker != NULL && broker->rack[0] == '\0') broker = cluster_map_broker_after(map, broker->id);
  return broker != NULL;
}

bool registration_holds_rack(const struct cluster_map *map, const struct map_broker *told) {
  if (told->rack[0] == '\0' || cluster_map_feature_level(map) >= FEATURE_LEVEL_RACKS) return false;
  return !feature_is_fresh(map) && !has_racks(map);
}

struct map_broker registration_of(const struct cluster_map *map, const struct map_broker *told) {
  struct map_broker broker = *told;
  if (registration_holds_rack(map, told)) memset(broker.rack, 0, sizeof broker.rack);
  return broker;
}

bool registration_is_known(const struct cluster_map *map, const struct map_broker *told) {
  const struct map_broker *known = cluster_map_broker(map, told->id);
  const struct map_broker broker = registration_of(map, told);
  return known != NULL && known->standing != STANDING_GONE &&
         memcmp(known->incarnation, broker.incarnation, CLUSTER_ID_SIZE) == 0 &&
         strcmp(known->advertised, broker.advertised) == 0 && strcmp(known->peer_address, broker.peer_address) == 0 &&
         strcmp(known->rack, broker.rack) == 0 && known->feature_least == broker.feature_least &&
         known->feature_most == broker.feature_most;
}
