/* A replica that is too far behind takes log and state from its leader: trimmed away, big, interrupted on either side, or damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "replication/replica_internal.h"
#include "tests/unit/replication/troupe.h"

static int set_up(void **state) {
  *state = troupe_new(17, 3);
  return 0;
}

static int tear_down(void **state) {
  troupe_free(*state);
  return 0;
}

static struct log_view view_of(struct troupe *troupe, broker_id broker) { return log_view(log_of(troupe, broker)); }

struct trimming {
  struct log *log;
  record_offset keep;
};
static void trim(void *context) {
  const struct trimming *trimming = context;
  log_set_start(trimming->log, log_view(trimming->log).next_offset - trimming->keep);
}

/* Keeps the newest `keep` records, on all that are up. Nothing of them was flushed: so the others never come to a segment. */
static void trim_all(struct troupe *troupe, record_offset keep) {
  for (broker_id broker = 1; broker <= 3; broker++) {
    if (player_of(troupe, broker)->replica == NULL) continue;
    struct trimming trimming = {.log = log_of(troupe, broker), .keep = keep};
    stage_on_lane(&player_of(troupe, broker)->stage, trim, &trimming);
    stage_checkpoint(&player_of(troupe, broker)->stage);
    assert_true(view_of(troupe, broker).start_index > 3);
  }
}

/* One is down while the others write `count` records and keep `keep` of them. Returns who it is. */
static broker_id leave_behind(struct troupe *troupe, unsigned count, size_t size, record_offset keep) {
  broker_id leader = troupe_wait_leader(troupe, 0);
  troupe_append(troupe, 1, 100);
  troupe_settle(troupe);
  broker_id late = leader % 3 + 1;
  troupe_stop(troupe, late, false);
  troupe_append(troupe, count, size);
  troupe_settle(troupe);
  trim_all(troupe, keep);
  return late;
}

static void assert_same_log(struct troupe *troupe, broker_id broker) {
  struct log_view view = view_of(troupe, broker), leader = view_of(troupe, troupe_wait_leader(troupe, 0));
  assert_false(view.spare);
  assert_false(view.damaged);
  assert_null(log_spare(log_of(troupe, broker)));
  assert_int_equal(view.last_chain, leader.last_chain);
  assert_int_equal(view.next_offset, leader.next_offset);
  assert_int_equal(replica_high_watermark(player_of(troupe, broker)->replica), leader.next_offset);
  assert_false(replica_fenced(player_of(troupe, broker)->replica));
  assert_int_equal(player_of(troupe, broker)->installed, player_of(troupe, broker)->installs);
}

/* It goes on as any other: takes entries, starts anew with what it has. */
static void assert_lives_on(struct troupe *troupe, broker_id broker) {
  troupe_append(troupe, 5, 1000);
  troupe_settle(troupe);
  for (int i = 0; i < 2; i++) {
    if (i == 0) troupe_crash(troupe, broker, SIM_POWER_DROP);
    else troupe_stop(troupe, broker, true);
    troupe_start(troupe, broker);
    troupe_settle(troupe);
    assert_int_equal(player_of(troupe, broker)->installs, 0);
    assert_same_log(troupe, broker);
  }
}

static void assert_leads(struct troupe *troupe, broker_id broker) {
  assert_lives_on(troupe, broker);
  if (troupe_leader(troupe) != broker) {
    assert_int_equal(troupe_transfer(troupe, troupe_leader(troupe), broker), STATUS_OK);
    troupe_run(troupe, 3000);
  }
  assert_int_equal(troupe_wait_leader(troupe, 0), broker);
  troupe_append(troupe, 5, 1000);
  troupe_settle(troupe);
}

static void one_whose_next_entry_was_trimmed_away_catches_up(void **state) {
  struct troupe *troupe = *state;
  broker_id late = leave_behind(troupe, 60, 100000, 40);

  troupe_start(troupe, late);
  troupe_settle(troupe);

  assert_int_equal(player_of(troupe, late)->installs, 1);
  assert_true(view_of(troupe, late).start_index > 3);
  assert_int_equal(view_of(troupe, late).instance, 2);
  assert_same_log(troupe, late);
  assert_leads(troupe, late);
}

static void nothing_is_left_but_the_state(void **state) {
  struct troupe *troupe = *state;
  broker_id late = leave_behind(troupe, 20, 1000, 0);
  assert_int_equal(view_of(troupe, troupe_leader(troupe)).start_index, view_of(troupe, troupe_leader(troupe)).last_index + 1);

  troupe_start(troupe, late);
  troupe_settle(troupe);

  assert_int_equal(player_of(troupe, late)->installs, 1);
  assert_same_log(troupe, late);
  assert_leads(troupe, late);
}

static void a_state_that_is_larger_than_a_message_comes_in_parts(void **state) {
  struct troupe *troupe = *state;
  troupe->state_padding = 3 * SHIP_PART_BYTES + 4711;
  broker_id late = leave_behind(troupe, 20, 1000, 10);

  troupe_start(troupe, late);
  troupe_settle(troupe);

  assert_int_equal(player_of(troupe, late)->installs, 1);
  assert_leads(troupe, late);
}

static void what_is_lost_or_spoilt_on_the_way_is_asked_for_again(void **state) {
  struct troupe *troupe = *state;
  troupe->state_padding = 2 * SHIP_PART_BYTES;
  broker_id late = leave_behind(troupe, 60, 100000, 50);
  troupe->wires.drop = 200;

  troupe_start(troupe, late);
  troupe_run(troupe, 20000);
  wires_heal(&troupe->wires);
  troupe_settle(troupe);

  assert_true(player_of(troupe, late)->installs >= 1);
  assert_same_log(troupe, late);
}

static void it_goes_on_while_others_write(void **state) {
  struct troupe *troupe = *state;
  broker_id late = leave_behind(troupe, 60, 100000, 50);
  troupe->wires.delay_least_ns = 20000000;

  troupe_start(troupe, late);
  troupe_append(troupe, 50, 20000);
  troupe_settle(troupe);

  assert_true(player_of(troupe, late)->installs >= 1);
  assert_same_log(troupe, late);
}

/* ---- Interrupted ---- */

/* So long after its start: from before the offer, through all the parts and the checkpoint, to long after. */
static void wherever_the_follower_is_killed_it_begins_anew(void **state) {
  struct troupe *troupe = *state;
  troupe->wires.delay_least_ns = 3000000;
  broker_id late = leave_behind(troupe, 60, 100000, 50);
  unsigned unfinished = 0, spares = 0;
  for (unsigned ms = 5; ms < 400; ms += 13) {
    struct player *player = player_of(troupe, late);
    troupe_start(troupe, late);
    if (log_view(player->stage.log[TROUPE_GROUP]).instance > 1) break;
    troupe_run(troupe, ms);
    unfinished += player->installs == 0;
    spares += log_spare(player->stage.log[TROUPE_GROUP]) != NULL;
    troupe_crash(troupe, late, (enum sim_power_cut)(SIM_POWER_DROP + ms % (SIM_POWER_COUNT - SIM_POWER_DROP)));
  }
  if (player_of(troupe, late)->replica == NULL) troupe_start(troupe, late);
  troupe_settle(troupe);

  assert_true(unfinished > 3);
  assert_true(spares > 1);
  assert_same_log(troupe, late);
  assert_leads(troupe, late);
}

static void another_leader_offers_it_anew(void **state) {
  struct troupe *troupe = *state;
  troupe->wires.delay_least_ns = 20000000;
  broker_id late = leave_behind(troupe, 60, 100000, 50);
  struct player *player = player_of(troupe, late);
  troupe_start(troupe, late);
  for (int i = 0; i < 3000 && log_spare(player->stage.log[TROUPE_GROUP]) == NULL; i++) troupe_run(troupe, 1);
  assert_non_null(log_spare(player->stage.log[TROUPE_GROUP]));
  assert_int_equal(player->installs, 0);
  broker_id leader = troupe_leader(troupe);

  troupe_crash(troupe, leader, SIM_POWER_DROP);
  assert_int_not_equal(troupe_wait_leader(troupe, leader), late);
  troupe_settle(troupe);

  assert_int_equal(player->installs, 1);
  assert_same_log(troupe, late);
  troupe_start(troupe, leader);
  troupe_settle(troupe);
  assert_leads(troupe, late);
}

/* ---- In force ---- */

static bool is_given(void *context) { return ((struct player *)context)->installs == 1; }
static bool is_told(void *context) { return ((struct player *)context)->installed == 1; }

struct delivery {
  struct player *to;
  struct peer_message message;
};
static void deliver(void *context) {
  const struct delivery *delivery = context;
  replica_receive(delivery->to->replica, &delivery->message);
}

/* One that was there before, or comes later, has another placement: nobody answers for it, and ships nothing to it. */
static void what_is_for_another_placement_is_not_answered(void **state) {
  struct troupe *troupe = *state;
  broker_id leader = troupe_wait_leader(troupe, 0), asker = leader % 3 + 1;
  troupe_append(troupe, 1, 100);
  troupe_settle(troupe);
  troupe_run(troupe, 1000);
  struct delivery delivery = {.to = player_of(troupe, leader)};
  delivery.message.raft = (struct raft_message){.kind = RAFT_FETCH_STATE,
                                                .from = player_of(troupe, asker)->id,
                                                .to = delivery.to->id,
                                                .term = replica_term(delivery.to->replica),
                                                .sequence = 1};
  for (unsigned i = 0; i < 2; i++) {
    uint64_t before = troupe->wires.messages;
    delivery.message.raft.to.placement = i == 0 ? 9 : 0;
    stage_on_lane(&delivery.to->stage, deliver, &delivery);
    troupe_run(troupe, 50);
    if (i == 0) assert_int_equal(troupe->wires.messages, before);
    else assert_true(troupe->wires.messages > before);
  }
}

static void the_owner_is_told_when_no_crash_can_take_it_back(void **state) {
  struct troupe *troupe = *state;
  broker_id late = leave_behind(troupe, 60, 100000, 40);
  struct player *player = player_of(troupe, late);

  troupe_start(troupe, late);
  stage_wait(&player->stage, is_given, player);
  stage_slow_journal(&player->stage); /* the CLOSE frame is to be written at the end of this turn, or is being written */
  assert_int_equal(player->installed, 0);
  troupe_crash(troupe, late, SIM_POWER_DROP);
  troupe_start(troupe, late);
  assert_int_equal(view_of(troupe, late).instance, 1);
  stage_wait(&player->stage, is_told, player);
  troupe_crash(troupe, late, SIM_POWER_DROP);
  troupe_start(troupe, late);

  assert_true(view_of(troupe, late).instance > 1);
  troupe_settle(troupe);
  assert_int_equal(player->installed, 0); /* what a start finds is told by nobody */
  assert_same_log(troupe, late);
  assert_leads(troupe, late);
}

static void it_is_not_told_while_the_old_log_is_not_closed(void **state) {
  struct troupe *troupe = *state;
  broker_id late = leave_behind(troupe, 60, 100000, 40);
  struct player *player = player_of(troupe, late);
  troupe_start(troupe, late);
  stage_wait(&player->stage, is_given, player);
  stage_slow_journal(&player->stage);

  troupe_append(troupe, 5, 1000); /* others go on, and it takes nothing from them */
  assert_int_equal(player->installed, 0);
  assert_non_null(player->replica->closing);
  stage_heal(&player->stage);
  troupe_settle(troupe);

  assert_int_equal(player->installed, 1);
  assert_leads(troupe, late);
}

static void it_is_never_told_where_the_disk_fails_before(void **state) {
  struct troupe *troupe = *state;
  broker_id late = leave_behind(troupe, 60, 100000, 40);
  struct player *player = player_of(troupe, late);
  troupe_start(troupe, late);
  stage_wait(&player->stage, is_given, player);
  stage_fail_journal(&player->stage);

  troupe_append(troupe, 5, 1000);
  troupe_run(troupe, 5000);
  assert_true(replica_fenced(player->replica));
  assert_int_equal(player->installed, 0);
  troupe_stop(troupe, late, false);
  troupe_start(troupe, late);
  troupe_settle(troupe);

  assert_int_equal(player->installed, 1);
  assert_leads(troupe, late);
}

/* ---- In line ---- */

#define LINE (LANE_INSTALLS_MAX + 1)

/* Groups beside the troupe's on one broker's lane, whose leader is another broker and far ahead. One of them waits for its turn. */
struct line {
  struct player *player;
  struct raft_config founding;
  struct replica_id leader;
  struct replica *replicas[LINE];
  unsigned deleted;
};

static void apply_nothing(void *owner, const struct entry *entry) {
  (void)owner;
  (void)entry;
}
static enum status snapshot_nothing(void *owner, struct buffer *out) {
  (void)owner;
  (void)out;
  return STATUS_OK;
}
static enum status restore_nothing(void *owner, struct bytes state) {
  (void)owner;
  (void)state;
  return STATUS_OK;
}
static const struct state_machine_ops nothing_ops = {
    .apply = apply_nothing, .snapshot = snapshot_nothing, .restore = restore_nothing};

static void offer(struct line *line, size_t i, entry_term term) {
  struct peer_message message = {.raft = {.kind = RAFT_SNAPSHOT, .from = line->leader, .to = line->player->id, .term = term}};
  message.raft.snapshot = (struct raft_snapshot){.index = 10, .index_term = term, .config = &line->founding};
  replica_receive(line->replicas[i], &message);
}

static void stand_in_line(void *context) {
  struct line *line = context;
  struct stage *stage = &line->player->stage;
  struct replica_options options = {.self = line->player->id, .founding = &line->founding};
  struct state_machine machine = {.ops = &nothing_ops};
  for (size_t i = 0; i < LINE; i++) {
    struct log *log = stage_make_log(stage, TROUPE_GROUP + 1 + i);
    assert_int_equal(replica_open(stage->lane, log, &options, &machine, &line->replicas[i]), STATUS_OK);
    replica_start(line->replicas[i]);
    offer(line, i, 5);
    assert_non_null(line->replicas[i]->install);
  }
}

static void note_deleted(void *context) { ++*(unsigned *)context; }

/* The last one goes; then another leader comes to the first one, which makes a place for whoever stands in line. */
static void leave_the_line(void *context) {
  struct line *line = context;
  replica_delete(line->replicas[LINE - 1], note_deleted, &line->deleted);
  offer(line, 0, 6);
}

static void delete_the_rest(void *context) {
  struct line *line = context;
  for (size_t i = 0; i + 1 < LINE; i++) replica_delete(line->replicas[i], note_deleted, &line->deleted);
}

static bool all_are_deleted(void *context) { return ((struct line *)context)->deleted == LINE; }

static void one_that_is_deleted_in_line_is_not_called(void **state) {
  struct troupe *troupe = *state;
  broker_id leader = troupe_wait_leader(troupe, 0);
  struct line line = {
      .player = player_of(troupe, leader % 3 + 1), .leader = player_of(troupe, leader)->id, .founding = troupe->founding};
  troupe_isolate(troupe, line.player->id.broker); /* nobody answers what these groups ask */
  stage_on_lane(&line.player->stage, stand_in_line, &line);
  stage_slow_journal(&line.player->stage);

  stage_on_lane(&line.player->stage, leave_the_line, &line);
  troupe_run(troupe, 10);

  assert_int_equal(line.deleted, 0); /* its CLOSE frame is still on its way */
  stage_heal(&line.player->stage);
  stage_on_lane(&line.player->stage, delete_the_rest, &line);
  stage_wait(&line.player->stage, all_are_deleted, &line);
  wires_heal(&troupe->wires);
  troupe_settle(troupe);
}

/* ---- Damaged ---- */

static void one_whose_journal_has_rotted_is_made_whole(void **state) {
  struct troupe *troupe = *state;
  broker_id leader = troupe_wait_leader(troupe, 0);
  broker_id rotten = leader % 3 + 1;
  troupe_append(troupe, 30, 20000);
  troupe_settle(troupe);
  troupe_stop(troupe, rotten, false);
  assert_true(sim_disk_flip(player_of(troupe, rotten)->stage.device, "journal/0*", 300000, 0xff) > 0);

  troupe_start(troupe, rotten);
  assert_true(view_of(troupe, rotten).damaged);
  for (int i = 0; i < 100 && player_of(troupe, rotten)->installs == 0; i++) troupe_run(troupe, 100);
  troupe_run(troupe, 1000);
  troupe_settle(troupe);

  assert_true(player_of(troupe, rotten)->installs >= 1);
  assert_same_log(troupe, rotten);
  assert_leads(troupe, rotten); /* what it may have promised and forgotten binds nobody any more (R11) */
}

/* It had its log again, and was not counted yet. */
static void one_that_is_killed_before_it_is_proven_is_proven_later(void **state) {
  struct troupe *troupe = *state;
  broker_id leader = troupe_wait_leader(troupe, 0);
  broker_id rotten = leader % 3 + 1, other = rotten % 3 + 1;
  troupe_append(troupe, 30, 20000);
  troupe_settle(troupe);
  troupe_stop(troupe, rotten, false);
  assert_true(sim_disk_flip(player_of(troupe, rotten)->stage.device, "journal/0*", 300000, 0xff) > 0);
  troupe_stop(troupe, other, false); /* without whom nothing can be proven */
  troupe_isolate(troupe, rotten);
  troupe_start(troupe, rotten); /* only this start can tell what it may have lost at most */
  assert_int_not_equal(view_of(troupe, rotten).damage_through, UINT64_MAX);
  troupe_stop(troupe, rotten, false);
  wires_heal(&troupe->wires);
  troupe_run(troupe, 3000);

  troupe_start(troupe, rotten);
  assert_int_equal(view_of(troupe, rotten).damage_through, UINT64_MAX);
  troupe_run(troupe, 10000);
  assert_int_equal(troupe_leader(troupe), 0); /* two are up, and one of them counts for nothing */
  troupe_start(troupe, other);
  for (int i = 0; i < 10000 && player_of(troupe, rotten)->installs == 0; i++) troupe_run(troupe, 1);
  assert_true(player_of(troupe, rotten)->replica->raft.damage.through == UINT64_MAX);
  troupe_crash(troupe, rotten, SIM_POWER_DROP);
  troupe_start(troupe, rotten);
  assert_true(player_of(troupe, rotten)->replica->raft.damage.through == UINT64_MAX);
  troupe_settle(troupe);

  assert_same_log(troupe, rotten);
  assert_leads(troupe, rotten);
}

/* The state that was stored has what the log has lost since: when it comes from the leader, it is not applied to that state again. */
static void one_whose_state_is_ahead_of_its_log_applies_what_is_behind_the_state(void **state) {
  struct troupe *troupe = *state;
  broker_id leader = troupe_wait_leader(troupe, 0);
  broker_id late = leader % 3 + 1;
  troupe_append(troupe, 5, 100);
  troupe_settle(troupe);
  troupe_stop(troupe, late, true);
  troupe_append(troupe, 5, 100);
  troupe_settle(troupe);
  const struct player ahead = *player_of(troupe, leader);
  troupe_append(troupe, 5, 100);

  troupe_start(troupe, late);
  struct player *player = player_of(troupe, late);
  assert_true(player->last < ahead.last);
  uint64_t replayed = player->applied;
  player->last = ahead.last;
  player->sum = ahead.sum;
  player->replica->restored = ahead.last;
  troupe_settle(troupe);

  assert_int_equal(player->last, ahead.last + 5);
  assert_int_equal(player->sum, player_of(troupe, leader)->sum);
  assert_int_equal(player->applied, replayed + 5);
  assert_same_log(troupe, late);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(int argc, char **argv) {
  if (argc == 2) cmocka_set_test_filter(argv[1]);
  const struct CMUnitTest tests[] = {
      TEST(one_whose_next_entry_was_trimmed_away_catches_up),
      TEST(nothing_is_left_but_the_state),
      TEST(a_state_that_is_larger_than_a_message_comes_in_parts),
      TEST(what_is_lost_or_spoilt_on_the_way_is_asked_for_again),
      TEST(it_goes_on_while_others_write),
      TEST(wherever_the_follower_is_killed_it_begins_anew),
      TEST(another_leader_offers_it_anew),
      TEST(what_is_for_another_placement_is_not_answered),
      TEST(the_owner_is_told_when_no_crash_can_take_it_back),
      TEST(it_is_not_told_while_the_old_log_is_not_closed),
      TEST(it_is_never_told_where_the_disk_fails_before),
      TEST(one_that_is_deleted_in_line_is_not_called),
      TEST(one_whose_journal_has_rotted_is_made_whole),
      TEST(one_whose_state_is_ahead_of_its_log_applies_what_is_behind_the_state),
      TEST(one_that_is_killed_before_it_is_proven_is_proven_later),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
