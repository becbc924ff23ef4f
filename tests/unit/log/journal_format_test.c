/* The bytes of docs/FORMATS.md. A change here is a change of the format on every disk there is. */
#include "tests/unit/log/cmocka_log.h"

#include <string.h>

#include "base/memory.h"
#include "log/journal_format.h"
#include "log/journal_group.h"

static const struct journal_file_head file = {
    .sequence = 5, .salt = 0x1122334455667788, .size = 65536, .owner = "owner of a file"};

static void journal_file_head_has_its_golden_bytes(void **state) {
  (void)state;
  static const uint8_t golden[64] = {
      0x43, 0x52, 0x4e, 0x4a, 0x52, 0x4e, 0x4c, 0x31, 0x92, 0x9e, 0xbe, 0x79, 0x56, 0x1e, 0xa8, 0x7f,
      0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
      0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x6f, 0x77, 0x6e, 0x65, 0x72, 0x20, 0x6f, 0x66,
      0x20, 0x61, 0x20, 0x66, 0x69, 0x6c, 0x65, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
  };
  static uint8_t block[JOURNAL_BLOCK];
  static const uint8_t zeros[JOURNAL_BLOCK - 64];

  journal_file_head_encode(&file, block);

  assert_memory_equal(block, golden, sizeof golden);
  assert_memory_equal(block + 64, zeros, sizeof zeros);
}

static void journal_file_head_survives_the_round_trip(void **state) {
  (void)state;
  static uint8_t block[JOURNAL_BLOCK];
  struct journal_file_head decoded;
  journal_file_head_encode(&file, block);
  assert_ok(journal_file_head_decode(block, &decoded));
  assert_true(decoded.sequence == 5 && decoded.salt == file.salt && decoded.size == 65536);
  assert_memory_equal(decoded.owner, file.owner, sizeof file.owner);

  for (size_t bit = 0; bit < sizeof block * 8; bit += 7) {
    block[bit / 8] ^= (uint8_t)(1u << bit % 8);
    assert_status(journal_file_head_decode(block, &decoded), STATUS_CORRUPT);
    block[bit / 8] ^= (uint8_t)(1u << bit % 8);
  }
  memset(block, 0, sizeof block);
  assert_status(journal_file_head_decode(block, &decoded), STATUS_END);
}

/* A group of two frames: a hard state, and a frame with head and payload. */
static struct bytes seal_sample(struct journal_group *group, struct journal_group_head *head) {
  static struct journal_frame frames[2];
  memset(frames, 0, sizeof frames);
  frames[0] = (struct journal_frame){.group = 3, .instance = 1, .kind = FRAME_HARD_STATE, .head_size = JOURNAL_HARD_STATE_SIZE};
  journal_hard_state_encode(&(struct hard_state){.term = 4, .vote = 2, .commit = 9}, frames[0].head);
  frames[1] = (struct journal_frame){.group = 3, .instance = 1, .kind = FRAME_ENTRY, .first_index = 10, .head_size = 4};
  memcpy(frames[1].head, "head", 4);
  frames[1].payload.bytes = bytes_of_string(" and payload");
  uint64_t taken = 0;
  journal_group_begin(group, JOURNAL_BLOCK);
  assert_true(journal_group_add(group, &frames[0], 0, &taken));
  assert_true(journal_group_add(group, &frames[1], 0, &taken));
  assert_int_equal(taken, 16);
  *head = (struct journal_group_head){.sequence = 77,
                                      .predecessor = 0x8877665544332211,
                                      .synced_through = 76,
                                      .file_first = 70,
                                      .frames_before = 300,
                                      .released_below = 4,
                                      .block = 2};
  return journal_group_seal(group, &file, head);
}

static void journal_group_has_its_golden_bytes(void **state) {
  (void)state;
  static const uint8_t golden[] = {
      0x43, 0x52, 0x4e, 0x47, 0x01, 0x00, 0x00, 0x00, 0xfc, 0x1a, 0x14, 0x31, 0x0c, 0xe0, 0x93, 0xbe, 0x4d, 0x00, 0x00,
      0x00, 0x00, 0x00, 0x00, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x4c, 0x00, 0x00, 0x00, 0x00, 0x00,
      0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x46, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02,
      0x00, 0x00, 0x00, 0xe0, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x2c, 0x01, 0x00, 0x00,
      0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
      0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x18, 0x00,
      0x00, 0x00, 0x18, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x5f, 0xf2, 0xcc, 0x28, 0x03, 0x00, 0x00, 0x00, 0x00,
      0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
      0x0a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
      0x00, 0xce, 0xad, 0xf8, 0xfe, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00,
      0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x68,
      0x65, 0x61, 0x64, 0x20, 0x61, 0x6e, 0x64, 0x20, 0x70, 0x61, 0x79, 0x6c, 0x6f, 0x61, 0x64,
  };
  struct journal_group group;
  struct journal_group_head head;
  journal_group_init(&group, 4 * JOURNAL_BLOCK);

  struct bytes bytes = seal_sample(&group, &head);

  assert_int_equal(bytes.size, JOURNAL_BLOCK);
  assert_int_equal(head.size, sizeof golden);
  assert_memory_equal(bytes.data, golden, sizeof golden);
  for (size_t i = sizeof golden; i < bytes.size; i++) assert_int_equal(bytes.data[i], 0);
  journal_group_deinit(&group);
}

static void journal_group_head_is_bound_to_its_place(void **state) {
  (void)state;
  struct journal_group group;
  struct journal_group_head head;
  struct journal_group_head decoded;
  journal_group_init(&group, 4 * JOURNAL_BLOCK);
  struct bytes bytes = seal_sample(&group, &head);

  assert_ok(journal_group_head_decode(bytes, &file, 2, &decoded));
  assert_memory_equal(&decoded, &head, sizeof head);
  assert_status(journal_group_head_decode(bytes, &file, 3, &decoded), STATUS_CORRUPT);
  struct journal_file_head other = file;
  other.salt++;
  assert_status(journal_group_head_decode(bytes, &other, 2, &decoded), STATUS_CORRUPT);
  other = file;
  other.sequence++;
  assert_status(journal_group_head_decode(bytes, &other, 2, &decoded), STATUS_CORRUPT);
  assert_status(journal_group_head_decode(bytes_of(bytes.data, 100), &file, 2, &decoded), STATUS_CORRUPT);
  for (size_t bit = 0; bit < (JOURNAL_GROUP_HEAD_SIZE + 2 * JOURNAL_ROW_SIZE) * 8; bit++) {
    group.memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
    assert_status(journal_group_head_decode(bytes, &file, 2, &decoded), STATUS_CORRUPT);
    group.memory[bit / 8] ^= (uint8_t)(1u << bit % 8);
  }
  journal_group_deinit(&group);
}

static void journal_group_splits_only_what_no_group_could_hold(void **state) {
  (void)state;
  struct journal_group group;
  journal_group_init(&group, 4 * JOURNAL_BLOCK);
  static uint8_t payload[8 * JOURNAL_BLOCK];
  struct journal_frame fits = {.kind = FRAME_ENTRY, .payload = {.bytes = bytes_of(payload, 3 * JOURNAL_BLOCK)}};
  struct journal_frame large = {.kind = FRAME_ENTRY, .payload = {.bytes = bytes_of(payload, sizeof payload)}};
  uint64_t taken = 0;

  journal_group_begin(&group, UINT64_MAX);
  assert_true(journal_group_add(&group, &fits, 0, &taken));
  assert_false(journal_group_add(&group, &fits, 0, &taken));
  journal_group_begin(&group, UINT64_MAX);
  assert_true(journal_group_add(&group, &large, 0, &taken));
  assert_int_equal(taken, 4 * JOURNAL_BLOCK - JOURNAL_GROUP_HEAD_SIZE - JOURNAL_ROW_SIZE);
  assert_int_equal(group.size, 4 * JOURNAL_BLOCK);
  assert_false(journal_group_add(&group, &large, taken, &taken));
  journal_group_begin(&group, JOURNAL_BLOCK);
  assert_false(journal_group_add(&group, &fits, 0, &taken));
  journal_group_deinit(&group);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(journal_file_head_has_its_golden_bytes),
      cmocka_unit_test(journal_file_head_survives_the_round_trip),
      cmocka_unit_test(journal_group_has_its_golden_bytes),
      cmocka_unit_test(journal_group_head_is_bound_to_its_place),
      cmocka_unit_test(journal_group_splits_only_what_no_group_could_hold),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
