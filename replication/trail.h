/* What raft remembers of the log: index -> term and generation, run by run. Never payloads, never sizes.
 *
 *        base              runs: [first, term, generation] ...                   last
 *     ----|----------------------------------------------------------------------|
 *     terms unknown      5 5 5 5 5 5 | 7 7 7 | 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9
 *
 * `base` is the newest entry below which terms are not known here: a snapshot's last entry, or the end of what was forgotten. The term at
 * base itself is known. The log of the disk may well begin earlier.
 *
 * The generation counts the cuts (and the replacements by a snapshot) that this log has seen since it was opened. It tells two entries apart
 * that were at one index at different times: a write that was issued in generation g says nothing about what was appended later
 * in the same place, even if index and term are the same again.
 *
 * 1. base <= last. Runs are consecutive from base + 1 to last; neither terms nor generations decrease along them.
 * 2. A cut raises the generation; what is appended after it carries the new one.
 *
 * The runs are on the heap, and owned: a log with one term has one. At most TRAIL_RUNS_MAX.
 */
#ifndef CAIRN_REPLICATION_TRAIL_H
#define CAIRN_REPLICATION_TRAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "log/entry.h"

#define TRAIL_RUNS_MAX 65536u /* terms that began and of which nothing was committed; then no further term begins here */
#define TRAIL_RUNS_KEPT 64u   /* of committed entries the oldest runs are forgotten beyond this number */

typedef uint64_t log_generation;

struct trail_run {
  entry_index first;
  entry_term term;
  log_generation generation;
};

struct trail {
  entry_index base_index;
  entry_term base_term;
  entry_index last_index;
  log_generation generation;
  struct trail_run *runs;
  uint32_t count;
  uint32_t capacity;
};

void trail_init(struct trail *trail, entry_index base_index, entry_term base_term);
void trail_deinit(struct trail *trail);

entry_term trail_last_term(const struct trail *trail);
/* False: below base or above last. */
bool trail_term(const struct trail *trail, entry_index index, entry_term *out_term);
/* True when the entry at `index` has this term, as far as is known here. */
bool trail_has(const struct trail *trail, entry_index index, entry_term term);

/* PRE: first is last + 1, term is not below the last one, trail_room(). */
void trail_append(struct trail *trail, entry_index first, entry_index last, entry_term term);
/* May an entry of a new term be appended? */
bool trail_room(const struct trail *trail);

/* Voids the entries from `from` on. PRE: base < from <= last. */
void trail_cut(struct trail *trail, entry_index from);

/* A write issued in `generation` is durable, up to `index` as the log was then: up to where is today's log durable by it? */
entry_index trail_durable(const struct trail *trail, entry_index index, log_generation generation);

/* The greatest index, not above `index`, whose term is not above `term`: where two logs may still agree. Not above base: taken at its word. */
entry_index trail_find(const struct trail *trail, entry_index index, entry_term term);

/* Terms below `index` are no longer needed: it becomes the base. PRE: base <= index <= last. */
void trail_forget(struct trail *trail, entry_index index);
/* Forgets the oldest runs beyond TRAIL_RUNS_KEPT, of what is committed. */
void trail_limit(struct trail *trail, entry_index commit);

/* A snapshot takes the place of the log: it ends at (index, term). */
void trail_reset(struct trail *trail, entry_index index, entry_term term);

void trail_check_invariants(const struct trail *trail);

#endif
