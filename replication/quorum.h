/* Majorities, of one set of voters or of two at once. Pure arithmetic on sets of members.
 *
 * A set is a bit mask over positions of a configuration: bit i is member i. While a change of voters is under way (joint consensus,
 * Ongaro section 4.3) a decision needs a majority of the voters now and, apart from that, a majority of the voters to come.
 *
 * 1. Two majorities of one set share a member; two joint majorities share one in each set.
 * 2. An empty set decides nothing: it has no majority, and no index is on a majority of it.
 */
#ifndef CAIRN_REPLICATION_QUORUM_H
#define CAIRN_REPLICATION_QUORUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log/entry.h"

typedef uint32_t member_set;

#define QUORUM_MEMBERS_MAX 16u

static inline member_set member_set_of(size_t position) { return (member_set)1 << position; }

struct quorum {
  member_set now;
  member_set then; /* 0: no change is under way */
};

enum quorum_vote { QUORUM_OPEN, QUORUM_WON, QUORUM_LOST };

bool quorum_majority(member_set voters, member_set yes);

bool quorum_reached(const struct quorum *quorum, member_set yes);

/* Lost: whatever the rest says, it cannot be won any more. */
enum quorum_vote quorum_vote(const struct quorum *quorum, member_set yes, member_set no);

/* The greatest index that a majority has reached; `reached[i]` is member i's. */
entry_index quorum_index(const struct quorum *quorum, const entry_index reached[QUORUM_MEMBERS_MAX]);

#endif
