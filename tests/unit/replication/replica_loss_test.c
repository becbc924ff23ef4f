/* Rot takes entries out of the journal of a replica that is in use: it loses its rights at once, and has them back, with its entries, from the
 * others, without a start. And rights that were lost stay lost over a start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "log/journal_ring.h"
#include "log/log_internal.h"
#include "replication/replica_internal.h"
#include "tests/unit/replication/troupe.h"

#define RECORD_BYTES 20000u

static struct raft_damage damage_of(struct troupe *troupe, broker_id broker) {
  return player_of(troupe, broker)->replica->raft.damage;
}

static int open_all(void **state, unsigned count) {
  *state = troupe_new(31, count);
  return 0;
}

static int set_up(void **state) { return open_all(state, 3); }
static int set_up_two(void **state) { return open_all(state, 2); }

static int tear_down(void **state) {
  troupe_free(*state);
  return 0;
}

static void append(struct troupe *troupe, unsigned count) { troupe_append(troupe, count, RECORD_BYTES); }

/* From here on only the journals have what was appended, and no memory. */
static void restart_all(struct troupe *troupe) {
  troupe_settle(troupe);
  for (broker_id broker = 1; broker <= troupe->count; broker++) {
    if (player_of(troupe, broker)->replica == NULL) continue;
    troupe_stop(troupe, broker, false);
    troupe_start(troupe, broker);
  }
  troupe_settle(troupe);
}

/* In the middle of the payload that the journal, and no memory, has of the last record up to `index`. */
static void rot_last_up_to(struct troupe *troupe, broker_id broker, entry_index index) {
  const struct log *log = log_of(troupe, broker);
  while (tail_at(&log->tail, index)->entry.head.payload_size < RECORD_BYTES) index--;
  const struct tail_slot *slot = tail_at(&log->tail, index);
  assert_true(slot->durable && !tail_cached(&log->tail, index));
  char path[DISK_PATH_MAX];
  journal_file_path(path, slot->place.file);
  assert_int_equal(sim_disk_flip(player_of(troupe, broker)->stage.device, path, slot->place.offset + 8192, 0xff), 1);
}

static void rot_last(struct troupe *troupe, broker_id broker) {
  rot_last_up_to(troupe, broker, log_of(troupe, broker)->last_index);
}

static void run_until_installed(struct troupe *troupe, broker_id broker) {
  for (int i = 0; i < 30000 && player_of(troupe, broker)->installed == 0; i++) troupe_run(troupe, 1);
  assert_int_equal(player_of(troupe, broker)->installed, 1);
}

static void assert_sound(struct troupe *troupe, broker_id broker) {
  assert_false(replica_fenced(player_of(troupe, broker)->replica));
  assert_false(replica_mending(player_of(troupe, broker)->replica));
  assert_int_equal(log_damaged_ranges(log_of(troupe, broker), NULL, 0), 0);
}

static void expect_repair(struct troupe *troupe, broker_id broker) {
  run_until_installed(troupe, broker);
  troupe_settle(troupe);
  assert_sound(troupe, broker);
}

/* Who leads, and has lost the newest entry but does not know it yet. */
static broker_id leader_with_a_loss(struct troupe *troupe) {
  append(troupe, 10);
  restart_all(troupe);
  broker_id leader = troupe_wait_leader(troupe, 0);
  rot_last(troupe, leader);
  return leader;
}

static void meet_the_loss(struct troupe *troupe, broker_id broker) {
  stage_checkpoint(&player_of(troupe, broker)->stage);
  troupe_run(troupe, 1);
}

/* ---- The tests ---- */

static void a_leader_that_has_lost_an_entry_lets_another_lead(void **state) {
  struct troupe *troupe = *state;
  broker_id old = leader_with_a_loss(troupe);

  meet_the_loss(troupe, old);
  assert_true(replica_fenced(player_of(troupe, old)->replica));
  assert_true(replica_mending(player_of(troupe, old)->replica));
  assert_int_not_equal(player_of(troupe, old)->replica->raft.role, RAFT_LEADER);
  assert_true(damage_of(troupe, old).damaged);

  assert_int_not_equal(troupe_wait_leader(troupe, old), old);
  append(troupe, 5);
  expect_repair(troupe, old);
  assert_int_equal(troupe_transfer(troupe, troupe_wait_leader(troupe, 0), old), STATUS_OK);
  for (int i = 0; i < 5000 && troupe_leader(troupe) != old; i++) troupe_run(troupe, 1);
  assert_int_equal(troupe_leader(troupe), old);
  append(troupe, 5);
}

/* Of two the other one is not elected without the vote of who has lost something, who gives it to nobody who has less. */
static void a_leader_of_two_gives_the_other_what_it_lacks_before_it_resigns(void **state) {
  struct troupe *troupe = *state;
  broker_id old = leader_with_a_loss(troupe), other = 3 - old;
  troupe->wires.cut[old][other] = true;
  struct troupe_ask *ask = troupe_propose(troupe, old, RECORD_BYTES);
  troupe_run(troupe, 20);
  assert_true(log_view(log_of(troupe, old)).durable_index > log_view(log_of(troupe, other)).last_index);

  troupe->wires.cut[old][other] = false;
  meet_the_loss(troupe, old);
  assert_true(replica_fenced(player_of(troupe, old)->replica));
  assert_false(damage_of(troupe, old).damaged);

  assert_int_equal(troupe_wait_leader(troupe, old), other);
  troupe_wait_answer(troupe, ask);
  assert_int_equal(ask->answer, STATUS_OK);
  expect_repair(troupe, old);
  append(troupe, 5);
}

/* And when that one is not there it does not wait for it for long. */
static void a_leader_of_two_does_not_wait_long_for_the_other(void **state) {
  struct troupe *troupe = *state;
  broker_id old = leader_with_a_loss(troupe), other = 3 - old;
  troupe->wires.cut[old][other] = true;
  meet_the_loss(troupe, old);
  assert_false(damage_of(troupe, old).damaged);

  troupe_run(troupe, 2 * (unsigned)(troupe->timing.election_ns / 1000000));

  assert_true(damage_of(troupe, old).damaged);
  wires_heal(&troupe->wires);
  expect_repair(troupe, old);
  append(troupe, 5);
}

/* It and one who lacks what it has acknowledged are two of three, and must not be enough. */
static void a_follower_that_has_lost_an_entry_helps_nobody_without_it(void **state) {
  struct troupe *troupe = *state;
  append(troupe, 5);
  restart_all(troupe);
  broker_id leader = troupe_wait_leader(troupe, 0);
  broker_id late = leader % 3 + 1;
  broker_id victim = 0;
  troupe_stop(troupe, late, true);
  append(troupe, 5);
  restart_all(troupe);
  leader = troupe_wait_leader(troupe, 0);
  victim = 6 - late - leader;
  rot_last(troupe, victim);
  troupe_isolate(troupe, leader);
  stage_checkpoint(&player_of(troupe, victim)->stage);

  troupe_start(troupe, late);
  for (int i = 0; i < 10000; i++) {
    troupe_run(troupe, 1);
    assert_false(player_of(troupe, late)->leads || player_of(troupe, victim)->leads);
  }
  assert_true(damage_of(troupe, victim).damaged);

  wires_heal(&troupe->wires);
  expect_repair(troupe, victim);
  troupe_stop(troupe, leader, true); /* now it is needed */
  append(troupe, 5);
}

static bool damage_is_stored(const struct player *player) {
  const struct log *log = player->replica->log;
  return !log->state_owed && !log->row_dirty && !log->in_round;
}

/* What it has is what its leader says it has not: the same index and term, and other bytes (R10). */
struct other_bytes {
  struct replica *replica;
  struct replica_id leader;
};

static void receive_other_bytes(void *context) {
  const struct other_bytes *other = context;
  struct replica *replica = other->replica;
  struct log_view view = log_view(replica->log);
  const struct peer_message message = {.raft = {.kind = RAFT_APPEND,
                                                .from = other->leader,
                                                .to = replica->raft.self,
                                                .term = raft_term(&replica->raft),
                                                .append = {.prev_index = view.last_index,
                                                           .prev_term = view.last_term,
                                                           .prev_chain = ~view.last_chain,
                                                           .commit = view.last_index}}};
  replica_receive(replica, &message);
}

static void a_diverged_replica_has_no_rights_after_a_start_either(void **state) {
  struct troupe *troupe = *state;
  append(troupe, 5);
  troupe_settle(troupe);
  broker_id leader = troupe_wait_leader(troupe, 0);
  broker_id victim = leader % 3 + 1;
  troupe_isolate(troupe, victim); /* the leader is not to hear of it, or it would lose its own */
  struct other_bytes other = {.replica = player_of(troupe, victim)->replica, .leader = player_of(troupe, leader)->id};
  stage_on_lane(&player_of(troupe, victim)->stage, receive_other_bytes, &other);
  assert_true(damage_of(troupe, victim).damaged);
  for (int i = 0; i < 1000 && !damage_is_stored(player_of(troupe, victim)); i++) troupe_run(troupe, 1);

  troupe_crash(troupe, victim, SIM_POWER_DROP);
  troupe_start(troupe, victim);
  assert_false(log_view(log_of(troupe, victim)).damaged);
  assert_true(damage_of(troupe, victim).damaged);
  assert_true(replica_fenced(player_of(troupe, victim)->replica));

  wires_heal(&troupe->wires);
  expect_repair(troupe, victim);
  append(troupe, 3);
}

/* A start that is not over the rot itself finds in the store that something is lost, and cannot tell what: it wants a proof. */
static void what_was_lost_is_lost_after_a_start_too(void **state) {
  struct troupe *troupe = *state;
  append(troupe, 5);
  restart_all(troupe);
  broker_id victim = troupe_wait_leader(troupe, 0) % 3 + 1;
  rot_last(troupe, victim);
  troupe_isolate(troupe, victim);
  stage_checkpoint(&player_of(troupe, victim)->stage);
  for (int i = 0; i < 1000 && !damage_is_stored(player_of(troupe, victim)); i++) troupe_run(troupe, 1);

  troupe_crash(troupe, victim, SIM_POWER_DROP);
  troupe_start(troupe, victim);
  assert_true(damage_of(troupe, victim).damaged);

  wires_heal(&troupe->wires);
  run_until_installed(troupe, victim);
  troupe_settle(troupe);
  for (int i = 0; i < 10000 && damage_of(troupe, victim).through != 0; i++) troupe_run(troupe, 1);
  assert_int_equal(damage_of(troupe, victim).through, 0); /* proven */
  assert_sound(troupe, victim);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_OF_TWO(name) cmocka_unit_test_setup_teardown(name, set_up_two, tear_down)
int main(int argc, char **argv) {
  if (argc == 2) cmocka_set_test_filter(argv[1]);
  const struct CMUnitTest tests[] = {
      TEST(a_leader_that_has_lost_an_entry_lets_another_lead),
      TEST_OF_TWO(a_leader_of_two_gives_the_other_what_it_lacks_before_it_resigns),
      TEST_OF_TWO(a_leader_of_two_does_not_wait_long_for_the_other),
      TEST(a_follower_that_has_lost_an_entry_helps_nobody_without_it),
      TEST(a_diverged_replica_has_no_rights_after_a_start_either),
      TEST(what_was_lost_is_lost_after_a_start_too),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
