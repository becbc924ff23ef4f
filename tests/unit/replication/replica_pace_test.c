/* Who does not count yet gets old entries only as fast as it may, by its brokers' word and by that of its move; who counts, and what comes
 * meanwhile, is not held back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "replication/pace.h"
#include "replication/replica_internal.h"
#include "tests/unit/replication/troupe.h"

#define RECORD 5000u
#define RATE 1000000u /* bytes a second: 200 records */
#define FAR 1200u

static struct pace paces[TROUPE_MAX + 1];

static void set_pace(void *context) {
  struct player *player = context;
  lane_set_pace(player->stage.lane, &paces[player->id.broker]);
}

/* `forgets`: nothing stays in memory that is on the disk. */
static void begin_anew(struct troupe *troupe, broker_id broker, bool forgets) {
  troupe_stop(troupe, broker, true);
  player_of(troupe, broker)->stage.forgets = forgets;
  troupe_start(troupe, broker);
  pace_init(&paces[broker], RATE);
  stage_on_lane(&player_of(troupe, broker)->stage, set_pace, player_of(troupe, broker));
}

static int set_up(void **state) {
  struct troupe *troupe = troupe_new(23, 3);
  for (broker_id broker = 1; broker <= 3; broker++) begin_anew(troupe, broker, true);
  *state = troupe;
  return 0;
}

static int tear_down(void **state) {
  troupe_free(*state);
  return 0;
}

static struct troupe_ask *propose(struct troupe *troupe, size_t size) {
  struct troupe_ask *ask = troupe_propose(troupe, troupe_wait_leader(troupe, 0), size);
  while (ask->refused == STATUS_JOURNAL_FULL) { /* the checkpoint is behind */
    troupe_run(troupe, 10);
    ask = troupe_propose(troupe, troupe_wait_leader(troupe, 0), size);
  }
  return ask;
}

/* All of them at once. */
static void append(struct troupe *troupe, unsigned count, size_t size) {
  struct troupe_ask *last = NULL;
  for (unsigned i = 0; i < count; i++) last = propose(troupe, size);
  if (last == NULL) return;
  troupe_wait_answer(troupe, last);
  assert_int_equal(last->answer, STATUS_OK);
}

static void change_to(struct troupe *troupe, broker_id without) {
  struct raft_config target = {.phase = RAFT_STABLE};
  for (broker_id broker = 1; broker <= 3; broker++)
    if (broker != without) raft_config_add(&target, &player_of(troupe, broker)->id, RAFT_VOTER, RAFT_VOTER);
  assert_int_equal(troupe_change(troupe, troupe_wait_leader(troupe, 0), &target), STATUS_OK);
}

static bool is_settled(struct troupe *troupe, uint8_t voters) {
  const struct raft_config *config = replica_config(player_of(troupe, troupe_wait_leader(troupe, 0))->replica);
  return config->phase == RAFT_STABLE && config->count == voters;
}

/* Virtual milliseconds until the group has so many members and nothing else is to come. `growing`: so many records are appended each 100 ms. */
static unsigned wait_for_members(struct troupe *troupe, uint8_t voters, unsigned growing) {
  unsigned ms = 0;
  for (; !is_settled(troupe, voters); ms += 100) {
    assert_true(ms < 60000);
    append(troupe, growing, RECORD);
    if (growing > 0) stage_checkpoint(&player_of(troupe, troupe_leader(troupe))->stage);
    troupe_run(troupe, 100);
  }
  return ms;
}

/* One is no member any more, and lacks so many records, which are in segments. Who it is. */
static broker_id leave_out(struct troupe *troupe, unsigned lacks) {
  broker_id leader = troupe_wait_leader(troupe, 0), out = leader % 3 + 1;
  change_to(troupe, out);
  (void)wait_for_members(troupe, 2, 0);
  append(troupe, lacks, RECORD);
  troupe_settle(troupe);
  stage_checkpoint(&player_of(troupe, leader)->stage);
  troupe_run(troupe, 1000); /* what was just appended is not old */
  return out;
}

struct own_pace {
  struct replica *replica;
  uint64_t bytes_per_second;
};

static void set_own_pace(void *context) {
  const struct own_pace *own = context;
  replica_set_pace(own->replica, own->bytes_per_second);
}

/* Of this group alone, by whoever leads it. */
static void pace_group(struct troupe *troupe, uint64_t bytes_per_second) {
  struct player *leader = player_of(troupe, troupe_wait_leader(troupe, 0));
  struct own_pace own = {leader->replica, bytes_per_second};
  stage_on_lane(&leader->stage, set_own_pace, &own);
}

static void a_newcomer_gets_old_entries_at_the_pace(void **state) {
  struct troupe *troupe = *state;
  (void)leave_out(troupe, FAR);

  change_to(troupe, 0);
  unsigned ms = wait_for_members(troupe, 3, 0);

  assert_in_range(ms, 4000, 9000); /* six seconds, but for what one message has */
}

static void what_is_in_memory_has_the_same_pace(void **state) {
  struct troupe *troupe = *state;
  for (broker_id broker = 1; broker <= 3; broker++) begin_anew(troupe, broker, false);
  (void)leave_out(troupe, FAR);

  change_to(troupe, 0);
  unsigned ms = wait_for_members(troupe, 3, 0);

  assert_in_range(ms, 4000, 9000);
}

static void a_few_large_entries_have_the_same_pace(void **state) {
  struct troupe *troupe = *state;
  (void)leave_out(troupe, 0);
  append(troupe, 12, 500000);
  troupe_run(troupe, 1000);

  change_to(troupe, 0);
  unsigned ms = wait_for_members(troupe, 3, 0);

  assert_in_range(ms, 4000, 9000);
}

static void a_group_may_have_a_slower_pace_of_its_own(void **state) {
  struct troupe *troupe = *state;
  (void)leave_out(troupe, FAR);
  pace_group(troupe, RATE / 4);

  change_to(troupe, 0);
  unsigned ms = wait_for_members(troupe, 3, 0);

  assert_in_range(ms, 15000, 30000); /* 24 seconds, but for what one message has */
}

/* Also for whoever was given something, and for whoever comes in the place of one that was. */
static void another_pace_holds_from_then_on(void **state) {
  struct troupe *troupe = *state;
  broker_id out = leave_out(troupe, FAR);
  pace_group(troupe, 10); /* one message, and then nothing for a day */
  change_to(troupe, 0);
  troupe_run(troupe, 5000);
  assert_false(is_settled(troupe, 3));

  change_to(troupe, out);
  (void)wait_for_members(troupe, 2, 0);
  troupe_run(troupe, 100);
  change_to(troupe, 0);
  troupe_run(troupe, 5000);
  assert_false(is_settled(troupe, 3));
  pace_group(troupe, 10 * RATE);
  unsigned ms = wait_for_members(troupe, 3, 0);

  assert_in_range(ms, 0, 9000);
}

/* It grows three times as fast as a newcomer may be given: with each second there would be more to come. */
static void a_group_that_grows_faster_takes_newcomers_too(void **state) {
  struct troupe *troupe = *state;
  (void)leave_out(troupe, FAR);

  change_to(troupe, 0);
  unsigned ms = wait_for_members(troupe, 3, 60);

  assert_in_range(ms, 2000, 30000);
}

static void a_voter_that_was_away_is_not_paced(void **state) {
  struct troupe *troupe = *state;
  broker_id leader = troupe_wait_leader(troupe, 0), away = leader % 3 + 1;
  append(troupe, 1, RECORD);
  troupe_stop(troupe, away, false);
  append(troupe, FAR, RECORD);
  stage_checkpoint(&player_of(troupe, leader)->stage);

  troupe_start(troupe, away);
  for (unsigned ms = 0; player_of(troupe, away)->last < player_of(troupe, leader)->last; ms += 100) {
    assert_true(ms < 2000);
    troupe_run(troupe, 100);
  }
}

static void trim(void *context) {
  struct log *log = context;
  log_set_start(log, log_view(log).next_offset - 40);
}

/* The beginning of the log is gone before it came to a segment: whoever lacks it gets log and state. */
static void trim_all_but(struct troupe *troupe, broker_id out) {
  for (broker_id broker = 1; broker <= 3; broker++) {
    if (broker == out) continue;
    stage_on_lane(&player_of(troupe, broker)->stage, trim, player_of(troupe, broker)->stage.log[TROUPE_GROUP]);
    stage_checkpoint(&player_of(troupe, broker)->stage);
  }
}

/* It comes anew, to an empty disk, and knows the others from its founding on. */
static void replace_with_an_empty_one(struct troupe *troupe, broker_id broker) {
  struct player *player = player_of(troupe, broker);
  troupe_stop(troupe, broker, false);
  stage_deinit(&player->stage);
  memset(&player->stage, 0, sizeof player->stage);
  stage_init_in(&player->stage, troupe->sim, broker);
  troupe->founding = (struct raft_config){.phase = RAFT_STABLE};
  for (broker_id other = 1; other <= 3; other++)
    if (other != broker) raft_config_add(&troupe->founding, &player_of(troupe, other)->id, RAFT_VOTER, RAFT_VOTER);
  troupe_start(troupe, broker);
  pace_init(&paces[broker], RATE);
  stage_on_lane(&player->stage, set_pace, player);
}

static broker_id empty_one_that_needs_the_state(struct troupe *troupe) {
  broker_id out = troupe_wait_leader(troupe, 0) % 3 + 1;
  change_to(troupe, out);
  (void)wait_for_members(troupe, 2, 0);
  append(troupe, 60, 100000);
  trim_all_but(troupe, out);
  replace_with_an_empty_one(troupe, out);
  return out;
}

/* What it takes in with its leader's state it paces itself, though never so that the leader would miss it. */
static void a_newcomer_with_nothing_takes_all_at_its_own_pace(void **state) {
  struct troupe *troupe = *state;
  broker_id out = empty_one_that_needs_the_state(troupe);

  change_to(troupe, 0);
  unsigned ms = wait_for_members(troupe, 3, 0);

  assert_int_equal(player_of(troupe, out)->installs, 1);
  assert_in_range(ms, 1500, 6000); /* four seconds, or half an election timeout for each MiB */
}

static void what_comes_with_the_state_has_the_same_pace(void **state) {
  struct troupe *troupe = *state;
  broker_id out = empty_one_that_needs_the_state(troupe);
  pace_group(troupe, 10);

  change_to(troupe, 0);
  troupe_run(troupe, 10000);
  assert_false(is_settled(troupe, 3));
  assert_int_equal(player_of(troupe, out)->installs, 0);
  pace_group(troupe, RATE / 4);
  unsigned ms = wait_for_members(troupe, 3, 0);

  assert_int_equal(player_of(troupe, out)->installs, 1);
  assert_in_range(ms, 6000, 20000); /* 12 seconds for three MiB, one was there */
}

/* What was sent is not sent again when the pause behind it is over: also not the last of it, while the newcomer stores what it has. */
static void nothing_comes_twice_with_the_state(void **state) {
  struct troupe *troupe = *state;
  broker_id out = empty_one_that_needs_the_state(troupe);
  pace_group(troupe, (uint64_t)20000 * RATE); /* a pause of 50 us behind each MiB */
  uint64_t before = troupe->wires.entries;

  change_to(troupe, 0);
  unsigned ms = wait_for_members(troupe, 3, 1);

  assert_int_equal(player_of(troupe, out)->installs, 1);
  unsigned appended = ms / 100 + 1;
  assert_in_range(troupe->wires.entries - before, 40,
                  60 + 2 * appended); /* 40 of the log, the state, and what a change of members takes */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_newcomer_gets_old_entries_at_the_pace),
      TEST(what_is_in_memory_has_the_same_pace),
      TEST(a_few_large_entries_have_the_same_pace),
      TEST(a_group_may_have_a_slower_pace_of_its_own),
      TEST(another_pace_holds_from_then_on),
      TEST(a_group_that_grows_faster_takes_newcomers_too),
      TEST(a_voter_that_was_away_is_not_paced),
      TEST(a_newcomer_with_nothing_takes_all_at_its_own_pace),
      TEST(what_comes_with_the_state_has_the_same_pace),
      TEST(nothing_comes_twice_with_the_state),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
