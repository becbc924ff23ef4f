/* Which processes a directory has had: the bytes, and the two files. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "log/lineage.h"
#include "log/small_file.h"
#include "tests/unit/log/log_fixture.h"

static const uint8_t incarnation[LOG_ID_SIZE] = {0xbb, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* Two processes: 7 began with an empty journal, 9 went on from group 300. */
static const uint8_t version_1[] = {
    0x43, 0x52, 0x4e, 0x4c, 0x5b, 0x15, 0x8e, 0x4d, 0x01, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, /* head */
    0xbb, 1,    2,    3,    4,    5,    6,    7,    8,    9,    10,   11,   12,   13,   14,   15,   /* incarnation */
    0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* generation */
    0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x2c, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* 9 */
    0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* 7 */
};

static struct lineage two_processes(void) {
  struct lineage lineage = {0};
  memcpy(lineage.incarnation, incarnation, LOG_ID_SIZE);
  lineage_continue(&lineage, 7, 0);
  lineage_continue(&lineage, 9, 300);
  return lineage;
}

static void the_bytes_are_those_of_the_table(void **state) {
  (void)state;
  struct lineage lineage = two_processes(), found;
  uint8_t bytes[LINEAGE_SIZE_MAX];

  assert_int_equal(lineage_encode(&lineage, bytes), sizeof version_1);

  assert_memory_equal(bytes, version_1, sizeof version_1);
  assert_int_equal(lineage_decode(bytes_of(version_1, sizeof version_1), &found), STATUS_OK);
  assert_memory_equal(&found, &lineage, sizeof found);
}

static void damaged_bytes_are_none(void **state) {
  (void)state;
  struct lineage found;
  uint8_t bytes[sizeof version_1];
  memcpy(bytes, version_1, sizeof bytes);

  for (size_t i = 0; i < sizeof bytes; i++) {
    bytes[i] ^= 0x40;
    assert_int_not_equal(lineage_decode(bytes_of(bytes, sizeof bytes), &found), STATUS_OK);
    bytes[i] ^= 0x40;
  }
  for (size_t size = 0; size < sizeof bytes; size++)
    assert_int_equal(lineage_decode(bytes_of(bytes, size), &found), STATUS_CORRUPT);
}

static void the_oldest_link_makes_room(void **state) {
  (void)state;
  struct lineage lineage = {0};

  for (uint64_t boot = 1; boot <= LINEAGE_LINKS_MAX + 3; boot++) lineage_continue(&lineage, boot, 10 * boot);

  assert_int_equal(lineage.generation, LINEAGE_LINKS_MAX + 3);
  assert_int_equal(lineage_oldest(&lineage), 4);
  assert_null(lineage_at(&lineage, 3));
  assert_int_equal(lineage_at(&lineage, 4)->boot, 4);
  assert_int_equal(lineage_at(&lineage, LINEAGE_LINKS_MAX + 3)->from_group, 10 * (LINEAGE_LINKS_MAX + 3));
  assert_null(lineage_at(&lineage, LINEAGE_LINKS_MAX + 4));
}

static void a_directory_without_one_has_none(void **state) {
  struct fixture *fixture = *state;
  struct lineage found;

  assert_int_equal(lineage_read(fixture->world->disk, incarnation, &found), STATUS_OK);

  assert_int_equal(found.count, 0);
  assert_memory_equal(found.incarnation, incarnation, LOG_ID_SIZE);
}

static void either_file_will_do_and_the_newer_one_counts(void **state) {
  struct fixture *fixture = *state;
  struct disk *disk = fixture->world->disk;
  struct lineage older = two_processes(), lineage = older, found;
  uint8_t bytes[LINEAGE_SIZE_MAX];
  lineage_continue(&lineage, 11, 400);
  assert_int_equal(lineage_write(disk, &older), STATUS_OK);

  /* As a crash between the two leaves it. */
  assert_int_equal(small_file_write(disk, "lineage", bytes_of(bytes, lineage_encode(&lineage, bytes))), STATUS_OK);
  assert_int_equal(lineage_read(disk, incarnation, &found), STATUS_OK);
  assert_memory_equal(&found, &lineage, sizeof found);

  assert_int_equal(lineage_write(disk, &lineage), STATUS_OK);
  fixture_flip(fixture, "lineage", 60);
  assert_int_equal(lineage_read(disk, incarnation, &found), STATUS_OK);
  assert_memory_equal(&found, &lineage, sizeof found);

  fixture_flip(fixture, "lineage.copy", 60);
  assert_int_equal(lineage_read(disk, incarnation, &found), STATUS_CORRUPT);
  assert_int_equal(found.count, 0);
  lineage_continue(&found, 13, 500);
  assert_int_equal(lineage_write(disk, &found), STATUS_OK);
  assert_int_equal(lineage_read(disk, incarnation, &found), STATUS_OK);
  assert_int_equal(found.links[0].boot, 13);
}

static void that_of_another_directory_is_none(void **state) {
  struct fixture *fixture = *state;
  struct lineage lineage = two_processes(), found;
  static const uint8_t other[LOG_ID_SIZE] = {1};

  assert_int_equal(lineage_write(fixture->world->disk, &lineage), STATUS_OK);

  assert_int_equal(lineage_read(fixture->world->disk, other, &found), STATUS_CORRUPT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_bytes_are_those_of_the_table),
      cmocka_unit_test(damaged_bytes_are_none),
      cmocka_unit_test(the_oldest_link_makes_room),
      cmocka_unit_test_setup_teardown(a_directory_without_one_has_none, fixture_set_up, fixture_tear_down),
      cmocka_unit_test_setup_teardown(either_file_will_do_and_the_newer_one_counts, fixture_set_up, fixture_tear_down),
      cmocka_unit_test_setup_teardown(that_of_another_directory_is_none, fixture_set_up, fixture_tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
