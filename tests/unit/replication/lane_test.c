/* A lane and the journal behind it: turns gather, a fence is told in its place, a stop waits; and what a journal that fails leaves of it. */
#include "replication/lane.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"
#include "tests/unit/replication/replica_rig.h"

/* ---- Turns ---- */

static void turns_gather_while_all_writes_are_in_flight(void **state) {
  struct rig *rig = *state;
  stage_slow_journal(&rig->stage);
  for (unsigned i = 0; i < 3 * LANE_WRITES_MAX; i++) rig_ask(rig, 1, 100);
  assert_int_equal(rig->answers, 0);

  rig_wait_for_answers(rig);

  rig_assert_each_answered_once(rig, STATUS_OK);
  for (unsigned i = 0; i < rig->ask_count; i++) assert_int_equal(rig->asks[i].order, i + 1);
}

struct fencing {
  struct lane_fence fence;
  struct rig *rig;
  unsigned answers_before;
  bool told;
  enum status status;
};

static void fence_told(struct lane_fence *fence, enum status status) {
  struct fencing *fencing = container_of(fence, struct fencing, fence);
  fencing->told = true;
  fencing->status = status;
  fencing->answers_before = fencing->rig->answers;
}

static void propose_with_fence(void *context) {
  struct fencing *fencing = context;
  rig_propose(rig_ask_new(fencing->rig, 1, 100));
  fencing->fence.done = fence_told;
  lane_when_durable(fencing->rig->stage.lane, &fencing->fence);
}

static bool fence_is_told(void *context) { return ((struct fencing *)context)->told; }

static void a_fence_is_told_after_the_answers_of_its_turn(void **state) {
  struct rig *rig = *state;
  struct fencing good = {.rig = rig}, bad = {.rig = rig};
  stage_on_lane(&rig->stage, propose_with_fence, &good);
  assert_false(good.told);
  stage_wait(&rig->stage, fence_is_told, &good);
  assert_int_equal(good.status, STATUS_OK);
  assert_int_equal(good.answers_before, 1);

  stage_fail_journal(&rig->stage);
  stage_on_lane(&rig->stage, propose_with_fence, &bad);
  stage_wait(&rig->stage, fence_is_told, &bad);
  assert_int_equal(bad.status, STATUS_IO);
  assert_int_equal(bad.answers_before, 2);
}

static void stopping_the_lane_waits_for_what_is_in_flight(void **state) {
  struct rig *rig = *state;
  stage_slow_journal(&rig->stage);
  for (int i = 0; i < 20; i++) rig_ask(rig, 1 + (group_id)i % 2, 100);

  stage_stop(&rig->stage, false);

  rig_assert_each_answered_once(rig, STATUS_OK);
  rig_free_replicas(rig);
  stage_close(&rig->stage);
}

/* ---- A journal that fails ---- */

static void assert_fenced(struct rig *rig, group_id group) {
  struct ask *late = rig_ask(rig, group, 100);
  assert_int_equal(late->refused, STATUS_FENCED);
  assert_true(replica_fenced(rig_ledger(rig, group)->replica));
  assert_false(replica_is_leader(rig_ledger(rig, group)->replica));
  rig->ask_count--;
}

static void a_failing_journal_leaves_in_doubt_what_was_in_flight_and_fences(void **state) {
  struct rig *rig = *state;
  rig_ask(rig, 1, 100);
  rig_wait_for_answers(rig);
  stage_slow_journal(&rig->stage);
  stage_fail_journal(&rig->stage);
  rig->ask_count = 0;

  for (int i = 0; i < 5; i++) rig_ask(rig, 1, 100);
  stage_on_lane(&rig->stage, rig_ask_many_in_one_turn, rig);
  rig_wait_for_answers(rig);

  rig_assert_each_answered_once(rig, STATUS_UNKNOWN_OUTCOME);
  assert_true(lane_failed(rig->stage.lane));
  assert_fenced(rig, 1);
  assert_fenced(rig, 2);
  assert_false(rig_ledger(rig, 1)->leader);
  assert_int_equal(rig_ledger(rig, 1)->last, 2); /* nothing of it was applied */
  assert_int_equal(replica_high_watermark(rig_ledger(rig, 1)->replica), 1);
}

static void another_process_on_a_good_disk_goes_on_after_a_failure(void **state) {
  struct rig *rig = *state;
  for (int i = 0; i < 3; i++) rig_ask(rig, 1, 100);
  rig_wait_for_answers(rig);
  stage_fail_journal(&rig->stage);
  rig_ask(rig, 1, 100);
  rig_wait_for_answers(rig);

  rig_end(rig, true);
  stage_heal(&rig->stage);
  rig_begin(rig);

  assert_true(rig_ledger(rig, 1)->last >= 4); /* what was in doubt is there or not */
  assert_int_equal(rig_ask(rig, 1, 100)->refused, STATUS_OK);
  rig_wait_for_answers(rig);
  rig_assert_each_answered_once(rig, STATUS_OK);
}

static void a_replica_that_is_opened_after_the_journal_failed_is_fenced(void **state) {
  struct rig *rig = *state;
  stage_fail_journal(&rig->stage);
  rig_ask(rig, 1, 100);
  rig_wait_for_answers(rig);

  rig->group = 3;
  stage_on_lane(&rig->stage, rig_make_replica, rig);

  assert_fenced(rig, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(turns_gather_while_all_writes_are_in_flight),
      TEST(a_fence_is_told_after_the_answers_of_its_turn),
      TEST(stopping_the_lane_waits_for_what_is_in_flight),
      TEST(a_failing_journal_leaves_in_doubt_what_was_in_flight_and_fences),
      TEST(another_process_on_a_good_disk_goes_on_after_a_failure),
      TEST(a_replica_that_is_opened_after_the_journal_failed_is_fenced),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
