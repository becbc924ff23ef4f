/* A replica: this broker's copy of one group. raft decides, log keeps, peers carry, the owner's state machine learns what is committed.
 *
 *   replica.c          opening, proposing, asking, looking
 *   replica_obey.c     what the protocol asks for: the journal's frames, applying, roles, the answers to proposals and reads, the timer
 *   replica_receive.c  what comes from other brokers: checked before the protocol sees it
 *   replica_send.c     what goes to them: messages that wait for the disk, entries gathered from the log
 *   replica_state.c    the replica's own state around the owner's, in the checkpoint
 *   replica_ship.c     a leader's log and state, to a follower that is too far behind
 *   replica_learning.c  how far new replicas are, and how fast they may go on
 *   replica_install.c  the follower's side: beside its own log, then in its place
 *   replica_mend.c     what rot has taken of segments, from peers
 *   replica_gift.c     what a peer asks for because of that
 *
 * 1. Entries are applied in index order, each once, and only when committed.
 * 2. A proposal is refused (nothing was appended), or answered exactly once:
 *      OK               its entry was applied
 *      REPLACED         it was not appended and never will be: another leader's entry is committed in its place
 *      UNKNOWN_OUTCOME  nobody here knows: the disk failed, or leadership was lost and its fate not learnt within two election timeouts,
 *                       or the lane stopped before a majority had it
 * 3. What a proposal decides upon (next offset, owner's state) is decided and appended in one go, on the lane: nothing slips between.
 * 4. A sole voter leads when it is asked to (docs/decisions/0005): the vote, the no-op and the entry share one write. A group of several has
 *    no timer anywhere while it is idle and whole.
 * 5. What the protocol asks for is done before the protocol hears of anything else; owners are called after that, so they may propose and
 *    ask from within any call.
 *
 * On its lane, except replica_open().
 */
#ifndef CAIRN_REPLICATION_REPLICA_H
#define CAIRN_REPLICATION_REPLICA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"
#include "base/status.h"
#include "log/log.h"
#include "replication/lane.h"
#include "replication/raft.h"
#include "replication/state_machine.h"

#define REPLICA_UNCOMMITTED_BYTES_MAX (32u << 20)

struct replica;

struct replica_options {
  struct replica_id self;
  /* Who belongs to the group from its beginning, by the map: in force until an entry of the log says otherwise. NULL: this broker alone.
   * Borrowed for the call. */
  const struct raft_config *founding;
};

/* An entry on its way. The caller fills `entry` (kind, payload with its hold, and for RECORDS codec, counts, sizes, producer fields, record
 * times), keeps the proposal alive until `done`. The replica fills index, term, base offset, leader time, payload CRC and chain, and takes over
 * the hold on the payload. */
struct proposal {
  struct list_node node;
  struct entry entry;
  void (*done)(struct proposal *proposal, enum status status);
};

/* Before the lane runs (a recovered log), or on the lane (a new one). Restores the owner's state and replays what is committed.
 * STATUS_CORRUPT, STATUS_FOREIGN: the checkpoint's state or a configuration in the log cannot be read. */
enum status replica_open(struct lane *lane, struct log *log, const struct replica_options *options,
                         const struct state_machine *machine, struct replica **out_replica) MUST_CHECK;
/* On the lane, after log_adopt() of a recovered log: takes part in the group from now on. Until then what other brokers say goes by. */
void replica_start(struct replica *replica);
void replica_free(struct replica *replica); /* after the lane stopped; answers nothing; NULL is fine */

/* Appends, or says why not; then `done` is not called and the payload stays the caller's. PRE: log_set_admit() gave room (kinds other
 * than RECORDS and PRODUCER need none). STATUS_FENCED: disk failed or log damaged. STATUS_NOT_LEADER.
 * STATUS_LOADING: leadership is being handed over, ask again in a moment. STATUS_BUSY: too much is uncommitted. */
enum status replica_propose(struct replica *replica, struct proposal *proposal) MUST_CHECK;

/* A linearizable read: whatever was committed anywhere before it was asked for is applied here when it is answered. The caller keeps it
 * alive until `done`, which may run before replica_read() returns. OK; NOT_LEADER: ask replica_leader(); FENCED; DRAINING: the lane stopped;
 * UNKNOWN_PARTITION: deleted. */
struct replica_read {
  struct list_node node;
  void (*done)(struct replica_read *read, enum status status);

  uint64_t ticket; /* the replica's */
  entry_index index;
  bool confirmed;
  bool failed;
};
void replica_read(struct replica *replica, struct replica_read *read);

/* Asks for other members: each member's `then` in `target` counts. Goes on by itself, entry by entry (raft_config.h). OK: begun, or so
 * already. NOT_LEADER, FENCED, BUSY (another change is under way), INVALID. */
enum status replica_change_members(struct replica *replica, const struct raft_config *target) MUST_CHECK;
/* Hands leadership to `to`, or to whoever is best placed (broker 0). OK: begun. NOT_LEADER, FENCED, INVALID. */
enum status replica_transfer(struct replica *replica, const struct replica_id *to) MUST_CHECK;
/* Offers it to `to`: it is handed over where appends do not stand still for it, and else it is said at once why not (raft.h). `wished`: by
 * somebody, who wants `to` and no other; replica_wished() tells it there. `tries`: it is only said. An offer that was begun ends with
 * role_changed() or with stays(). */
struct replica_offer {
  struct replica_id to;
  bool wished;
  bool tries;
};
enum raft_offer replica_offer(struct replica *replica, const struct replica_offer *offer) MUST_CHECK;
/* It leads because somebody asked for that. */
bool replica_wished(const struct replica *replica);
/* Hands it to whoever is best placed, unless that is under way. False: it does not lead, or there is nobody who could. */
bool replica_hand_over(struct replica *replica);
/* Begins an election now, by pre-vote, if it may. */
void replica_campaign(struct replica *replica);

/* Ends this replica and deletes its log. Proposals and reads in flight are answered STATUS_UNKNOWN_PARTITION first; `done` runs when the
 * CLOSE frame is durable (or the disk failed), after which the replica is freed. */
void replica_delete(struct replica *replica, void (*done)(void *context), void *context);

/* How far those have come that do not vote yet and are to, all together, by whoever leads; all zero where there are none. Estimated: a log's
 * entries are taken to be of one size. */
struct replica_learning {
  uint32_t learners;
  uint64_t bytes_done;
  uint64_t bytes_to_go;
};
struct replica_learning replica_learning(const struct replica *replica);
/* These get old entries no faster than that from now on, bytes a second, all together; 0: as fast as the broker gives them, which holds besides. */
void replica_set_pace(struct replica *replica, uint64_t bytes_per_second);

struct log *replica_log(struct replica *replica);
bool replica_is_leader(const struct replica *replica); /* it is, or would be upon the next proposal */
/* Leads, and its state has everything that earlier leaders may have committed: elected is not ready. Only then may the owner decide. */
bool replica_ready(const struct replica *replica);
struct replica_id replica_leader(const struct replica *replica); /* broker 0: not known */
bool replica_fenced(const struct replica *replica);
/* What cannot be read of its log is being had from peers: it is worth waiting a moment. */
bool replica_mending(const struct replica *replica);
entry_term replica_term(const struct replica *replica);
/* The newest configuration in the log. Borrowed until the lane goes on. */
const struct raft_config *replica_config(const struct replica *replica);
bool replica_alone(const struct replica *replica);            /* nobody else has ever belonged to the group */
bool replica_config_committed(const struct replica *replica); /* its entry is, as far as is known here */
entry_index replica_applied(const struct replica *replica);
/* Behind the last committed record that is applied here. */
record_offset replica_high_watermark(const struct replica *replica);
/* Leader time for an append at wall time `wall_ms`: never goes back within the group. */
int64_t replica_leader_time_ms(const struct replica *replica, int64_t wall_ms);

#endif
