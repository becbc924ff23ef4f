/* The wires between brokers once on real threads and real connections: what peers_test promises of the pretended network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/replication/peer_stage.h"

#define PATIENT_MS 20000u
#define MANY 2000u

static struct peer_stage *stage;
static struct stage_broker *one, *two, *three;

static int set_up(void **state) {
  (void)state;
  stage = peer_stage_new(true, 3, 2, 0);
  one = &stage->brokers[0];
  two = &stage->brokers[1];
  three = &stage->brokers[2];
  for (size_t i = 0; i < 3; i++) stage_start(&stage->brokers[i]);
  stage_meet(stage);
  for (size_t i = 0; i < 3; i++) {
    for (size_t j = 0; j < 3; j++) {
      char word[16];
      snprintf(word, sizeof word, "up%u", stage->brokers[j].id);
      if (i != j) assert_true(stage_told(&stage->brokers[i].lanes[1], word, PATIENT_MS));
    }
  }
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  peer_stage_free(stage);
  return 0;
}

/* Appends of a group grow by one each: whatever is late, twice or gone stops the process. */
static void expect_next(struct stage_lane *lane, group_id group, const struct peer_message *message) {
  (void)group;
  if (message->raft.kind == RAFT_APPEND && message->raft.sequence != lane->messages) abort();
}

static void set_heard(struct stage_lane *lane, void *context) {
  (void)context;
  lane->heard = expect_next;
}

static void many_messages_arrive_in_order_with_their_payloads(void **state) {
  (void)state;
  stage_on(&two->lanes[0], set_heard, NULL);
  char last[64];

  for (uint64_t i = 1; i <= MANY; i++) {
    stage_append(&one->lanes[0], two, 4, i, i % 3, i % 7 * 1000, i);
    stage_send(&three->lanes[1], one, 5, RAFT_APPEND_ANSWER, i);
  }

  snprintf(last, sizeof last, "1:4/append#%u[%u..%u]", MANY, MANY + 1, MANY + MANY % 3);
  assert_true(stage_told(&two->lanes[0], last, PATIENT_MS));
  snprintf(last, sizeof last, "3:5/appended#%u", MANY);
  assert_true(stage_told(&one->lanes[1], last, PATIENT_MS));
}

static size_t used_most;

static void look_long(struct stage_lane *lane, group_id group, const struct peer_message *message) {
  size_t used = account_used(&lane->broker->account);
  if (used > used_most) used_most = used;
  usleep(5000);
  expect_next(lane, group, message);
}

static void look_long_from_now_on(struct stage_lane *lane, void *context) {
  (void)context;
  lane->heard = look_long;
}

static void lane_that_is_slow_stops_who_sends_to_it(void **state) {
  (void)state;
  enum { PACKETS = 60, BYTES = 900000 };
  char last[64];
  used_most = 0;
  stage_on(&two->lanes[0], look_long_from_now_on, NULL);

  for (uint64_t i = 1; i <= PACKETS; i++) {
    while (!stage_room(&one->lanes[0], 2)) stage_run_ms(stage, 1);
    stage_append(&one->lanes[0], two, 4, i, 1, BYTES, i);
  }

  snprintf(last, sizeof last, "1:4/append#%u[%u..%u]", PACKETS, PACKETS + 1, PACKETS + 1);
  assert_true(stage_told(&two->lanes[0], last, PATIENT_MS));
  assert_in_range(used_most, 3 * BYTES, (PEER_INBOX_MAX + 1) * (BYTES + 4096)); /* and one that is just arriving */
}

static void leadership_is_vouched_for_and_ends_with_its_broker(void **state) {
  (void)state;
  for (group_id group = 0; group < 100; group++) {
    stage_led(&one->lanes[group % 2], 2, group, 3);
    stage_followed(&two->lanes[group % 2], 1, group, 3);
  }
  assert_true(stage_told(&two->lanes[1], "+1:99@3", PATIENT_MS));

  stage_stop(one);
  assert_true(stage_told(&two->lanes[0], "down1", PATIENT_MS));
  stage_forget(&two->lanes[0]);
  stage_start(one);
  stage_meet(stage);

  assert_true(stage_told(&two->lanes[0], "up1", PATIENT_MS));
  assert_true(stage_told(&one->lanes[0], "up2", PATIENT_MS));
  stage_send(&two->lanes[0], one, 4, RAFT_VOTE, 1);
  assert_true(stage_told(&one->lanes[0], "2:4/vote#1", PATIENT_MS));
  assert_int_equal(stage_count(&two->lanes[0], "+1:98@3"), 0); /* it has not said so again */
}

static void reconnect(struct stage_lane *lane, void *context) { peer_lane_reconnect(lane->lane, *(broker_id *)context); }

static void connections_are_made_anew_under_load(void **state) {
  (void)state;
  broker_id id = 2;
  stage_run_ms(stage, 2100);
  for (uint64_t i = 1; i <= 200; i++) {
    if (i == 50) stage_on(&one->lanes[1], reconnect, &id);
    stage_append(&one->lanes[0], two, 4, i, 1, 30000, i);
  }

  assert_true(stage_told(&one->lanes[0], "reset2", PATIENT_MS));
  stage_append(&one->lanes[0], two, 4, 900, 1, 30000, 900);
  assert_true(stage_told(&two->lanes[0], "1:4/append#900[901..901]", PATIENT_MS));
}

static void all_stop_in_the_middle_of_it(void **state) {
  (void)state;
  for (uint64_t i = 1; i <= 100; i++) {
    stage_append(&one->lanes[0], two, 4, i, 1, 200000, i);
    stage_append(&two->lanes[1], three, 5, i, 1, 200000, i);
  }
  stage_stop(two); /* what it holds is let go of is checked when the stage is freed */
  stage_stop(one);
  assert_true(stage_told(&three->lanes[0], "down2", PATIENT_MS));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(many_messages_arrive_in_order_with_their_payloads, set_up, tear_down),
      cmocka_unit_test_setup_teardown(lane_that_is_slow_stops_who_sends_to_it, set_up, tear_down),
      cmocka_unit_test_setup_teardown(leadership_is_vouched_for_and_ends_with_its_broker, set_up, tear_down),
      cmocka_unit_test_setup_teardown(connections_are_made_anew_under_load, set_up, tear_down),
      cmocka_unit_test_setup_teardown(all_stop_in_the_middle_of_it, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
