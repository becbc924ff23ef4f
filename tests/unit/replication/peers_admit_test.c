/* Which processes of a broker are listened to, on a pretended network: `two` and `three` are the same broker, on copies of one directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/codec.h"
#include "tests/unit/replication/peers_rig.h"

static struct lineage before, lineages[2];

/* A process on the directory, after those in `from`. */
static void give(struct stage_broker *broker, struct lineage *lineage, const struct lineage *from, uint64_t boot,
                 uint64_t group) {
  *lineage = *from;
  put_u64(lineage->incarnation, broker->incarnation);
  put_u64(lineage->incarnation + 8, 1);
  lineage_continue(lineage, boot, group);
  broker->lineage = lineage;
}

static void meet(struct stage_broker *a, struct stage_broker *b) {
  struct peer_address of_a = stage_address(a), of_b = stage_address(b);
  peers_set(a->peers, &of_b, 1);
  peers_set(b->peers, &of_a, 1);
}

static void begin(void) {
  stage = peer_stage_new(false, 3, 1, 41);
  one = &stage->brokers[0];
  two = &stage->brokers[1];
  three = &stage->brokers[2];
  three->id = two->id;
  three->incarnation = two->incarnation;
  give(two, &before, &(struct lineage){0}, 77, 0);
  give(two, &lineages[0], &before, 100, 10);
  stage_start(one);
  stage_start(two);
  meet(one, two);
  rig_assert_told(&one->lanes[0], "up2");
  stage_send(&two->lanes[0], one, 5, RAFT_VOTE, 1);
  rig_assert_told(&one->lanes[0], "2:5/vote#1");
  stage_run_ms(stage, 500);
}

static void a_process_that_goes_on_is_heard_at_once(void **state) {
  (void)state;
  begin();
  stage_kill(two);
  give(two, &lineages[1], &lineages[0], 200, 20);
  stage_start(two);
  meet(one, two);
  rig_assert_told(&two->lanes[0], "room1");
  stage_send(&two->lanes[0], one, 5, RAFT_VOTE, 2);

  rig_assert_told(&one->lanes[0], "2:5/vote#2"); /* it came before the first beat, maybe, and waited for it */

  assert_int_equal(atomic_load(&two->superseded), 0);
}

static void a_new_process_is_not_heard_before_it_is_kept(void **state) {
  (void)state;
  begin();
  stage_kill(two);
  one->keeps_late = true;
  give(two, &lineages[1], &lineages[0], 200, 20);
  stage_start(two);
  meet(one, two);
  rig_forget_all();
  rig_assert_told(&two->lanes[0], "up1");
  stage_send(&two->lanes[0], one, 5, RAFT_VOTE, 2);
  stage_run_ms(stage, 3000);
  assert_int_equal(one->lanes[0].messages, 1); /* the one of before */
  assert_int_equal(stage_count(&one->lanes[0], "up2"), 0);

  stage_keep(one);
  rig_assert_told(&one->lanes[0], "up2");
  stage_send(&two->lanes[0], one, 5, RAFT_VOTE,
             3); /* the one before may have gone with a connection that was made anew meanwhile */
  rig_assert_told(&one->lanes[0], "2:5/vote#3");
  assert_int_equal(atomic_load(&two->superseded), 0);
}

static void who_was_heard_is_known_after_a_start(void **state) {
  (void)state;
  begin();
  stage_kill(two);
  stage_kill(one);
  stage_start(one);
  give(three, &lineages[1], &before, 200, 10);
  stage_start(three);
  meet(one, three);
  for (uint64_t i = 2; i < 12; i++) {
    stage_send(&three->lanes[0], one, 5, RAFT_VOTE, i);
    stage_run_ms(stage, 500);
  }

  assert_true(atomic_load(&three->superseded) > 0);
  assert_int_equal(one->lanes[0].messages, 0);
}

static void nothing_of_an_older_copy_is_heard_and_it_is_told(void **state) {
  (void)state;
  begin();
  stage_kill(two);
  give(three, &lineages[1], &before, 200, 10);
  stage_start(three);
  meet(one, three);
  rig_forget_all();
  for (uint64_t i = 2; i < 12; i++) {
    stage_send(&three->lanes[0], one, 5, RAFT_VOTE, i);
    stage_append(&three->lanes[0], one, 5, 0, 1, 10, i);
    stage_run_ms(stage, 500);
  }

  assert_true(atomic_load(&three->superseded) > 0);
  assert_int_equal(one->lanes[0].messages, 1); /* the one of before */
  assert_int_equal(stage_count(&one->lanes[0], "up2"), 0);
}

static void of_two_that_live_the_first_is_heard(void **state) {
  (void)state;
  begin();
  give(three, &lineages[1], &lineages[0], 200, 20); /* a copy of what two runs on: it goes on from it */
  stage_start(three);
  struct peer_address of_one = stage_address(one);
  peers_set(three->peers, &of_one, 1);
  rig_forget_all();
  for (uint64_t i = 2; i < 12; i++) {
    stage_send(&three->lanes[0], one, 6, RAFT_VOTE, i);
    stage_send(&two->lanes[0], one, 5, RAFT_VOTE, i);
    stage_run_ms(stage, 500);
  }

  assert_true(atomic_load(&three->superseded) > 0);
  assert_int_equal(atomic_load(&two->superseded), 0);
  assert_int_equal(one->lanes[0].messages, 11);
  assert_int_equal(stage_count(&one->lanes[0], "2:5/vote#11"), 1);
  assert_int_equal(stage_count(&one->lanes[0], "down2"), 0);
}

static void one_that_was_silent_and_comes_back_is_told(void **state) {
  (void)state;
  begin();
  stage_cut(two, one, true);
  stage_cut(one, two, true);
  stage_run_ms(stage, 1500);
  give(three, &lineages[1], &lineages[0], 200, 20);
  stage_start(three);
  meet(one, three);
  rig_assert_told(&three->lanes[0], "room1");
  stage_send(&three->lanes[0], one, 6, RAFT_VOTE, 2);
  rig_assert_told(&one->lanes[0], "2:6/vote#2");
  stage_cut(two, one, false);
  stage_cut(one, two, false);
  for (uint64_t i = 3; i < 12; i++) {
    stage_send(&two->lanes[0], one, 5, RAFT_VOTE, i);
    stage_run_ms(stage, 500);
  }

  assert_true(atomic_load(&two->superseded) > 0);
  assert_int_equal(atomic_load(&three->superseded), 0);
  assert_int_equal(one->lanes[0].messages, 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(a_process_that_goes_on_is_heard_at_once, rig_tear_down),
      cmocka_unit_test_teardown(a_new_process_is_not_heard_before_it_is_kept, rig_tear_down),
      cmocka_unit_test_teardown(who_was_heard_is_known_after_a_start, rig_tear_down),
      cmocka_unit_test_teardown(nothing_of_an_older_copy_is_heard_and_it_is_told, rig_tear_down),
      cmocka_unit_test_teardown(of_two_that_live_the_first_is_heard, rig_tear_down),
      cmocka_unit_test_teardown(one_that_was_silent_and_comes_back_is_told, rig_tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
