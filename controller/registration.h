/* What the map is to have of a broker, by what it tells of itself. Pure: whoever registers and whoever decides about it come to the same.
 *
 * Its rack an older Cairn would lose, of a command and of its copy of the map. So the first rack of all is written only where none can be about: from
 * FEATURE_LEVEL_RACKS on, or in a cluster that never had a topic, which is raised by itself. Where some rack is in the map there is nothing to keep it from.
 */
#ifndef CAIRN_CONTROLLER_REGISTRATION_H
#define CAIRN_CONTROLLER_REGISTRATION_H

#include <stdbool.h>

#include "controller/cluster_map.h"

/* It tells a rack, and the map is not to have it yet: cairn cluster upgrade. */
bool registration_holds_rack(const struct cluster_map *map, const struct map_broker *told);
struct map_broker registration_of(const struct cluster_map *map, const struct map_broker *told);
/* The map has it so already: nothing has to be written. */
bool registration_is_known(const struct cluster_map *map, const struct map_broker *told);

#endif
