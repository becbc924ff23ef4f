/* Offers of leadership, made by one core that is spoken to by hand: to whom it makes one, to whom not, and how long it waits. What comes of
 * it among others is tests/scenarios/offer.txt.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replication/raft.h"

#define SECOND 1000u /* an election timeout, in the unit of these tests */
#define BEAT (SECOND / 10)

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

/* Whatever it was asked for is sent, all of it. */
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
                             .bytes = 100 * asked[i].append.count};
    step((struct raft_event){.kind = RAFT_SENT, .sent = sent});
  }
}

static void say_matched(broker_id from, entry_index match) {
  size_t position = from - 1;
  struct raft_message message = {.kind = RAFT_APPEND_ANSWER, .sequence = raft_progress(&raft, position)->sequence};
  message.append_answer =
      (struct raft_append_answer){.verdict = RAFT_MATCHED, .match = match, .commit = match, .last_index = match};
  hear(message, from);
  send_all();
}

static void grant(enum raft_message_kind kind) {
  struct raft_message message = {.kind = kind, .sequence = raft.ballot};
  message.vote_answer =
      (struct raft_vote_answer){.asked_term = raft_term(&raft) + (kind == RAFT_PRE_VOTE_ANSWER), .granted = true};
  hear(message, 2);
}

/* Replica 1 begins to lead three voters and one learner, 4; nothing is committed yet. */
static void begin_to_lead(void) {
  struct raft_config config = {.phase = RAFT_STABLE};
  for (broker_id broker = 1; broker <= 4; broker++) {
    struct replica_id id = replica(broker);
    enum raft_rank rank = broker == 4 ? RAFT_LEARNER : RAFT_VOTER;
    raft_config_add(&config, &id, rank, rank);
  }
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
}

/* And everybody has its first entry. */
static int lead(void **state) {
  (void)state;
  begin_to_lead();
  for (broker_id broker = 2; broker <= 4; broker++) say_matched(broker, 1);
  assert_int_equal(raft_commit(&raft), 1);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  raft_deinit(&raft);
  return 0;
}

static enum raft_offer offer(broker_id to) {
  step((struct raft_event){.kind = RAFT_OFFER, .peer = replica(to)});
  return effects.offer;
}

static void propose(void) {
  step((struct raft_event){.kind = RAFT_PROPOSE, .count = 1});
  assert_int_equal(effects.status, STATUS_OK);
  send_all();
  persist();
  send_all();
}

static void tick(void) {
  now += BEAT;
  step((struct raft_event){.kind = RAFT_TIMER});
  send_all();
}

/* ---- To whom ---- */

static void offer_goes_to_a_voter_that_has_everything(void **state) {
  (void)state;

  assert_int_equal(offer(2), RAFT_OFFER_BEGUN);

  assert_true(raft_transferring(&raft));
  assert_int_equal(effects.send_now[0].kind, RAFT_TIMEOUT_NOW);
  assert_false(effects.send_now[0].summons.wished);
}

static void offer_goes_to_no_learner_no_stranger_and_not_to_itself(void **state) {
  (void)state;

  assert_int_equal(offer(4), RAFT_OFFER_STRANGER);
  assert_int_equal(offer(7), RAFT_OFFER_STRANGER);
  assert_int_equal(offer(1), RAFT_OFFER_STRANGER);
  struct raft_event wiped = {.kind = RAFT_OFFER, .peer = {.broker = 2, .incarnation = {2, 2}}};
  step(wiped);

  assert_int_equal(effects.offer, RAFT_OFFER_STRANGER);
  assert_false(raft_transferring(&raft));
}

static void offer_goes_to_nobody_who_is_reluctant_or_silent(void **state) {
  (void)state;
  step((struct raft_event){.kind = RAFT_RELUCTANT, .peer = replica(2)});
  step((struct raft_event){.kind = RAFT_PEER_DOWN, .peer = replica(3)});

  assert_int_equal(offer(2), RAFT_OFFER_RELUCTANT);
  assert_int_equal(offer(3), RAFT_OFFER_UNREACHABLE);

  assert_false(raft_transferring(&raft));
}

static void last_wish_of_who_is_silent_is_not_held_against_him(void **state) {
  (void)state;
  step((struct raft_event){.kind = RAFT_RELUCTANT, .peer = replica(2)});
  step((struct raft_event){.kind = RAFT_PEER_DOWN, .peer = replica(2)});

  assert_int_equal(offer(2), RAFT_OFFER_UNREACHABLE);
}

static void offer_goes_to_nobody_whose_log_is_damaged(void **state) {
  (void)state;
  struct raft_message message = {.kind = RAFT_APPEND_ANSWER, .sequence = raft_progress(&raft, 1)->sequence};
  message.append_answer = (struct raft_append_answer){.verdict = RAFT_DAMAGED};
  hear(message, 2);

  assert_int_equal(offer(2), RAFT_OFFER_UNSOUND);
}

static void offer_is_made_by_a_leader_and_by_nobody_else(void **state) {
  (void)state;
  struct raft_message message = {.kind = RAFT_APPEND};
  message.from = replica(2);
  message.to = replica(1);
  message.term = raft_term(&raft) + 1;
  step((struct raft_event){.kind = RAFT_MESSAGE, .message = &message});

  assert_int_equal(offer(2), RAFT_OFFER_NOT_LEADER);
}

/* ---- When ---- */

/* Within a heartbeat nobody is behind: what was just appended is on its way. */
static void offer_waits_for_nobody_who_lags_by_more_than_two_heartbeats(void **state) {
  (void)state;
  propose();
  say_matched(3, 2);
  assert_int_equal(raft_progress(&raft, 1)->match, 1);

  step((struct raft_event){.kind = RAFT_OFFER, .peer = replica(2), .tries = true});
  assert_int_equal(effects.offer, RAFT_OFFER_BEGUN);
  tick();
  step((struct raft_event){.kind = RAFT_OFFER, .peer = replica(2), .tries = true});
  assert_int_equal(effects.offer, RAFT_OFFER_BEGUN);
  tick();

  assert_int_equal(offer(2), RAFT_OFFER_BEHIND);
  assert_int_equal(offer(3), RAFT_OFFER_BEGUN);
}

/* The others were done with each append before a tick came. */
static void offer_goes_to_nobody_who_has_just_come_back_to_a_longer_log(void **state) {
  (void)state;
  step((struct raft_event){.kind = RAFT_PEER_DOWN, .peer = replica(3)});
  for (entry_index index = 2; index <= 10; index++) {
    propose();
    say_matched(2, index);
    say_matched(4, index);
    say_matched(2, index);
    say_matched(4, index);
    assert_true(raft_quiet(&raft));
  }

  step((struct raft_event){.kind = RAFT_PEER_UP, .peer = replica(3)});
  send_all();
  say_matched(3, 1);

  assert_int_equal(offer(3), RAFT_OFFER_BEHIND);
  say_matched(3, 10);
  assert_int_equal(offer(3), RAFT_OFFER_BEGUN);
}

static void offer_waits_for_the_first_commit_of_a_term(void **state) {
  (void)state;
  tear_down(NULL);
  begin_to_lead();

  assert_int_equal(offer(2), RAFT_OFFER_BUSY);

  say_matched(2, 1);
  say_matched(3, 0);
  assert_int_equal(offer(3), RAFT_OFFER_BEHIND); /* it lacks what the term began with */
  assert_int_equal(offer(2), RAFT_OFFER_BEGUN);
}

static void offer_waits_for_another_one_and_for_a_change_of_members(void **state) {
  (void)state;
  struct raft_config without = {.phase = RAFT_STABLE};
  for (broker_id broker = 1; broker <= 3; broker++) {
    struct replica_id id = replica(broker);
    raft_config_add(&without, &id, RAFT_VOTER, RAFT_VOTER);
  }
  assert_int_equal(offer(2), RAFT_OFFER_BEGUN);
  assert_int_equal(offer(3), RAFT_OFFER_BUSY);
  step((struct raft_event){.kind = RAFT_PEER_DOWN, .peer = replica(2)});
  assert_true(effects.stays);

  step((struct raft_event){.kind = RAFT_CHANGE_MEMBERS, .config = &without});
  assert_int_equal(effects.status, STATUS_OK);

  assert_int_equal(offer(3), RAFT_OFFER_BUSY);
}

static void offer_that_is_tried_begins_nothing(void **state) {
  (void)state;

  step((struct raft_event){.kind = RAFT_OFFER, .peer = replica(2), .wished = true, .tries = true});

  assert_int_equal(effects.offer, RAFT_OFFER_BEGUN);
  assert_int_equal(effects.now_count, 0);
  assert_false(raft_transferring(&raft));
}

static void offer_that_is_not_taken_ends_after_half_an_election_timeout(void **state) {
  (void)state;
  assert_int_equal(offer(2), RAFT_OFFER_BEGUN);

  for (int beats = 0; beats < 4; beats++) {
    tick();
    assert_true(raft_transferring(&raft));
  }
  tick();

  assert_true(effects.stays);
  step((struct raft_event){.kind = RAFT_PROPOSE, .count = 1});
  assert_int_equal(effects.status, STATUS_OK);
}

/* ---- The wish ---- */

static void wish_goes_with_the_offer_and_ends_with_it(void **state) {
  (void)state;
  step((struct raft_event){.kind = RAFT_OFFER, .peer = replica(2), .wished = true});
  assert_true(effects.send_now[0].summons.wished);
  step((struct raft_event){.kind = RAFT_PEER_DOWN, .peer = replica(2)});

  step((struct raft_event){.kind = RAFT_TRANSFER, .peer = replica(3)});

  assert_int_equal(effects.send_now[0].kind, RAFT_TIMEOUT_NOW);
  assert_false(effects.send_now[0].summons.wished);
}

/* Replica 1 follows 2 and is asked by it to campaign. */
static void be_asked(bool wished) {
  struct raft_message append = {.kind = RAFT_APPEND, .from = replica(2), .to = replica(1), .term = raft_term(&raft) + 1};
  append.append = (struct raft_append){.prev_index = 1, .prev_term = 1, .commit = 1};
  step((struct raft_event){.kind = RAFT_MESSAGE, .message = &append});
  struct raft_message summons = {.kind = RAFT_TIMEOUT_NOW, .summons = {.wished = wished}};
  hear(summons, 2);
  persist();
  grant(RAFT_VOTE_ANSWER);
  assert_int_equal(effects.role, RAFT_LEADER);
}

static void wish_is_known_to_who_leads_by_it_for_that_term(void **state) {
  (void)state;
  assert_false(raft_wished(&raft));
  be_asked(true);
  assert_true(raft_wished(&raft));

  be_asked(false);

  assert_false(raft_wished(&raft));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, lead, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(offer_goes_to_a_voter_that_has_everything),
      TEST(offer_goes_to_no_learner_no_stranger_and_not_to_itself),
      TEST(offer_goes_to_nobody_who_is_reluctant_or_silent),
      TEST(last_wish_of_who_is_silent_is_not_held_against_him),
      TEST(offer_goes_to_nobody_whose_log_is_damaged),
      TEST(offer_is_made_by_a_leader_and_by_nobody_else),
      TEST(offer_waits_for_nobody_who_lags_by_more_than_two_heartbeats),
      TEST(offer_goes_to_nobody_who_has_just_come_back_to_a_longer_log),
      TEST(offer_waits_for_the_first_commit_of_a_term),
      TEST(offer_waits_for_another_one_and_for_a_change_of_members),
      TEST(offer_that_is_tried_begins_nothing),
      TEST(offer_that_is_not_taken_ends_after_half_an_election_timeout),
      TEST(wish_goes_with_the_offer_and_ends_with_it),
      TEST(wish_is_known_to_who_leads_by_it_for_that_term),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
