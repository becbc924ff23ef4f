/* Where the brokers are, as far as this one can know: by its map; by what whoever leads group 0 told it, as long as its own map is older than that;
 * and of founders that the one which counts does not know yet, from the founding.
 *
 * A map may be old: that of a broker that enters, or was away for long. Who leads group 0 sends it the newer one, but is answered on a
 * connection that this broker makes, and no broker takes one that is meant for a directory that it had before. On lane 0.
 */
#ifndef CAIRN_SERVER_WHEREABOUTS_H
#define CAIRN_SERVER_WHEREABOUTS_H

#include "controller/cluster_map.h"
#include "log/identity.h"
#include "replication/peers.h"

struct address_list {
  struct peer_address rows[PEER_BROKERS_MAX];
  bool gone[PEER_BROKERS_MAX]; /* beside them: with that directory it has left */
  size_t count;
};

struct whereabouts {
  const struct log_identity *identity;
  uint64_t told_version;    /* of the map that `told` is from; 0: nothing was told */
  struct address_list told; /* all of that map */
  bool elsewhere;           /* the last answer was of one that does not lead group 0 */
  broker_id leader;         /* and this one does; 0: it did not know */
};

/* No broker twice; without those that are gone, or take no peers. */
void whereabouts_peers(const struct whereabouts *whereabouts, const struct cluster_map *map, struct address_list *out_list);
/* Who may know more: also where somebody was who is gone, for there may be another one by now, and even the one that leads. */
void whereabouts_anybody(const struct whereabouts *whereabouts, const struct cluster_map *map, struct address_list *out_list);

/* The answer to a broker that makes itself known: a RegisterResponse with what this map has. `elsewhere`: this one does not lead group 0, and
 * changed nothing; `leader` does. */
struct blob_part whereabouts_answer(const struct cluster_map *map, bool elsewhere, broker_id leader);
/* Such an answer, which may be older than what is known. STATUS_MALFORMED, CORRUPT, FOREIGN: nothing changes. */
enum status whereabouts_take(struct whereabouts *whereabouts, struct bytes answer) MUST_CHECK;

#endif
