/* A lane: many replicas, one thread, no locks. A replica belongs to one lane for life.
 *
 *   drain     the loop runs what has arrived: requests, messages of other brokers, completions, due timers (bounded by the loop)
 *   step      each touched replica decides; its frames gather in the lane's journal write, its messages in the lane's wires
 *   persist   at the end of the turn what is to be replicated is gathered, the write goes to the journal: started, not waited for; and
 *             at the same time the messages go to the other brokers
 *   publish   when the journal says durable, each touched replica commits, applies and answers
 *
 * While one write is in flight the next turns gather others (at most LANE_WRITES_MAX); the journal makes one group of all that wait.
 * Load makes groups bigger; latency stays about one sync, however many partitions there are.
 */
#ifndef CAIRN_REPLICATION_LANE_H
#define CAIRN_REPLICATION_LANE_H

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/world.h"
#include "log/log_set.h"
#include "replication/pace.h"
#include "replication/peers.h"
#include "replication/raft.h"

#define LANE_WRITES_MAX 16u

struct lane;

/* `peers`: the wires to other brokers, which outlive the lane's loop; NULL: this broker is alone. `timing`: of elections; NULL: 1 s and a
 * heartbeat each 100 ms. */
struct lane *lane_new(struct world *world, struct log_set *logs, unsigned number, struct peers *peers,
                      const struct raft_timing *timing);
/* Once, on the lane or before it has anything to do: only now do the wires bring it anything. So until then another thread may open the
 * replicas that its broker had before. */
void lane_join(struct lane *lane);
/* From outside, when no more work is posted (and after peers_stop()): finishes what was submitted, stops the loop. The lane stays until
 * lane_free(). */
void lane_stop(struct lane *lane);
void lane_free(struct lane *lane); /* after lane_stop() and after its replicas were freed; NULL is fine */

/* On the lane. This broker is about to stop: takes no leadership any more, and hands over what it leads among others to who is not. */
void lane_leave(struct lane *lane);
/* The same for good, and also to whoever lags: begins what is not begun, and says how many are on their way. Again and again. */
size_t lane_hand_over(struct lane *lane);
/* Leaderships among others that are here. */
size_t lane_leaderships(const struct lane *lane);

/* How fast replicas that do not count yet get what they lack. Kept; before the lane has any. NULL (as it is at first): as fast as they can. */
void lane_set_pace(struct lane *lane, struct pace *pace);

/* Whoever wants to know what happens to other brokers is told, after the lane's replicas. Before lane_join(); there is room for one. */
void lane_watch(struct lane *lane, void (*edge)(void *context, broker_id broker, enum peer_edge edge), void *context);

struct loop *lane_loop(struct lane *lane);
struct log_set *lane_logs(struct lane *lane);

/* The write that this turn fills. On the lane. */
struct journal_write *lane_write(struct lane *lane);

/* Told when the write that this turn fills is durable, with STATUS_OK, or when the journal has failed. Kept by the caller until then.
 * On the lane. PRE: this turn added a frame. */
struct lane_fence {
  struct list_node node;
  void (*done)(struct lane_fence *fence, enum status status);
};
void lane_when_durable(struct lane *lane, struct lane_fence *fence);

/* A replica of the group is here; perhaps it is being deleted. On the lane. */
bool lane_has(const struct lane *lane, group_id group);

/* True after the journal has failed: nothing more becomes durable here. */
bool lane_failed(const struct lane *lane);
/* The broker is up, in the directory that the map has for it, as far as this one has heard. */
bool lane_broker_up(const struct lane *lane, broker_id broker);

#endif
