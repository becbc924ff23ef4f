#include "controller/registration.h"

#include <string.h>

bool registration_is_known(const struct cluster_map *map, const struct map_broker *told) {
  const struct map_broker *known = cluster_map_broker(map, told->id);
  return known != NULL && known->standing != STANDING_GONE &&
         memcmp(known->incarnation, told->incarnation, CLUSTER_ID_SIZE) == 0 &&
         strcmp(known->advertised, told->advertised) == 0 && strcmp(known->peer_address, told->peer_address) == 0 &&
         strcmp(known->rack, told->rack) == 0 && known->feature_least == told->feature_least &&
         known->feature_most == told->feature_most;
}
