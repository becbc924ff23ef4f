#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "replication/peer_memory.h"

static const struct replica_id two = {.broker = 2, .incarnation = {2, 1}};
static const struct lineage none;

/* As it is when process `boot` has started on the directory, whose journal had so many groups. */
static struct lineage after(const struct lineage *before, uint64_t boot, uint64_t from_group) {
  struct lineage lineage = *before;
  lineage_continue(&lineage, boot, from_group);
  return lineage;
}

/* Lets a process in that has to be let in, and hears so much of its journal. */
static void hear(struct peer_memory *memory, uint64_t boot, const struct lineage *lineage, uint64_t journal) {
  enum peer_verdict verdict = peer_memory_judge(memory, boot, lineage, journal);
  assert_true(peer_verdict_good(verdict));
  if (verdict == PEER_CONTINUES) peer_memory_take(memory, boot, lineage, journal);
  assert_true(peer_memory_hear(memory, journal));
}

static void processes_that_go_on_from_each_other_are_let_in(void **state) {
  (void)state;
  struct peer_memory memory = {.id = two};
  struct lineage first = after(&none, 100, 0), second = after(&first, 200, 12);

  hear(&memory, 100, &first, 10);
  hear(&memory, 100, &first, 12);
  hear(&memory, 200, &second, 12);

  assert_int_equal(memory.boot, 200);
  assert_int_equal(memory.generation, 2);
  assert_int_equal(peer_memory_judge(&memory, 100, &first, 12), PEER_EARLIER);
}

static void processes_that_told_nobody_are_no_gap(void **state) {
  (void)state;
  struct peer_memory memory = {.id = two};
  struct lineage lineage = after(&none, 100, 0);
  hear(&memory, 100, &lineage, 10);

  for (uint64_t boot = 200; boot < 300; boot++) lineage = after(&lineage, boot, 10 + boot - 200);

  assert_int_equal(peer_memory_judge(&memory, 299, &lineage, 0), PEER_CONTINUES);
}

static void late_word_of_the_same_process_says_nothing(void **state) {
  (void)state;
  struct peer_memory memory = {.id = two};
  struct lineage lineage = after(&none, 100, 0);
  hear(&memory, 100, &lineage, 10);

  assert_false(peer_memory_hear(&memory, 9));
  assert_true(peer_memory_hear(&memory, 0));
  assert_int_equal(memory.journal, 10);
}

/* Stopped at 10, copied, run on to 30, put back. */
static void older_copy_is_refused_however_often_it_is_started(void **state) {
  (void)state;
  struct peer_memory memory = {.id = two};
  struct lineage copied = after(&none, 100, 0), lineage = after(&copied, 200, 10);
  hear(&memory, 100, &copied, 10);
  hear(&memory, 200, &lineage, 30);

  struct lineage back = copied;
  for (uint64_t boot = 300; boot < 300 + 2 * LINEAGE_LINKS_MAX; boot++) {
    back = after(&back, boot, 10 + (boot - 300 < 15 ? boot - 300 : 15));
    assert_false(peer_verdict_good(peer_memory_judge(&memory, boot, &back, 1000)));
  }
}

/* Copied while process 200 ran and was at 20; that one went on to 30. The copy has its link, but not all of it. */
static void copy_of_a_running_directory_is_older_however_far_it_gets(void **state) {
  (void)state;
  struct peer_memory memory = {.id = two};
  struct lineage first = after(&none, 100, 0), running = after(&first, 200, 10);
  hear(&memory, 200, &running, 30);

  struct lineage copy = after(&running, 300, 20);
  assert_int_equal(peer_memory_judge(&memory, 300, &copy, 20), PEER_OLDER);
  copy = after(&copy, 400, 90); /* it ran alone for long */
  assert_int_equal(peer_memory_judge(&memory, 400, &copy, 90), PEER_OLDER);
}

static void of_two_copies_the_one_that_was_heard_first_stays(void **state) {
  (void)state;
  struct peer_memory memory = {.id = two};
  struct lineage stopped = after(&none, 100, 0), original = after(&stopped, 200, 10), clone = after(&stopped, 300, 10);
  hear(&memory, 100, &stopped, 10);
  hear(&memory, 300, &clone, 10);

  assert_int_equal(peer_memory_judge(&memory, 200, &original, 10), PEER_ANOTHER);
  struct lineage again = after(&original, 400, 50);
  assert_int_equal(peer_memory_judge(&memory, 400, &again, 50), PEER_ANOTHER);
  struct lineage cloned_again = after(&clone, 500, 10);
  assert_int_equal(peer_memory_judge(&memory, 500, &cloned_again, 10), PEER_CONTINUES);
}

/* Whoever was away for longer than links are kept cannot tell a line by them, but by how far the journal was. */
static void one_that_was_away_for_very_long_refuses_nobody_who_went_on(void **state) {
  (void)state;
  struct peer_memory memory = {.id = two};
  struct lineage lineage = after(&none, 100, 0);
  hear(&memory, 100, &lineage, 10);

  for (uint64_t boot = 200; boot < 200 + 3 * LINEAGE_LINKS_MAX; boot++) lineage = after(&lineage, boot, 10 + boot - 200);

  assert_int_equal(peer_memory_judge(&memory, lineage.links[0].boot, &lineage, 0), PEER_CONTINUES);
}

/* It remembers less than there was, which speaks against nobody. */
static void one_that_was_itself_put_back_lets_the_newest_in(void **state) {
  (void)state;
  struct peer_memory memory = {.id = two};
  struct lineage first = after(&none, 100, 0), second = after(&first, 200, 10), third = after(&second, 300, 30);
  hear(&memory, 100, &first, 5);

  hear(&memory, 300, &third, 40);

  assert_int_equal(peer_memory_judge(&memory, 200, &second, 30), PEER_OLDER);
}

static void one_without_a_lineage_is_let_in_until_it_has_one(void **state) {
  (void)state;
  struct peer_memory memory = {.id = two};

  hear(&memory, 100, &none, 10);
  hear(&memory, 200, &none, 11);
  assert_int_equal(peer_memory_judge(&memory, 300, &none, 9), PEER_OLDER);
  memory.refused_boot = 300;
  assert_int_equal(peer_memory_judge(&memory, 300, &none, 50), PEER_OLDER); /* what it has forgotten it has forgotten */

  struct lineage older = after(&none, 400, 10), lineage = after(&none, 500, 11);
  assert_int_equal(peer_memory_judge(&memory, 400, &older, 10), PEER_OLDER);
  hear(&memory, 500, &lineage, 11);
  assert_int_equal(peer_memory_judge(&memory, 600, &none, 100), PEER_OLDER);
}

static void rows_come_back_and_damage_is_seen(void **state) {
  (void)state;
  struct peer_memory rows[2] = {{.id = two, .boot = 7, .generation = 8, .journal = 9},
                                {.id = {.broker = 3, .incarnation = {5, 6}}, .boot = 10}};
  struct peer_memory back[PEER_MEMORIES_MAX];
  uint8_t bytes[PEER_MEMORIES_BYTES_MAX + 100] = {0};
  size_t count = 0;
  size_t size = peer_memories_encode(rows, 2, bytes);

  assert_int_equal(peer_memories_decode(bytes_of(bytes, size), back, &count), STATUS_OK);
  assert_int_equal(count, 2);
  assert_memory_equal(back, rows, sizeof rows);
  assert_int_equal(peer_memories_decode(bytes_of(bytes, sizeof bytes), back, &count), STATUS_OK); /* zeros behind it */

  for (size_t i = 0; i < size; i++) {
    bytes[i] ^= 0x10;
    assert_int_not_equal(peer_memories_decode(bytes_of(bytes, size), back, &count), STATUS_OK);
    bytes[i] ^= 0x10;
  }
  for (size_t cut = 0; cut < size; cut++)
    assert_int_not_equal(peer_memories_decode(bytes_of(bytes, cut), back, &count), STATUS_OK);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(processes_that_go_on_from_each_other_are_let_in),
      cmocka_unit_test(processes_that_told_nobody_are_no_gap),
      cmocka_unit_test(late_word_of_the_same_process_says_nothing),
      cmocka_unit_test(older_copy_is_refused_however_often_it_is_started),
      cmocka_unit_test(copy_of_a_running_directory_is_older_however_far_it_gets),
      cmocka_unit_test(of_two_copies_the_one_that_was_heard_first_stays),
      cmocka_unit_test(one_that_was_away_for_very_long_refuses_nobody_who_went_on),
      cmocka_unit_test(one_that_was_itself_put_back_lets_the_newest_in),
      cmocka_unit_test(one_without_a_lineage_is_let_in_until_it_has_one),
      cmocka_unit_test(rows_come_back_and_damage_is_seen),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
