/* A replica: this broker's copy of one group. raft decides, log keeps, the owner's state machine learns what is committed.
 *
 * 1. Entries are applied in index order, each once, and only when committed.
 * 2. A proposal is answered exactly once, after its entry was applied (OK), refused (nothing was appended) or left in doubt
 *    (STATUS_UNKNOWN_OUTCOME: the disk failed after it was appended).
 * 3. What a proposal decides upon (next offset, owner's state) is decided and appended in one go, on the lane: nothing slips between.
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

/* An entry on its way. The caller fills `entry` (kind, payload with its hold, and for RECORDS codec, counts, sizes, producer fields, record
 * times), keeps the proposal alive until `done`. The replica fills index, term, base offset, leader time, payload CRC and chain, and takes over
 * the hold on the payload. */
struct proposal {
  struct list_node node;
  struct entry entry;
  void (*done)(struct proposal *proposal, enum status status);
};

/* Before the lane runs (a recovered log), or on the lane (a new one). Restores the owner's state and replays what is committed. */
enum status replica_open(struct lane *lane, struct log *log, broker_id self, const struct state_machine *machine,
                         struct replica **out_replica) MUST_CHECK;
void replica_free(struct replica *replica); /* after the lane stopped; answers nothing; NULL is fine */

/* Appends, or says why not; then `done` is not called and the payload stays the caller's. PRE: log_set_admit() gave room (kinds other
 * than RECORDS and COMMAND need none). STATUS_FENCED: disk failed or log damaged. STATUS_NOT_LEADER. STATUS_BUSY: too much is
 * uncommitted. */
enum status replica_propose(struct replica *replica, struct proposal *proposal) MUST_CHECK;

/* Ends this replica and deletes its log. Proposals in flight are answered STATUS_UNKNOWN_PARTITION first; `done` runs when the CLOSE
 * frame is durable (or the disk failed), after which the replica is freed. */
void replica_delete(struct replica *replica, void (*done)(void *context), void *context);

struct log *replica_log(struct replica *replica);
bool replica_is_leader(const struct replica *replica); /* it is, or would be upon the next proposal */
bool replica_fenced(const struct replica *replica);
entry_term replica_term(const struct replica *replica);
/* Behind the last committed record. */
record_offset replica_high_watermark(const struct replica *replica);
/* Leader time for an append at wall time `wall_ms`: never goes back within the group. */
int64_t replica_leader_time_ms(const struct replica *replica, int64_t wall_ms);

#endif
