/* One core, spoken to by hand: what a single message may and may not do to it. Whole stories are in tests/scenarios. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replication/raft.h"

#define SECOND 1000u /* an election timeout, in the unit of these tests */

static struct raft raft;
static struct raft_effects effects;
static uint64_t now;

static struct replica_id replica(broker_id broker) { return (struct replica_id){.broker = broker, .incarnation = {broker, 1}}; }

/* Replica 1 of three voters and one learner, 4. Its log: two entries of term 1, then `last` - 2 of term 2. */
static void start_with(struct raft_damage damage, broker_id vote, entry_index last, entry_index commit) {
  struct raft_config config = {.phase = RAFT_STABLE};
  for (broker_id broker = 1; broker <= 4; broker++) {
    struct replica_id id = replica(broker);
    enum raft_rank rank = broker == 4 ? RAFT_LEARNER : RAFT_VOTER;
    raft_config_add(&config, &id, rank, rank);
  }
  struct trail_run terms[] = {{.first = 1, .term = 1}, {.first = 3, .term = 2}};
  raft_deinit(&raft);
  now = 1;
  raft_init(&raft, &(struct raft_start){.self = replica(1),
                                        .hard_state = {.term = 2, .vote = vote, .commit = commit},
                                        .terms = terms,
                                        .term_count = last > 2 ? 2 : 1,
                                        .last_index = last,
                                        .config = &config,
                                        .damage = damage,
                                        .timing = {.election_ns = SECOND, .heartbeat_ns = SECOND / 10},
                                        .now_ns = now,
                                        .seed = 7});
}

static void start(entry_index last, entry_index commit) { start_with((struct raft_damage){0}, 0, last, commit); }

static void step(struct raft_event event) {
  event.now_ns = now;
  raft_step(&raft, &event, &effects);
  raft_check_invariants(&raft);
}

static void hear(struct raft_message message, broker_id from, entry_term term) {
  message.from = replica(from);
  message.to = replica(1);
  message.term = term;
  step((struct raft_event){.kind = RAFT_MESSAGE, .message = &message});
}

static void persist(void) { step((struct raft_event){.kind = RAFT_PERSISTED, .persisted = raft_mark(&raft)}); }

/* An append from 2 behind (prev, prev_term); entries of these terms. */
static void append(entry_term term, entry_index prev, entry_term prev_term, const struct raft_entry *entries, uint32_t count,
                   entry_index commit) {
  struct raft_message message = {.kind = RAFT_APPEND};
  message.append =
      (struct raft_append){.prev_index = prev, .prev_term = prev_term, .commit = commit, .count = count, .entries = entries};
  hear(message, 2, term);
}

static const struct raft_message *answer(void) {
  if (effects.held_count > 0) return &effects.send_after_sync[0].message;
  assert_true(effects.now_count > 0);
  return &effects.send_now[0];
}

static int tear_down(void **state) {
  (void)state;
  raft_deinit(&raft);
  return 0;
}

/* ---- Following ---- */

/* P11 */
static void follower_believes_a_commit_index_only_as_far_as_the_message_matched(void **state) {
  (void)state;
  start(5, 1);

  append(3, 2, 1, NULL, 0, 5);

  assert_int_equal(effects.commit, 2);
  assert_false(effects.cut);
}

/* P10, R5 */
static void follower_cuts_nothing_that_is_committed(void **state) {
  (void)state;
  start(5, 4);
  struct raft_entry entries[] = {{.term = 3}, {.term = 3}};

  append(3, 2, 1, entries, 2, 4);

  assert_false(effects.cut);
  assert_true(effects.diverged);
  assert_int_equal(answer()->append_answer.verdict, RAFT_DIVERGED);
}

static void follower_cuts_what_conflicts_and_appends_the_rest(void **state) {
  (void)state;
  start(5, 2);
  struct raft_entry entries[] = {{.term = 2}, {.term = 3}, {.term = 3}};

  append(3, 2, 1, entries, 3, 0);

  assert_true(effects.cut);
  assert_int_equal(effects.cut_from, 4);
  assert_int_equal(effects.append_count, 1);
  assert_int_equal(effects.appends[0].first, 4);
  assert_int_equal(effects.appends[0].count, 2);
  assert_int_equal(effects.held_count, 1); /* not before it is durable */
}

/* R6: what was written before a cut is not what stands there now. */
static void follower_takes_no_completion_from_before_a_cut(void **state) {
  (void)state;
  start(2, 1);
  struct raft_entry old[] = {{.term = 2}, {.term = 2}};
  append(2, 2, 1, old, 2, 0);
  struct raft_mark written = raft_mark(&raft);
  struct raft_held_message promised = effects.send_after_sync[0];
  struct raft_entry new[] = {{.term = 3}, {.term = 3}};
  append(3, 2, 1, new, 2, 0);
  struct raft_held_message held = effects.send_after_sync[0];

  step((struct raft_event){.kind = RAFT_PERSISTED, .persisted = written});

  assert_int_equal(raft.durable.index, 2);
  assert_int_equal(raft_held(&raft, &promised), RAFT_DROP);
  assert_int_equal(raft_held(&raft, &held), RAFT_HOLD);
  persist();
  assert_int_equal(raft_held(&raft, &held), RAFT_SEND);
}

/* R10 */
static void follower_with_other_bytes_cuts_nothing_and_gives_up_its_rights(void **state) {
  (void)state;
  start(5, 2);
  struct raft_entry entries[] = {{.term = 2, .chain = 7, .own_chain = 8}};

  append(3, 2, 1, entries, 1, 0);

  assert_false(effects.cut);
  assert_true(effects.diverged);
  assert_int_equal(effects.diverged_index, 3);
  step((struct raft_event){.kind = RAFT_CAMPAIGN});
  assert_int_equal(effects.now_count, 0);
}

static void follower_refuses_terms_that_go_back(void **state) {
  (void)state;
  start(2, 1);
  struct raft_entry entries[] = {{.term = 3}, {.term = 2}};

  append(3, 2, 1, entries, 2, 0);

  assert_int_equal(effects.status, STATUS_CORRUPT);
  assert_int_equal(effects.append_count, 0);
}

/* R4 */
static void follower_believes_in_one_leader_of_a_term(void **state) {
  (void)state;
  start(5, 2);
  append(3, 5, 2, NULL, 0, 0);
  struct raft_message other = {.kind = RAFT_APPEND, .append = {.prev_index = 5, .prev_term = 2}};

  hear(other, 3, 3);

  assert_int_equal(effects.status, STATUS_CORRUPT);
  assert_int_equal(effects.leader.broker, 2);
}

static void follower_that_the_host_vouches_for_its_leader_has_no_deadline(void **state) {
  (void)state;
  start(5, 2);
  append(3, 5, 2, NULL, 0, 0);
  assert_true(effects.deadline_ns < RAFT_NEVER);

  step((struct raft_event){.kind = RAFT_LEADER_HEARD, .peer = replica(2), .term = 3});
  assert_int_equal(effects.deadline_ns, RAFT_NEVER);
  step((struct raft_event){.kind = RAFT_LEADER_GONE, .peer = replica(2), .term = 3});

  assert_true(effects.deadline_ns < now + SECOND); /* it waited long enough already */
}

/* ---- Voting ---- */

static void ask_for_vote(entry_term term, broker_id from, entry_index last_index, entry_term last_term) {
  struct raft_message message = {.kind = RAFT_VOTE, .vote = {.last_index = last_index, .last_term = last_term}};
  hear(message, from, term);
}

/* P2 */
static void voter_gives_its_vote_when_it_is_durable(void **state) {
  (void)state;
  start(5, 2);

  ask_for_vote(3, 2, 5, 2);

  assert_int_equal(effects.now_count, 0);
  assert_int_equal(effects.held_count, 1);
  assert_int_equal(raft_held(&raft, &effects.send_after_sync[0]), RAFT_HOLD);
  struct raft_held_message held = effects.send_after_sync[0];
  persist();
  assert_int_equal(raft_held(&raft, &held), RAFT_SEND);
  assert_true(held.message.vote_answer.granted);
}

/* A vote binds to an incarnation, and a hard state remembers only the broker: after a restart it is not given again. */
static void voter_after_a_restart_repeats_no_vote(void **state) {
  (void)state;
  start_with((struct raft_damage){0}, 2, 5, 2);

  ask_for_vote(2, 2, 5, 2);

  assert_false(answer()->vote_answer.granted);
}

/* P4 */
static void voter_helps_a_candidate_that_it_does_not_know_yet(void **state) {
  (void)state;
  start(5, 2);

  ask_for_vote(3, 7, 5, 2);

  assert_true(answer()->vote_answer.granted);
}

/* P16 */
static void voter_is_not_what_was_addressed_to_another_incarnation(void **state) {
  (void)state;
  start(5, 2);
  struct raft_message message = {.kind = RAFT_VOTE, .vote = {.last_index = 9, .last_term = 9}};
  message.from = replica(2);
  message.to = (struct replica_id){.broker = 1, .incarnation = {1, 2}};
  message.term = 9;

  step((struct raft_event){.kind = RAFT_MESSAGE, .message = &message});

  assert_int_equal(effects.term, 2);
  assert_int_equal(effects.held_count + effects.now_count, 0);
}

/* P15, R11: length alone does not tell; what was lost may have been of the term that it had promised. */
static void voter_that_is_damaged_votes_only_for_who_surely_has_what_it_lost(void **state) {
  (void)state;
  struct raft_damage damage = {.damaged = true, .through = 6};

  start_with(damage, 0, 2, 2);
  ask_for_vote(3, 2, 9, 1);
  assert_false(answer()->vote_answer.granted);

  start_with(damage, 0, 2, 2);
  ask_for_vote(3, 2, 5, 2);
  assert_false(answer()->vote_answer.granted);

  start_with(damage, 0, 2, 2);
  ask_for_vote(3, 2, 6, 2);
  assert_true(answer()->vote_answer.granted);
}

static void voter_that_does_not_know_what_it_lost_votes_for_nobody(void **state) {
  (void)state;
  start_with((struct raft_damage){.damaged = true, .through = UINT64_MAX}, 0, 5, 2);

  ask_for_vote(9, 2, 1000, 8);

  assert_false(answer()->vote_answer.granted);
}

/* P5: no term, no vote, no timer. */
static void voter_asked_beforehand_changes_nothing(void **state) {
  (void)state;
  start(5, 2);
  uint64_t deadline = raft_deadline(&raft);
  struct raft_message message = {.kind = RAFT_PRE_VOTE, .vote = {.last_index = 5, .last_term = 2}};

  hear(message, 2, 8);

  assert_true(answer()->vote_answer.granted);
  assert_int_equal(answer()->vote_answer.asked_term, 8);
  assert_false(effects.save_hard_state);
  assert_int_equal(raft_deadline(&raft), deadline);
}

/* ---- Leading ---- */

static void grant(enum raft_message_kind kind, broker_id from) {
  struct raft_message message = {.kind = kind, .sequence = raft.ballot};
  message.vote_answer = (struct raft_vote_answer){.asked_term = 3, .granted = true};
  hear(message, from, kind == RAFT_VOTE_ANSWER ? 3 : 2);
}

/* Of term 3; its no-op is entry 6, durable here. */
static void lead(void) {
  start(5, 2);
  step((struct raft_event){.kind = RAFT_CAMPAIGN});
  grant(RAFT_PRE_VOTE_ANSWER, 2);
  persist();
  grant(RAFT_VOTE_ANSWER, 2);
  assert_int_equal(effects.role, RAFT_LEADER);
  persist();
}

static void say_matched(struct replica_id from, entry_term term, uint64_t sequence, entry_index match) {
  struct raft_message message = {.kind = RAFT_APPEND_ANSWER, .from = from, .to = replica(1), .term = term, .sequence = sequence};
  message.append_answer = (struct raft_append_answer){.verdict = RAFT_MATCHED, .match = match, .last_index = match};
  step((struct raft_event){.kind = RAFT_MESSAGE, .message = &message});
}

/* P1, R2 */
static void leader_commits_an_earlier_term_only_with_its_own(void **state) {
  (void)state;
  lead();

  say_matched(replica(2), 3, 1, 5);
  assert_false(effects.commit_advanced);
  say_matched(replica(2), 3, 2, 6);

  assert_true(effects.commit_advanced);
  assert_int_equal(effects.commit, 6);
}

/* P3, P4, P16, R7 */
static void leader_counts_neither_learners_nor_strangers_nor_other_incarnations(void **state) {
  (void)state;
  lead();
  struct replica_id wiped = {.broker = 2, .incarnation = {2, 2}};

  say_matched(replica(4), 3, 1, 6);
  assert_false(effects.commit_advanced);
  say_matched(replica(7), 3, 1, 6);
  assert_false(effects.commit_advanced);
  say_matched(wiped, 3, 1, 6);
  assert_false(effects.commit_advanced);
  say_matched(wiped, 99, 1, 6);
  assert_int_equal(effects.term, 3); /* nor does it step down for them */
}

/* P9 */
static void leader_takes_no_acknowledgement_of_another_term(void **state) {
  (void)state;
  lead();

  say_matched(replica(2), 2, 1, 6);

  assert_false(effects.commit_advanced);
}

/* Numbers of messages belong to the leadership: what was sent in an earlier membership is older than all that is sent in a later one. */
static void leader_accuses_nobody_by_an_answer_from_an_earlier_membership(void **state) {
  (void)state;
  lead();
  say_matched(replica(2), 3, raft_progress(&raft, 1)->sequence, 6);
  struct raft_config without = {.phase = RAFT_STABLE};
  struct raft_config with = {.phase = RAFT_STABLE};
  for (broker_id broker = 1; broker <= 4; broker++) {
    struct replica_id id = replica(broker);
    enum raft_rank rank = broker == 4 ? RAFT_LEARNER : RAFT_VOTER;
    raft_config_add(&with, &id, rank, rank);
    if (broker != 4) raft_config_add(&without, &id, rank, rank);
  }
  uint64_t before = raft_progress(&raft, 3)->sequence;
  for (int change = 0; change < 2; change++) {
    step((struct raft_event){.kind = RAFT_CHANGE_MEMBERS, .config = change == 0 ? &without : &with});
    assert_int_equal(effects.status, STATUS_OK);
    persist();
    say_matched(replica(2), 3, raft_progress(&raft, 1)->sequence, raft_last_index(&raft));
  }
  say_matched(replica(4), 3, raft_progress(&raft, 3)->sequence, raft_last_index(&raft));

  struct raft_message late = {.kind = RAFT_APPEND_ANSWER, .sequence = before + 1};
  late.append_answer = (struct raft_append_answer){.verdict = RAFT_REJECTED, .rejected = 6};
  hear(late, 4, 3);

  assert_false(effects.reverted);
}

/* P6 */
static void leader_confirms_a_read_by_answers_to_that_very_attempt(void **state) {
  (void)state;
  lead();
  say_matched(replica(2), 3, 1, 6);
  step((struct raft_event){.kind = RAFT_READ});
  uint64_t first = effects.read_ticket;
  step((struct raft_event){.kind = RAFT_READ});
  uint64_t second = effects.read_ticket;
  assert_true(second > first);

  struct raft_message message = {.kind = RAFT_READ_ANSWER, .sequence = first};
  hear(message, 2, 3);

  assert_int_equal(effects.reads_done, first);
  message.sequence = first; /* again: no help to the second */
  hear(message, 3, 3);
  assert_int_equal(effects.reads_done, 0);
  message.sequence = second;
  hear(message, 3, 3);
  assert_int_equal(effects.reads_done, second);
}

static void leader_that_steps_down_fails_its_reads(void **state) {
  (void)state;
  lead();
  step((struct raft_event){.kind = RAFT_READ});

  append(4, 5, 2, NULL, 0, 0);

  assert_true(effects.reads_failed);
  assert_int_equal(effects.role, RAFT_FOLLOWER);
}

static void leader_without_a_live_majority_steps_down_at_once(void **state) {
  (void)state;
  lead();
  step((struct raft_event){.kind = RAFT_PEER_DOWN, .peer = replica(2)});
  assert_int_equal(effects.role, RAFT_LEADER);

  step((struct raft_event){.kind = RAFT_PEER_DOWN, .peer = replica(3)});

  assert_int_equal(effects.role, RAFT_FOLLOWER);
}

/* ---- What was promised is not known ---- */

static void hear_proof(entry_index proof, broker_id from, entry_term term) {
  hear((struct raft_message){.kind = RAFT_PROVEN, .sequence = proof}, from, term);
}

static void start_unproven(void) { start_with((struct raft_damage){.through = UINT64_MAX}, 0, 5, 2); }

static void who_has_forgotten_its_promises_takes_entries_and_is_not_to_be_counted(void **state) {
  (void)state;
  start_unproven();
  struct raft_entry entries[] = {{.term = 3}};

  append(3, 5, 2, entries, 1, 2);

  assert_true(effects.append_count == 1);
  assert_int_equal(answer()->append_answer.verdict, RAFT_UNPROVEN);
  assert_int_equal(answer()->append_answer.match, 6);
}

/* Else it could help somebody else to lead the very same term. */
static void who_has_forgotten_its_promises_has_voted_for_the_leader_that_it_hears(void **state) {
  (void)state;
  start_unproven();

  append(3, 5, 2, NULL, 0, 2);

  assert_true(effects.save_hard_state);
  assert_int_equal(effects.hard_state.term, 3);
  assert_int_equal(effects.hard_state.vote, 2);
}

static void who_has_forgotten_its_promises_confirms_no_reads(void **state) {
  (void)state;
  start_unproven();
  append(3, 5, 2, NULL, 0, 2);
  persist();

  hear((struct raft_message){.kind = RAFT_READ_PROBE, .sequence = 1}, 2, 3);

  assert_int_equal(effects.now_count + effects.held_count, 0);
}

/* With the leader gone it would otherwise help nobody who has all that was ever there, only because that leader had appended nothing yet. */
static void who_has_a_hole_helps_whoever_has_its_last_entry(void **state) {
  (void)state;
  start(5, 2);
  append(3, 5, 2, NULL, 0, 2); /* the leader of term 3, which has no entry */
  persist();
  step((struct raft_event){.kind = RAFT_HOLED});
  persist();

  struct raft_message asked = {.kind = RAFT_VOTE, .sequence = 1};
  asked.vote = (struct raft_vote_request){.last_index = 5, .last_term = 2, .transfer = true};
  hear(asked, 3, 4);
  assert_true(answer()->vote_answer.granted);
  asked.vote.last_index = 4;
  hear(asked, 2, 5);
  assert_false(answer()->vote_answer.granted);
}

/* What it was about to say when its disk was done it cannot say any more. */
static void who_has_a_hole_takes_back_what_waits_for_the_disk(void **state) {
  (void)state;
  const struct raft_entry entry = {.term = 3, .chain = 7};
  start(5, 2);
  append(3, 5, 2, &entry, 1, 2);
  assert_int_equal(effects.held_count, 1);
  struct raft_held_message held = effects.send_after_sync[0];
  assert_int_equal(held.message.append_answer.verdict, RAFT_MATCHED);
  assert_int_equal(raft_held(&raft, &held), RAFT_HOLD);

  step((struct raft_event){.kind = RAFT_HOLED});
  persist();

  assert_int_equal(raft_held(&raft, &held), RAFT_DROP);
}

/* What it lost is not known better because its bytes are others than the leader's, too. */
static void who_has_forgotten_its_promises_and_diverges_has_forgotten_them_still(void **state) {
  (void)state;
  start_unproven();
  struct raft_message other_bytes = {.kind = RAFT_APPEND};
  other_bytes.append = (struct raft_append){.prev_index = 5, .prev_term = 2, .commit = 2, .prev_chain = 1, .own_prev_chain = 2};
  hear(other_bytes, 2, 3);
  assert_true(effects.diverged);
  struct raft_config config = raft.config;
  struct raft_message snapshot = {.kind = RAFT_SNAPSHOT, .sequence = 9};
  snapshot.snapshot = (struct raft_snapshot){.index = 5, .index_term = 2, .config = &config};
  hear(snapshot, 2, 3);
  assert_true(effects.install);
  step((struct raft_event){.kind = RAFT_INSTALLED});
  persist();

  append(3, 5, 2, NULL, 0, 5);
  assert_int_equal(answer()->append_answer.verdict, RAFT_UNPROVEN);
  struct raft_message asked = {.kind = RAFT_VOTE, .sequence = 1};
  asked.vote = (struct raft_vote_request){.last_index = 9, .last_term = 3, .transfer = true};
  hear(asked, 3, 4);

  assert_true(effects.now_count + effects.held_count == 0 || !answer()->vote_answer.granted);
}

static void proof_counts_only_when_it_is_durable_and_from_the_leader(void **state) {
  (void)state;
  start_unproven();
  struct raft_entry entries[] = {{.term = 3}};
  append(3, 5, 2, entries, 1, 2);

  hear_proof(6, 2, 3);
  assert_false(effects.proven);
  persist();
  hear_proof(7, 2, 3);
  assert_false(effects.proven);
  hear_proof(6, 3, 3);
  assert_false(effects.proven);
  hear_proof(6, 2, 3);
  assert_true(effects.proven);

  append(3, 6, 3, NULL, 0, 6);
  assert_int_equal(answer()->append_answer.verdict, RAFT_MATCHED);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(follower_believes_a_commit_index_only_as_far_as_the_message_matched, tear_down),
      cmocka_unit_test_teardown(follower_cuts_nothing_that_is_committed, tear_down),
      cmocka_unit_test_teardown(follower_cuts_what_conflicts_and_appends_the_rest, tear_down),
      cmocka_unit_test_teardown(follower_takes_no_completion_from_before_a_cut, tear_down),
      cmocka_unit_test_teardown(follower_with_other_bytes_cuts_nothing_and_gives_up_its_rights, tear_down),
      cmocka_unit_test_teardown(follower_refuses_terms_that_go_back, tear_down),
      cmocka_unit_test_teardown(follower_believes_in_one_leader_of_a_term, tear_down),
      cmocka_unit_test_teardown(follower_that_the_host_vouches_for_its_leader_has_no_deadline, tear_down),
      cmocka_unit_test_teardown(voter_gives_its_vote_when_it_is_durable, tear_down),
      cmocka_unit_test_teardown(voter_after_a_restart_repeats_no_vote, tear_down),
      cmocka_unit_test_teardown(voter_helps_a_candidate_that_it_does_not_know_yet, tear_down),
      cmocka_unit_test_teardown(voter_is_not_what_was_addressed_to_another_incarnation, tear_down),
      cmocka_unit_test_teardown(voter_that_is_damaged_votes_only_for_who_surely_has_what_it_lost, tear_down),
      cmocka_unit_test_teardown(voter_that_does_not_know_what_it_lost_votes_for_nobody, tear_down),
      cmocka_unit_test_teardown(voter_asked_beforehand_changes_nothing, tear_down),
      cmocka_unit_test_teardown(leader_commits_an_earlier_term_only_with_its_own, tear_down),
      cmocka_unit_test_teardown(leader_counts_neither_learners_nor_strangers_nor_other_incarnations, tear_down),
      cmocka_unit_test_teardown(leader_takes_no_acknowledgement_of_another_term, tear_down),
      cmocka_unit_test_teardown(leader_accuses_nobody_by_an_answer_from_an_earlier_membership, tear_down),
      cmocka_unit_test_teardown(leader_confirms_a_read_by_answers_to_that_very_attempt, tear_down),
      cmocka_unit_test_teardown(leader_that_steps_down_fails_its_reads, tear_down),
      cmocka_unit_test_teardown(leader_without_a_live_majority_steps_down_at_once, tear_down),
      cmocka_unit_test_teardown(who_has_forgotten_its_promises_takes_entries_and_is_not_to_be_counted, tear_down),
      cmocka_unit_test_teardown(who_has_forgotten_its_promises_has_voted_for_the_leader_that_it_hears, tear_down),
      cmocka_unit_test_teardown(who_has_forgotten_its_promises_confirms_no_reads, tear_down),
      cmocka_unit_test_teardown(who_has_a_hole_helps_whoever_has_its_last_entry, tear_down),
      cmocka_unit_test_teardown(who_has_a_hole_takes_back_what_waits_for_the_disk, tear_down),
      cmocka_unit_test_teardown(who_has_forgotten_its_promises_and_diverges_has_forgotten_them_still, tear_down),
      cmocka_unit_test_teardown(proof_counts_only_when_it_is_durable_and_from_the_leader, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
