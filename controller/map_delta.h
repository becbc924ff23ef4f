/* What one command has made of the map: who is otherwise than before, and as what. Pure.
 *
 * A delta leads from one version to the next. Its bytes say what the broker, the topic or the partition is from then on, in the words of the
 * API (cairn.v1.ClusterChange), and nothing of what it was: whoever has the map of the version before, and puts what is told in the place of
 * what he has, has the map of the next one. A command that was refused changes nothing but the version.
 */
#ifndef CAIRN_CONTROLLER_MAP_DELTA_H
#define CAIRN_CONTROLLER_MAP_DELTA_H

#include <stdint.h>

#include "base/blob.h"
#include "cairn/v1/admin.pb-c.h"
#include "controller/cluster_map.h"

struct map_delta {
  Cairn__V1__ClusterChangeKind kind; /* UNSPECIFIED: nothing is otherwise */
  uint64_t version;                  /* that it leads to */
  uint32_t broker;
  uint32_t feature_level;
  uint64_t topic_id;
  char topic[TOPIC_NAME_MAX + 1]; /* "": it is of a broker, or of the feature level */
  uint32_t first, count;          /* partitions of the topic that it tells of */
};

/* cluster_map_apply(), which it returns; and what that changed. */
enum status map_delta_apply(struct cluster_map *map, const struct command *command, struct map_delta *out_delta) MUST_CHECK;

/* Right after that, of the same map: its bytes, as `changes` of a cairn.v1.WatchClusterResponse. PRE: it has a kind. NO_MEMORY: the account, which
 * may be NULL, has no room. */
enum status map_delta_pack(const struct map_delta *delta, const struct cluster_map *map, struct account *account,
                           struct blob **out_blob) MUST_CHECK;

#endif
