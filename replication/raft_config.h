/* Who belongs to a group: voters and learners, and during a change both the voters now and those to come.
 *
 * A replica is known by its broker, by the broker's incarnation, 128 random bits written when its directory was formatted, and by when it
 * was placed there. A wiped or replaced directory is another replica, whatever number its broker has; and so is one that comes back to a
 * directory after it was given up there: it has promised nothing, and is not counted on for what its predecessor promised.
 *
 *   phase       a member's `now` and `then`                        decisions need
 *   STABLE      equal                                              a majority of the voters
 *   PREPARING   some learners are to be voters and catch up;       a majority of the voters now
 *               some voters are to go
 *   JOINT       the same                                           a majority of the voters now and of the voters then
 *
 * A change goes STABLE -> (PREPARING, if somebody has to catch up) -> JOINT -> STABLE, each an entry of the log, each proposed only when
 * the one before is committed. A change of learners alone goes from STABLE to STABLE.
 *
 * 1. A broker stands in a configuration at most once. No member is nobody in both roles.
 * 2. There is a voter now, and a voter then.
 */
#ifndef CAIRN_REPLICATION_RAFT_CONFIG_H
#define CAIRN_REPLICATION_RAFT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "replication/quorum.h"

#define RAFT_VOTERS_MAX 7u
#define RAFT_MEMBERS_MAX QUORUM_MEMBERS_MAX

typedef uint32_t broker_id; /* from 1; 0 is nobody */

struct replica_id {
  broker_id broker;
  uint64_t incarnation[2];
  uint64_t placement; /* 0: it is there from the group's founding on, or is no replica but a broker */
};

enum raft_rank { RAFT_NOBODY = 0, RAFT_LEARNER = 1, RAFT_VOTER = 2 };
enum raft_phase { RAFT_STABLE = 0, RAFT_PREPARING = 1, RAFT_JOINT = 2 };

struct raft_member {
  struct replica_id id;
  uint8_t now;  /* enum raft_rank */
  uint8_t then; /* enum raft_rank */
};

struct raft_config {
  uint8_t phase; /* enum raft_phase */
  uint8_t count;
  struct raft_member members[RAFT_MEMBERS_MAX];
};

#define RAFT_NO_POSITION RAFT_MEMBERS_MAX

static inline bool replica_same_directory(const struct replica_id *a, const struct replica_id *b) {
  return a->broker == b->broker && a->incarnation[0] == b->incarnation[0] && a->incarnation[1] == b->incarnation[1];
}
static inline bool replica_id_equal(const struct replica_id *a, const struct replica_id *b) {
  return replica_same_directory(a, b) && a->placement == b->placement;
}

#define INCARNATION_SIZE 16u
/* Its incarnation as it stands in files, maps and messages. */
struct replica_id replica_id_of(broker_id broker, const uint8_t incarnation[INCARNATION_SIZE]);

void raft_config_add(struct raft_config *config, const struct replica_id *id, enum raft_rank now, enum raft_rank then);

/* The member's position, or RAFT_NO_POSITION. */
size_t raft_config_find(const struct raft_config *config, const struct replica_id *id);
struct quorum raft_config_quorum(const struct raft_config *config);
/* Votes in this configuration, now or, while joint, then. */
bool raft_config_votes(const struct raft_config *config, const struct replica_id *id);
/* This replica is the only member, and votes. */
bool raft_config_alone(const struct raft_config *config, const struct replica_id *id);
bool raft_config_valid(const struct raft_config *config);
bool raft_config_equal(const struct raft_config *a, const struct raft_config *b);

/* The payload of a CONFIG entry, little endian; docs/FORMATS.md:
 *
 *   offset size
 *        0    1  version: 1, or 2 where a placement is not 0
 *        1    1  phase
 *        2    1  count of members
 *        3    1  0
 *        4   24  each member: broker u32, rank now u8, rank then u8, 2 zeros, incarnation 16; version 2: placement u64
 */
#define RAFT_CONFIG_BYTES_MAX (4u + 32u * RAFT_MEMBERS_MAX)
size_t raft_config_encode(const struct raft_config *config, uint8_t out[RAFT_CONFIG_BYTES_MAX]);
/* STATUS_CORRUPT: not a configuration. STATUS_FOREIGN: a version that this build does not know. */
enum status raft_config_decode(struct bytes bytes, struct raft_config *out_config) MUST_CHECK;

#endif
