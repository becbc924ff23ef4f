/* The protocol of a cluster of one: terms, no-ops, and when something is committed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replication/raft.h"

static struct raft raft;
static struct raft_effects effects;

static void start(entry_term term, broker_id vote, entry_term last_term, entry_index last) {
  struct raft_config alone = {.phase = RAFT_STABLE};
  struct replica_id self = {.broker = 1, .incarnation = {7, 7}};
  raft_config_add(&alone, &self, RAFT_VOTER, RAFT_VOTER);
  raft_deinit(&raft);
  raft_init(&raft, &(struct raft_start){.self = self,
                                        .hard_state = {.term = term, .vote = vote},
                                        .base_index = last,
                                        .base_term = last_term,
                                        .last_index = last,
                                        .config = &alone,
                                        .timing = {.election_ns = 1000, .heartbeat_ns = 100}});
}

static void started(entry_term term, entry_index last) { start(term, term > 0 ? 1 : 0, term, last); }

static void step(const struct raft_event *event) {
  raft_step(&raft, event, &effects);
  raft_check_invariants(&raft);
  assert_int_equal(effects.now_count, 0);
  assert_int_equal(effects.held_count, 0);
  assert_int_equal(effects.deadline_ns, RAFT_NEVER); /* an idle group costs nothing, a busy one of one member no timer */
}

static void propose(void) { step(&(struct raft_event){.kind = RAFT_PROPOSE, .count = 1}); }
static void persisted(entry_index index) {
  struct raft_mark mark = {.term = raft_term(&raft), .vote = raft.hard_state.vote, .index = index};
  step(&(struct raft_event){.kind = RAFT_PERSISTED, .persisted = mark});
}

static int tear_down(void **state) {
  (void)state;
  raft_deinit(&raft);
  return 0;
}

static void raft_first_proposal_takes_the_lead_with_a_noop(void **state) {
  (void)state;
  started(0, 0);

  propose();

  assert_int_equal(effects.status, STATUS_OK);
  assert_true(effects.save_hard_state);
  assert_int_equal(effects.hard_state.term, 1);
  assert_int_equal(effects.hard_state.vote, 1);
  assert_int_equal(effects.append_count, 2);
  assert_int_equal(effects.appends[0].kind, RAFT_APPEND_NOOP);
  assert_int_equal(effects.appends[0].first, 1);
  assert_int_equal(effects.appends[1].kind, RAFT_APPEND_PROPOSAL);
  assert_int_equal(effects.appends[1].first, 2);
  assert_true(effects.role_changed);
  assert_int_equal(effects.role, RAFT_LEADER);
}

static void raft_second_proposal_needs_no_election(void **state) {
  (void)state;
  started(0, 0);
  propose();

  propose();

  assert_false(effects.save_hard_state);
  assert_int_equal(effects.append_count, 1);
  assert_int_equal(effects.appends[0].kind, RAFT_APPEND_PROPOSAL);
  assert_int_equal(effects.appends[0].first, 3);
}

static void raft_commits_only_what_its_disk_has(void **state) {
  (void)state;
  started(0, 0);
  propose();
  propose();

  persisted(2);
  assert_true(effects.commit_advanced);
  assert_int_equal(effects.commit, 2);
  persisted(2);
  assert_false(effects.commit_advanced);
  persisted(3);
  assert_true(effects.commit_advanced);
  assert_int_equal(effects.commit, 3);
}

static void raft_restart_begins_a_new_term_behind_the_old_log(void **state) {
  (void)state;
  started(4, 10);
  assert_int_equal(raft_commit(&raft), 10);

  propose();

  assert_int_equal(effects.term, 5);
  assert_int_equal(effects.appends[0].first, 11);
  assert_int_equal(effects.appends[1].first, 12);
}

static void raft_recovered_term_is_the_greater_of_vote_and_entries(void **state) {
  (void)state;

  start(2, 1, 7, 3);

  assert_int_equal(raft_term(&raft), 7);
  assert_int_equal(raft.hard_state.vote, 0);
}

static void raft_after_a_failed_disk_nothing_is_proposed_or_committed(void **state) {
  (void)state;
  started(0, 0);
  propose();

  step(&(struct raft_event){.kind = RAFT_DISK_FAILED});
  assert_true(effects.role_changed);
  assert_int_equal(effects.role, RAFT_FOLLOWER);
  persisted(2);
  assert_false(effects.commit_advanced);
  propose();
  assert_int_equal(effects.status, STATUS_FENCED);
  assert_int_equal(effects.append_count, 0);
}

static void raft_proposal_of_another_term_is_refused(void **state) {
  (void)state;
  started(3, 5);
  propose();

  step(&(struct raft_event){.kind = RAFT_PROPOSE, .count = 1, .term = 3});

  assert_int_equal(effects.status, STATUS_NOT_LEADER);
  assert_int_equal(effects.append_count, 0);
}

static void raft_alone_confirms_a_read_at_once(void **state) {
  (void)state;
  started(4, 10);

  step(&(struct raft_event){.kind = RAFT_READ});

  assert_int_equal(effects.status, STATUS_OK);
  assert_int_equal(effects.reads_done, effects.read_ticket);
  assert_int_equal(effects.read_index, 10);
}

/* It has been asked for nothing since it started, so it does not lead: to give it another member is to ask. */
static void raft_alone_leads_to_change_its_members(void **state) {
  (void)state;
  struct raft_config two = {.phase = RAFT_STABLE};
  raft_config_add(&two, &(struct replica_id){.broker = 1, .incarnation = {7, 7}}, RAFT_VOTER, RAFT_VOTER);
  raft_config_add(&two, &(struct replica_id){.broker = 2, .incarnation = {8, 8}}, RAFT_LEARNER, RAFT_LEARNER);
  started(4, 10);

  step(&(struct raft_event){.kind = RAFT_CHANGE_MEMBERS, .config = &two});

  assert_int_equal(effects.status, STATUS_BUSY);
  assert_int_equal(effects.role, RAFT_LEADER);
  assert_int_equal(effects.append_count, 1);
  assert_int_equal(effects.appends[0].kind, RAFT_APPEND_NOOP);
  persisted(11);
  raft_step(&raft, &(struct raft_event){.kind = RAFT_CHANGE_MEMBERS, .config = &two}, &effects);
  assert_int_equal(effects.status, STATUS_OK);
  assert_int_equal(effects.append_count, 1);
  assert_int_equal(effects.appends[0].kind, RAFT_APPEND_CONFIG);
}

/* Ten thousand groups a broker: docs/decisions/0008. */
static void raft_of_a_follower_is_small(void **state) {
  (void)state;
  print_message("struct raft: %zu bytes, and %zu a member of a group that it leads\n", sizeof(struct raft),
                sizeof(struct progress));

  assert_true(sizeof(struct raft) <= 1792);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(raft_first_proposal_takes_the_lead_with_a_noop, tear_down),
      cmocka_unit_test_teardown(raft_second_proposal_needs_no_election, tear_down),
      cmocka_unit_test_teardown(raft_commits_only_what_its_disk_has, tear_down),
      cmocka_unit_test_teardown(raft_restart_begins_a_new_term_behind_the_old_log, tear_down),
      cmocka_unit_test_teardown(raft_recovered_term_is_the_greater_of_vote_and_entries, tear_down),
      cmocka_unit_test_teardown(raft_after_a_failed_disk_nothing_is_proposed_or_committed, tear_down),
      cmocka_unit_test_teardown(raft_proposal_of_another_term_is_refused, tear_down),
      cmocka_unit_test_teardown(raft_alone_confirms_a_read_at_once, tear_down),
      cmocka_unit_test_teardown(raft_alone_leads_to_change_its_members, tear_down),
      cmocka_unit_test_teardown(raft_of_a_follower_is_small, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
