/* What a partition remembers of its producers, story by story. */
#include "server/producer_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "tests/unit/base/cmocka_base.h"

static const struct producer_bounds roomy = {.producers_max = 100, .batches_max = 1024, .bytes_max = 16u << 20};

static struct producer_state *producers;
static entry_index last_index;
static record_offset end_offset;

static int setup(void **state) {
  (void)state;
  producers = producer_state_new(5, 1);
  last_index = 0;
  end_offset = 0;
  return 0;
}
static int teardown(void **state) {
  (void)state;
  producer_state_check(producers);
  producer_state_free(producers);
  return 0;
}

/* ---- Entries ---- */

static struct entry open_entry(const char *name, uint32_t epoch, const struct producer_bounds *bounds) {
  const struct producer_entry opened = {.kind = PRODUCER_OPEN, .name = bytes_of_string(name), .epoch = epoch, .bounds = *bounds};
  struct blob *blob = NULL;
  assert_ok(blob_new(NULL, producer_entry_size(&opened), &blob));
  producer_entry_encode(&opened, blob->data);
  return (struct entry){.head = {.kind = ENTRY_PRODUCER, .index = ++last_index, .base_offset = end_offset},
                        .payload = {.blob = blob, .bytes = bytes_of(blob->data, blob->size)}};
}

static struct entry batch_entry(producer_id id, uint32_t epoch, uint64_t sequence, uint32_t count, uint32_t crc) {
  struct entry entry = {.head = {.kind = ENTRY_RECORDS,
                                 .index = ++last_index,
                                 .base_offset = end_offset,
                                 .record_count = count,
                                 .producer_id = id,
                                 .producer_epoch = epoch,
                                 .first_sequence = sequence,
                                 .payload_crc = crc}};
  end_offset += count;
  return entry;
}

static producer_id apply_open(const char *name, uint32_t epoch) {
  struct entry entry = open_entry(name, epoch, &roomy);
  assert_ok(producer_state_apply(producers, &entry));
  entry_release(&entry);
  struct producer_info info;
  assert_true(producer_state_find(producers, bytes_of_string(name), &info));
  return info.id;
}

static void apply_batch(producer_id id, uint32_t epoch, uint64_t sequence, uint32_t count, uint32_t crc) {
  struct entry entry = batch_entry(id, epoch, sequence, count, crc);
  assert_ok(producer_state_apply(producers, &entry));
}

static struct producer_decision decide(const char *name, uint32_t epoch, uint64_t sequence, uint32_t count, uint32_t crc) {
  const struct producer_claim claim = {
      .name = bytes_of_string(name), .epoch = epoch, .first_sequence = sequence, .count = count, .has_crc = crc != 0, .crc = crc};
  return producer_state_decide(producers, &claim);
}

#define EXPECT(decision, expected, whether)             \
  do {                                                  \
    struct producer_decision got = decision;            \
    assert_int_equal(got.verdict, PRODUCER_##expected); \
    assert_int_equal(got.executed, EXECUTED_##whether); \
  } while (0)

/* ---- Stories ---- */

static void a_name_that_nobody_has_begins_at_sequence_0(void **state) {
  (void)state;
  EXPECT(decide("a", 0, 0, 3, 1), NEW, NO);
  EXPECT(decide("a", 0, 1, 3, 1), UNKNOWN, NO);
  EXPECT(decide("a", 1, 0, 3, 1), UNKNOWN, NO);
}

static void batches_follow_each_other(void **state) {
  (void)state;
  producer_id id = apply_open("a", 0);
  apply_batch(id, 0, 0, 3, 11);

  EXPECT(decide("a", 0, 3, 2, 12), ACCEPTS, NO);
  struct producer_decision gap = decide("a", 0, 4, 2, 12);
  assert_int_equal(gap.verdict, PRODUCER_GAP);
  assert_int_equal(gap.next_sequence, 3);
}

static void a_repetition_gets_its_original_offset(void **state) {
  (void)state;
  producer_id id = apply_open("a", 0);
  apply_batch(id, 0, 0, 3, 11);
  end_offset += 10; /* somebody else's */
  apply_batch(id, 0, 3, 2, 12);

  struct producer_decision again = decide("a", 0, 3, 2, 12);
  assert_int_equal(again.verdict, PRODUCER_DUPLICATE);
  assert_int_equal(again.base_offset, 13);
  assert_false(again.uncommitted);
  assert_int_equal(decide("a", 0, 0, 3, 0).base_offset, 0); /* without a checksum the count has to do */
}

static void a_sequence_with_other_records_is_no_repetition(void **state) {
  (void)state;
  producer_id id = apply_open("a", 0);
  apply_batch(id, 0, 0, 3, 11);
  apply_batch(id, 0, 3, 3, 12);

  EXPECT(decide("a", 0, 0, 3, 99), REUSED, NO);
  EXPECT(decide("a", 0, 0, 2, 0), REUSED, NO);
  EXPECT(decide("a", 0, 1, 2, 0), REUSED, NO);
  EXPECT(decide("a", 0, 3, 5, 0), REUSED, NO); /* reaches beyond the end */
}

static void what_is_older_than_the_window_is_known_to_be_there(void **state) {
  (void)state;
  producer_id id = apply_open("a", 0);
  for (uint64_t i = 0; i < 1100; i++) apply_batch(id, 0, i, 1, (uint32_t)i + 1);

  EXPECT(decide("a", 0, 76, 1, 77), DUPLICATE, YES); /* 1,100 - 1,024 */
  EXPECT(decide("a", 0, 75, 1, 76), TOO_OLD, YES);
  EXPECT(decide("a", 0, 75, 2, 0), REUSED, NO); /* half of it is remembered, and otherwise */
}

static void a_newer_epoch_fences_the_older(void **state) {
  (void)state;
  producer_id id = apply_open("a", 1);
  apply_batch(id, 1, 0, 3, 11);
  (void)apply_open("a", 2);

  struct producer_decision fenced = decide("a", 1, 3, 1, 12);
  assert_int_equal(fenced.verdict, PRODUCER_FENCED);
  assert_int_equal(fenced.epoch, 2);
  assert_int_equal(fenced.executed, EXECUTED_NO);
  EXPECT(decide("a", 2, 3, 1, 12), ACCEPTS, NO); /* sequences run on */
  EXPECT(decide("a", 3, 3, 1, 12), UNKNOWN, NO); /* never given */
  EXPECT(decide("a", 3, 0, 3, 11), UNKNOWN, MAYBE);
  EXPECT(decide("a", 0, 3, 1, 12), FENCED, NO); /* so is who gives none */
}

static void a_fenced_writer_still_learns_what_it_wrote(void **state) {
  (void)state;
  producer_id id = apply_open("a", 1);
  apply_batch(id, 1, 0, 3, 11);
  (void)apply_open("a", 2);
  apply_batch(id, 2, 3, 3, 12);

  EXPECT(decide("a", 1, 0, 3, 11), DUPLICATE, YES); /* its own */
  EXPECT(decide("a", 2, 0, 3, 11), DUPLICATE, YES); /* its heir's retry of it */
  EXPECT(decide("a", 1, 3, 3, 0), FENCED, NO);      /* the heir's, though it looks alike */
  for (uint64_t i = 0; i < 1024; i++) apply_batch(id, 2, 6 + i, 1, 1);
  EXPECT(decide("a", 1, 0, 3, 11), FENCED, MAYBE); /* nobody remembers whose that was */
}

static void a_proposed_batch_counts_and_its_repetition_waits(void **state) {
  (void)state;
  producer_id id = apply_open("a", 0);
  struct entry entry = batch_entry(id, 0, 0, 3, 11);
  producer_state_propose(producers, &entry);

  struct producer_decision again = decide("a", 0, 0, 3, 11);
  assert_int_equal(again.verdict, PRODUCER_DUPLICATE);
  assert_true(again.uncommitted);
  EXPECT(decide("a", 0, 3, 1, 12), ACCEPTS, NO);

  assert_ok(producer_state_apply(producers, &entry));
  assert_false(decide("a", 0, 0, 3, 11).uncommitted);
}

static void what_was_proposed_is_gone_with_the_leadership(void **state) {
  (void)state;
  producer_id id = apply_open("a", 0);
  uint64_t before = producer_state_hash(producers);
  struct entry batch = batch_entry(id, 0, 0, 3, 11);
  struct entry epoch = open_entry("a", 1, &roomy);
  struct entry other = open_entry("b", 1, &roomy);
  producer_state_propose(producers, &batch);
  producer_state_propose(producers, &epoch);
  producer_state_propose(producers, &other);
  EXPECT(decide("a", 0, 3, 1, 12), FENCED, NO);

  producer_state_cut(producers, 0);

  EXPECT(decide("a", 0, 0, 3, 11), ACCEPTS, NO);
  EXPECT(decide("b", 1, 0, 1, 0), UNKNOWN, NO);
  assert_true(producer_state_hash(producers) == before);
  entry_release(&epoch);
  entry_release(&other);
}

static void an_id_stands_for_the_name(void **state) {
  (void)state;
  producer_id a = apply_open("a", 0);
  producer_id b = apply_open("b", 0);
  assert_true(a != b && a != 0 && b != 0);
  struct producer_claim claim = {.id = b, .count = 1};

  assert_int_equal(producer_state_decide(producers, &claim).verdict, PRODUCER_ACCEPTS);
  claim.name = bytes_of_string("b");
  assert_int_equal(producer_state_decide(producers, &claim).verdict, PRODUCER_ACCEPTS);
  claim.name = bytes_of_string("a");
  assert_int_equal(producer_state_decide(producers, &claim).verdict, PRODUCER_MISMATCH);
  claim = (struct producer_claim){.id = a + 1, .count = 1};
  assert_int_equal(producer_state_decide(producers, &claim).verdict, PRODUCER_UNKNOWN);
}

static void ids_of_two_groups_differ(void **state) {
  (void)state;
  for (entry_index i = 1; i < 1000; i++) {
    assert_true(producer_id_of(1, i) != producer_id_of(2, i));
    assert_true(producer_id_of(1, i) != producer_id_of(1, i + 1));
  }
}

/* ---- Bounds ---- */

static void apply_bounded(const char *name, const struct producer_bounds *bounds) {
  struct entry entry = open_entry(name, 1, bounds);
  assert_ok(producer_state_apply(producers, &entry));
  entry_release(&entry);
}

static bool known(const char *name) {
  struct producer_info info;
  return producer_state_find(producers, bytes_of_string(name), &info);
}

static void the_one_that_appended_least_recently_goes(void **state) {
  (void)state;
  const struct producer_bounds two = {.producers_max = 2, .batches_max = 4, .bytes_max = 1u << 20};
  apply_bounded("a", &two);
  apply_bounded("b", &two);
  struct producer_info a;
  assert_true(producer_state_find(producers, bytes_of_string("a"), &a));
  apply_batch(a.id, 1, 0, 1, 1);

  apply_bounded("c", &two);

  assert_true(known("a") && known("c") && !known("b"));
  assert_int_equal(producer_state_totals(producers).given_up, 1);
}

static void who_was_given_up_is_never_taken_in_silence(void **state) {
  (void)state;
  const struct producer_bounds one = {.producers_max = 1, .batches_max = 4, .bytes_max = 1u << 20};
  apply_bounded("a", &one);
  apply_bounded("b", &one);

  EXPECT(decide("a", 1, 5, 1, 1), UNKNOWN, MAYBE);
  EXPECT(decide("a", 0, 0, 1, 1), UNKNOWN, MAYBE); /* perhaps the repetition of its first batch */
  EXPECT(decide("never-seen", 0, 0, 1, 1), UNKNOWN, MAYBE);
  apply_bounded("a", &one); /* opened: now it knows that nothing is remembered */
  EXPECT(decide("a", 1, 0, 1, 1), ACCEPTS, NO);
}

static void who_is_about_to_go_is_gone_at_the_head(void **state) {
  (void)state;
  const struct producer_bounds one = {.producers_max = 1, .batches_max = 4, .bytes_max = 1u << 20};
  apply_bounded("a", &one);
  struct entry other = open_entry("b", 1, &one);
  producer_state_propose(producers, &other);
  EXPECT(decide("a", 1, 0, 1, 1), UNKNOWN, MAYBE);

  producer_state_cut(producers, 0);
  EXPECT(decide("a", 1, 0, 1, 1), ACCEPTS, NO);
  entry_release(&other);
}

static void what_is_before_a_cut_stays_proposed(void **state) {
  (void)state;
  const struct producer_bounds one = {.producers_max = 1, .batches_max = 4, .bytes_max = 1u << 20};
  apply_bounded("a", &one);
  struct entry batch = batch_entry(producer_id_of(5, 1), 1, 0, 3, 11);
  struct entry again = open_entry("a", 2, &one);
  struct entry other = open_entry("b", 1, &one); /* "a" goes for it, and with it its batch's memory */
  producer_state_propose(producers, &batch);
  producer_state_propose(producers, &again);
  producer_state_propose(producers, &other);
  EXPECT(decide("a", 2, 3, 1, 1), UNKNOWN, MAYBE);

  producer_state_cut(producers, other.head.index);
  EXPECT(decide("a", 2, 3, 1, 1), ACCEPTS, NO);
  producer_state_cut(producers, again.head.index);
  EXPECT(decide("a", 1, 3, 1, 1), ACCEPTS, NO);
  assert_true(decide("a", 1, 0, 3, 11).uncommitted);
  assert_ok(producer_state_apply(producers, &batch));

  EXPECT(decide("a", 1, 0, 3, 11), DUPLICATE, YES);
  entry_release(&again);
  entry_release(&other);
}

static void batches_count_too(void **state) {
  (void)state;
  const struct producer_bounds thin = {
      .producers_max = 100, .batches_max = 100, .bytes_max = PRODUCER_COST + PRODUCER_NAME_MAX + 100 * PRODUCER_BATCH_COST};
  apply_bounded("a", &thin);
  apply_bounded("b", &thin);
  struct producer_info b;
  assert_true(producer_state_find(producers, bytes_of_string("b"), &b));

  for (uint64_t i = 0; i < 100; i++) apply_batch(b.id, 1, i, 1, 1);

  assert_false(known("a"));
  assert_true(known("b"));
}

/* ---- Storing ---- */

/* The bytes of docs/FORMATS.md. */
static const uint8_t golden[] = {
    0x01, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xb9, 0xb5, 0x01, 0xd1, 0xd8, 0x54,
    0xbb, 0x71, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
    0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x61, 0x62, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x03,
    0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x06, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x06, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00,
    0x00, 0x01, 0x00, 0x00, 0x00, 0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x22, 0x22, 0x33, 0x33, 0x33, 0x33,
};

static void make_golden(void) {
  apply_bounded("ab", &(struct producer_bounds){.producers_max = 4096, .batches_max = 1024, .bytes_max = 8u << 20});
  struct producer_info info;
  assert_true(producer_state_find(producers, bytes_of_string("ab"), &info));
  apply_batch(info.id, 1, 0, 3, 0x11111111);
  apply_batch(info.id, 1, 3, 3, 0x22222222);
  apply_batch(info.id, 1, 6, 2, 0x33333333);
}

/* Bounds that an open tells hold for everybody from that entry on: who opens again with a longer ring than they allow would be the newest one
 * and beyond them by itself. */
static void a_smaller_window_holds_at_once(void **state) {
  (void)state;
  const struct producer_bounds wide = {.producers_max = 4, .batches_max = 8, .bytes_max = 1u << 20};
  const struct producer_bounds narrow = {
      .producers_max = 4, .batches_max = 2, .bytes_max = PRODUCER_COST + PRODUCER_NAME_MAX + 2 * PRODUCER_BATCH_COST + 60};
  apply_bounded("a", &wide);
  for (uint64_t i = 0; i < 8; i++) apply_batch(producer_id_of(5, 1), 1, i, 1, (uint32_t)i + 1);
  struct entry again = open_entry("a", 2, &narrow);
  struct entry other = open_entry("b", 1, &narrow);

  producer_state_propose(producers, &again);
  producer_state_propose(producers, &other);
  assert_false(producer_state_knows(producers, bytes_of_string("a"))); /* no room for both, and "b" is the newest */
  assert_ok(producer_state_apply(producers, &again));

  struct producer_info info;
  assert_true(producer_state_find(producers, bytes_of_string("a"), &info));
  assert_int_equal(info.batches, 2);
  assert_int_equal(info.window_sequence, 6);
  assert_true(producer_state_totals(producers).bytes <= narrow.bytes_max);
  producer_state_check(producers);
  assert_ok(producer_state_apply(producers, &other));
  entry_release(&again);
  entry_release(&other);
}

static void a_snapshot_has_its_golden_bytes(void **state) {
  (void)state;
  make_golden();
  struct buffer encoded;
  buffer_init(&encoded, 1 << 20);
  assert_ok(producer_state_encode(producers, &encoded));
  assert_int_equal(encoded.size, sizeof golden);
  assert_memory_equal(encoded.data, golden, sizeof golden);
  buffer_deinit(&encoded);
}

static void a_snapshot_is_taken_back_as_it_was(void **state) {
  (void)state;
  assert_ok(producer_state_restore(producers, bytes_of(golden, sizeof golden)));
  producer_state_check(producers);

  EXPECT(decide("ab", 1, 3, 3, 0x22222222), DUPLICATE, YES);
  assert_int_equal(decide("ab", 1, 6, 2, 0).base_offset, 6);
  EXPECT(decide("ab", 1, 8, 1, 0), ACCEPTS, NO);
}

static void a_damaged_snapshot_is_refused(void **state) {
  (void)state;
  uint8_t copy[sizeof golden + 1] = {0};
  for (size_t size = 0; size < sizeof golden; size++)
    assert_status(producer_state_restore(producers, bytes_of(golden, size)), STATUS_CORRUPT);
  memcpy(copy, golden, sizeof golden);
  assert_status(producer_state_restore(producers, bytes_of(copy, sizeof copy)), STATUS_CORRUPT);
  static const size_t bad[] = {12, 32 + 8, 32 + 28, 32 + 30, 32 + 32, 32 + 36}; /* each field by itself does not fit the others */
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    memcpy(copy, golden, sizeof golden);
    copy[bad[i]] ^= 0x10;
    assert_status(producer_state_restore(producers, bytes_of(copy, sizeof golden)), STATUS_CORRUPT);
  }
  assert_int_equal(producer_state_totals(producers).producers, 0);
}

static void producers_are_listed_by_name(void **state) {
  (void)state;
  (void)apply_open("c", 1);
  (void)apply_open("a", 2);
  (void)apply_open("b", 3);
  struct producer_info infos[2];

  assert_int_equal(producer_state_list(producers, bytes_of_string(""), infos, 2), 2);
  assert_true(bytes_equal(infos[0].name, bytes_of_string("a")));
  assert_int_equal(infos[1].epoch, 3);
  assert_int_equal(producer_state_list(producers, infos[1].name, infos, 2), 1);
  assert_true(bytes_equal(infos[0].name, bytes_of_string("c")));
  assert_int_equal(infos[0].last_offset, -1);
}

/* ---- Rot: entries that are not there any more ---- */

static void records_of_nobody_are_passed_over(void **state) {
  (void)state;
  struct entry entry = batch_entry(77, 1, 0, 1, 1);
  assert_status(producer_state_apply(producers, &entry), STATUS_NOT_FOUND);
}

static void what_is_left_behind_a_hole_can_be_stored(void **state) {
  (void)state;
  producer_id id = apply_open("a", 0);
  apply_batch(id, 0, 0, 3, 1);
  apply_batch(id, 4, 10, 3, 1); /* both the epoch and what lies between were lost */
  producer_state_check(producers);
  struct buffer encoded;
  buffer_init(&encoded, 1 << 20);
  assert_ok(producer_state_encode(producers, &encoded));

  struct producer_state *copy = producer_state_new(5, 2);
  assert_ok(producer_state_restore(copy, buffer_bytes(&encoded)));
  assert_true(producer_state_hash(copy) == producer_state_hash(producers));
  producer_state_free(copy);
  buffer_deinit(&encoded);
}

static void an_entry_of_a_newer_version_is_foreign(void **state) {
  (void)state;
  struct entry entry = open_entry("a", 1, &roomy);
  entry.payload.blob->data[0] = 2;
  assert_status(producer_state_apply(producers, &entry), STATUS_FOREIGN);
  entry.payload.blob->data[0] = 1;
  entry.payload.blob->data[1] = 9;
  assert_status(producer_state_apply(producers, &entry), STATUS_FOREIGN);
  entry_release(&entry);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_name_that_nobody_has_begins_at_sequence_0),
      TEST(batches_follow_each_other),
      TEST(a_repetition_gets_its_original_offset),
      TEST(a_sequence_with_other_records_is_no_repetition),
      TEST(what_is_older_than_the_window_is_known_to_be_there),
      TEST(a_newer_epoch_fences_the_older),
      TEST(a_fenced_writer_still_learns_what_it_wrote),
      TEST(a_proposed_batch_counts_and_its_repetition_waits),
      TEST(what_was_proposed_is_gone_with_the_leadership),
      TEST(an_id_stands_for_the_name),
      TEST(ids_of_two_groups_differ),
      TEST(the_one_that_appended_least_recently_goes),
      TEST(who_was_given_up_is_never_taken_in_silence),
      TEST(who_is_about_to_go_is_gone_at_the_head),
      TEST(what_is_before_a_cut_stays_proposed),
      TEST(batches_count_too),
      TEST(a_smaller_window_holds_at_once),
      TEST(a_snapshot_has_its_golden_bytes),
      TEST(a_snapshot_is_taken_back_as_it_was),
      TEST(a_damaged_snapshot_is_refused),
      TEST(producers_are_listed_by_name),
      TEST(records_of_nobody_are_passed_over),
      TEST(what_is_left_behind_a_hole_can_be_stored),
      TEST(an_entry_of_a_newer_version_is_foreign),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
