/* What rot takes of segments the replicas have from each other, whoever leads, also when each of them has lost something. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "log/log_internal.h"
#include "replication/replica_internal.h"
#include "tests/unit/replication/troupe.h"

#define RECORDS 120u
#define RECORD_BYTES 20000u

static int set_up(void **state) {
  *state = troupe_new(23, 3);
  return 0;
}

static int tear_down(void **state) {
  troupe_free(*state);
  return 0;
}

static void append(struct troupe *troupe, unsigned count) { troupe_append(troupe, count, RECORD_BYTES); }

/* Everything is in segments, of all three, and nobody has any of it in memory. */
static void write_and_restart(struct troupe *troupe) {
  append(troupe, RECORDS);
  troupe_settle(troupe);
  for (broker_id broker = 1; broker <= 3; broker++) stage_checkpoint(&player_of(troupe, broker)->stage);
  for (broker_id broker = 1; broker <= 3; broker++) troupe_stop(troupe, broker, true);
}

static void rot(struct troupe *troupe, broker_id broker, uint64_t position) {
  assert_true(sim_disk_flip(player_of(troupe, broker)->stage.device, "p/*.segment", position, 0xff) > 0);
}

static void start_all(struct troupe *troupe) {
  for (broker_id broker = 1; broker <= 3; broker++) troupe_start(troupe, broker);
  troupe_settle(troupe);
}

/* ---- Reading ---- */

struct reading {
  struct log *log;
  struct log_read read;
  bool done;
};
static struct reading *reading_of;

static void read_done(struct task *task) {
  (void)task;
  reading_of->done = true;
}

static void begin_read(void *context) {
  struct reading *reading = context;
  if (log_read(reading->log, &reading->read)) reading->done = true;
}

static enum status read_at(struct troupe *troupe, broker_id broker, record_offset offset, record_offset *out_next) {
  struct reading reading = {.log = log_of(troupe, broker)};
  reading_of = &reading;
  reading.read.offset = offset;
  reading.read.limit = log_view(reading.log).next_offset;
  reading.read.bytes_max = 1 << 20;
  reading.read.loop = lane_loop(player_of(troupe, broker)->stage.lane);
  reading.read.done.run = read_done;
  stage_on_lane(&player_of(troupe, broker)->stage, begin_read, &reading);
  while (!reading.done) troupe_run(troupe, 1);
  enum status status = reading.read.status;
  *out_next = reading.read.next_offset;
  log_read_reset(&reading.read);
  return status;
}

/* How many pieces of it cannot be read. */
static unsigned read_through(struct troupe *troupe, broker_id broker) {
  unsigned damaged = 0;
  record_offset end = log_view(log_of(troupe, broker)).next_offset;
  for (record_offset at = 0; at < end;) {
    record_offset next = at;
    enum status status = read_at(troupe, broker, at, &next);
    assert_true(status == STATUS_OK || status == STATUS_DAMAGED);
    assert_true(next > at);
    damaged += status == STATUS_DAMAGED;
    at = next;
  }
  return damaged;
}

static void wait_until_mended(struct troupe *troupe, broker_id broker) {
  for (int i = 0; i < 10000 && player_of(troupe, broker)->replica->mend != NULL; i++) troupe_run(troupe, 1);
  assert_null(player_of(troupe, broker)->replica->mend);
}

static void assert_whole(struct troupe *troupe) {
  for (broker_id broker = 1; broker <= 3; broker++) {
    assert_int_equal(read_through(troupe, broker), 0);
    assert_int_equal(log_damaged_ranges(log_of(troupe, broker), NULL, 0), 0);
  }
}

/* ---- The tests ---- */

static void whatever_each_of_three_has_lost_the_others_have(void **state) {
  struct troupe *troupe = *state;
  write_and_restart(troupe);
  rot(troupe, 1, 200000);
  rot(troupe, 1, 1200000);
  rot(troupe, 2, 600000);
  rot(troupe, 3, 900000);
  rot(troupe, 3, 2000000);
  start_all(troupe);

  for (broker_id broker = 1; broker <= 3; broker++) assert_true(read_through(troupe, broker) >= 1);
  for (broker_id broker = 1; broker <= 3; broker++) wait_until_mended(troupe, broker);

  assert_whole(troupe);
  for (broker_id broker = 1; broker <= 3; broker++) {
    assert_int_equal(player_of(troupe, broker)->installs, 0); /* in place */
    assert_false(replica_fenced(player_of(troupe, broker)->replica));
  }
  append(troupe, 3);
  for (broker_id broker = 1; broker <= 3; broker++) troupe_stop(troupe, broker, true);
  start_all(troupe);
  assert_whole(troupe);
}

static void replica_keeps_leading_while_it_is_mended(void **state) {
  struct troupe *troupe = *state;
  write_and_restart(troupe);
  for (broker_id broker = 1; broker <= 3; broker++) rot(troupe, broker, 400000 + 500000 * broker);
  start_all(troupe);
  broker_id leader = troupe_wait_leader(troupe, 0);

  assert_true(read_through(troupe, leader) >= 1);
  append(troupe, 3);
  wait_until_mended(troupe, leader);

  assert_int_equal(troupe_leader(troupe), leader);
  assert_int_equal(read_through(troupe, leader), 0);
}

static void what_nobody_has_is_asked_for_again_later(void **state) {
  struct troupe *troupe = *state;
  write_and_restart(troupe);
  for (broker_id broker = 1; broker <= 3; broker++) rot(troupe, broker, 700000);
  start_all(troupe);
  broker_id victim = troupe_wait_leader(troupe, 0) % 3 + 1;

  assert_true(read_through(troupe, victim) >= 1);
  troupe_run(troupe, 10000);
  assert_non_null(player_of(troupe, victim)->replica->mend);
  assert_false(replica_mending(player_of(troupe, victim)->replica)); /* nobody should wait for it */
  assert_true(read_through(troupe, victim) >= 1);

  append(troupe, 1); /* the rest goes on */
  assert_false(replica_fenced(player_of(troupe, victim)->replica));
}

static void what_nobody_has_holds_up_nothing_else(void **state) {
  struct troupe *troupe = *state;
  write_and_restart(troupe);
  for (broker_id broker = 1; broker <= 3; broker++) rot(troupe, broker, 700000);
  rot(troupe, 1, 1500000);
  start_all(troupe);
  assert_int_equal(read_through(troupe, 1), 2);
  troupe_run(troupe, 10000);
  assert_int_equal(read_through(troupe, 1), 1);

  rot(troupe, 1, 2000000); /* while it rests */
  assert_int_equal(read_through(troupe, 1), 2);
  troupe_run(troupe, 500);
  assert_int_equal(read_through(troupe, 1), 1);
  assert_false(replica_mending(player_of(troupe, 1)->replica));
}

static bool knows_all_to_be_committed(struct troupe *troupe, broker_id broker) {
  return raft_commit(&player_of(troupe, broker)->replica->raft) == log_view(log_of(troupe, broker)).last_index;
}

/* Two of five: nobody leads, and so nobody tells a broker after its start that the end of its journal is committed. */
static void who_does_not_know_that_it_is_committed_gives_it(void **state) {
  struct troupe *troupe = troupe_new(29, 5);
  (void)state;
  append(troupe, RECORDS);
  troupe_settle(troupe);
  stage_checkpoint(&player_of(troupe, 1)->stage);
  uint64_t last = log_of(troupe, 1)->segments[0].length - RECORD_BYTES / 2;
  for (broker_id broker = 1; broker <= 5; broker++) troupe_stop(troupe, broker, broker == 1);
  rot(troupe, 1, last);
  troupe_start(troupe, 1);
  troupe_start(troupe, 2);
  assert_true(knows_all_to_be_committed(troupe, 1));
  assert_false(knows_all_to_be_committed(troupe, 2));

  assert_int_equal(read_through(troupe, 1), 1);
  wait_until_mended(troupe, 1);
  assert_int_equal(read_through(troupe, 1), 0);
  assert_false(knows_all_to_be_committed(troupe, 2));
  troupe_free(troupe);
}

static void trim(void *log) { log_set_start(log, log_view(log).next_offset - 5); }

static void trim_at(struct troupe *troupe, broker_id broker) {
  stage_on_lane(&player_of(troupe, broker)->stage, trim, log_of(troupe, broker));
}

static void who_has_trimmed_it_does_not_say_that_it_is_lost(void **state) {
  struct troupe *troupe = *state;
  append(troupe, RECORDS);
  troupe_settle(troupe);
  stage_checkpoint(&player_of(troupe, 1)->stage);
  for (broker_id broker = 2; broker <= 3; broker++) {
    trim_at(troupe, broker); /* nothing of it ever comes to a segment */
    stage_checkpoint(&player_of(troupe, broker)->stage);
    assert_true(log_view(log_of(troupe, broker)).start_index > RECORDS / 2);
  }
  for (broker_id broker = 1; broker <= 3; broker++) troupe_stop(troupe, broker, true);
  rot(troupe, 1, 200000);
  start_all(troupe);
  assert_true(read_through(troupe, 1) >= 1);
  for (unsigned i = 0; i < 1000; i++) {
    troupe_run(troupe, 10);
    assert_true(replica_mending(player_of(troupe, 1)->replica));
  }
  trim_at(troupe, 1);
  for (int i = 0; i < 10000 && replica_mending(player_of(troupe, 1)->replica); i++) troupe_run(troupe, 1);
  assert_false(replica_mending(player_of(troupe, 1)->replica)); /* nobody reads it any more */
}

/* The start is in the middle of what is lost, and nobody has what is before it any more. */
static void a_hole_across_the_start_is_had_anew_with_all_the_rest(void **state) {
  struct troupe *troupe = *state;
  append(troupe, RECORDS);
  troupe_settle(troupe);
  stage_checkpoint(&player_of(troupe, 1)->stage);
  for (broker_id broker = 1; broker <= 3; broker++) {
    trim_at(troupe, broker);
    stage_checkpoint(&player_of(troupe, broker)->stage);
  }
  for (broker_id broker = 1; broker <= 3; broker++) troupe_stop(troupe, broker, true);
  /* Two whole entries before the start: behind a lost head it takes some more to find the next one. */
  for (uint64_t at = 0; at < 2 * RECORD_BYTES; at += 64) rot(troupe, 1, (RECORDS - 6) * (RECORD_BYTES + ENTRY_HEAD_SIZE) + at);
  start_all(troupe);
  trim_at(troupe, 1);
  record_offset next = 0;
  assert_int_equal(read_at(troupe, 1, log_view(log_of(troupe, 1)).start_offset, &next), STATUS_DAMAGED);

  for (int i = 0; i < 60000 && player_of(troupe, 1)->installed == 0; i++) troupe_run(troupe, 1);
  assert_int_equal(player_of(troupe, 1)->installed, 1);
  troupe_settle(troupe);
  assert_false(replica_mending(player_of(troupe, 1)->replica));
  assert_int_equal(log_damaged_ranges(log_of(troupe, 1), NULL, 0), 0);
  assert_int_equal(read_at(troupe, 1, log_view(log_of(troupe, 1)).start_offset, &next), STATUS_OK);
  append(troupe, 1);
}

static void answers_that_are_lost_are_asked_for_again(void **state) {
  struct troupe *troupe = *state;
  write_and_restart(troupe);
  rot(troupe, 1, 200000);
  rot(troupe, 1, 1200000);
  start_all(troupe);
  troupe->wires.drop = 300;

  assert_true(read_through(troupe, 1) >= 1);
  for (int i = 0; i < 60000 && player_of(troupe, 1)->replica->mend != NULL; i++) troupe_run(troupe, 1);
  wires_heal(&troupe->wires);
  wait_until_mended(troupe, 1);

  assert_whole(troupe);
}

static void remove_segment(void *context) {
  struct stage *stage = context;
  assert_int_equal(disk_remove(sim_world_doors(stage->node)->disk, "p/1-1/00000000000000000001.segment"), STATUS_OK);
}

/* Too much to be put back in place: log and state come from the leader as a whole. */
static void a_replica_without_the_file_takes_all_anew(void **state) {
  struct troupe *troupe = *state;
  write_and_restart(troupe);
  start_all(troupe);
  broker_id victim = troupe_wait_leader(troupe, 0) % 3 + 1;
  stage_blocking(&player_of(troupe, victim)->stage, remove_segment, &player_of(troupe, victim)->stage);

  assert_true(read_through(troupe, victim) >= 1);
  for (int i = 0; i < 20000 && player_of(troupe, victim)->installs == 0; i++) troupe_run(troupe, 1);
  troupe_settle(troupe);

  assert_int_equal(player_of(troupe, victim)->installs, 1);
  assert_whole(troupe);
  append(troupe, 3);
}

/* Its disk says so itself, and mending is of no use. */
static void a_leader_whose_disk_does_not_give_what_is_needed_hands_over(void **state) {
  struct troupe *troupe = *state;
  broker_id late = troupe_wait_leader(troupe, 0) % 3 + 1;
  append(troupe, 1);
  troupe_settle(troupe);
  troupe_stop(troupe, late, true);
  append(troupe, RECORDS);
  troupe_settle(troupe);
  for (broker_id broker = 1; broker <= 3; broker++) {
    if (broker == late) continue;
    stage_checkpoint(&player_of(troupe, broker)->stage);
    troupe_stop(troupe, broker, true);
  }
  for (broker_id broker = 1; broker <= 3; broker++)
    if (broker != late) troupe_start(troupe, broker);
  broker_id leader = troupe_wait_leader(troupe, 0);
  sim_disk_fault(player_of(troupe, leader)->stage.device, "fail every read on p/* with io");

  troupe_start(troupe, late);
  for (int i = 0; i < 20000 && log_view(log_of(troupe, late)).last_index < RECORDS; i++) troupe_run(troupe, 1);

  assert_true(log_view(log_of(troupe, late)).last_index >= RECORDS);
  assert_int_not_equal(troupe_wait_leader(troupe, 0), leader);
  sim_disk_heal(player_of(troupe, leader)->stage.device);
  troupe_settle(troupe);
  assert_whole(troupe);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(int argc, char **argv) {
  if (argc == 2) cmocka_set_test_filter(argv[1]);
  const struct CMUnitTest tests[] = {
      TEST(whatever_each_of_three_has_lost_the_others_have),
      TEST(replica_keeps_leading_while_it_is_mended),
      TEST(what_nobody_has_is_asked_for_again_later),
      TEST(a_hole_across_the_start_is_had_anew_with_all_the_rest),
      TEST(answers_that_are_lost_are_asked_for_again),
      TEST(a_replica_without_the_file_takes_all_anew),
      TEST(a_leader_whose_disk_does_not_give_what_is_needed_hands_over),
      TEST(what_nobody_has_holds_up_nothing_else),
      TEST(who_has_trimmed_it_does_not_say_that_it_is_lost),
      cmocka_unit_test(who_does_not_know_that_it_is_committed_gives_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
