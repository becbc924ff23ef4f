#include "server/producer_state.h"

#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "server/producer_state_internal.h"

/* ---- Producers ---- */

/* Invertible in `index` for a given group: it mixes one number (the finalizer of splitmix64), and group only shifts that. */
producer_id producer_id_of(group_id group, entry_index index) {
  uint64_t x = index + group * 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

struct producer *producer_state_add(struct producer_state *state, producer_id id, struct bytes name) {
  struct producer *producer = NEW(struct producer);
  producer->id = id;
  producer->name = memory_new(name.size);
  memcpy(producer->name, name.data, name.size);
  producer->name_size = (uint16_t)name.size;
  void *other = map_put_number(state->by_id, id, producer);
  CHECK(other == NULL);
  other = map_put(state->by_name, name, producer);
  CHECK(other == NULL);
  return producer;
}

static void forget_name(struct producer_state *state, const struct producer *producer) {
  if (map_get(state->by_name, producer_name(producer)) == producer) map_remove(state->by_name, producer_name(producer));
}

static void remove_producer(struct producer_state *state, struct producer *producer) {
  forget_name(state, producer);
  map_remove_number(state->by_id, producer->id);
  producer_ring_deinit(&producer->ring);
  producer_ring_deinit(&producer->pending);
  memory_free(producer->name);
  memory_free(producer);
}

/* ---- Life ---- */

static struct producer_proposed *proposed_at(const struct producer_state *state, size_t i) {
  return &state->proposed[(state->proposed_begin + i) % state->proposed_capacity];
}

static void view_init(struct producer_view *view) {
  *view = (struct producer_view){0};
  list_init(&view->recent);
}

struct producer_state *producer_state_new(group_id group, uint64_t seed) {
  struct producer_state *state = NEW(struct producer_state);
  state->group = group;
  state->by_name = map_new(seed);
  state->by_id = map_new(seed + 1);
  view_init(&state->applied);
  view_init(&state->head);
  return state;
}

void producer_state_clear(struct producer_state *state) {
  struct map_cursor cursor = {0};
  for (struct producer *producer; (producer = map_next(state->by_id, &cursor)) != NULL;) remove_producer(state, producer);
  view_init(&state->applied);
  view_init(&state->head);
  for (size_t i = 0; i < state->proposed_count; i++) memory_free(proposed_at(state, i)->change);
  state->proposed_count = 0;
}

void producer_state_free(struct producer_state *state) {
  if (state == NULL) return;
  producer_state_clear(state);
  map_free(state->by_name);
  map_free(state->by_id);
  memory_free(state->proposed);
  memory_free(state);
}

/* ---- Deciding ---- */

static bool find_batch(const struct producer *producer, uint64_t sequence, struct producer_batch *out_batch,
                       bool *out_uncommitted) {
  *out_uncommitted = producer_ring_find(&producer->pending, sequence, out_batch);
  return *out_uncommitted || producer_ring_find(&producer->ring, sequence, out_batch);
}

static struct producer_decision unknown(const struct producer_state *state, const struct producer_claim *claim) {
  struct producer_decision decision = {.verdict = PRODUCER_UNKNOWN};
  /* Once somebody was given up, a first sequence may be the repetition of one that is in the log: then only an open, which tells that
   * nothing is remembered, begins anew. */
  bool nobody_went = state->head.given_up == 0;
  decision.executed = nobody_went ? EXECUTED_NO : EXECUTED_MAYBE;
  if (claim->id == 0 && claim->epoch == 0 && claim->first_sequence == 0 && nobody_went) decision.verdict = PRODUCER_NEW;
  return decision;
}

/* Who may say it is settled before what it says: a fenced writer learns that it is fenced, unless what it sends is in the log by its own
 * epoch or an older one. */
static void decide_known(const struct producer *producer, const struct producer_claim *claim,
                         struct producer_decision *decision) {
  struct producer_batch batch;
  bool uncommitted = false;
  bool remembered = find_batch(producer, claim->first_sequence, &batch, &uncommitted);
  bool same = remembered && batch.first_sequence == claim->first_sequence && batch.count == claim->count &&
              (!claim->has_crc || claim->crc == batch.crc);
  bool before = claim->first_sequence < producer->head_sequence;
  bool forgotten = before && !remembered;

  if (same && batch.epoch <= claim->epoch && claim->epoch <= producer->head_epoch) {
    decision->verdict = PRODUCER_DUPLICATE;
    decision->base_offset = batch.base_offset;
    decision->uncommitted = uncommitted;
    decision->executed = EXECUTED_YES;
  } else if (claim->epoch > producer->head_epoch) {
    decision->verdict = PRODUCER_UNKNOWN;
    decision->executed = before ? EXECUTED_MAYBE : EXECUTED_NO;
  } else if (claim->epoch < producer->head_epoch) {
    decision->verdict = PRODUCER_FENCED;
    decision->executed = forgotten ? EXECUTED_MAYBE : EXECUTED_NO;
  } else if (claim->first_sequence > producer->head_sequence) {
    decision->verdict = PRODUCER_GAP;
  } else if (!before) {
    decision->verdict = PRODUCER_ACCEPTS;
  } else {
    uint64_t last = claim->first_sequence + claim->count - 1;
    bool wholly = forgotten && !find_batch(producer, last, &batch, &uncommitted) && last < producer->head_sequence;
    decision->verdict = wholly ? PRODUCER_TOO_OLD : PRODUCER_REUSED;
    decision->executed = wholly ? EXECUTED_YES : EXECUTED_NO;
  }
}

struct producer_decision producer_state_decide(const struct producer_state *state, const struct producer_claim *claim) {
  PRE((claim->id != 0 || claim->name.size > 0) && claim->count > 0);
  PRE(claim->count < UINT64_MAX - claim->first_sequence);
  const struct producer *by_name = claim->name.size == 0 ? NULL : map_get(state->by_name, claim->name);
  const struct producer *by_id = claim->id == 0 ? NULL : map_get_number(state->by_id, claim->id);
  if (by_id != NULL && by_id->given_up) by_id = NULL;
  if (by_id != NULL && claim->name.size > 0 && !bytes_equal(claim->name, producer_name(by_id)))
    return (struct producer_decision){.verdict = PRODUCER_MISMATCH, .executed = EXECUTED_NO};
  const struct producer *producer = claim->id != 0 ? by_id : by_name;
  if (producer == NULL) return unknown(state, claim);
  struct producer_decision decision = {
      .id = producer->id, .epoch = producer->head_epoch, .next_sequence = producer->head_sequence, .executed = EXECUTED_NO};
  decide_known(producer, claim, &decision);
  return decision;
}

bool producer_state_next_epoch(const struct producer_state *state, struct bytes name, uint32_t *out_epoch) {
  const struct producer *producer = map_get(state->by_name, name);
  if (producer != NULL && producer->head_epoch == UINT32_MAX) return false;
  *out_epoch = producer == NULL ? 1 : producer->head_epoch + 1;
  return true;
}

bool producer_state_knows(const struct producer_state *state, struct bytes name) { return map_get(state->by_name, name) != NULL; }

/* ---- The head ---- */

static void note_proposed(struct producer_state *state, const struct producer_proposed *what) {
  if (state->proposed_count == state->proposed_capacity) {
    size_t capacity = state->proposed_capacity == 0 ? 16 : state->proposed_capacity * 2;
    struct producer_proposed *proposed = memory_new_array(capacity, sizeof *proposed);
    for (size_t i = 0; i < state->proposed_count; i++) proposed[i] = *proposed_at(state, i);
    memory_free(state->proposed);
    state->proposed = proposed;
    state->proposed_begin = 0;
    state->proposed_capacity = capacity;
  }
  state->proposed_count++;
  *proposed_at(state, state->proposed_count - 1) = *what;
}

static void give_up_at_head(struct producer_state *state, struct producer *producer) {
  list_remove(&producer->head_recent);
  forget_name(state, producer);
  producer->given_up = true;
  state->head.count--;
  state->head.bytes -= producer_cost(producer, producer->head_batches);
  state->head.given_up++;
}

static bool beyond_bounds(const struct producer_view *view) {
  return view->count > view->bounds.producers_max || view->bytes > view->bounds.bytes_max;
}

/* The newest one stays: it fits by itself, since nobody has more batches than the bounds say. */
static void make_room_at_head(struct producer_state *state) {
  struct producer_view *head = &state->head;
  while (beyond_bounds(head)) {
    CHECK(head->count > 1);
    give_up_at_head(state, list_entry(list_first(&head->recent), struct producer, head_recent));
  }
}

/* A window that became smaller is smaller for everybody from that entry on, not from each one's next batch. */
static void set_bounds_at_head(struct producer_state *state, const struct producer_bounds *bounds) {
  struct producer_view *head = &state->head;
  bool smaller = bounds->batches_max < head->bounds.batches_max;
  head->bounds = *bounds;
  if (!smaller) return;
  list_for_each(&head->recent, node, following) {
    struct producer *producer = list_entry(node, struct producer, head_recent);
    if (producer->head_batches <= bounds->batches_max) continue;
    head->bytes -= producer_cost(producer, producer->head_batches) - producer_cost(producer, bounds->batches_max);
    producer->head_batches = bounds->batches_max;
  }
}

static void touch_at_head(struct producer_state *state, struct producer *producer) {
  if (list_node_linked(&producer->head_recent)) list_remove(&producer->head_recent);
  list_push_back(&state->head.recent, &producer->head_recent);
}

static struct producer *propose_open(struct producer_state *state, entry_index index, const struct producer_entry *entry) {
  struct producer *producer = map_get(state->by_name, entry->name);
  if (producer == NULL) {
    producer = producer_state_add(state, producer_id_of(state->group, index), entry->name);
    state->head.count++;
    state->head.bytes += producer_cost(producer, 0);
  }
  if (entry->epoch > producer->head_epoch) producer->head_epoch = entry->epoch;
  set_bounds_at_head(state, &entry->bounds);
  touch_at_head(state, producer);
  make_room_at_head(state);
  return producer;
}

static struct producer *propose_forget(struct producer_state *state, const struct producer_entry *entry) {
  struct producer *producer = map_get(state->by_name, entry->name);
  if (producer != NULL) give_up_at_head(state, producer);
  return producer;
}

static struct producer_batch batch_of(const struct entry_head *head) {
  return (struct producer_batch){.first_sequence = head->first_sequence,
                                 .count = head->record_count,
                                 .epoch = head->producer_epoch,
                                 .crc = head->payload_crc,
                                 .base_offset = head->base_offset};
}

static struct producer *propose_batch(struct producer_state *state, producer_id id, const struct producer_batch *batch) {
  struct producer *producer = map_get_number(state->by_id, id);
  if (producer == NULL || producer->given_up) return NULL;
  bool follows = producer->head_batches == 0 || producer->head_sequence == batch->first_sequence;
  uint32_t batches = follows ? producer->head_batches + 1 : 1; /* what the ring will do */
  if (batches > state->head.bounds.batches_max) batches = state->head.bounds.batches_max;
  state->head.bytes += producer_cost(producer, batches);
  state->head.bytes -= producer_cost(producer, producer->head_batches);
  producer->head_batches = batches;
  producer->head_sequence = batch->first_sequence + batch->count;
  if (batch->epoch > producer->head_epoch) producer->head_epoch = batch->epoch; /* rot took the entry that opened it */
  producer_ring_push(&producer->pending, batch, UINT32_MAX);
  touch_at_head(state, producer);
  make_room_at_head(state);
  return producer;
}

/* Takes over `what.change`. */
static void play(struct producer_state *state, struct producer_proposed what) {
  if (what.change == NULL) what.producer = propose_batch(state, what.id, &what.batch);
  else if (what.change->kind == PRODUCER_OPEN) what.producer = propose_open(state, what.index, what.change);
  else what.producer = propose_forget(state, what.change);
  note_proposed(state, &what);
}

/* The name lies behind it. */
static struct producer_entry *copy_change(const struct producer_entry *entry) {
  struct producer_entry *copy = memory_new(sizeof *copy + entry->name.size);
  *copy = *entry;
  memcpy(copy + 1, entry->name.data, entry->name.size);
  copy->name.data = (const uint8_t *)(copy + 1);
  return copy;
}

/* `entry` is NULL for RECORDS. */
static void propose(struct producer_state *state, const struct entry_head *head, const struct producer_entry *entry) {
  struct producer_proposed what = {.index = head->index};
  if (entry != NULL) {
    what.change = copy_change(entry);
  } else {
    what.id = head->producer_id;
    what.batch = batch_of(head);
  }
  play(state, what);
}

void producer_state_propose(struct producer_state *state, const struct entry *entry) {
  struct producer_entry decoded;
  bool records = entry->head.kind == ENTRY_RECORDS;
  if (!records) {
    enum status status = producer_entry_decode(entry->payload.bytes, &decoded);
    PRE(status == STATUS_OK);
  }
  propose(state, &entry->head, records ? NULL : &decoded);
}

void producer_state_copy_head(struct producer_state *state) {
  struct producer_view *head = &state->head;
  *head = state->applied;
  list_init(&head->recent);
  list_for_each(&state->applied.recent, node, following) {
    struct producer *producer = list_entry(node, struct producer, recent);
    producer->head_epoch = producer->epoch;
    producer->head_sequence = producer->next_sequence;
    producer->head_batches = producer->ring.batch_count;
    list_push_back(&head->recent, &producer->head_recent);
  }
}

/* PRE: nothing is proposed any more; what was is still in the head. */
static void rewind_head(struct producer_state *state) {
  struct map_cursor cursor = {0};
  for (struct producer *producer; (producer = map_next(state->by_id, &cursor)) != NULL;) {
    producer_ring_deinit(&producer->pending);
    if (list_node_linked(&producer->head_recent)) list_remove(&producer->head_recent);
    if (!producer->applied) remove_producer(state, producer);
  }
  /* Names of those who stay, now that nobody else has one of them. */
  list_for_each(&state->applied.recent, node, following) {
    struct producer *producer = list_entry(node, struct producer, recent);
    if (producer->given_up) map_put(state->by_name, producer_name(producer), producer);
    producer->given_up = false;
  }
  producer_state_copy_head(state);
}

/* What an entry did to the head (who was given up for it, whose name it took) is not written down anywhere. So the head goes all the way back,
 * and those that are left are played again: cuts are rare, and what is proposed is bounded. */
void producer_state_cut(struct producer_state *state, entry_index from) {
  size_t count = state->proposed_count;
  if (count == 0 || proposed_at(state, count - 1)->index < from) return;
  struct producer_proposed *all = memory_new_array(count, sizeof *all);
  for (size_t i = 0; i < count; i++) all[i] = *proposed_at(state, i);
  state->proposed_count = 0;
  rewind_head(state);
  for (size_t i = 0; i < count; i++) {
    if (all[i].index < from) play(state, all[i]);
    else memory_free(all[i].change);
  }
  memory_free(all);
}

/* ---- Applying ---- */

static void give_up(struct producer_state *state, struct producer *producer) {
  CHECK(producer->given_up && producer->pending.batch_count == 0); /* P1: the head has said so */
  list_remove(&producer->recent);
  state->applied.count--;
  state->applied.bytes -= producer_cost(producer, producer->ring.batch_count);
  state->applied.given_up++;
  remove_producer(state, producer);
}

static void make_room(struct producer_state *state) {
  struct producer_view *applied = &state->applied;
  while (beyond_bounds(applied)) {
    CHECK(applied->count > 1);
    give_up(state, list_entry(list_first(&applied->recent), struct producer, recent));
  }
}

static void set_bounds(struct producer_state *state, const struct producer_bounds *bounds) {
  struct producer_view *applied = &state->applied;
  bool smaller = bounds->batches_max < applied->bounds.batches_max;
  applied->bounds = *bounds;
  if (!smaller) return;
  list_for_each(&applied->recent, node, following) {
    struct producer *producer = list_entry(node, struct producer, recent);
    applied->bytes -= producer_cost(producer, producer->ring.batch_count);
    while (producer->ring.batch_count > bounds->batches_max) producer_ring_pop(&producer->ring);
    applied->bytes += producer_cost(producer, producer->ring.batch_count);
  }
}

static void touch(struct producer_state *state, struct producer *producer, entry_index index) {
  producer->last_index = index;
  if (list_node_linked(&producer->recent)) list_remove(&producer->recent);
  list_push_back(&state->applied.recent, &producer->recent);
}

static void apply_open(struct producer_state *state, struct producer *producer, entry_index index,
                       const struct producer_entry *entry) {
  if (!producer->applied) {
    producer->applied = true;
    state->applied.count++;
    state->applied.bytes += producer_cost(producer, 0);
  }
  if (entry->epoch > producer->epoch) producer->epoch = entry->epoch;
  set_bounds(state, &entry->bounds);
  touch(state, producer, index);
  make_room(state);
}

static void apply_batch(struct producer_state *state, struct producer *producer, const struct entry_head *head) {
  struct producer_batch batch = batch_of(head);
  producer_ring_pop(&producer->pending);
  state->applied.bytes -= producer_cost(producer, producer->ring.batch_count);
  producer_ring_push(&producer->ring, &batch, state->applied.bounds.batches_max);
  state->applied.bytes += producer_cost(producer, producer->ring.batch_count);
  producer->next_sequence = batch.first_sequence + batch.count;
  if (batch.epoch > producer->epoch) producer->epoch = batch.epoch;
  touch(state, producer, head->index);
  make_room(state);
}

/* Whom the entry at `index` speaks of (NULL: nobody); false when it was not proposed here. */
static bool take_proposed(struct producer_state *state, entry_index index, struct producer **out_producer) {
  if (state->proposed_count == 0) return false;
  struct producer_proposed *first = proposed_at(state, 0);
  CHECK(first->index == index); /* P1: the head knew of everything before what it proposed */
  memory_free(first->change);
  state->proposed_begin = (state->proposed_begin + 1) % state->proposed_capacity;
  state->proposed_count--;
  *out_producer = first->producer;
  return true;
}

enum status producer_state_apply(struct producer_state *state, const struct entry *entry) {
  const struct entry_head *head = &entry->head;
  struct producer_entry decoded;
  bool records = head->kind == ENTRY_RECORDS;
  if (!records) {
    enum status status = producer_entry_decode(entry->payload.bytes, &decoded);
    if (status != STATUS_OK) return status;
  }
  struct producer *producer = NULL;
  if (!take_proposed(state, head->index, &producer)) { /* another broker proposed it, or this one before it was restarted */
    propose(state, head, records ? NULL : &decoded);
    bool taken = take_proposed(state, head->index, &producer);
    CHECK(taken);
  }
  if (producer == NULL) return records ? STATUS_NOT_FOUND : STATUS_OK; /* to forget who is not there is done */
  if (records) apply_batch(state, producer, head);
  else if (decoded.kind == PRODUCER_OPEN) apply_open(state, producer, head->index, &decoded);
  else give_up(state, producer);
  return STATUS_OK;
}
