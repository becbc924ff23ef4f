#include "log/tail.h"

#include <string.h>

#include "base/check.h"
#include "base/memory.h"

#define TAIL_KEEP_SLOTS 16u /* an emptied tail keeps no more memory than this many slots */

struct tail_arrival {
  struct tail *tail; /* NULL: forgotten */
  entry_index index;
  uint64_t arrival;
};

void tail_budget_init(struct tail_budget *budget, size_t limit) {
  atomic_init(&budget->used, 0);
  atomic_init(&budget->pools, 0);
  budget->limit = limit;
}

void tail_pool_init(struct tail_pool *pool, struct tail_budget *budget) {
  *pool = (struct tail_pool){.budget = budget};
  atomic_fetch_add(&budget->pools, 1);
}

void tail_pool_deinit(struct tail_pool *pool) {
  PRE(pool->used == 0);
  memory_free(pool->queue);
  atomic_fetch_sub(&pool->budget->pools, 1);
}

static size_t cost_of(const struct tail_slot *slot) { return sizeof *slot + slot->held; }

static void charge(struct tail_pool *pool, size_t bytes) {
  pool->used += bytes;
  atomic_fetch_add_explicit(&pool->budget->used, bytes, memory_order_relaxed);
}

static void refund(struct tail_pool *pool, size_t bytes) {
  CHECK(pool->used >= bytes);
  pool->used -= bytes;
  atomic_fetch_sub_explicit(&pool->budget->used, bytes, memory_order_relaxed);
}

static void queue_push(struct tail_pool *pool, struct tail *tail, entry_index index, uint64_t arrival) {
  if (pool->queue_count == pool->queue_capacity) {
    size_t capacity = pool->queue_capacity == 0 ? 256 : pool->queue_capacity * 2;
    struct tail_arrival *queue = memory_new_array(capacity, sizeof *queue);
    for (size_t i = 0; i < pool->queue_count; i++) {
      queue[i] = pool->queue[(pool->queue_first + i) % pool->queue_capacity];
    }
    memory_free(pool->queue);
    pool->queue = queue;
    pool->queue_capacity = capacity;
    pool->queue_first = 0;
  }
  size_t at = (pool->queue_first + pool->queue_count++) % pool->queue_capacity;
  pool->queue[at] = (struct tail_arrival){.tail = tail, .index = index, .arrival = arrival};
}

static struct tail_slot *slot_at(const struct tail *tail, size_t number) {
  return &tail->slots[(tail->head + number) & (tail->capacity - 1)];
}

struct tail_slot *tail_at(const struct tail *tail, entry_index index) {
  if (tail->count == 0 || index < tail->first || index - tail->first >= tail->count) return NULL;
  return slot_at(tail, (size_t)(index - tail->first));
}

bool tail_cached(const struct tail *tail, entry_index index) {
  return index >= tail->cached_from && tail_at(tail, index) != NULL;
}

void tail_init(struct tail *tail, entry_index flushed) {
  *tail = (struct tail){.first = flushed + 1, .cached_from = flushed + 1, .flushed = flushed};
}

/* Payload out of memory; the slot stays. */
static void drop_payload(struct tail *tail, struct tail_slot *slot) {
  refund(tail->pool, cost_of(slot));
  slot->held = 0;
  if (slot->entry.payload.blob == tail->pool->newest) tail->pool->newest = NULL;
  blob_part_release(slot->entry.payload);
  slot->entry.payload = (struct blob_part){0};
}

static void shrink(struct tail *tail) {
  if (tail->count > 0 || tail->capacity <= TAIL_KEEP_SLOTS) return;
  memory_free(tail->slots);
  tail->slots = NULL;
  tail->capacity = 0;
  tail->head = 0;
}

static void drop_front(struct tail *tail) {
  while (tail->count > 0 && tail->first <= tail->flushed && tail->first < tail->cached_from) {
    tail->head = (tail->head + 1) & (tail->capacity - 1);
    tail->first++;
    tail->count--;
  }
  shrink(tail);
}

void tail_deinit(struct tail *tail) {
  for (size_t i = 0; i < tail->count; i++) {
    struct tail_slot *slot = slot_at(tail, i);
    if (tail->pool != NULL && slot->entry.head.index >= tail->cached_from) drop_payload(tail, slot);
  }
  if (tail->pool != NULL) {
    for (size_t i = 0; i < tail->pool->queue_count; i++) {
      struct tail_arrival *arrival = &tail->pool->queue[(tail->pool->queue_first + i) % tail->pool->queue_capacity];
      if (arrival->tail == tail) arrival->tail = NULL;
    }
  }
  memory_free(tail->slots);
  *tail = (struct tail){0};
}

static void grow(struct tail *tail) {
  size_t capacity = tail->capacity == 0 ? 4 : tail->capacity * 2;
  struct tail_slot *slots = memory_new_array(capacity, sizeof *slots);
  for (size_t i = 0; i < tail->count; i++) slots[i] = *slot_at(tail, i);
  memory_free(tail->slots);
  tail->slots = slots;
  tail->capacity = capacity;
  tail->head = 0;
}

struct tail_slot *tail_push(struct tail *tail, const struct entry *entry, bool cached) {
  PRE(IMPLIES(tail->count > 0, entry->head.index == tail->first + tail->count));
  PRE(IMPLIES(cached, tail->pool != NULL));
  if (tail->count == tail->capacity) grow(tail);
  if (tail->count == 0) {
    tail->first = entry->head.index;
    tail->cached_from = entry->head.index;
  }
  struct tail_slot *slot = slot_at(tail, tail->count++);
  *slot = (struct tail_slot){.entry.head = entry->head};
  if (!cached) {
    CHECK(tail->cached_from == entry->head.index);
    tail->cached_from = entry->head.index + 1;
    return slot;
  }
  slot->entry.payload = blob_part_hold(entry->payload);
  slot->arrival = ++tail->pool->arrivals;
  const struct blob *blob = slot->entry.payload.blob;
  slot->held = blob == NULL || blob == tail->pool->newest ? 0 : sizeof *blob + blob->size;
  tail->pool->newest = blob;
  charge(tail->pool, cost_of(slot));
  queue_push(tail->pool, tail, entry->head.index, slot->arrival);
  return slot;
}

struct tail_slot *tail_find(const struct tail *tail, record_offset offset) {
  size_t low = 0;
  size_t high = tail->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (entry_end_offset(&slot_at(tail, middle)->entry.head) > offset) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low < tail->count ? slot_at(tail, low) : NULL;
}

void tail_cut(struct tail *tail, entry_index from) {
  while (tail->count > 0 && tail->first + tail->count - 1 >= from) {
    struct tail_slot *slot = slot_at(tail, tail->count - 1);
    if (slot->entry.head.index >= tail->cached_from) drop_payload(tail, slot);
    tail->count--;
  }
  if (tail->cached_from > from) tail->cached_from = from;
  shrink(tail);
}

void tail_set_flushed(struct tail *tail, entry_index flushed) {
  PRE(flushed >= tail->flushed);
  tail->flushed = flushed;
  drop_front(tail);
}

void tail_adopt(struct tail *tail, struct tail_pool *pool) {
  PRE(tail->pool == NULL);
  tail->pool = pool;
}

/* ---- Eviction ---- */

bool tail_pool_over_share(const struct tail_pool *pool) {
  size_t pools = atomic_load_explicit(&pool->budget->pools, memory_order_relaxed);
  return pool->used > pool->budget->limit / (pools == 0 ? 1 : pools);
}

void tail_pool_evict(struct tail_pool *pool) {
  while (pool->queue_count > 0 && tail_pool_over_share(pool) &&
         atomic_load_explicit(&pool->budget->used, memory_order_relaxed) > pool->budget->limit) {
    struct tail_arrival arrival = pool->queue[pool->queue_first];
    struct tail_slot *slot = arrival.tail == NULL ? NULL : tail_at(arrival.tail, arrival.index);
    bool current = slot != NULL && slot->arrival == arrival.arrival && arrival.index >= arrival.tail->cached_from;
    if (current && !slot->durable) return;
    pool->queue_first = (pool->queue_first + 1) % pool->queue_capacity;
    pool->queue_count--;
    if (!current) continue;
    CHECK(arrival.index == arrival.tail->cached_from);
    drop_payload(arrival.tail, slot);
    arrival.tail->cached_from++;
    drop_front(arrival.tail);
  }
}
