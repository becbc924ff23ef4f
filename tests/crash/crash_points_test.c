/* All of log/ on one broker, crashed at every operation of a fixed scenario: appends to several logs (bodies larger than a
 * journal group among them), checkpoints, new segments, recycled journal files, trims, cuts, hard states, deletion and creation.
 *
 * After each crash: no acknowledged entry lost, no entry in part, offsets dense, contents equal, trims remembered, the owner's
 * state that of its log, deleted logs gone, terms and votes not back; and appends work.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/memory.h"
#include "tests/crash/crash_lane.h"
#include "tests/sim/sim_random.h"

#define ROUNDS 26u
#define IN_FLIGHT 3u
#define LARGE_BYTES 40000u

static struct account account;

static struct log_set_options options_of(void) {
  return (struct log_set_options){
      .journal = {.ring_bytes = 8 * 128 * 1024,
                  .file_bytes = 128 * 1024,
                  .group_bytes_max = 16 * 1024,
                  .files_ready = 2,
                  .idle_close_ms = 20},
      .tail_bytes = 96 * 1024,
      .store_bytes_max = 8 << 20,
      .disk_reserve_bytes = 64 * 1024,
      .readers = 2,
      .checkpoint_interval_ms = 200,
      .account = &account,
  };
}

static struct lane_step step(enum lane_act act, group_id group, uint64_t size, uint32_t count) {
  return (struct lane_step){.act = act, .group = group, .size = size, .count = count};
}

static void create_logs(struct crash_lane *lane) {
  struct lane_step steps[4];
  for (group_id group = 0; group < 4; group++) steps[group] = step(LANE_CREATE, group, 0, 0);
  crash_lane_turn(lane, steps, 4, 1);
}

static void some_appends(struct crash_lane *lane, struct sim_random *script) {
  struct lane_step steps[LANE_TURN_MAX];
  size_t count = 0;
  for (uint64_t n = sim_random_between(script, 1, 5); n > 0; n--) {
    uint64_t size = sim_random_chance(script, 12) ? LARGE_BYTES : sim_random_between(script, 1, 3000);
    enum lane_act act = sim_random_chance(script, 20) ? LANE_AHEAD : LANE_APPEND;
    steps[count++] = step(act, sim_random_below(script, 6), size, (uint32_t)sim_random_between(script, 1, 7));
  }
  if (sim_random_chance(script, 20)) steps[count++] = step(LANE_HARD_STATE, sim_random_below(script, 6), 0, 0);
  crash_lane_turn(lane, steps, count, IN_FLIGHT);
}

/* Half of what is there. */
static void trim(struct crash_lane *lane, group_id group) {
  crash_lane_wait(lane);
  uint64_t to = (uint64_t)model_next_offset(&lane->model->logs[group]) / 2;
  struct lane_step trimming = step(LANE_TRIM, group, to, 0);
  crash_lane_turn(lane, &trimming, 1, IN_FLIGHT);
}

/* As a follower whose leader changed: a suffix that was durable but never committed is replaced. */
static void cut(struct crash_lane *lane, group_id group) {
  struct lane_step held[2] = {step(LANE_HOLD_BACK, group, 700, 2), step(LANE_HOLD_BACK, group, 900, 1)};
  struct lane_step replaced[2] = {step(LANE_CUT, group, 0, 0), step(LANE_APPEND, group, 1100, 4)};
  crash_lane_turn(lane, held, 2, 1);
  crash_lane_wait(lane);
  crash_lane_turn(lane, replaced, 2, 1);
}

/* The cut is issued while what it voids is on its way, or in the very same write. */
static void cut_in_flight(struct crash_lane *lane, group_id group, bool one_write) {
  struct lane_step steps[6] = {step(LANE_HOLD_BACK, group, 700, 2), step(LANE_HOLD_BACK, group, 30000, 1),
                               step(LANE_HOLD_BACK, group, 20, 3),  step(LANE_CUT, group, 0, 0),
                               step(LANE_APPEND, group, 1100, 4),   step(LANE_AHEAD, group, 200, 1)};
  crash_lane_wait(lane);
  if (one_write) {
    crash_lane_turn(lane, steps, 6, IN_FLIGHT);
  } else {
    crash_lane_turn(lane, steps, 3, IN_FLIGHT);
    crash_lane_turn(lane, steps + 3, 3, IN_FLIGHT);
  }
  crash_lane_checkpoint(lane);
  crash_lane_wait(lane);
}

/* Checkpoints, and several files of the journal, between what is voided, the cut, and what comes in its place. */
static void cut_late(struct crash_lane *lane, group_id group) {
  struct lane_step held[2] = {step(LANE_HOLD_BACK, group, 500, 1), step(LANE_HOLD_BACK, group, 9000, 1)};
  struct lane_step others[2] = {step(LANE_APPEND, 0, LARGE_BYTES, 1), step(LANE_APPEND, 2, LARGE_BYTES, 1)};
  struct lane_step cut_only = step(LANE_CUT, group, 0, 0);
  struct lane_step replaced[2] = {step(LANE_APPEND, group, 9000, 2), step(LANE_APPEND, group, 10, 1)};
  crash_lane_turn(lane, held, 2, 1);
  for (unsigned i = 0; i < 3; i++) crash_lane_turn(lane, others, 2, IN_FLIGHT);
  crash_lane_wait(lane);
  crash_lane_checkpoint(lane);
  crash_lane_turn(lane, &cut_only, 1, 1);
  crash_lane_checkpoint(lane);
  for (unsigned i = 0; i < 2; i++) crash_lane_turn(lane, others, 2, IN_FLIGHT);
  crash_lane_turn(lane, replaced, 2, 1);
  crash_lane_wait(lane);
}

static void one_round(struct crash_lane *lane, struct sim_random *script, unsigned round) {
  bool old_tails[MODEL_LOGS] = {false};
  for (int i = 0; i < 3; i++) some_appends(lane, script);
  if (round % 4 == 3) crash_lane_checkpoint(lane);
  if (round % 5 == 4) trim(lane, round % 3);
  if (round == 6 || round == 15) cut(lane, 1);
  if (round == 8 || round == 18) cut_in_flight(lane, 2, round == 8);
  if (round == 12) cut_late(lane, 1);
  if (round == 9) {
    struct lane_step steps[2] = {step(LANE_DELETE, 3, 0, 0), step(LANE_CREATE, 4, 0, 0)};
    crash_lane_turn(lane, steps, 2, IN_FLIGHT);
  }
  if (round == 17) {
    struct lane_step steps[2] = {step(LANE_CREATE, 5, 0, 0), step(LANE_APPEND, 5, 10, 1)};
    crash_lane_turn(lane, steps, 2, IN_FLIGHT);
  }
  if (round % 8 == 7 && crash_lane_going(lane)) {
    crash_lane_wait(lane);
    crash_lane_read_all(lane, old_tails);
  }
}

static struct crash_lane *lane_new(void) {
  struct crash_lane *lane = NEW(struct crash_lane);
  lane->settings = (struct log_settings){.segment_bytes = 24 * 1024, .retention_bytes = -1, .retention_ms = -1};
  return lane;
}

static void live(struct crash_lab *lab) {
  struct crash_lane *lane = lane_new();
  struct log_set_options options = options_of();
  struct sim_random script;
  sim_random_init(&script, 7, "crash script");
  if (crash_lane_open(lane, lab, &options)) {
    create_logs(lane);
    for (unsigned round = 0; round < ROUNDS && crash_lane_going(lane); round++) one_round(lane, &script, round);
  }
  crash_lane_close(lane, true);
  memory_free(lane);
}

/* Appends to all that is left, makes a new log, closes with or without a checkpoint. */
static void recover(struct crash_lab *lab) {
  struct crash_lane *lane = lane_new();
  struct log_set_options options = options_of();
  struct sim_random script;
  bool old_tails[MODEL_LOGS] = {false};
  sim_random_init(&script, lab->recoveries, "recovery script");
  if (crash_lane_open(lane, lab, &options)) {
    struct lane_step steps[2] = {step(LANE_CREATE, 5 + lab->recoveries, 0, 0), step(LANE_APPEND, 5 + lab->recoveries, 2000, 3)};
    some_appends(lane, &script);
    if (lane->model->logs[5 + lab->recoveries].stage == MODEL_ABSENT) crash_lane_turn(lane, steps, 2, IN_FLIGHT);
    some_appends(lane, &script);
    crash_lane_wait(lane);
    if (crash_lane_going(lane)) crash_lane_read_all(lane, old_tails);
  }
  crash_lane_close(lane, lab->recoveries % 2 == 0);
  memory_free(lane);
}

static const struct crash_subject subject = {
    .name = "crash_points", .model_new = crash_model_new, .model_free = memory_free, .live = live, .recover = recover};

/* ---- Tests ---- */

static void every_crash_point_recovers(void **state) {
  (void)state;
  struct crash_options options = {.seed = 1, .stride = 1, .violations_max = 20};
  struct crash_totals totals = crash_sweep(&subject, &options);
  crash_print(&subject, &totals);
  assert_true(totals.operations >= 300);
  assert_int_equal(totals.violations, 0);
}

static void other_interleavings_recover_too(void **state) {
  (void)state;
  struct crash_totals all = {0};
  for (uint64_t seed = 2; seed <= 6; seed++) {
    struct crash_options options = {.seed = seed, .stride = 13, .violations_max = 5};
    struct crash_totals totals = crash_sweep(&subject, &options);
    all.operations += totals.operations;
    all.crashes += totals.crashes;
    all.second_crashes += totals.second_crashes;
    all.violations += totals.violations;
  }
  crash_print(&subject, &all);
  assert_int_equal(all.violations, 0);
}

/* One failure, the first, the second, and so on until none happens; then the process is killed, and after its recovery the power
 * goes: what the cache showed of writes that had failed must not have been believed. */
static uint64_t fail_each(const char *what, const char *how, uint64_t *violations) {
  uint64_t n = 0;
  for (uint64_t fired = 1; fired > 0; n++) {
    char sentence[96];
    snprintf(sentence, sizeof sentence, "fail %lluth %s on * with %s", (unsigned long long)n + 1, what, how);
    struct crash_options options = {.seed = 1, .fault = sentence};
    struct crash_totals totals = crash_sweep(&subject, &options);
    if (totals.violations > 0) printf("crash_points: the violation above is of: %s\n", sentence);
    *violations += totals.violations;
    fired = totals.faults_fired;
  }
  return n - 1;
}

static void every_failing_operation_is_survived(void **state) {
  (void)state;
  uint64_t violations = 0;
  uint64_t syncs = fail_each("sync", "io", &violations);
  uint64_t writes = fail_each("write", "io", &violations);
  uint64_t full = fail_each("write", "no_space", &violations);
  uint64_t names = fail_each("sync_dir", "io", &violations) + fail_each("rename", "io", &violations);
  printf("crash_points: %llu failed syncs, %llu failed writes, %llu full disks, %llu failed names, %llu violations\n",
         (unsigned long long)syncs, (unsigned long long)writes, (unsigned long long)full, (unsigned long long)names,
         (unsigned long long)violations);
  assert_int_equal(violations, 0);
}

/* A single log, so that nobody else's first segment syncs what its own forgot. */
static void live_alone(struct crash_lab *lab) {
  struct crash_lane *lane = lane_new();
  struct log_set_options options = options_of();
  if (crash_lane_open(lane, lab, &options)) {
    struct lane_step create = step(LANE_CREATE, 1, 0, 0);
    struct lane_step append = step(LANE_APPEND, 1, 3000, 2);
    crash_lane_turn(lane, &create, 1, 1);
    for (unsigned i = 0; i < 4 && crash_lane_going(lane); i++) {
      crash_lane_turn(lane, &append, 1, 1);
      crash_lane_wait(lane);
      crash_lane_checkpoint(lane);
    }
  }
  crash_lane_close(lane, false);
  memory_free(lane);
}

/* The round that made a log's directory failed, so its name is not durable; the next one, which finds the directory there, must not
 * take it for that. */
static void a_directory_of_a_failed_round_is_synced_by_the_next(void **state) {
  (void)state;
  static const char *const faults[] = {"fail 1st write on p/*.segment with no_space",
                                       "fail 2nd write on p/*.segment with no_space", "fail 1st sync on p/*.segment with io"};
  const struct crash_subject alone = {
      .name = "crash_points", .model_new = crash_model_new, .model_free = memory_free, .live = live_alone, .recover = recover};
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
    struct crash_options options = {.seed = 1, .stride = 1, .violations_max = 3, .fault = faults[i]};
    struct crash_totals totals = crash_sweep(&alone, &options);
    assert_true(totals.faults_fired > 0);
    assert_int_equal(totals.violations, 0);
  }
}

static void a_disk_whose_syncs_do_nothing_is_noticed(void **state) {
  (void)state;
  struct crash_options options = {.seed = 1, .stride = 29, .quiet = true, .violations_max = 5, .fault = "lie every sync on *"};
  struct crash_totals totals = crash_sweep(&subject, &options);
  assert_true(totals.violations >= 5);
}

static void a_forgotten_directory_sync_is_noticed(void **state) {
  (void)state;
  struct crash_options options = {
      .seed = 1, .stride = 29, .quiet = true, .violations_max = 5, .fault = "lie every sync_dir on p*"};
  struct crash_totals totals = crash_sweep(&subject, &options);
  assert_true(totals.violations >= 1);
}

static void acknowledging_before_the_sync_is_noticed(void **state) {
  (void)state;
  struct crash_options options = {.seed = 1, .stride = 7, .quiet = true, .violations_max = 5, .acknowledge_early = true};
  struct crash_totals totals = crash_sweep(&subject, &options);
  assert_true(totals.violations >= 5);
}

static void a_sweep_repeats_itself(void **state) {
  (void)state;
  struct crash_options options = {.seed = 3, .stride = 97, .quiet = true};
  struct crash_totals first = crash_sweep(&subject, &options);
  struct crash_totals second = crash_sweep(&subject, &options);
  assert_true(first.hash == second.hash);
}

int main(int argc, char **argv) {
  uint64_t violations = 0;
  account_init(&account, (size_t)256 << 20);
  if (crash_replay(&subject, argc, argv, &violations)) return violations > 0;
  if (argc == 2) cmocka_set_test_filter(argv[1]);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_crash_point_recovers),
      cmocka_unit_test(other_interleavings_recover_too),
      cmocka_unit_test(every_failing_operation_is_survived),
      cmocka_unit_test(a_directory_of_a_failed_round_is_synced_by_the_next),
      cmocka_unit_test(a_disk_whose_syncs_do_nothing_is_noticed),
      cmocka_unit_test(a_forgotten_directory_sync_is_noticed),
      cmocka_unit_test(acknowledging_before_the_sync_is_noticed),
      cmocka_unit_test(a_sweep_repeats_itself),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
