/* Beats on a pretended network: who is up, who leads, who had better not, whose clock is where. */
#include "replication/peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/replication/peers_rig.h"

/* ---- Who is alive ---- */

static void silence_for_an_election_timeout_is_death(void **state) {
  (void)state;
  rig_begin(3, 1);
  rig_assert_all_up();
  stage_run_ms(stage, 1000);
  rig_forget_all();
  stage_cut(one, two, true);
  stage_cut(two, one, true);

  stage_run_ms(stage, 800);
  assert_int_equal(stage_count(&one->lanes[0], "down2"), 0);
  stage_run_ms(stage, 500);
  assert_int_equal(stage_count(&one->lanes[0], "down2"), 1);
  assert_int_equal(stage_count(&two->lanes[0], "down1"), 1);
  assert_int_equal(stage_count(&three->lanes[0], "down1") + stage_count(&three->lanes[0], "down2"), 0);
  stage_run_ms(stage, 60000);
  /* TCP would now wait long before it tries again: connections were made anew all the while, and nobody was told of losses. */
  assert_in_range(stage_count(&one->lanes[0], "room2"), 20, 31);
  assert_in_range(stage_count(&two->lanes[0], "room1"), 20, 31);
  assert_int_equal(stage_count(&one->lanes[0], "reset2"), 0);
  rig_forget_all();
  stage_cut(one, two, false);
  stage_cut(two, one, false);

  assert_true(stage_told(&one->lanes[0], "up2", 4500));
  assert_true(stage_told(&two->lanes[0], "up1", 4500));
  stage_send(&one->lanes[0], two, 5, RAFT_VOTE, 1);
  stage_append(&one->lanes[0], two, 5, 0, 1, 10, 2);
  rig_assert_told(&two->lanes[0], "1:5/vote#1");
  rig_assert_told(&two->lanes[0], "1:5/append#2[1..1]");
}

static void who_is_not_heard_learns_it_and_connects_anew(void **state) {
  (void)state;
  rig_begin(2, 1);
  rig_assert_all_up();
  stage_run_ms(stage, 1000);
  rig_forget_all();
  stage_cut(one, two, true); /* nothing of one's arrives; what two says does, until its windows are full */

  assert_true(stage_told(&two->lanes[0], "down1", 1500));
  assert_true(stage_told(&one->lanes[0], "room2", 3500)); /* made anew */
  stage_run_ms(stage, 30000);
  rig_forget_all();
  stage_cut(one, two, false);

  assert_true(stage_told(&two->lanes[0], "up1", 4500));
  stage_send(&one->lanes[0], two, 5, RAFT_VOTE, 1);
  rig_assert_told(&two->lanes[0], "1:5/vote#1");
}

static void broker_that_starts_anew_leads_nothing_any_more(void **state) {
  (void)state;
  rig_begin(2, 1);
  rig_assert_all_up();
  stage_led(&one->lanes[0], 2, 7, 3);
  stage_led(&one->lanes[0], 2, 8, 3);
  stage_followed(&two->lanes[0], 1, 7, 3);
  stage_followed(&two->lanes[0], 1, 8, 3);
  rig_assert_told(&two->lanes[0], "+1:8@3");
  rig_forget_all();

  stage_kill(one);
  stage_start(one);
  stage_meet(stage);

  assert_true(stage_told(&two->lanes[0], "up1", 900)); /* long before silence would have told */
  assert_int_equal(stage_count(&two->lanes[0], "-1:7@3"), 1);
  assert_int_equal(stage_count(&two->lanes[0], "-1:8@3"), 1);
  assert_int_equal(stage_count(&two->lanes[0], "down1"), 1);
  stage_send(&two->lanes[0], one, 5, RAFT_VOTE, 1);
  assert_true(stage_told(&one->lanes[0], "2:5/vote#1", 1500));
  assert_true(stage_told(&one->lanes[0], "up2", 1500));
}

static void process_that_is_stopped_is_dead_until_it_goes_on(void **state) {
  (void)state;
  rig_begin(2, 1);
  rig_assert_all_up();
  sim_process_pause(sim_world_process(two->process));
  assert_true(stage_told(&one->lanes[0], "down2", 1500));
  stage_run_ms(stage, 5000);
  stage_forget(&one->lanes[0]);

  sim_process_resume(sim_world_process(two->process));

  rig_assert_told(&one->lanes[0], "up2");
}

static void who_was_stopped_does_not_take_the_others_for_dead(void **state) {
  (void)state;
  rig_begin(3, 1);
  rig_assert_all_up();
  for (unsigned round = 0; round < 20; round++) {
    stage_run_ms(stage, 2000 + 13 * round);
    stage_forget(&one->lanes[0]);
    sim_process_pause(sim_world_process(one->process));
    stage_run_ms(stage, 990); /* less than makes the others connect anew, more than is left of somebody's silence */
    sim_process_resume(sim_world_process(one->process));
    stage_run_ms(stage, 500);
    assert_int_equal(stage_count(&one->lanes[0], "down2") + stage_count(&one->lanes[0], "down3"), 0);
  }
}

static void set_unsynced(struct stage_lane *lane, void *context) { lane->oldest_unsynced_ns = *(uint64_t *)context; }

static void disk_that_hangs_is_death_though_beats_come(void **state) {
  (void)state;
  rig_begin(2, 2);
  rig_assert_all_up();
  stage_led(&two->lanes[0], 1, 6, 3);
  stage_followed(&one->lanes[0], 2, 6, 3);
  rig_assert_told(&one->lanes[0], "+2:6@3");
  rig_forget_all();
  uint64_t now_ns = loop_now_ns(two->lanes[1].loop);
  stage_on(&two->lanes[1], set_unsynced, &now_ns);

  stage_run_ms(stage, 900);
  assert_int_equal(stage_count(&one->lanes[0], "down2"), 0);
  assert_true(stage_told(&one->lanes[0], "down2", 400));
  stage_run_ms(stage, 2000);
  assert_int_equal(stage_count(&one->lanes[0], "up2"), 0);
  uint64_t none = 0;
  stage_on(&two->lanes[1], set_unsynced, &none);

  assert_true(stage_told(&one->lanes[0], "up2", 400));
  rig_assert_told(&one->lanes[0], "+2:6@3");
}

static void broker_that_is_not_named_any_more_is_gone(void **state) {
  (void)state;
  rig_begin(3, 1);
  rig_assert_all_up();
  rig_forget_all();
  struct peer_address left = stage_address(three);

  peers_set(one->peers, &left, 1);
  rig_assert_told(&one->lanes[0], "down2");
  assert_false(stage_room(&one->lanes[0], 2));
  stage_send(&one->lanes[0], two, 5, RAFT_VOTE, 1);
  stage_send(&one->lanes[0], three, 5, RAFT_VOTE, 2);

  rig_assert_told(&three->lanes[0], "1:5/vote#2");
  stage_run_ms(stage, 2500);
  assert_int_equal(stage_count(&two->lanes[0], "1:5/vote#1"), 0);
  assert_int_equal(stage_count(&two->lanes[0], "down1"), 1);
  assert_int_equal(stage_count(&one->lanes[0], "up2"), 0);
}

static void clocks_are_compared(void **state) {
  (void)state;
  rig_begin(3, 1);
  sim_world_jump_wall(two->process, 600000);
  sim_world_jump_wall(three->process, 4000);
  rig_assert_all_up();
  stage_run_ms(stage, 500);

  int64_t offset_ms = peers_clock_offset_ms(one->peers);
  assert_true(offset_ms > 3900 && offset_ms < 4100);
  offset_ms = peers_clock_offset_ms(two->peers);
  assert_true(offset_ms > -596200 && offset_ms < -595800);
}

/* ---- Who leads ---- */

static void leaderships_are_vouched_for_and_taken_back(void **state) {
  (void)state;
  rig_begin(2, 2);
  rig_assert_all_up();
  for (group_id group = 0; group < 1000; group++) {
    stage_led(&one->lanes[group % 2], 2, group, 3);
    stage_followed(&two->lanes[group % 2], 1, group, 3);
  }

  rig_assert_told(&two->lanes[1], "+1:999@3");
  stage_run_ms(stage, 300);
  assert_int_equal(stage_count(&two->lanes[0], "+1:4@3"), 1);
  stage_forget(&two->lanes[0]);
  stage_led(&one->lanes[0], 2, 4, 0);
  stage_led(&one->lanes[1], 2, 1001, 5); /* the other does not follow yet */

  rig_assert_told(&two->lanes[0], "-1:4@3");
  stage_run_ms(stage, 300);
  assert_int_equal(stage_count(&two->lanes[1], "+1:1001@5"), 0);
  stage_followed(&two->lanes[1], 1, 1001, 5);
  rig_assert_told(&two->lanes[1], "+1:1001@5");
  assert_int_equal(stage_count(&two->lanes[0], "+1:6@3"), 0); /* nobody else was told anything again */
}

static void what_is_led_before_brokers_are_known_is_told_later(void **state) {
  (void)state;
  rig_begin(2, 1);
  stage_stop(one);
  stage_start(one);
  stage_led(&one->lanes[0], 2, 7, 3); /* nobody has told it who 2 is */
  stage_followed(&two->lanes[0], 1, 7, 3);

  stage_meet(stage);

  rig_assert_told(&two->lanes[0], "+1:7@3");
}

/* ---- Who had better not ---- */

static void who_had_better_not_lead_says_so_at_once(void **state) {
  (void)state;
  rig_begin(3, 2);
  rig_assert_all_up();
  rig_forget_all();

  atomic_store(&one->wish, PEERS_LEAVES);
  peers_beat_now(one->peers);
  stage_run_ms(stage, STAGE_HEARTBEAT_NS / STAGE_MS / 4); /* no beat is due */

  for (unsigned lane = 0; lane < 2; lane++) {
    assert_int_equal(stage_count(&one->lanes[lane], "reluctant"), 1);
    assert_int_equal(stage_count(&two->lanes[lane], "reluctant1"), 1);
    assert_int_equal(stage_count(&three->lanes[lane], "reluctant1"), 1);
    assert_true(peer_lane_reluctant(two->lanes[lane].lane, 1));
  }

  atomic_store(&one->wish, PEERS_KEEPS); /* its own lanes go on, the others hear nothing new */
  stage_run_ms(stage, 1000);

  assert_int_equal(stage_count(&one->lanes[0], "willing"), 1);
  assert_int_equal(stage_count(&two->lanes[1], "willing1"), 0);

  atomic_store(&one->wish, PEERS_WILLING);
  stage_run_ms(stage, 1000);

  assert_int_equal(stage_count(&one->lanes[0], "willing"), 1);
  assert_int_equal(stage_count(&two->lanes[1], "willing1"), 1);
  assert_int_equal(stage_count(&two->lanes[1], "reluctant1"), 1);
  assert_false(peer_lane_reluctant(two->lanes[1].lane, 1));
}

static void who_comes_up_is_known_to_be_reluctant_before(void **state) {
  (void)state;
  rig_begin(2, 1);
  rig_assert_all_up();
  stage_stop(one);
  rig_assert_told(&two->lanes[0], "down1");
  rig_forget_all();

  atomic_store(&one->wish, PEERS_LEAVES);
  stage_start(one);
  stage_meet(stage);
  rig_assert_told(&two->lanes[0], "up1");

  char told[64] = {0};
  memcpy(told, two->lanes[0].told.data, two->lanes[0].told.size < 63 ? two->lanes[0].told.size : 63);
  const char *reluctant = strstr(told, "reluctant1"), *up = strstr(told, "up1");
  assert_non_null(reluctant);
  assert_true(reluctant < up);

  atomic_store(&one->wish, PEERS_WILLING);
  rig_assert_told(&two->lanes[0], "willing1");
}

static void a_lane_that_comes_later_knows_who_had_better_not_lead(void **state) {
  (void)state;
  rig_begin(2, 2);
  rig_assert_all_up();
  stage_stop(one);
  one->lanes_late = 1;
  stage_start(one);
  stage_meet(stage);
  atomic_store(&one->wish, PEERS_LEAVES);
  atomic_store(&two->wish, PEERS_LEAVES);
  rig_assert_told(&one->lanes[0], "reluctant");
  rig_assert_told(&one->lanes[0], "reluctant2");

  stage_open_lane(one);

  rig_assert_told(&one->lanes[1], "reluctant");
  rig_assert_told(&one->lanes[1], "reluctant2");
}

static void who_is_not_named_any_more_wishes_nothing(void **state) {
  (void)state;
  rig_begin(3, 1);
  rig_assert_all_up();
  atomic_store(&two->wish, PEERS_LEAVES);
  rig_assert_told(&one->lanes[0], "reluctant2");
  struct peer_address left = stage_address(three);

  peers_set(one->peers, &left, 1);

  rig_assert_told(&one->lanes[0], "willing2");
  assert_false(peer_lane_reluctant(one->lanes[0].lane, 2));
}

#define TEST(name) cmocka_unit_test_teardown(name, rig_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(silence_for_an_election_timeout_is_death),
      TEST(who_is_not_heard_learns_it_and_connects_anew),
      TEST(broker_that_starts_anew_leads_nothing_any_more),
      TEST(process_that_is_stopped_is_dead_until_it_goes_on),
      TEST(who_was_stopped_does_not_take_the_others_for_dead),
      TEST(disk_that_hangs_is_death_though_beats_come),
      TEST(broker_that_is_not_named_any_more_is_gone),
      TEST(clocks_are_compared),
      TEST(leaderships_are_vouched_for_and_taken_back),
      TEST(what_is_led_before_brokers_are_known_is_told_later),
      TEST(who_had_better_not_lead_says_so_at_once),
      TEST(who_comes_up_is_known_to_be_reluctant_before),
      TEST(a_lane_that_comes_later_knows_who_had_better_not_lead),
      TEST(who_is_not_named_any_more_wishes_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
