/* The producer state against a naive model, over random histories: opens, batches in and out of sequence, repetitions, forgets, bounds that
 * are reached, cuts of what is proposed at any depth, leaderships that are lost with or without what they proposed, and a snapshot taken back
 * at any point.
 *
 * The model keeps every batch in an array, works out both views by replaying the log from its first entry, and decides by searching. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "server/producer_ring.h"
#include "server/producer_state.h"
#include "tests/unit/base/cmocka_base.h"

#define GROUP 9u
#define STEPS 400u
#define NAMES 6u
#define RUNS 25u

static uint64_t random_state;
static uint64_t chance(uint64_t below) {
  random_state = random_state * 6364136223846793005u + 1442695040888963407u;
  return (random_state >> 33) % below;
}

static const char *const names[NAMES] = {"a", "b", "cc", "ddd", "e", "f"};

/* ---- The log: all entries, of which `applied` are committed ---- */

static struct entry entries[STEPS + 8];
static size_t entry_count, applied_count;
static record_offset log_end;

static struct producer_entry decoded(const struct entry *entry) {
  struct producer_entry out;
  assert_ok(producer_entry_decode(entry->payload.bytes, &out));
  return out;
}

static void add_producer_entry(const struct producer_entry *what) {
  struct blob *blob = NULL;
  assert_ok(blob_new(NULL, producer_entry_size(what), &blob));
  producer_entry_encode(what, blob->data);
  entries[entry_count] = (struct entry){.head = {.kind = ENTRY_PRODUCER, .index = entry_count + 1, .base_offset = log_end},
                                        .payload = {.blob = blob, .bytes = bytes_of(blob->data, blob->size)}};
  entry_count++;
}

static void cut_log(size_t count) {
  while (entry_count > count) entry_release(&entries[--entry_count]);
  log_end = entry_count == 0 ? 0 : entry_end_offset(&entries[entry_count - 1].head);
}

/* ---- The model ---- */

struct model_producer {
  bool alive;
  const char *name;
  producer_id id;
  uint32_t epoch;
  uint64_t next;
  entry_index last_index;
  struct producer_batch batches[STEPS]; /* all that it ever had */
  size_t batch_count;
  size_t ring; /* how many of the newest are remembered */
};

struct model {
  struct model_producer producers[STEPS + 8]; /* every one that ever was */
  size_t count;
  uint64_t given_up;
  struct producer_bounds bounds;
};

static struct model_producer *model_find(struct model *model, const char *name, producer_id id) {
  for (size_t i = 0; i < model->count; i++) {
    struct model_producer *producer = &model->producers[i];
    if (producer->alive && (name == NULL ? producer->id == id : strcmp(producer->name, name) == 0)) return producer;
  }
  return NULL;
}

static uint64_t model_cost(const struct model *model, size_t *out_alive) {
  uint64_t bytes = 0;
  *out_alive = 0;
  for (size_t i = 0; i < model->count; i++) {
    if (!model->producers[i].alive) continue;
    ++*out_alive;
    bytes += PRODUCER_COST + strlen(model->producers[i].name) + model->producers[i].ring * PRODUCER_BATCH_COST;
  }
  return bytes;
}

static void model_make_room(struct model *model) {
  size_t alive = 0;
  while (model_cost(model, &alive) > model->bounds.bytes_max || alive > model->bounds.producers_max) {
    struct model_producer *oldest = NULL;
    for (size_t i = 0; i < model->count; i++) {
      struct model_producer *producer = &model->producers[i];
      if (producer->alive && (oldest == NULL || producer->last_index < oldest->last_index)) oldest = producer;
    }
    assert_true(alive > 1); /* whoever appends or opens always fits */
    oldest->alive = false;
    model->given_up++;
  }
}

static void model_apply(struct model *model, const struct entry *entry) {
  if (entry->head.kind == ENTRY_RECORDS) {
    struct model_producer *producer = model_find(model, NULL, entry->head.producer_id);
    assert_non_null(producer); /* nothing that would be passed over was ever accepted */
    assert_int_equal(producer->next, entry->head.first_sequence);
    producer->batches[producer->batch_count++] = (struct producer_batch){.first_sequence = entry->head.first_sequence,
                                                                         .count = entry->head.record_count,
                                                                         .epoch = entry->head.producer_epoch,
                                                                         .crc = entry->head.payload_crc,
                                                                         .base_offset = entry->head.base_offset};
    producer->next += entry->head.record_count;
    producer->last_index = entry->head.index;
    if (++producer->ring > model->bounds.batches_max) producer->ring = model->bounds.batches_max;
    model_make_room(model);
    return;
  }
  struct producer_entry what = decoded(entry);
  const char *name = NULL;
  for (size_t i = 0; i < NAMES; i++)
    if (bytes_equal(what.name, bytes_of_string(names[i]))) name = names[i];
  struct model_producer *producer = model_find(model, name, 0);
  if (what.kind == PRODUCER_FORGET) {
    if (producer == NULL) return;
    producer->alive = false;
    model->given_up++;
    return;
  }
  if (producer == NULL) {
    producer = &model->producers[model->count++];
    producer->alive = true;
    producer->name = name;
    producer->id = producer_id_of(GROUP, entry->head.index);
    producer->next = 0;
    producer->batch_count = producer->ring = 0;
  }
  producer->epoch = what.epoch;
  producer->last_index = entry->head.index;
  model->bounds = what.bounds;
  for (size_t i = 0; i < model->count; i++)
    if (model->producers[i].ring > what.bounds.batches_max) model->producers[i].ring = what.bounds.batches_max;
  model_make_room(model);
}

static void model_replay(struct model *model, size_t count) {
  model->count = 0;
  model->given_up = 0;
  model->bounds = (struct producer_bounds){0};
  for (size_t i = 0; i < count; i++) model_apply(model, &entries[i]);
}

/* Of the batches that can be recognised: those of the ring as it is applied, and all that were proposed behind them. */
static const struct producer_batch *model_batch(const struct model_producer *head, const struct model_producer *applied,
                                                uint64_t sequence) {
  size_t first = applied == NULL ? 0 : applied->batch_count - applied->ring;
  for (size_t i = first; i < head->batch_count; i++) {
    const struct producer_batch *batch = &head->batches[i];
    if (sequence >= batch->first_sequence && sequence < batch->first_sequence + batch->count) return batch;
  }
  return NULL;
}

static struct model applied_model, head_model;

static struct producer_decision model_decide(const struct producer_claim *claim, const char *name) {
  const struct model_producer *producer = model_find(&head_model, name, claim->id);
  if (producer == NULL) {
    bool fresh = head_model.given_up == 0;
    bool begins = name != NULL && claim->epoch == 0 && claim->first_sequence == 0 && fresh;
    return (struct producer_decision){.verdict = begins ? PRODUCER_NEW : PRODUCER_UNKNOWN,
                                      .executed = fresh ? EXECUTED_NO : EXECUTED_MAYBE};
  }
  const struct model_producer *applied = model_find(&applied_model, NULL, producer->id);
  struct producer_decision decision = {.id = producer->id, .epoch = producer->epoch, .next_sequence = producer->next};
  uint64_t last = claim->first_sequence + claim->count - 1;
  const struct producer_batch *batch = model_batch(producer, applied, claim->first_sequence);
  bool past = claim->first_sequence < producer->next;
  bool exact = batch != NULL && batch->first_sequence == claim->first_sequence && batch->count == claim->count &&
               (!claim->has_crc || batch->crc == claim->crc);
  if (claim->epoch > producer->epoch) {
    decision.verdict = PRODUCER_UNKNOWN;
    decision.executed = past ? EXECUTED_MAYBE : EXECUTED_NO;
  } else if (exact && batch->epoch <= claim->epoch) {
    decision.verdict = PRODUCER_DUPLICATE;
    decision.executed = EXECUTED_YES;
    decision.base_offset = batch->base_offset;
    decision.uncommitted = batch->base_offset >= (applied_count == 0 ? 0 : entry_end_offset(&entries[applied_count - 1].head));
  } else if (claim->epoch < producer->epoch) {
    decision.verdict = PRODUCER_FENCED;
    decision.executed = past && batch == NULL ? EXECUTED_MAYBE : EXECUTED_NO;
  } else if (claim->first_sequence == producer->next) {
    decision.verdict = PRODUCER_ACCEPTS;
  } else if (!past) {
    decision.verdict = PRODUCER_GAP;
  } else if (batch == NULL && last < producer->next && model_batch(producer, applied, last) == NULL) {
    decision.verdict = PRODUCER_TOO_OLD;
    decision.executed = EXECUTED_YES;
  } else {
    decision.verdict = PRODUCER_REUSED;
  }
  return decision;
}

/* ---- Steps ---- */

static struct producer_state *real;
static unsigned verdicts[PRODUCER_MISMATCH + 1];
static unsigned evictions, restores, drops, cuts, cuts_between;

static void propose_last(void) { producer_state_propose(real, &entries[entry_count - 1]); }

static struct producer_bounds some_bounds(void) {
  struct producer_bounds bounds = {.producers_max = (uint32_t)(2 + chance(4)), .batches_max = (uint32_t)(1 + chance(5))};
  bounds.bytes_max = PRODUCER_COST + PRODUCER_NAME_MAX + (uint64_t)bounds.batches_max * PRODUCER_BATCH_COST + chance(1200);
  return bounds;
}

static void step_open(void) {
  struct producer_entry what = {.kind = chance(12) == 0 ? PRODUCER_FORGET : PRODUCER_OPEN,
                                .name = bytes_of_string(names[chance(NAMES)]),
                                .bounds = some_bounds()};
  assert_true(producer_state_next_epoch(real, what.name, &what.epoch));
  add_producer_entry(&what);
  propose_last();
}

static void propose_batch(const struct producer_claim *claim, producer_id id) {
  entries[entry_count] = (struct entry){.head = {.kind = ENTRY_RECORDS,
                                                 .index = entry_count + 1,
                                                 .base_offset = log_end,
                                                 .record_count = claim->count,
                                                 .payload_crc = claim->crc,
                                                 .producer_id = id,
                                                 .producer_epoch = claim->epoch,
                                                 .first_sequence = claim->first_sequence}};
  entry_count++;
  log_end += claim->count;
  propose_last();
}

/* A claim that is likely to be interesting for somebody. */
static struct producer_claim some_claim(const char **out_name) {
  *out_name = names[chance(NAMES)];
  const struct model_producer *producer = model_find(&head_model, *out_name, 0);
  struct producer_claim claim = {.count = (uint32_t)(1 + chance(2)), .crc = (uint32_t)chance(1000), .has_crc = chance(2) == 0};
  if (producer != NULL) {
    claim.epoch = producer->epoch;
    claim.first_sequence = producer->next;
    if (chance(5) == 0) claim.epoch += chance(2) == 0 ? 1u : (uint32_t)-1;
    if (claim.epoch == UINT32_MAX) claim.epoch = 0;
    uint64_t what = chance(10);
    if (what < 3 && producer->batch_count > 0) { /* a repetition, perhaps a wrong one */
      const struct producer_batch *batch = &producer->batches[chance(producer->batch_count)];
      claim.first_sequence = batch->first_sequence;
      if (chance(6) > 0) claim.count = batch->count;
      if (chance(6) > 0) claim.crc = batch->crc;
    } else if (what == 3) {
      claim.first_sequence += chance(3);
    } else if (what == 4) {
      claim.first_sequence -= chance(claim.first_sequence < 4 ? claim.first_sequence + 1 : 4);
    }
  } else if (chance(4) == 0) {
    claim.first_sequence = chance(2);
  }
  if (producer != NULL && chance(4) == 0) {
    claim.id = producer->id;
    *out_name = NULL;
  } else {
    claim.name = bytes_of_string(*out_name);
  }
  return claim;
}

static void step_append(void) {
  const char *name = NULL;
  struct producer_claim claim = some_claim(&name);
  struct producer_decision expected = model_decide(&claim, name);
  struct producer_decision got = producer_state_decide(real, &claim);
  assert_int_equal(got.verdict, expected.verdict);
  assert_true(got.id == expected.id && got.next_sequence == expected.next_sequence && got.epoch == expected.epoch);
  assert_int_equal(got.executed, expected.executed);
  assert_int_equal(got.base_offset, expected.base_offset);
  assert_int_equal(got.uncommitted, expected.uncommitted);
  verdicts[got.verdict]++;
  if (got.verdict == PRODUCER_NEW) {
    const struct producer_entry what = {.kind = PRODUCER_OPEN, .name = claim.name, .bounds = some_bounds()};
    add_producer_entry(&what);
    propose_last();
    got = producer_state_decide(real, &claim);
    assert_int_equal(got.verdict, PRODUCER_ACCEPTS);
    assert_true(got.id == producer_id_of(GROUP, entry_count));
  }
  if (got.verdict == PRODUCER_ACCEPTS) propose_batch(&claim, got.id);
}

static void apply_next(struct producer_state *state, size_t at) { assert_ok(producer_state_apply(state, &entries[at])); }

static void step_apply(void) {
  for (uint64_t i = 1 + chance(4); i > 0 && applied_count < entry_count; i--) apply_next(real, applied_count++);
}

/* Another leader kept a part of what was proposed, and cut the rest. */
static void step_lose_leadership(void) {
  drops++;
  producer_state_cut(real, applied_count + 1);
  cut_log(applied_count + chance(entry_count - applied_count + 1));
  while (applied_count < entry_count) apply_next(real, applied_count++);
}

/* The end of what was proposed is gone, at any depth; what is before it stays proposed. */
static void step_cut(void) {
  cuts++;
  size_t keep = applied_count + chance(entry_count - applied_count + 1);
  if (keep > applied_count && keep < entry_count) cuts_between++;
  producer_state_cut(real, keep + 1);
  cut_log(keep);
}

/* The state as a restart, or a replica that comes later, would have it. */
static void step_restore(void) {
  restores++;
  struct buffer encoded;
  buffer_init(&encoded, 16u << 20);
  assert_ok(producer_state_encode(real, &encoded));
  struct producer_state *copy = producer_state_new(GROUP, chance(UINT32_MAX));
  assert_ok(producer_state_restore(copy, buffer_bytes(&encoded)));
  assert_true(producer_state_hash(copy) == producer_state_hash(real));
  buffer_deinit(&encoded);
  producer_state_free(real);
  real = copy;
  for (size_t i = applied_count; i < entry_count; i++) producer_state_propose(real, &entries[i]);
}

static void check_views(void) {
  model_replay(&applied_model, applied_count);
  model_replay(&head_model, entry_count);
  producer_state_check(real);
  struct producer_totals totals = producer_state_totals(real);
  size_t alive = 0;
  uint64_t bytes = model_cost(&applied_model, &alive);
  assert_int_equal(totals.producers, alive);
  assert_int_equal(totals.bytes, bytes);
  assert_int_equal(totals.given_up, applied_model.given_up);
  for (size_t i = 0; i < NAMES; i++) {
    const struct model_producer *expected = model_find(&applied_model, names[i], 0);
    struct producer_info info;
    assert_int_equal(producer_state_find(real, bytes_of_string(names[i]), &info), expected != NULL);
    assert_int_equal(producer_state_knows(real, bytes_of_string(names[i])), model_find(&head_model, names[i], 0) != NULL);
    if (expected == NULL) continue;
    assert_true(info.id == expected->id && info.epoch == expected->epoch && info.next_sequence == expected->next);
    assert_true(info.batches == expected->ring && info.last_index == expected->last_index);
  }
}

/* A follower that applied the same entries, and nothing else, holds the same. */
static void check_follower(void) {
  struct producer_state *follower = producer_state_new(GROUP, chance(UINT32_MAX));
  for (size_t i = 0; i < applied_count; i++) apply_next(follower, i);
  producer_state_check(follower);
  assert_true(producer_state_hash(follower) == producer_state_hash(real));
  producer_state_free(follower);
}

static void run_one(uint64_t seed) {
  random_state = seed;
  real = producer_state_new(GROUP, seed);
  entry_count = applied_count = 0;
  log_end = 0;
  check_views();
  uint64_t opens = 2 + chance(20); /* of 100 steps */
  while (entry_count < STEPS) {
    uint64_t step = chance(100);
    if (step < opens) step_open();
    else if (step < 75) step_append();
    else if (step < 94) step_apply();
    else if (step < 96) step_cut();
    else if (step < 98) step_restore();
    else step_lose_leadership();
    check_views();
  }
  step_lose_leadership();
  check_views();
  check_follower();
  evictions += (unsigned)applied_model.given_up;
  producer_state_free(real);
  cut_log(0);
}

static void any_history_is_as_the_model_says(void **state) {
  (void)state;
  uint64_t seed = seed_new();
  for (uint64_t i = 0; i < RUNS; i++) run_one(seed + i);
  print_message("%u given up, %u restores, %u leaderships lost, %u cuts (%u in between); decisions:", evictions, restores, drops,
                cuts, cuts_between);
  for (size_t i = 0; i < PRODUCER_MISMATCH; i++) print_message(" %u", verdicts[i]);
  print_message("\n");
  for (size_t i = 0; i < PRODUCER_MISMATCH; i++) assert_true(verdicts[i] > 20); /* the histories reach all of it */
  assert_true(evictions > RUNS && restores > RUNS && drops > RUNS && cuts_between > RUNS);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(any_history_is_as_the_model_says)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
