/* The protocol of a cluster of one: terms, no-ops, and when something is committed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replication/raft.h"

static struct raft started(entry_term term, entry_index last) {
  struct raft raft;
  struct raft_start start = {
      .self = 1, .hard_state = {.term = term, .vote = term > 0 ? 1 : 0}, .last_term = term, .last_index = last};
  raft_init(&raft, &start);
  return raft;
}

static struct raft_effects propose(struct raft *raft) {
  return raft_step(raft, &(struct raft_event){.kind = RAFT_PROPOSE});
}
static struct raft_effects persisted(struct raft *raft, entry_index index) {
  return raft_step(raft, &(struct raft_event){.kind = RAFT_PERSISTED, .index = index});
}

static void raft_first_proposal_takes_the_lead_with_a_noop(void **state) {
  (void)state;
  struct raft raft = started(0, 0);

  struct raft_effects effects = propose(&raft);

  assert_int_equal(effects.status, STATUS_OK);
  assert_true(effects.save_hard_state);
  assert_int_equal(effects.hard_state.term, 1);
  assert_int_equal(effects.hard_state.vote, 1);
  assert_true(effects.append_noop);
  assert_int_equal(effects.noop_index, 1);
  assert_true(effects.append_proposal);
  assert_int_equal(effects.proposal_index, 2);
  assert_true(effects.role_changed);
  assert_int_equal(effects.role, RAFT_LEADER);
}

static void raft_second_proposal_needs_no_election(void **state) {
  (void)state;
  struct raft raft = started(0, 0);
  propose(&raft);

  struct raft_effects effects = propose(&raft);

  assert_false(effects.save_hard_state);
  assert_false(effects.append_noop);
  assert_int_equal(effects.proposal_index, 3);
}

static void raft_commits_only_what_its_disk_has(void **state) {
  (void)state;
  struct raft raft = started(0, 0);
  propose(&raft);
  propose(&raft);

  struct raft_effects first = persisted(&raft, 2);
  struct raft_effects again = persisted(&raft, 2);
  struct raft_effects second = persisted(&raft, 3);

  assert_true(first.commit_advanced);
  assert_int_equal(first.commit, 2);
  assert_false(again.commit_advanced);
  assert_true(second.commit_advanced);
  assert_int_equal(second.commit, 3);
}

static void raft_restart_begins_a_new_term_behind_the_old_log(void **state) {
  (void)state;
  struct raft raft = started(4, 10);
  assert_int_equal(raft.hard_state.commit, 10);

  struct raft_effects effects = propose(&raft);

  assert_int_equal(effects.term, 5);
  assert_int_equal(effects.noop_index, 11);
  assert_int_equal(effects.proposal_index, 12);
}

static void raft_recovered_term_is_the_greater_of_vote_and_entries(void **state) {
  (void)state;
  struct raft raft;
  struct raft_start start = {.self = 1, .hard_state = {.term = 2, .vote = 1}, .last_term = 7, .last_index = 3};

  raft_init(&raft, &start);

  assert_int_equal(raft.hard_state.term, 7);
  assert_int_equal(raft.hard_state.vote, 0);
}

static void raft_after_a_failed_disk_nothing_is_proposed_or_committed(void **state) {
  (void)state;
  struct raft raft = started(0, 0);
  propose(&raft);

  struct raft_effects failed = raft_step(&raft, &(struct raft_event){.kind = RAFT_DISK_FAILED});
  struct raft_effects late = persisted(&raft, 2);
  struct raft_effects refused = propose(&raft);

  assert_true(failed.role_changed);
  assert_int_equal(failed.role, RAFT_FOLLOWER);
  assert_false(late.commit_advanced);
  assert_int_equal(refused.status, STATUS_FENCED);
  assert_false(refused.append_proposal);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(raft_first_proposal_takes_the_lead_with_a_noop),
      cmocka_unit_test(raft_second_proposal_needs_no_election),
      cmocka_unit_test(raft_commits_only_what_its_disk_has),
      cmocka_unit_test(raft_restart_begins_a_new_term_behind_the_old_log),
      cmocka_unit_test(raft_recovered_term_is_the_greater_of_vote_and_entries),
      cmocka_unit_test(raft_after_a_failed_disk_nothing_is_proposed_or_committed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
