/* The run-length coded ring against an array of batches that is searched from end to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/codec.h"
#include "base/memory.h"
#include "server/producer_ring.h"
#include "tests/unit/base/cmocka_base.h"

#define PUSHES 6000u

static uint64_t random_state;
static uint64_t chance(uint64_t below) {
  random_state = random_state * 6364136223846793005u + 1442695040888963407u;
  return (random_state >> 33) % below;
}

/* ---- By hand ---- */

static void push(struct producer_ring *ring, uint64_t sequence, uint32_t count, record_offset offset, uint32_t max) {
  const struct producer_batch batch = {
      .first_sequence = sequence, .count = count, .crc = (uint32_t)sequence * 7, .base_offset = offset};
  producer_ring_push(ring, &batch, max);
}

static void a_producer_alone_needs_one_run(void **state) {
  (void)state;
  struct producer_ring ring = {0};

  for (uint32_t i = 0; i < 5000; i++) push(&ring, (uint64_t)i * 3, 3, 100 + (record_offset)i * 3, 1024);

  assert_int_equal(ring.batch_count, 1024);
  assert_int_equal(ring.run_count, 1);
  assert_int_equal(producer_ring_first_sequence(&ring), (5000 - 1024) * 3);
  producer_ring_deinit(&ring);
}

static void producers_that_take_turns_need_one_run_each(void **state) {
  (void)state;
  struct producer_ring ring = {0};

  for (uint32_t i = 0; i < 1000; i++) push(&ring, i, 1, (record_offset)i * 4, 1024);

  assert_int_equal(ring.run_count, 1);
  struct producer_batch found;
  assert_true(producer_ring_find(&ring, 999, &found));
  assert_int_equal(found.base_offset, 999 * 4);
  producer_ring_deinit(&ring);
}

static void the_window_has_exactly_its_batches(void **state) {
  (void)state;
  struct producer_ring ring = {0};
  struct producer_batch found;

  for (uint32_t i = 0; i < 1025; i++) push(&ring, i, 1, i, 1024);

  assert_false(producer_ring_find(&ring, 0, &found));
  assert_true(producer_ring_find(&ring, 1, &found));
  assert_true(producer_ring_find(&ring, 1024, &found));
  assert_false(producer_ring_find(&ring, 1025, &found));
  producer_ring_deinit(&ring);
}

static void an_epoch_begins_a_run(void **state) {
  (void)state;
  struct producer_ring ring = {0};
  struct producer_batch found;

  for (uint32_t i = 0; i < 10; i++) {
    const struct producer_batch batch = {.first_sequence = i, .count = 1, .epoch = i / 5, .base_offset = i};
    producer_ring_push(&ring, &batch, 1024);
  }

  assert_int_equal(ring.run_count, 2);
  assert_true(producer_ring_find(&ring, 4, &found));
  assert_int_equal(found.epoch, 0);
  assert_true(producer_ring_find(&ring, 5, &found));
  assert_int_equal(found.epoch, 1);
  producer_ring_deinit(&ring);
}

static void a_batch_that_does_not_follow_clears_what_was(void **state) {
  (void)state;
  struct producer_ring ring = {0};
  struct producer_batch found;

  push(&ring, 0, 5, 0, 1024);
  push(&ring, 10, 5, 20, 1024);

  assert_int_equal(ring.batch_count, 1);
  assert_false(producer_ring_find(&ring, 0, &found));
  assert_true(producer_ring_find(&ring, 14, &found));
  assert_int_equal(found.base_offset, 20);
  producer_ring_deinit(&ring);
}

static void a_run_that_cannot_be_is_not_taken_back(void **state) {
  (void)state;
  const uint8_t crcs[8] = {0};
  const struct producer_run good = {.first_sequence = 7, .base_offset = 3, .count = 2, .stride = 2, .batches = 2};
  struct producer_run bad[6] = {good, good, good, good, good, good};
  bad[0].count = 0;
  bad[1].batches = 0;
  bad[2].base_offset = -1;
  bad[3].stride = 0;
  bad[4].first_sequence = UINT64_MAX - 3;
  bad[5].base_offset = INT64_MAX - 3;
  for (size_t i = 0; i < 6; i++) {
    struct producer_ring ring = {0};
    assert_int_equal(producer_ring_restore_run(&ring, &bad[i], crcs), STATUS_CORRUPT);
    producer_ring_deinit(&ring);
  }
  struct producer_ring ring = {0};
  assert_int_equal(producer_ring_restore_run(&ring, &good, crcs), STATUS_OK);
  assert_int_equal(producer_ring_restore_run(&ring, &good, crcs), STATUS_CORRUPT); /* does not follow itself */
  producer_ring_deinit(&ring);
}

/* ---- Against an array ---- */

static struct producer_batch model[PUSHES];
static size_t model_begin, model_end;

static void check_one(const struct producer_ring *ring, uint64_t sequence) {
  const struct producer_batch *expected = NULL;
  for (size_t i = model_begin; i < model_end; i++)
    if (sequence >= model[i].first_sequence && sequence - model[i].first_sequence < model[i].count) expected = &model[i];
  struct producer_batch found;
  assert_int_equal(producer_ring_find(ring, sequence, &found), expected != NULL);
  if (expected == NULL) return;
  assert_int_equal(found.first_sequence, expected->first_sequence);
  assert_int_equal(found.count, expected->count);
  assert_int_equal(found.epoch, expected->epoch);
  assert_int_equal(found.crc, expected->crc);
  assert_int_equal(found.base_offset, expected->base_offset);
}

/* Takes it apart and puts it together again. */
static void through_storage(struct producer_ring *ring) {
  struct producer_ring copy = {0};
  uint32_t crc = 0;
  for (uint32_t i = 0; i < ring->run_count; i++) {
    struct producer_run run = producer_ring_run(ring, i);
    uint8_t *crcs = memory_new((size_t)run.batches * 4);
    for (uint32_t k = 0; k < run.batches; k++) put_u32(crcs + (size_t)k * 4, producer_ring_crc(ring, crc++));
    assert_int_equal(producer_ring_restore_run(&copy, &run, crcs), STATUS_OK);
    memory_free(crcs);
  }
  producer_ring_deinit(ring);
  *ring = copy;
}

static void run_one(uint64_t seed) {
  random_state = seed;
  struct producer_ring ring = {0};
  uint32_t max = (uint32_t)(1 + chance(40));
  uint64_t sequence = chance(3) == 0 ? UINT64_MAX - 100 * PUSHES : chance(1000);
  record_offset offset = (record_offset)chance(1000);
  uint32_t epoch = 0;
  model_begin = model_end = 0;
  for (size_t i = 0; i < 600; i++) {
    if (chance(30) == 0) epoch++;
    if (chance(200) == 0) sequence += 1 + chance(9); /* rot */
    uint64_t spacing = chance(4) == 0 ? chance(5) : 0;
    if (chance(300) == 0) spacing = (uint64_t)1 << 33;
    struct producer_batch *batch = &model[model_end];
    *batch = (struct producer_batch){.first_sequence = sequence,
                                     .count = chance(3) == 0 ? (uint32_t)(1 + chance(3)) : 2,
                                     .epoch = epoch,
                                     .crc = (uint32_t)chance(UINT32_MAX),
                                     .base_offset = offset + (record_offset)spacing};
    bool follows =
        model_end == model_begin || model[model_end - 1].first_sequence + model[model_end - 1].count == batch->first_sequence;
    if (!follows) model_begin = model_end;
    model_end++;
    while (model_end - model_begin > max) model_begin++;
    producer_ring_push(&ring, batch, max);
    sequence = batch->first_sequence + batch->count;
    offset = batch->base_offset + batch->count;

    if (chance(20) == 0) through_storage(&ring);
    assert_int_equal(ring.batch_count, model_end - model_begin);
    assert_int_equal(producer_ring_first_sequence(&ring), model[model_begin].first_sequence);
    assert_int_equal(producer_ring_last(&ring).base_offset, batch->base_offset);
    uint64_t oldest = model[model_begin].first_sequence;
    for (uint64_t s = oldest < 3 ? 0 : oldest - 3; s < sequence + 3; s++) check_one(&ring, s);
  }
  producer_ring_deinit(&ring);
}

static void any_history_is_found_as_in_an_array(void **state) {
  (void)state;
  uint64_t seed = seed_new();
  for (uint64_t i = 0; i < 60; i++) run_one(seed + i);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_producer_alone_needs_one_run),
      cmocka_unit_test(producers_that_take_turns_need_one_run_each),
      cmocka_unit_test(the_window_has_exactly_its_batches),
      cmocka_unit_test(an_epoch_begins_a_run),
      cmocka_unit_test(a_batch_that_does_not_follow_clears_what_was),
      cmocka_unit_test(a_run_that_cannot_be_is_not_taken_back),
      cmocka_unit_test(any_history_is_found_as_in_an_array),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
