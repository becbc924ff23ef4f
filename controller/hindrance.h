/* What keeps a move from its end, given which brokers are up. Pure. How far its new replicas are the map does not say: a partition's leader knows that.
 */
#ifndef CAIRN_CONTROLLER_HINDRANCE_H
#define CAIRN_CONTROLLER_HINDRANCE_H

#include "controller/cluster_map.h"

#define HINDRANCE_SIZE 96u

/* In words, with what to do about it. False: nothing is in its way. */
bool hindrance_of_move(const struct cluster_map *map, const struct map_move *move, bool (*is_up)(void *context, uint32_t broker),
                       void *context, char out_text[HINDRANCE_SIZE]);

#endif
