/* The newest entries of a log in memory, and what must be known of those that are not in a segment yet.
 *
 * A tail is a run of slots, one for each entry, consecutive by index. The newest slots hold their payloads (cached); older ones that are
 * not flushed keep only the head and the place in the journal; older ones that are flushed are gone. One pool, which the logs of
 * a lane share, bounds what is held for them: the entry that arrived first leaves first. What is held is the whole blob that a payload is a
 * part of (one message of another broker brings many entries, and not all of them may be kept); the first of those that arrive
 * together pays for it. All pools share one budget: a pool gives back what it
 * has beyond its fair share as soon as the budget is passed.
 *
 * 1. Slots are consecutive; slots from `cached_from` on have their payload in memory.
 * 2. An entry whose journal place is not known yet is never evicted.
 * 3. pool->used is the sum of the costs of all cached slots of its tails.
 */
#ifndef CAIRN_LOG_TAIL_H
#define CAIRN_LOG_TAIL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log/entry.h"
#include "log/journal.h"

struct tail_slot {
  struct entry entry; /* payload: empty unless cached */
  struct journal_place place;
  uint64_t arrival;
  size_t held;   /* of memory, for its payload: the blob's size, or 0 where the entry that arrived before it pays */
  uint32_t cuts; /* of the log's, before it came: frames of another count are not this entry's, equal as they may be */
  bool durable;  /* place is known */
  bool lost;     /* its frame was lost to rot: the head only tells offsets */
};

struct tail_budget {
  atomic_size_t used;
  atomic_size_t pools;
  size_t limit;
};
void tail_budget_init(struct tail_budget *budget, size_t limit);

struct tail;
struct tail_arrival;

struct tail_pool {
  struct tail_budget *budget;
  size_t used;
  uint64_t arrivals;          /* ever */
  const struct blob *newest;  /* of which the last one to arrive is a part, as long as that is cached; not held */
  struct tail_arrival *queue; /* a ring: entries in the order of arrival */
  size_t queue_capacity;
  size_t queue_first;
  size_t queue_count;
};
void tail_pool_init(struct tail_pool *pool, struct tail_budget *budget);
void tail_pool_deinit(struct tail_pool *pool); /* PRE: no tail holds anything cached */
/* Evicts while the budget is passed and this pool has more than its share. */
void tail_pool_evict(struct tail_pool *pool);
bool tail_pool_over_share(const struct tail_pool *pool);

struct tail {
  struct tail_pool *pool;  /* NULL until adopted: then nothing may be cached */
  struct tail_slot *slots; /* a ring */
  size_t capacity;
  size_t head;
  size_t count;
  entry_index first;       /* of the first slot; meaningless when count is 0 */
  entry_index cached_from; /* from here on slots are cached */
  entry_index flushed;
};
void tail_init(struct tail *tail, entry_index flushed);
void tail_deinit(struct tail *tail);

/* Adds the next entry; holds its payload when it is cached. */
struct tail_slot *tail_push(struct tail *tail, const struct entry *entry, bool cached);
/* NULL: no such slot. */
struct tail_slot *tail_at(const struct tail *tail, entry_index index);
bool tail_cached(const struct tail *tail, entry_index index);
/* The first slot with records at or beyond the offset, or NULL. */
struct tail_slot *tail_find(const struct tail *tail, record_offset offset);
void tail_cut(struct tail *tail, entry_index from);
/* Entries up to here are in segments: slots that hold nothing any more go. */
void tail_set_flushed(struct tail *tail, entry_index flushed);
/* Gives a recovered tail to its lane's pool. */
void tail_adopt(struct tail *tail, struct tail_pool *pool);

#endif
