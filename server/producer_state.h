/* What a partition remembers of its producers, so that a batch that is sent again is recognised: replicated state, made by the entries of
 * the log in their order and by nothing else. Pure: no clock, no chance, no I/O; two replicas that applied the same entries encode alike.
 *
 * A producer has a name, which its client chose, an id, which stands for the name in the heads of entries, an epoch, and the sequence that
 * its next record has. Sequences count records and run on across epochs. The newest batches are kept one by one (producer_ring.h).
 *
 * There are two views of it. The *applied* one is as of the newest applied entry: it is what a snapshot holds. The *head* is as of the end
 * of the log, with everything that was proposed and is not applied yet: decisions are made against the head, in log order. A leader tells
 * producer_state_propose() what it proposes; everybody tells producer_state_apply() what was committed; what is cut from the log, or is in
 * doubt because leadership was lost, producer_state_cut() takes out of the head.
 *
 * 1. The head equals the applied view once nothing proposed is left: what was given up at the head is what apply gives up.
 * 2. Per producer each sequence is in the log at most once, in order.
 * 3. A producer goes only because a bound of producer_bounds was reached, the one that appended least recently first, or because it was
 *    asked for. Never by time. From then on its name is not taken again by itself: it has to be opened.
 * 4. Neither view is beyond its bounds.
 *
 * Owned by its partition, used on its lane.
 */
#ifndef CAIRN_SERVER_PRODUCER_STATE_H
#define CAIRN_SERVER_PRODUCER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "log/entry.h"
#include "server/producer_entry.h"

typedef uint64_t producer_id; /* 0: none */

struct producer_state;

/* `seed` is for the maps: strangers choose the names. */
struct producer_state *producer_state_new(group_id group, uint64_t seed);
void producer_state_free(struct producer_state *state); /* NULL is fine */

/* The id of a producer that the entry at `index` opened. Different for every index of a group; of different groups as good as ever: an id
 * that a client kept from a topic that was deleted means nobody in the next one. */
producer_id producer_id_of(group_id group, entry_index index);

/* ---- Deciding ---- */

/* What an append says of itself: by name, by id, or both. */
struct producer_claim {
  struct bytes name;
  producer_id id;
  uint32_t epoch;
  uint64_t first_sequence;
  uint32_t count;
  bool has_crc;
  uint32_t crc;
};

enum producer_verdict {
  PRODUCER_ACCEPTS,   /* it is the next one; `id` stands for the producer */
  PRODUCER_NEW,       /* it is the first one of a name nobody has: open it with epoch 0, then it is accepted */
  PRODUCER_DUPLICATE, /* it is in the log already, at `base_offset` */
  PRODUCER_GAP,       /* sequences before it are missing: `next_sequence` is due */
  PRODUCER_TOO_OLD,   /* its sequences are in the log, but it is older than what is remembered */
  PRODUCER_REUSED,    /* its sequences are in the log with other records */
  PRODUCER_FENCED,    /* a newer `epoch` was opened */
  PRODUCER_UNKNOWN,   /* nobody has that name or id, or that epoch */
  PRODUCER_MISMATCH   /* name and id are two producers */
};

struct producer_decision {
  enum producer_verdict verdict;
  producer_id id;
  uint32_t epoch;            /* the producer's newest; 0 when it is unknown */
  uint64_t next_sequence;    /* the same */
  record_offset base_offset; /* DUPLICATE */
  enum executed executed;    /* of these sequences of this producer; refusals */
  bool uncommitted;          /* DUPLICATE: of a batch that is not applied yet */
};

/* PRE: the claim names somebody, count is not 0, and its last sequence is no greater than UINT64_MAX - 1. */
struct producer_decision producer_state_decide(const struct producer_state *state, const struct producer_claim *claim);

/* The epoch that the next open of a name gets; false: there is none left. */
bool producer_state_next_epoch(const struct producer_state *state, struct bytes name, uint32_t *out_epoch);
bool producer_state_knows(const struct producer_state *state, struct bytes name); /* at the head */

/* ---- Entries: RECORDS with a producer, and PRODUCER ---- */

/* An entry was proposed: the head moves on. PRE: its index is set and behind all others; it was decided against this head. */
void producer_state_propose(struct producer_state *state, const struct entry *entry);
/* An entry is committed. The payload of RECORDS is not looked at. STATUS_CORRUPT, STATUS_FOREIGN: a PRODUCER entry that this version cannot
 * read. STATUS_NOT_FOUND: records of a producer that is not known; rot took the entry that opened it. Nothing was changed then. */
enum status producer_state_apply(struct producer_state *state, const struct entry *entry) MUST_CHECK;
/* What was proposed from index `from` on is void: it is gone from the log, or another leader decides what becomes of it. The head is as if it had
 * never been proposed; what it gave up is there again. */
void producer_state_cut(struct producer_state *state, entry_index from);

/* ---- Storing: the applied view ---- */

/* docs/FORMATS.md has the bytes. STATUS_TOO_LARGE: beyond the buffer's bound. */
enum status producer_state_encode(const struct producer_state *state, struct buffer *out) MUST_CHECK;
/* Replaces everything. PRE: nothing was proposed or applied. STATUS_CORRUPT: the state is empty then. */
enum status producer_state_restore(struct producer_state *state, struct bytes encoded) MUST_CHECK;
/* Equal on replicas that applied the same entries. */
uint64_t producer_state_hash(const struct producer_state *state);

/* ---- Looking: the applied view ---- */

struct producer_info {
  struct bytes name; /* borrowed until the next entry */
  producer_id id;
  uint32_t epoch;
  uint64_t next_sequence;
  uint64_t window_sequence;  /* of the oldest batch remembered; next_sequence when there is none */
  uint32_t batches;          /* remembered */
  record_offset last_offset; /* of its last record; -1 when it has none */
  entry_index last_index;
};

bool producer_state_find(const struct producer_state *state, struct bytes name, struct producer_info *out_info);
/* By name, those behind `after` (empty: from the first); returns how many. */
size_t producer_state_list(const struct producer_state *state, struct bytes after, struct producer_info *out_infos, size_t max);

struct producer_totals {
  size_t producers;
  uint64_t bytes;
  uint64_t given_up;             /* ever */
  struct producer_bounds bounds; /* as the newest open told them; zero before the first */
};
struct producer_totals producer_state_totals(const struct producer_state *state);

/* P-names of docs/INVARIANTS.md. Dear: walks everything. */
void producer_state_check(const struct producer_state *state);

#endif
