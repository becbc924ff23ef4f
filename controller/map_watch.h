/* What one watcher of the map is told next, whatever he missed: the deltas since what he has, or the whole map and the deltas meanwhile. Pure.
 *
 * A watch has no queue: it is a version, a place in the history, and what it has to be told is made when there is room for it. Who falls behind
 * what the history reaches gets the whole map again, and what he has costs nobody anything until then.
 *
 * 1. A message follows the version that the one before brought. Between the two nothing is left out of what the watcher wants to know.
 * 2. A message is below MAP_MESSAGE_BYTES_MAX.
 */
#ifndef CAIRN_CONTROLLER_MAP_WATCH_H
#define CAIRN_CONTROLLER_MAP_WATCH_H

#include "controller/map_history.h"
#include "controller/map_piece.h"

#define MAP_MESSAGE_BYTES_MAX (1u << 20)
#define MAP_MESSAGE_CHANGES_MAX 256u
#define MAP_MESSAGE_PARTS_MAX (MAP_MESSAGE_CHANGES_MAX + 2u)
#define MAP_ADDRESSES_MAX 64u /* of brokers that the first message names */

struct map_watch {
  struct map_filter filter;
  struct map_walk walk; /* of the whole map, until it is over */
  uint64_t version;     /* everything up to it was told, or is none of his business */
  uint64_t told;        /* that the last message brought */
  bool begins;          /* the next message begins with nothing */
  bool spoke;           /* a message was made */
};

/* What it is told from; all borrowed. `history` ends at the version of `map`. */
struct map_teller {
  const struct map_history *history;
  const struct cluster_map *map;
  struct account *account; /* may be NULL */
  const uint8_t *cluster;  /* CLUSTER_ID_SIZE: the map does not have it before its first broker */
  uint32_t broker;
  uint32_t controller; /* who leads group 0; 0: not known */
};

/* With this filter, which is taken over. `from`: the version that he has, no later than the map's; 0: none. */
void map_watch_init(struct map_watch *watch, struct map_filter filter, uint64_t from);
void map_watch_deinit(struct map_watch *watch);

/* A message, in parts which the caller gets the holds of. */
struct map_message {
  struct blob_part parts[MAP_MESSAGE_PARTS_MAX];
  size_t count; /* 0: there is nothing to be told */
};
/* What comes next; where nothing does and `idle`, that nothing has. NO_MEMORY: nothing is told, and the watch stands where it was. */
enum status map_watch_next(struct map_watch *watch, const struct map_teller *teller, bool idle,
                           struct map_message *out_message) MUST_CHECK;

#endif
