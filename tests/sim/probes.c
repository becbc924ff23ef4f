#include "tests/sim/probes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What a batch of seeds must have come to: of brokers alone, of clusters, or of both; of clusters one of which rots; of clusters whose controller
 * fails. */
enum reach { ALONE = 1, CLUSTER = 2, BOTH = 3, ROTTING = 4, CONTROLLER = 8 };

static const struct {
  const char *name;
  unsigned where; /* enum reach */
} required[] = {
    {"answers_go_together", BOTH},
    {"append_not_admitted", ALONE},
    {"append_stalled", BOTH},
    {"balance_stops", CLUSTER},
    {"balancer_moves", CLUSTER},
    {"batch_sent_again", BOTH},
    {"broker_goes", CLUSTER | CONTROLLER},
    {"broker_is_emptied", CLUSTER | CONTROLLER},
    {"call_tried_again", BOTH},
    {"checkpoint_lacks_space", BOTH},
    {"checkpoint_rests", BOTH},
    {"consumer_reconnects", BOTH},
    {"controller_fails_in_a_alter", CONTROLLER},
    {"controller_fails_in_a_create", CONTROLLER},
    {"controller_fails_in_a_decommission", CONTROLLER},
    {"controller_fails_in_a_delete", CONTROLLER},
    {"controller_fails_in_a_drain", CONTROLLER},
    {"controller_fails_in_a_grow", CONTROLLER},
    {"controller_fails_in_a_leaving", CONTROLLER},
    {"controller_fails_in_a_move", CONTROLLER},
    {"controller_fails_in_a_moving", CONTROLLER},
    {"controller_fails_in_a_reassign", CONTROLLER},
    {"controller_fails_in_a_stay", CONTROLLER},
    {"controller_fails_in_a_take_back", CONTROLLER},
    {"controller_fails_in_a_transfer", CONTROLLER},
    {"controller_hit_before_all_apply", CONTROLLER},
    {"controller_hit_before_commit", CONTROLLER},
    {"controller_hit_before_it_decides", CONTROLLER},
    {"controller_hit_between_commands", CONTROLLER},
    {"covered_entries_go", BOTH},
    {"entries_gather", CLUSTER},
    {"follower_loses_entries", ROTTING},
    {"follower_read_from_disk", CLUSTER},
    {"follower_waits_for_room", CLUSTER},
    {"follower_whose_disk_fails", CLUSTER},
    {"follower_without_room", CLUSTER},
    {"full_leader_hands_over", CLUSTER},
    {"growth_is_put", CLUSTER | CONTROLLER},
    {"install_without_room", CLUSTER},
    {"journal_file_recycled", BOTH},
    {"journal_waits_for_a_file", ALONE},
    {"lead_is_offered_at_the_end_of_a_move", CLUSTER},
    {"leader_loses_entries", ROTTING},
    {"leader_whose_disk_fails", CLUSTER},
    {"leader_without_a_quorum", CLUSTER},
    {"leadership_handed_over", CLUSTER},
    {"learner_is_paced", CLUSTER},
    {"level_is_held_back", CLUSTER},
    {"level_rises_by_itself", BOTH},
    {"map_comes_whole", CLUSTER},
    {"mismatch_waits_for_its_reason", BOTH},
    {"missed_broker_is_emptied", CLUSTER},
    {"move_is_taken_back", CLUSTER | CONTROLLER},
    {"partition_deleted_under_waiters", BOTH},
    {"partition_leaves", CLUSTER | CONTROLLER},
    {"pre_vote_refused_for_a_live_leader", CLUSTER},
    {"pre_vote_refused_for_an_old_log", CLUSTER},
    {"preferred_leader_does_not_take_over", CLUSTER},
    {"preferred_leader_refused", CLUSTER},
    {"preferred_leader_takes_over", CLUSTER},
    {"producer_fenced", BOTH},
    {"producer_sees_new_partitions", BOTH},
    {"proposal_given_up", CLUSTER},
    {"proposal_replaced", CLUSTER},
    {"read_asked_again", CLUSTER},
    {"read_from_a_segment", BOTH},
    {"read_from_the_journal", BOTH},
    {"read_waits", BOTH},
    {"reluctant_leader_hands_over", CLUSTER},
    {"repetition_answered", BOTH},
    {"repetition_of_what_is_under_way", BOTH},
    {"replica_installs", CLUSTER},
    {"replica_proven", ROTTING},
    {"requests_come_together", BOTH},
    {"requests_go_together", BOTH},
    {"retention_trims", BOTH},
    {"session_broken", BOTH},
    {"several_entries_cut", CLUSTER},
    {"shipped_from_disk", CLUSTER},
    {"small_tail_carried", BOTH},
    {"stale_plan_is_refused", CLUSTER},
    {"stalled_leader_reconnects", CLUSTER},
    {"superseded_process_is_dismissed", CLUSTER},
    {"superseded_start_is_refused", CLUSTER},
    {"tombstone_goes", BOTH},
    {"topic_grows", BOTH | CONTROLLER},
    {"topic_is_put", CLUSTER | CONTROLLER},
    {"topic_spread_over_racks", CLUSTER},
    {"torn_tail_cut", BOTH},
    {"transfer_begun", CLUSTER | CONTROLLER},
    {"transfer_does_not_come_about", CLUSTER},
    {"transfer_is_over", CLUSTER},
    {"transfer_refused", CLUSTER},
    {"unfinished_start_dropped", BOTH},
    {"vote_refused", CLUSTER},
    {"watch_falls_out_of_the_history", BOTH},
    {"watch_from_a_version_to_come", CLUSTER},
    {"watch_gets_the_whole_map", BOTH},
    {"watch_goes_on", BOTH},
    {"watch_goes_to_another_broker", BOTH},
    {"watch_is_one_too_many", BOTH},
    {"watch_leaves_a_silent_broker", BOTH},
};

static unsigned reach_of(unsigned nodes, enum plan_kind kind) {
  if (kind == PLAN_CONTROLLER) return CONTROLLER;
  if (kind == PLAN_POINTS) return 0; /* each run is at a point of its own */
  if (nodes <= 1) return ALONE;
  return kind == PLAN_ROT ? CLUSTER | ROTTING : CLUSTER;
}

static uint64_t count_of(const struct jobs_report *report, const char *name) {
  for (size_t i = 0; i < report->probe_count; i++) {
    if (strcmp(report->probes[i].name, name) == 0) return report->probes[i].count;
  }
  return 0;
}

unsigned probes_report(const struct jobs_report *report, unsigned nodes, enum plan_kind kind, bool all) {
  unsigned missing = 0, where = reach_of(nodes, kind);
  for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
    if ((required[i].where & where) == 0) continue;
    uint64_t count = count_of(report, required[i].name);
    if (count == 0) missing++;
    if (count == 0) printf("sim: never reached: %s\n", required[i].name);
    else if (all) printf("  %8" PRIu64 "  %s\n", count, required[i].name);
  }
  return missing;
}
