/* The newest hard state of every live replica, as the frames passing through tell it: what the table at the start of each file
 * holds. Internal to log/, owned by whoever holds it.
 *
 * 1. Live: told by an OPEN or HARD_STATE frame or a table, and not ended by a CLOSE since.
 * 2. Rows keep the order in which the replicas were first heard of.
 */
#ifndef CAIRN_LOG_JOURNAL_STATES_H
#define CAIRN_LOG_JOURNAL_STATES_H

#include <stddef.h>

#include "base/bytes.h"
#include "log/journal.h"

struct journal_states;

struct journal_states *journal_states_new(uint64_t seed);
void journal_states_free(struct journal_states *states); /* NULL is fine */
size_t journal_states_count(const struct journal_states *states);

/* What this frame changes. Bodies that are no hard state are ignored. */
void journal_states_note(struct journal_states *states, enum frame_kind kind, group_id group, instance_id instance,
                         struct bytes body);

/* Replaces `out_table` with the body of a TABLE frame. */
void journal_states_table(const struct journal_states *states, struct buffer *out_table);

#endif
