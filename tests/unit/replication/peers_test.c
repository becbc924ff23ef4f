/* The wires between brokers on a pretended network: what replication/peers.h promises of messages and of the connections that carry them,
 * with whatever a network does. */
#include "replication/peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/sim_rpc.h"
#include "tests/unit/replication/peers_rig.h"

/* ---- Messages ---- */

static void brokers_meet_and_all_lanes_are_told(void **state) {
  (void)state;
  rig_begin(3, 2);
  rig_assert_all_up();
  for (size_t i = 0; i < 3; i++) {
    for (unsigned lane = 0; lane < 2; lane++) {
      assert_int_equal(stage_count(&stage->brokers[i].lanes[lane], "up1"), i != 0);
      assert_int_equal(stage_count(&stage->brokers[i].lanes[lane], "up2"), i != 1);
      assert_int_equal(stage_count(&stage->brokers[i].lanes[lane], "up3"), i != 2);
    }
  }
}

static void messages_arrive_in_order_with_what_they_carry(void **state) {
  (void)state;
  rig_begin(2, 1);
  rig_assert_all_up();

  stage_append(&one->lanes[0], two, 5, 100, 3, 2000, 1);
  stage_append(&one->lanes[0], two, 5, 103, 1, 0, 2);
  for (uint64_t sequence = 3; sequence < 9; sequence++) stage_send(&one->lanes[0], two, 5, RAFT_APPEND, sequence);
  stage_send(&one->lanes[0], two, 6, RAFT_VOTE, 9);
  stage_send(&two->lanes[0], one, 5, RAFT_APPEND_ANSWER, 1);

  rig_assert_told(&two->lanes[0], "1:5/append#8");
  rig_assert_told(&two->lanes[0], "1:6/vote#9");
  rig_assert_told(&one->lanes[0], "2:5/appended#1");
  assert_int_equal(two->lanes[0].payload_bytes, 6000);
  char all[256];
  size_t size = two->lanes[0].told.size < sizeof all - 1 ? two->lanes[0].told.size : sizeof all - 1;
  memcpy(all, two->lanes[0].told.data, size);
  all[size] = '\0';
  const char *at = strstr(all, " 1:5/append#1[101..103]");
  assert_non_null(at);
  assert_non_null(at = strstr(at, " 1:5/append#2[104..104]"));
  for (unsigned sequence = 3; sequence < 9; sequence++) {
    char word[32];
    snprintf(word, sizeof word, " 1:5/append#%u", sequence);
    assert_non_null(at = strstr(at, word));
  }
}

static void groups_find_their_lanes_where_there_are_more_of_them(void **state) {
  (void)state;
  rig_begin(2, 3);
  stage_stop(two);
  two->lane_count = 4;
  stage_start(two);
  stage_meet(stage);

  for (group_id group = 0; group < 12; group++) {
    stage_send(&one->lanes[group % 3], two, group, RAFT_VOTE, 1);
    stage_send(&two->lanes[group % 4], one, group, RAFT_VOTE, 1);
  }

  for (group_id group = 0; group < 12; group++) { /* that it is the right lane is checked in the stage */
    char word[32];
    snprintf(word, sizeof word, "1:%u/vote#1", (unsigned)group);
    rig_assert_told(&two->lanes[group % 4], word);
    word[0] = '2';
    rig_assert_told(&one->lanes[group % 3], word);
  }
}

static void nothing_goes_to_another_incarnation(void **state) {
  (void)state;
  rig_begin(2, 1);
  rig_assert_all_up();
  uint64_t real = two->incarnation;
  two->incarnation = 999; /* as the sender believes */

  stage_send(&one->lanes[0], two, 5, RAFT_VOTE, 1);
  two->incarnation = real;
  stage_send(&one->lanes[0], two, 5, RAFT_VOTE, 2);

  rig_assert_told(&two->lanes[0], "1:5/vote#2");
  assert_int_equal(stage_count(&two->lanes[0], "1:5/vote#1"), 0);
}

static void another_directory_under_the_same_id_is_refused(void **state) {
  (void)state;
  rig_begin(2, 1);
  rig_assert_all_up();
  stage_stop(two);
  two->incarnation = 999;
  stage_start(two); /* the others have an old map, this one knows them */
  struct peer_address known = stage_address(one);
  peers_set(two->peers, &known, 1);
  rig_forget_all();

  stage_send(&two->lanes[0], one, 5, RAFT_VOTE, 1);
  two->incarnation = 101;
  stage_send(&one->lanes[0], two, 5, RAFT_VOTE, 2);
  two->incarnation = 999;
  stage_run_ms(stage, 4000);

  assert_int_equal(stage_count(&one->lanes[0], "up2"), 0);
  assert_int_equal(stage_count(&two->lanes[0], "1:5/vote#2"), 0);
  assert_int_equal(stage_count(&one->lanes[0], "2:5/vote#1"), 1); /* a learner's words: the protocol decides about them */
  stage_meet(stage);
  rig_assert_told(&one->lanes[0], "up2");
  rig_assert_told(&two->lanes[0], "up1");
}

static void another_cluster_is_refused(void **state) {
  (void)state;
  rig_begin(2, 1);
  stage_stop(two);
  two->cluster = 8;
  stage_start(two);
  stage_meet(stage);
  rig_forget_all();

  stage_send(&one->lanes[0], two, 5, RAFT_VOTE, 1);
  stage_send(&two->lanes[0], one, 5, RAFT_VOTE, 2);
  stage_run_ms(stage, 4000);

  assert_int_equal(one->lanes[0].messages + two->lanes[0].messages, 0);
  assert_int_equal(stage_count(&one->lanes[0], "up2"), 0);
  assert_int_equal(stage_count(&two->lanes[0], "up1"), 0);
}

/* ---- Connections ---- */

static void lost_connection_is_told_and_made_anew(void **state) {
  (void)state;
  rig_begin(2, 1);
  rig_assert_all_up();
  stage_append(&one->lanes[0], two, 5, 0, 1, 100, 1);
  stage_send(&one->lanes[0], two, 5, RAFT_VOTE, 2);
  rig_assert_told(&two->lanes[0], "1:5/append#1[1..1]");
  rig_assert_told(&two->lanes[0], "1:5/vote#2");
  rig_forget_all();

  assert_true(sim_net_reset(stage->net, NULL, 100) > 0);
  rig_assert_told(&one->lanes[0], "reset2");
  stage_append(&one->lanes[0], two, 5, 1, 1, 100, 3);
  stage_send(&one->lanes[0], two, 5, RAFT_VOTE, 4);

  assert_true(stage_told(&two->lanes[0], "1:5/append#3[2..2]", 500));
  assert_true(stage_told(&two->lanes[0], "1:5/vote#4", 500));
  stage_run_ms(stage, 2000);
  assert_int_equal(stage_count(&one->lanes[0], "down2"), 0);
  assert_int_equal(stage_count(&two->lanes[0], "down1"), 0);
}

static void reconnect(struct stage_lane *lane, void *context) { peer_lane_reconnect(lane->lane, *(broker_id *)context); }

static void connections_are_made_anew_when_that_is_asked_for(void **state) {
  (void)state;
  rig_begin(2, 2);
  broker_id id = 2;
  rig_assert_all_up();
  stage_append(&one->lanes[1], two, 5, 0, 1, 100, 1);
  rig_assert_told(&two->lanes[1], "1:5/append#1[1..1]");
  stage_on(&one->lanes[0], reconnect, &id); /* too soon after the last one */
  stage_run_ms(stage, 500);
  assert_int_equal(stage_count(&one->lanes[1], "reset2"), 0);
  stage_run_ms(stage, 2000);

  stage_on(&one->lanes[0], reconnect, &id);

  rig_assert_told(&one->lanes[1], "reset2");
  stage_append(&one->lanes[1], two, 5, 1, 1, 100, 2);
  assert_true(stage_told(&two->lanes[1], "1:5/append#2[2..2]", 500));
  stage_run_ms(stage, 2000);
  assert_int_equal(stage_count(&one->lanes[0], "down2") + stage_count(&two->lanes[0], "down1"), 0);
}

static void broker_that_returns_is_spoken_to_at_once(void **state) {
  (void)state;
  rig_begin(2, 1);
  rig_assert_all_up();
  for (unsigned round = 1; round <= 8; round++) {
    char vote[32];
    snprintf(vote, sizeof vote, "1:5/vote#%u", round);
    stage_stop(two);
    stage_run_ms(stage, 20000 + 237 * round); /* the transport waits ever longer before it tries again */
    stage_forget(&one->lanes[0]);

    stage_start(two);
    stage_meet(stage);

    assert_true(stage_told(&one->lanes[0], "up2", 200));
    stage_run_ms(stage, 20);
    stage_send(&one->lanes[0], two, 5, RAFT_VOTE, round);
    assert_true(stage_told(&two->lanes[0], vote, 100));
    assert_true(stage_told(&two->lanes[0], "up1", 200));
  }
}

/* Whoever waits for the other side to take more sends nothing, and is not told that there is no other side any more. */
static void connection_to_a_process_that_is_no_more_is_given_up(void **state) {
  (void)state;
  rig_begin(2, 1);
  rig_assert_all_up();
  for (unsigned round = 1; round <= 3; round++) { /* each on the connection that was made after the round before */
    char last[64];
    stage_append(&one->lanes[0], two, 5, 0, 1, 1000, round * 100);
    snprintf(last, sizeof last, "1:5/append#%u[1..1]", round * 100);
    rig_assert_told(&two->lanes[0], last);
    sim_host_power(two->host, false);
    for (unsigned i = 1; i <= 40; i++)
      stage_append(&one->lanes[0], two, 5, 0, 4, 200000, round * 100 + i); /* more than any window takes */
    stage_run_ms(stage, 50);
    stage_kill(two);
    sim_host_power(two->host, true);
    stage_forget(&one->lanes[0]);

    stage_start(two);
    stage_run_ms(stage, 600); /* beats have found the new process before it says its first word */
    stage_meet(stage);
    rig_assert_told(&one->lanes[0], "up2");
    stage_run_ms(stage, 1000);
    stage_append(&one->lanes[0], two, 5, 0, 1, 1000, round * 100 + 50);

    snprintf(last, sizeof last, "1:5/append#%u[1..1]", round * 100 + 50);
    rig_assert_told(&two->lanes[0], last);
  }
}

static void slow_road_fills_up_to_its_bound_and_has_room_again(void **state) {
  (void)state;
  rig_begin(2, 1);
  rig_assert_all_up();
  rig_forget_all();
  stage_speed(one, two, 20u << 20);
  uint64_t sequence = 0;

  for (; stage_room(&one->lanes[0], 2); sequence++) stage_append(&one->lanes[0], two, 5, sequence, 1, 500000, sequence + 1);

  assert_in_range(sequence, PEER_OUTBOX_BYTES_MAX / 500000 - 1, PEER_OUTBOX_BYTES_MAX / 500000 + 8);
  assert_int_equal(stage_count(&one->lanes[0], "room2"), 0);
  stage_append(&one->lanes[0], two, 5, sequence, 1, 500000, 1000); /* against the rules: dropped */
  rig_assert_told(&one->lanes[0], "room2");
  assert_true(stage_room(&one->lanes[0], 2));
  char word[64];
  snprintf(word, sizeof word, "1:5/append#%u[%u..%u]", (unsigned)sequence, (unsigned)sequence, (unsigned)sequence);
  rig_assert_told(&two->lanes[0], word);
  assert_int_equal(two->lanes[0].messages, sequence);
}

static void votes_and_beats_do_not_wait_behind_batches(void **state) {
  (void)state;
  rig_begin(2, 1);
  rig_assert_all_up();
  rig_forget_all();
  stage_speed(one, two, 20u << 20); /* of each connection */
  for (uint64_t i = 0; i < 30; i++) stage_append(&one->lanes[0], two, 5, i, 1, 500000, i + 1);

  stage_send(&one->lanes[0], two, 5, RAFT_VOTE, 99);

  assert_true(stage_told(&two->lanes[0], "1:5/vote#99", 50));
  assert_true(two->lanes[0].messages < 10);
  rig_assert_told(&two->lanes[0], "1:5/append#30[30..30]");
}

static void message_of_the_greatest_size_passes(void **state) {
  (void)state;
  rig_begin(2, 1);
  rig_assert_all_up();
  stage_append(&one->lanes[0], two, 5, 0, 1, ENTRY_PAYLOAD_MAX, 1);
  rig_assert_told(&two->lanes[0], "1:5/append#1[1..1]");
}

/* Keeps every payload: what is received is charged, and a stream stops where the account does. */
static struct blob_part kept[64];
static size_t kept_count;

static void keep(struct stage_lane *lane, group_id group, const struct peer_message *message) {
  (void)lane;
  (void)group;
  for (size_t i = 0; i < message->count && kept_count < 64; i++) kept[kept_count++] = blob_part_hold(message->entries[i].payload);
}

static void received_bytes_are_charged_and_bounded_by_the_account(void **state) {
  (void)state;
  rig_begin(2, 1);
  rig_assert_all_up();
  two->lanes[0].heard = keep;
  two->account.limit = 5u << 20;

  for (uint64_t i = 0; i < 20; i++) stage_append(&one->lanes[0], two, 5, i, 1, 900000, i + 1);

  rig_assert_told(&one->lanes[0], "reset2");
  assert_in_range(kept_count, 2, 5);
  assert_in_range(account_used(&two->account), kept_count * 900000, two->account.limit);
  stage_run_ms(stage, 3000);
  assert_int_equal(stage_count(&two->lanes[0], "down1"), 0); /* beats are small */
  while (kept_count > 0) blob_part_release(kept[--kept_count]);
  two->lanes[0].heard = NULL;
  stage_append(&one->lanes[0], two, 5, 50, 1, 900000, 51);
  rig_assert_told(&two->lanes[0], "1:5/append#51[51..51]");
}

/* ---- The port ---- */

static void answer_more(void *service, struct rpc_call *call, struct blob *message) {
  struct blob_part part = blob_part_of(message, 0, message->size);
  ++*(unsigned *)service;
  rpc_call_send(call, &part, 1);
  rpc_call_finish(call, GRPC_CODE_OK, NULL, NULL, 0);
  blob_release(message);
}

static unsigned answers, dones;

static void more_message(void *context, struct rpc_request *request, struct blob *message) {
  (void)context;
  (void)request;
  answers += message->size == 2;
  blob_release(message);
}

static void more_done(void *context, struct rpc_request *request, const struct rpc_result *result) {
  (void)context;
  (void)request;
  dones += result->code == GRPC_CODE_OK;
}

static void other_services_are_answered_on_the_same_port(void **state) {
  (void)state;
  static const struct rpc_client_handler handler = {more_message, NULL, more_done};
  unsigned served = 0;
  struct rpc_handler more = {.method = "/test.More/Ask", .kind = RPC_UNARY, .message = answer_more, .own_service = &served};
  rig_begin(2, 1);
  stage_stop(two);
  two->more = &more;
  two->more_count = 1;
  stage_start(two);

  struct rpc_channel *channel = rpc_channel_open(one->world->peers, two->address);
  struct rpc_request *request = rpc_request_start(channel, "/test.More/Ask", RPC_UNARY, UINT64_MAX, true, &handler, NULL);
  struct blob_part part = {.bytes = bytes_of_string("hi")};
  rpc_request_send(request, &part, 1);
  stage_run_ms(stage, 100);

  assert_int_equal(served, 1);
  assert_int_equal(answers, 1);
  assert_int_equal(dones, 1);
  rpc_request_release(request);
  rpc_channel_close(channel);
}

static void address_that_is_none_is_said_and_nothing_stays(void **state) {
  (void)state;
  rig_begin(2, 1);
  stage_stop(two);
  stage_start(two);
  struct peers_options options = {
      .world = one->world, .self = {.broker = 9}, .account = &one->account, .lane_count = 1, .boot = 1, .listen = "10.0.0.9:1"};
  struct peers *peers = NULL;
  struct rpc *own = one->world->peers;
  one->world->peers = sim_rpc_new(sim_world_process(one->process), stage->net, one->host, NULL);

  assert_int_equal(peers_open(&options, &peers), STATUS_INVALID);
  options.listen = one->address;
  assert_int_equal(peers_open(&options, &peers), STATUS_EXISTS);

  assert_null(peers);
  sim_rpc_free(one->world->peers);
  one->world->peers = own;
}

#define TEST(name) cmocka_unit_test_teardown(name, rig_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(brokers_meet_and_all_lanes_are_told),
      TEST(messages_arrive_in_order_with_what_they_carry),
      TEST(groups_find_their_lanes_where_there_are_more_of_them),
      TEST(nothing_goes_to_another_incarnation),
      TEST(another_directory_under_the_same_id_is_refused),
      TEST(another_cluster_is_refused),
      TEST(lost_connection_is_told_and_made_anew),
      TEST(connections_are_made_anew_when_that_is_asked_for),
      TEST(broker_that_returns_is_spoken_to_at_once),
      TEST(connection_to_a_process_that_is_no_more_is_given_up),
      TEST(slow_road_fills_up_to_its_bound_and_has_room_again),
      TEST(votes_and_beats_do_not_wait_behind_batches),
      TEST(message_of_the_greatest_size_passes),
      TEST(received_bytes_are_charged_and_bounded_by_the_account),
      TEST(other_services_are_answered_on_the_same_port),
      TEST(address_that_is_none_is_said_and_nothing_stays),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
