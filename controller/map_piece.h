/* The whole map in pieces, for whoever has none: brokers first, then topics by name, each piece as of the version at which it is made. Pure.
 *
 * The map may change between two pieces. What was told before is brought on by the deltas since (map_walk_tells), what is still to come is told
 * as it is by then: so at every moment what was told is a part of one version of the map, and with the last piece all of it.
 */
#ifndef CAIRN_CONTROLLER_MAP_PIECE_H
#define CAIRN_CONTROLLER_MAP_PIECE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/blob.h"
#include "controller/cluster_map.h"
#include "controller/map_history.h"

/* A piece ends once it is so large; the last topic in it may add MAP_TOPIC_BYTES_MAX. */
#define MAP_PIECE_BYTES (256u << 10)
/* Of 10,000 partitions with 7 replicas each, 1,000 of which move. */
#define MAP_TOPIC_BYTES_MAX (600u << 10)

#define MAP_FILTER_TOPICS_MAX 100u

/* Of which topics is told; brokers are in any case. */
struct map_filter {
  char (*names)[TOPIC_NAME_MAX + 1]; /* owned; in order, each once */
  size_t count;                      /* 0: of all */
};
/* PRE: no more than MAP_FILTER_TOPICS_MAX, all valid names. */
void map_filter_init(struct map_filter *filter, char *const *names, size_t count);
void map_filter_deinit(struct map_filter *filter);
bool map_filter_has(const struct map_filter *filter, struct bytes name);

/* How far the whole map was told. */
struct map_walk {
  bool begun; /* brokers were told */
  bool over;
  char after[TOPIC_NAME_MAX + 1]; /* topics up to this name */
};
/* Does this change something that was told already? */
bool map_walk_tells(const struct map_walk *walk, const struct map_past *past);
/* The next piece of this very map, as `changes` of a cairn.v1.WatchClusterResponse, and the walk goes on; `*out_blob` NULL: nothing is left. PRE: it is
 * not over. NO_MEMORY: the account, which may be NULL, has no room; the walk stands where it was. */
enum status map_walk_next(struct map_walk *walk, const struct map_filter *filter, const struct cluster_map *map,
                          struct account *account, struct blob **out_blob) MUST_CHECK;

#endif
