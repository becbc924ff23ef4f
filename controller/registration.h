/* What the map is to have of a broker, by what it tells of itself. Pure: whoever registers and whoever decides about it come to the same. */
#ifndef CAIRN_CONTROLLER_REGISTRATION_H
#define CAIRN_CONTROLLER_REGISTRATION_H

#include <stdbool.h>

#include "controller/cluster_map.h"

/* The map has it so already: nothing has to be written. */
bool registration_is_known(const struct cluster_map *map, const struct map_broker *told);

#endif
