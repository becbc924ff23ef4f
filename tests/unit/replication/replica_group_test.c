/* Replicas among others: elections, failover, catching up, what is cut, what becomes of proposals and reads, restarts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "replication/replica_internal.h"
#include "tests/unit/replication/troupe.h"

static int set_up(void **state) {
  *state = troupe_new(11, 3);
  return 0;
}

static int tear_down(void **state) {
  troupe_free(*state);
  return 0;
}

static struct log_view view_of(struct troupe *troupe, broker_id broker) { return log_view(log_of(troupe, broker)); }

/* Proposes at the leader, and waits. */
static struct troupe_ask *append(struct troupe *troupe, size_t size) {
  struct troupe_ask *ask = troupe_propose(troupe, troupe_wait_leader(troupe, 0), size);
  troupe_wait_answer(troupe, ask);
  return ask;
}

static broker_id other_than(broker_id a, broker_id b) {
  broker_id other = 1;
  while (other == a || other == b) other++;
  return other;
}

/* ---- Elections, and what they are for ---- */

static void one_is_elected_and_what_it_is_asked_is_applied_by_all(void **state) {
  struct troupe *troupe = *state;
  broker_id leader = troupe_wait_leader(troupe, 0);
  for (int i = 0; i < 20; i++) assert_int_equal(append(troupe, 100)->answer, STATUS_OK);

  troupe_settle(troupe);

  for (broker_id broker = 1; broker <= 3; broker++) {
    struct player *player = player_of(troupe, broker);
    assert_int_equal(player->last, 21); /* and a no-op */
    assert_int_equal(view_of(troupe, broker).last_chain, view_of(troupe, leader).last_chain);
    assert_int_equal(replica_high_watermark(player->replica), 20);
    assert_int_equal(player->leads, broker == leader);
    assert_int_equal(player->leader.broker, leader);
    assert_int_equal(replica_leader(player->replica).broker, leader);
    assert_int_equal(replica_is_leader(player->replica), broker == leader);
  }
}

static void nobody_but_the_leader_takes_proposals(void **state) {
  struct troupe *troupe = *state;
  broker_id leader = troupe_wait_leader(troupe, 0);

  struct troupe_ask *ask = troupe_propose(troupe, leader % 3 + 1, 100);

  assert_int_equal(ask->refused, STATUS_NOT_LEADER);
}

static void an_idle_group_says_nothing_and_has_no_timer(void **state) {
  struct troupe *troupe = *state;
  append(troupe, 100);
  troupe_settle(troupe);
  troupe_run(troupe, 3000);
  uint64_t messages = troupe->wires.messages;

  troupe_run(troupe, 60000);

  assert_int_equal(troupe->wires.messages, messages);
  for (broker_id broker = 1; broker <= 3; broker++) assert_int_equal(player_of(troupe, broker)->replica->timer_ns, RAFT_NEVER);
}

static void entries_of_one_turn_travel_together(void **state) {
  struct troupe *troupe = *state;
  append(troupe, 100);
  troupe_settle(troupe);
  broker_id leader = troupe_leader(troupe);
  troupe_isolate(troupe, leader);
  for (int i = 0; i < 200; i++) (void)troupe_propose(troupe, leader, 10);
  wires_heal(&troupe->wires);
  wires_reset(&troupe->wires, leader, leader % 3 + 1);
  wires_reset(&troupe->wires, leader, (leader + 1) % 3 + 1);
  uint64_t messages = troupe->wires.messages;

  troupe_settle(troupe);

  assert_true(troupe->wires.messages - messages < 100);
}

static void another_takes_over_when_the_leader_dies_and_nothing_is_lost(void **state) {
  struct troupe *troupe = *state;
  for (unsigned round = 0; round < 6; round++) {
    broker_id leader = troupe_wait_leader(troupe, 0);
    for (int i = 0; i < 10; i++) append(troupe, 3000);
    entry_index acknowledged = troupe->acknowledged;

    troupe_crash(troupe, leader, (enum sim_power_cut)(SIM_POWER_DROP + round % (SIM_POWER_COUNT - SIM_POWER_DROP)));
    broker_id next = troupe_wait_leader(troupe, leader);

    assert_true(player_of(troupe, next)->last > acknowledged);
    append(troupe, 100);
    troupe_start(troupe, leader);
    troupe_settle(troupe);
    assert_true(player_of(troupe, leader)->last > acknowledged);
  }
}

static void a_minority_answers_nothing(void **state) {
  struct troupe *troupe = *state;
  broker_id leader = troupe_wait_leader(troupe, 0);
  troupe_settle(troupe);
  troupe_isolate(troupe, leader);
  troupe_isolate(troupe, leader % 3 + 1);

  struct troupe_ask *ask = troupe_propose(troupe, leader, 100);
  troupe_run(troupe, 10000);

  assert_int_equal(ask->answer, STATUS_UNKNOWN_OUTCOME);
  assert_int_equal(troupe_leader(troupe), 0);
  wires_heal(&troupe->wires);
  troupe_settle(troupe);
}

/* ---- Who lags ---- */

static void one_that_was_down_gets_everything_from_the_log(void **state) {
  struct troupe *troupe = *state;
  broker_id leader = troupe_wait_leader(troupe, 0);
  broker_id late = leader % 3 + 1;
  append(troupe, 100);
  troupe_stop(troupe, late, false);
  for (int i = 0; i < 150; i++) append(troupe, 1u << 20); /* more than memory keeps: it is read back */
  stage_checkpoint(&player_of(troupe, leader)->stage);

  troupe_start(troupe, late);
  troupe_settle(troupe);

  assert_int_equal(view_of(troupe, late).last_chain, view_of(troupe, leader).last_chain);
  assert_int_equal(player_of(troupe, late)->sum, player_of(troupe, leader)->sum);
}

static void what_a_follower_cannot_take_waits_until_it_can(void **state) {
  struct troupe *troupe = *state;
  broker_id leader = troupe_wait_leader(troupe, 0);
  troupe_settle(troupe);
  broker_id slow = leader % 3 + 1;
  troupe->wires.full[leader][slow] = true;
  for (int i = 0; i < 10; i++) append(troupe, 1000);
  troupe_run(troupe, 3000);
  assert_true(player_of(troupe, slow)->last < troupe->acknowledged);

  wires_make_room(&troupe->wires, leader, slow);

  troupe_settle(troupe);
  assert_int_equal(troupe_leader(troupe), leader);
}

/* Room on the way to one is none on the way to the other, who is not forgotten for that. */
static void two_that_wait_for_room_have_it_one_after_the_other(void **state) {
  struct troupe *troupe = *state;
  broker_id leader = troupe_wait_leader(troupe, 0);
  troupe_settle(troupe);
  broker_id sooner = other_than(leader, 0), later = other_than(leader, sooner);
  troupe->wires.full[leader][sooner] = true;
  troupe->wires.full[leader][later] = true;
  struct troupe_ask *ask = troupe_propose(troupe, leader, 1000);
  troupe_run(troupe, 200);

  wires_make_room(&troupe->wires, leader, sooner);

  troupe_wait_answer(troupe, ask);
  assert_int_equal(ask->answer, STATUS_OK);
  troupe_run(troupe, 200);
  assert_int_equal(player_of(troupe, sooner)->last, player_of(troupe, leader)->last);
  assert_true(player_of(troupe, later)->last < player_of(troupe, leader)->last);

  wires_make_room(&troupe->wires, leader, later);

  troupe_run(troupe, 200);
  assert_int_equal(player_of(troupe, later)->last, player_of(troupe, leader)->last);
  troupe_settle(troupe);
  assert_int_equal(troupe_leader(troupe), leader);
}

static unsigned spoil;
static bool spoil_some(struct entry *entry) {
  if (spoil == 0 || entry->payload.bytes.size == 0) return false;
  spoil--;
  if (spoil % 2 == 0) entry->head.payload_crc ^= 1;
  else entry->head.chain ^= 1;
  return true;
}

static void rot_on_the_way_is_not_taken_and_comes_again(void **state) {
  struct troupe *troupe = *state;
  append(troupe, 100);
  troupe_settle(troupe);
  spoil = 8;
  troupe->wires.corrupt = spoil_some;

  for (int i = 0; i < 10; i++) append(troupe, 100);

  assert_int_equal(spoil, 0);
  troupe_settle(troupe);
  for (broker_id broker = 1; broker <= 3; broker++) assert_false(replica_fenced(player_of(troupe, broker)->replica));
}

/* ---- Fates ---- */

static void what_another_leader_has_replaced_is_not_executed(void **state) {
  struct troupe *troupe = *state;
  broker_id old = troupe_wait_leader(troupe, 0);
  append(troupe, 100);
  troupe_settle(troupe);
  troupe_isolate(troupe, old);
  struct troupe_ask *asks[5];
  for (int i = 0; i < 5; i++) asks[i] = troupe_propose(troupe, old, 5000);
  broker_id next = troupe_wait_leader(troupe, old);
  for (int i = 0; i < 8; i++) {
    struct troupe_ask *ask = troupe_propose(troupe, next, 10);
    troupe_wait_answer(troupe, ask);
  }

  wires_heal(&troupe->wires);
  troupe_settle(troupe);

  for (int i = 0; i < 5; i++) {
    assert_int_equal(asks[i]->answers, 1);
    assert_int_equal(asks[i]->answer, STATUS_REPLACED);
  }
  assert_int_equal(view_of(troupe, old).last_chain, view_of(troupe, next).last_chain);
  assert_false(player_of(troupe, old)->leads);
}

static void what_the_next_leader_keeps_is_answered_when_it_is_committed(void **state) {
  struct troupe *troupe = *state;
  broker_id old = troupe_wait_leader(troupe, 0);
  append(troupe, 100);
  troupe_settle(troupe);
  broker_id other = old % 3 + 1;
  for (broker_id broker = 1; broker <= 3; broker++)
    troupe->wires.cut[broker][old] = broker != old; /* it speaks and is not heard */
  stage_slow_journal(&player_of(troupe, old)->stage);
  struct troupe_ask *ask = troupe_propose(troupe, old, 100);
  troupe_run(troupe, 100);
  assert_int_equal(ask->answers, 0);
  assert_true(view_of(troupe, other).last_index > player_of(troupe, other)->last || player_of(troupe, other)->last > 2);

  broker_id next = troupe_wait_leader(troupe, old);
  stage_heal(&player_of(troupe, old)->stage);
  wires_heal(&troupe->wires);
  troupe_settle(troupe);

  assert_int_not_equal(next, old);
  assert_int_equal(ask->answer, STATUS_OK);
}

static void what_nobody_tells_of_is_unknown_after_a_while(void **state) {
  struct troupe *troupe = *state;
  broker_id old = troupe_wait_leader(troupe, 0);
  append(troupe, 100);
  troupe_settle(troupe);
  troupe_isolate(troupe, old);
  struct troupe_ask *ask = troupe_propose(troupe, old, 100);

  troupe_run(troupe, 2500);
  assert_int_equal(ask->answers, 0);
  assert_false(player_of(troupe, old)->leads);
  troupe_run(troupe, 3000);

  assert_int_equal(ask->answer, STATUS_UNKNOWN_OUTCOME);
  wires_heal(&troupe->wires);
  troupe_settle(troupe);
  assert_int_equal(ask->answers, 1);
}

static void a_disk_that_stands_still_is_owed_a_bounded_number_of_answers(void **state) {
  struct troupe *troupe = *state;
  broker_id leader = troupe_wait_leader(troupe, 0);
  append(troupe, 100);
  troupe_settle(troupe);
  broker_id slow = leader % 3 + 1;
  sim_disk_fault(player_of(troupe, slow)->stage.device, "slow every any on journal/0* by 1000000");
  for (int i = 0; i < 10; i++) append(troupe, 100);

  troupe_run(troupe, 120000); /* it is asked at each heartbeat */

  const struct replica *replica = player_of(troupe, slow)->replica;
  assert_true(view_of(troupe, slow).durable_index < view_of(troupe, slow).last_index);
  assert_true(replica->links->held_count > 0 && replica->links->held_count <= 256);
  assert_int_equal(player_of(troupe, slow)->last, troupe->acknowledged); /* what a majority has is applied all the same */
  troupe_crash(troupe, slow, SIM_POWER_DROP);
}

/* Or a log that it makes might be on the disk after a power cut, and not the entry that says whose it is. */
static void what_makes_logs_is_applied_when_it_is_on_the_own_disk(void **state) {
  struct troupe *troupe = *state;
  troupe->ops.makes_logs = true;
  broker_id leader = troupe_wait_leader(troupe, 0);
  append(troupe, 100);
  troupe_settle(troupe);
  broker_id slow = leader % 3 + 1;
  entry_index before = player_of(troupe, slow)->last;
  sim_disk_fault(player_of(troupe, slow)->stage.device, "slow every any on journal/0* by 1000000");
  struct troupe_ask *ask = append(troupe, 100);

  troupe_run(troupe, 1000);

  assert_int_equal(player_of(troupe, other_than(leader, slow))->last, ask->proposal.entry.head.index);
  assert_true(view_of(troupe, slow).last_index > before);
  assert_int_equal(player_of(troupe, slow)->last, before);
  stage_heal(&player_of(troupe, slow)->stage);
  troupe_run(troupe, 120000);
  assert_int_equal(player_of(troupe, slow)->last, ask->proposal.entry.head.index);
}

static void a_failing_disk_gives_leadership_up(void **state) {
  struct troupe *troupe = *state;
  broker_id old = troupe_wait_leader(troupe, 0);
  append(troupe, 100);
  troupe_settle(troupe);
  stage_fail_journal(&player_of(troupe, old)->stage);

  struct troupe_ask *ask = troupe_propose(troupe, old, 100);
  troupe_wait_answer(troupe, ask);

  assert_true(replica_fenced(player_of(troupe, old)->replica));
  broker_id next = troupe_wait_leader(troupe, old);
  troupe_wait_answer(troupe, troupe_propose(troupe, next, 100));
}

/* ---- Reads ---- */

static void reads_are_for_a_confirmed_leader(void **state) {
  struct troupe *troupe = *state;
  broker_id old = troupe_wait_leader(troupe, 0);
  append(troupe, 100);
  troupe_settle(troupe);
  struct troupe_read *at_leader = troupe_ask_read(troupe, old);
  struct troupe_read *at_follower = troupe_ask_read(troupe, old % 3 + 1);
  troupe_run(troupe, 100);
  assert_int_equal(at_leader->answer, STATUS_OK);
  assert_int_equal(at_follower->answer, STATUS_NOT_LEADER);

  troupe_isolate(troupe, old);
  struct troupe_read *stale = troupe_ask_read(troupe, old);
  broker_id next = troupe_wait_leader(troupe, old);
  troupe_wait_answer(troupe, troupe_propose(troupe, next, 100));
  troupe_run(troupe, 5000);

  assert_int_equal(stale->answers, 1);
  assert_int_equal(stale->answer, STATUS_NOT_LEADER);
}

/* ---- Handing over, and other members ---- */

static void leadership_is_handed_over_without_an_election_timeout(void **state) {
  struct troupe *troupe = *state;
  broker_id old = troupe_wait_leader(troupe, 0);
  append(troupe, 100);
  troupe_settle(troupe);
  broker_id to = old % 3 + 1;
  uint64_t before_ns = sim_now_ns(troupe->sim);

  assert_int_equal(troupe_transfer(troupe, old, to), STATUS_OK);

  assert_int_equal(troupe_wait_leader(troupe, old), to);
  assert_true(sim_now_ns(troupe->sim) - before_ns < 500000000u);
  assert_int_equal(append(troupe, 100)->answer, STATUS_OK);
}

static void go(void *context) {
  struct player *player = context;
  lane_leave(player->stage.lane);
  (void)lane_hand_over(player->stage.lane);
}

/* As a broker does that stops. */
static void leave(struct troupe *troupe, broker_id broker) {
  struct player *player = player_of(troupe, broker);
  troupe->wires.reluctant[broker] = true;
  stage_on_lane(&player->stage, go, player);
}

static void a_broker_that_stops_hands_over_and_takes_nothing_back(void **state) {
  struct troupe *troupe = *state;
  broker_id old = troupe_wait_leader(troupe, 0);
  append(troupe, 100);
  troupe_settle(troupe);

  leave(troupe, old);

  broker_id next = troupe_wait_leader(troupe, old);
  assert_int_equal(lane_leaderships(player_of(troupe, old)->stage.lane), 0);
  assert_int_equal(lane_leaderships(player_of(troupe, next)->stage.lane), 1);
  troupe_run(troupe, 500); /* beats */
  assert_int_equal(troupe_transfer(troupe, next, old), STATUS_INVALID);
  leave(troupe, next);
  assert_int_equal(troupe_wait_leader(troupe, next), other_than(old, next));
}

static void brokers_that_stop_together_keep_what_they_have(void **state) {
  struct troupe *troupe = *state;
  broker_id leader = troupe_wait_leader(troupe, 0);
  append(troupe, 100);
  troupe_settle(troupe);
  entry_term term = replica_term(player_of(troupe, leader)->replica);

  for (unsigned look = 0; look < 500; look++) {
    for (broker_id broker = 1; broker <= 3; broker++) leave(troupe, broker);
    troupe_run(troupe, 2);
  }

  leader = troupe_wait_leader(troupe, 0);
  assert_in_range(replica_term(player_of(troupe, leader)->replica), term, term + 2);
  size_t kept = 0;
  for (broker_id broker = 1; broker <= 3; broker++) kept += lane_leaderships(player_of(troupe, broker)->stage.lane);
  assert_int_equal(kept, 1);
  assert_int_equal(append(troupe, 100)->answer, STATUS_OK);
}

static void who_is_unfit_to_lead_hands_over_and_leads_only_when_nobody_else_does(void **state) {
  struct troupe *troupe = *state;
  broker_id old = troupe_wait_leader(troupe, 0);
  append(troupe, 100);
  troupe_settle(troupe);

  wires_wish(&troupe->wires, old, true);

  broker_id next = troupe_wait_leader(troupe, old);
  assert_int_equal(append(troupe, 100)->answer, STATUS_OK);
  troupe_settle(troupe);
  broker_id third = other_than(old, next);
  troupe_stop(troupe, next, false);
  assert_int_equal(troupe_wait_leader(troupe, next), third);
  assert_int_equal(append(troupe, 100)->answer, STATUS_OK);
  troupe_settle(troupe);
  troupe_stop(troupe, third, false);
  troupe_start(troupe, next);
  wires_wish(&troupe->wires, next, true);
  (void)troupe_wait_leader(troupe, third);
  assert_int_equal(append(troupe, 100)->answer, STATUS_OK);

  wires_wish(&troupe->wires, old, false);
  troupe_run(troupe, 3000);
  assert_int_equal(troupe_wait_leader(troupe, third), old);
}

static void members_change_and_a_restart_remembers_them(void **state) {
  struct troupe *troupe = *state;
  broker_id leader = troupe_wait_leader(troupe, 0);
  append(troupe, 100);
  broker_id leaver = leader % 3 + 1;
  broker_id stayer = other_than(leader, leaver);
  struct raft_config target = {.phase = RAFT_STABLE};
  for (broker_id broker = 1; broker <= 3; broker++) {
    if (broker != leaver) raft_config_add(&target, &player_of(troupe, broker)->id, RAFT_VOTER, RAFT_VOTER);
  }

  assert_int_equal(troupe_change(troupe, leader, &target), STATUS_OK);
  troupe_run(troupe, 2000);
  troupe_stop(troupe, leaver, false);
  append(troupe, 100);
  troupe_settle(troupe);
  for (int checkpointed = 0; checkpointed < 2; checkpointed++) {
    troupe_stop(troupe, leader, checkpointed == 1);
    troupe_stop(troupe, stayer, checkpointed == 1);
    troupe_start(troupe, leader);
    troupe_start(troupe, stayer);
    assert_true(raft_config_equal(replica_config(player_of(troupe, leader)->replica), &target));
    assert_true(raft_config_equal(replica_config(player_of(troupe, stayer)->replica), &target));
    for (int i = 0; i < 3; i++) append(troupe, 50000); /* enough for a checkpoint to move them */
    troupe_settle(troupe);
  }
  assert_true(player_of(troupe, leader)->restored);
}

/* Its disk is behind both configurations that it remembers: what belongs to the state that it has it cannot tell. */
static void there_is_no_state_while_the_disk_is_two_configurations_behind(void **state) {
  struct troupe *troupe = *state;
  troupe->ops.makes_logs = true;
  broker_id leader = troupe_wait_leader(troupe, 0);
  append(troupe, 100);
  troupe_settle(troupe);
  broker_id slow = leader % 3 + 1;
  const struct player *player = player_of(troupe, slow);
  struct replica_state kept;
  assert_true(replica_state_of(player->replica, &kept));
  stage_slow_journal(&player_of(troupe, slow)->stage);
  entry_index applied = replica_applied(player->replica);
  struct raft_config target = {.phase = RAFT_STABLE};
  for (broker_id broker = 1; broker <= 3; broker++) {
    enum raft_rank rank = broker == slow ? RAFT_LEARNER : RAFT_VOTER;
    raft_config_add(&target, &player_of(troupe, broker)->id, rank, rank);
  }

  assert_int_equal(troupe_change(troupe, leader, &target), STATUS_OK);
  while (player->replica->raft.previous_config_index <= applied) troupe_run(troupe, 1); /* JOINT, then STABLE */

  assert_int_equal(replica_applied(player->replica), applied);
  assert_false(replica_state_of(player->replica, &kept));
  stage_heal(&player_of(troupe, slow)->stage);
  troupe_settle(troupe);
  assert_true(replica_state_of(player->replica, &kept));
  assert_int_equal(kept.config_index, player->replica->raft.config_index);
}

/* ---- Restarts ---- */

static void all_start_anew_with_what_was_answered(void **state) {
  struct troupe *troupe = *state;
  for (unsigned round = 0; round < 5; round++) {
    for (int i = 0; i < 15; i++) append(troupe, 20000);
    entry_index acknowledged = troupe->acknowledged;
    bool power = round % 2 == 0;
    for (broker_id broker = 1; broker <= 3; broker++) {
      if (power) troupe_crash(troupe, broker, SIM_POWER_DROP);
      else troupe_stop(troupe, broker, round == 1);
    }
    for (broker_id broker = 1; broker <= 3; broker++) troupe_start(troupe, broker);

    troupe_settle(troupe);

    for (broker_id broker = 1; broker <= 3; broker++) assert_true(player_of(troupe, broker)->last > acknowledged);
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(one_is_elected_and_what_it_is_asked_is_applied_by_all),
      TEST(nobody_but_the_leader_takes_proposals),
      TEST(an_idle_group_says_nothing_and_has_no_timer),
      TEST(entries_of_one_turn_travel_together),
      TEST(another_takes_over_when_the_leader_dies_and_nothing_is_lost),
      TEST(a_minority_answers_nothing),
      TEST(one_that_was_down_gets_everything_from_the_log),
      TEST(what_a_follower_cannot_take_waits_until_it_can),
      TEST(two_that_wait_for_room_have_it_one_after_the_other),
      TEST(rot_on_the_way_is_not_taken_and_comes_again),
      TEST(what_another_leader_has_replaced_is_not_executed),
      TEST(what_the_next_leader_keeps_is_answered_when_it_is_committed),
      TEST(what_nobody_tells_of_is_unknown_after_a_while),
      TEST(a_disk_that_stands_still_is_owed_a_bounded_number_of_answers),
      TEST(what_makes_logs_is_applied_when_it_is_on_the_own_disk),
      TEST(there_is_no_state_while_the_disk_is_two_configurations_behind),
      TEST(a_failing_disk_gives_leadership_up),
      TEST(reads_are_for_a_confirmed_leader),
      TEST(leadership_is_handed_over_without_an_election_timeout),
      TEST(a_broker_that_stops_hands_over_and_takes_nothing_back),
      TEST(brokers_that_stop_together_keep_what_they_have),
      TEST(who_is_unfit_to_lead_hands_over_and_leads_only_when_nobody_else_does),
      TEST(members_change_and_a_restart_remembers_them),
      TEST(all_start_anew_with_what_was_answered),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
