/* When one core that is spoken to by hand makes a learner a voter, and when it waits. Whole changes are tests/scenarios, what bytes come to is
 * replica_pace_test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replication/raft.h"

#define SECOND 1000u /* an election timeout, in the unit of these tests */
#define BEAT (SECOND / 10)
#define MANY 2000u /* entries at once */

static struct raft raft;
static struct raft_effects effects;
static uint64_t now;

static struct replica_id replica(broker_id broker) { return (struct replica_id){.broker = broker, .incarnation = {broker, 1}}; }

static void step(struct raft_event event) {
  event.now_ns = now;
  raft_step(&raft, &event, &effects);
  raft_check_invariants(&raft);
}

static void hear(struct raft_message message, broker_id from) {
  message.from = replica(from);
  message.to = replica(1);
  message.term = raft_term(&raft);
  step((struct raft_event){.kind = RAFT_MESSAGE, .message = &message});
}

static void persist(void) { step((struct raft_event){.kind = RAFT_PERSISTED, .persisted = raft_mark(&raft)}); }

/* Whatever it was asked for is sent, and so is what it is asked for then. */
static void send_all(void) {
  struct raft_message asked[RAFT_SENDS_MAX];
  size_t count = 0;
  for (size_t i = 0; i < effects.now_count; i++) {
    if (effects.send_now[i].kind == RAFT_APPEND) asked[count++] = effects.send_now[i];
  }
  for (size_t i = 0; i < count; i++) {
    struct raft_sent sent = {.to = asked[i].to,
                             .term = asked[i].term,
                             .sequence = asked[i].sequence,
                             .last = asked[i].append.prev_index + asked[i].append.count,
                             .bytes = asked[i].append.count};
    step((struct raft_event){.kind = RAFT_SENT, .sent = sent});
    send_all();
  }
}

static void say_matched(broker_id from, entry_index match) {
  struct raft_message message = {.kind = RAFT_APPEND_ANSWER, .sequence = raft_progress(&raft, from - 1)->sequence};
  message.append_answer =
      (struct raft_append_answer){.verdict = RAFT_MATCHED, .match = match, .commit = match, .last_index = match};
  hear(message, from);
  send_all();
}

static void propose(uint32_t count) {
  step((struct raft_event){.kind = RAFT_PROPOSE, .count = count});
  assert_int_equal(effects.status, STATUS_OK);
  send_all();
  persist();
  send_all();
}

static void voters_have_everything(void) {
  entry_index last = raft_last_index(&raft);
  say_matched(2, last);
  say_matched(3, last);
}

static void tick(void) {
  now += BEAT;
  step((struct raft_event){.kind = RAFT_TIMER});
  send_all();
}

static void grant(enum raft_message_kind kind) {
  struct raft_message message = {.kind = kind, .sequence = raft.ballot};
  message.vote_answer =
      (struct raft_vote_answer){.asked_term = raft_term(&raft) + (kind == RAFT_PRE_VOTE_ANSWER), .granted = true};
  hear(message, 2);
}

static void add_members(struct raft_config *config, enum raft_rank of_the_fourth) {
  for (broker_id broker = 1; broker <= 4; broker++) {
    struct replica_id id = replica(broker);
    enum raft_rank rank = broker == 4 ? of_the_fourth : RAFT_VOTER;
    raft_config_add(config, &id, rank, rank);
  }
}

/* Replica 1 leads three voters and one learner, 4, which has everything: one entry. */
static int lead(void **state) {
  (void)state;
  struct raft_config config = {.phase = RAFT_STABLE};
  add_members(&config, RAFT_LEARNER);
  now = 1;
  raft_init(&raft, &(struct raft_start){.self = replica(1),
                                        .config = &config,
                                        .timing = {.election_ns = SECOND, .heartbeat_ns = BEAT},
                                        .now_ns = now,
                                        .seed = 7});
  step((struct raft_event){.kind = RAFT_CAMPAIGN});
  grant(RAFT_PRE_VOTE_ANSWER);
  persist();
  grant(RAFT_VOTE_ANSWER);
  assert_int_equal(effects.role, RAFT_LEADER);
  for (broker_id broker = 2; broker <= 4; broker++) {
    step((struct raft_event){.kind = RAFT_PEER_UP, .peer = replica(broker)});
    send_all();
  }
  persist();
  send_all();
  for (broker_id broker = 2; broker <= 4; broker++) say_matched(broker, 1);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  raft_deinit(&raft);
  return 0;
}

/* 4 is to vote. */
static void ask_for_it(void) {
  struct raft_config target = {.phase = RAFT_STABLE};
  add_members(&target, RAFT_VOTER);
  step((struct raft_event){.kind = RAFT_CHANGE_MEMBERS, .config = &target});
  assert_int_equal(effects.status, STATUS_OK);
  send_all();
  persist();
  send_all();
  voters_have_everything();
}

/* Each may be megabytes: the protocol does not know. */
static void learner_that_lacks_one_old_entry_waits(void **state) {
  (void)state;
  propose(3);
  voters_have_everything();
  say_matched(4, 3);
  for (unsigned i = 0; i < 8; i++) tick();

  ask_for_it();
  for (unsigned i = 0; i < 8; i++) {
    tick();
    say_matched(4, 3);
  }
  assert_int_equal(raft.config.phase, RAFT_PREPARING);

  say_matched(4, 4);
  tick();
  say_matched(4, raft_last_index(&raft));
  assert_int_equal(raft.config.phase, RAFT_JOINT);
}

static void learner_that_has_everything_is_taken_at_once(void **state) {
  (void)state;
  propose(3);
  voters_have_everything();
  say_matched(4, 4);

  ask_for_it();

  assert_int_equal(raft.config.phase, RAFT_STABLE);
  assert_true(raft_config_votes(&raft.config, &raft.config.members[3].id));
}

/* A group that appends all the while. 4 has at each tick what the log had so many ticks ago. */
static void append_while_it_lags(unsigned ticks) {
  entry_index ended[40] = {0};
  for (unsigned i = 0; i < 40 && raft.config.phase == RAFT_PREPARING; i++) {
    ended[i] = raft_last_index(&raft);
    propose(MANY);
    voters_have_everything();
    tick();
    if (i >= ticks) say_matched(4, ended[i - ticks]);
  }
}

static void begin_behind(void) {
  propose(MANY);
  for (unsigned i = 0; i < 8; i++) {
    voters_have_everything();
    tick();
  }
  ask_for_it();
  assert_int_equal(raft.config.phase, RAFT_PREPARING);
}

static void learner_in_step_is_taken_under_any_load(void **state) {
  (void)state;
  begin_behind();

  append_while_it_lags(1);

  assert_int_equal(raft.config.phase, RAFT_JOINT);
}

static void learner_that_lags_by_most_of_an_election_timeout_waits(void **state) {
  (void)state;
  begin_behind();

  append_while_it_lags(8);

  assert_int_equal(raft.config.phase, RAFT_PREPARING);
}

/* While it was away the group rested after each append: nothing ticked. */
static void learner_that_comes_back_to_a_longer_log_waits(void **state) {
  (void)state;
  step((struct raft_event){.kind = RAFT_PEER_DOWN, .peer = replica(4)});
  now += 2 * SECOND;
  for (unsigned i = 0; i < 5; i++) {
    propose(1);
    voters_have_everything();
    voters_have_everything();
  }
  assert_true(raft_quiet(&raft));

  step((struct raft_event){.kind = RAFT_PEER_UP, .peer = replica(4)});
  send_all();
  say_matched(4, 1);
  ask_for_it();
  assert_int_equal(raft.config.phase, RAFT_PREPARING);
  say_matched(4, raft_last_index(&raft));

  assert_int_equal(raft.config.phase, RAFT_JOINT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, lead, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(learner_that_lacks_one_old_entry_waits),        TEST(learner_that_has_everything_is_taken_at_once),
      TEST(learner_in_step_is_taken_under_any_load),       TEST(learner_that_lags_by_most_of_an_election_timeout_waits),
      TEST(learner_that_comes_back_to_a_longer_log_waits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
