#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replication/peer_memory.h"

static const struct replica_id two = {.broker = 2, .incarnation = {2, 1}};
static const struct replica_id wiped = {.broker = 2, .incarnation = {2, 2}};

static void a_journal_that_grows_is_news(void **state) {
  struct peer_memory memory = {0};
  (void)state;

  assert_int_equal(peer_memory_note(&memory, &two, 100, 10), PEER_NEWS);
  assert_int_equal(peer_memory_note(&memory, &two, 100, 10), PEER_NEWS);
  assert_int_equal(peer_memory_note(&memory, &two, 200, 11), PEER_NEWS);
  assert_int_equal(peer_memory_note(&memory, &two, 200, 0), PEER_NEWS);

  assert_int_equal(memory.journal, 11);
}

/* On a connection that a network held back. */
static void beats_of_a_process_that_is_known_come_late_and_accuse_nobody(void **state) {
  struct peer_memory memory = {0};
  (void)state;
  peer_memory_note(&memory, &two, 100, 10);

  assert_int_equal(peer_memory_note(&memory, &two, 100, 9), PEER_LATE);
  assert_int_equal(peer_memory_note(&memory, &two, 200, 12), PEER_NEWS);
  assert_int_equal(peer_memory_note(&memory, &two, 100, 11), PEER_LATE);
  assert_int_equal(peer_memory_note(&memory, &two, 200, 11), PEER_LATE);
  assert_int_equal(peer_memory_note(&memory, &two, 200, 13), PEER_NEWS);

  assert_int_equal(memory.journal, 13);
}

static void a_process_that_begins_with_less_is_refused_for_good_and_told_of_once(void **state) {
  struct peer_memory memory = {0};
  (void)state;
  peer_memory_note(&memory, &two, 100, 10);

  assert_int_equal(peer_memory_note(&memory, &two, 200, 9), PEER_WENT_BACK);
  assert_int_equal(peer_memory_note(&memory, &two, 200, 9), PEER_REFUSED);
  assert_int_equal(peer_memory_note(&memory, &two, 200, 0), PEER_REFUSED);
  assert_int_equal(peer_memory_note(&memory, &two, 200, 50), PEER_REFUSED); /* what it has forgotten it has forgotten */
  assert_int_equal(peer_memory_note(&memory, &two, 300, 8), PEER_WENT_BACK);
  assert_int_equal(peer_memory_note(&memory, &two, 400, 10), PEER_NEWS);

  assert_int_equal(memory.journal, 10);
}

static void another_directory_begins_anew(void **state) {
  struct peer_memory memory = {0};
  (void)state;
  peer_memory_note(&memory, &two, 100, 10);

  assert_int_equal(peer_memory_note(&memory, &wiped, 200, 1), PEER_NEWS);

  assert_int_equal(memory.journal, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_journal_that_grows_is_news),
      cmocka_unit_test(beats_of_a_process_that_is_known_come_late_and_accuse_nobody),
      cmocka_unit_test(a_process_that_begins_with_less_is_refused_for_good_and_told_of_once),
      cmocka_unit_test(another_directory_begins_anew),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
