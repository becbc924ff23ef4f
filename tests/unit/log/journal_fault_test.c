/* A journal on a disk that fails or fills up, in simulated time. */
#include "tests/unit/log/cmocka_log.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "log/journal.h"
#include "log/journal_format.h"
#include "tests/sim/sim_world.h"

#define FILE_BYTES (64u << 10)
#define SECOND_NS 1000000000u
#define CARRIED_SIZE 12000u

static const struct journal_options options = {
    .ring_bytes = 8 * FILE_BYTES, .file_bytes = FILE_BYTES, .group_bytes_max = 16 << 10, .files_ready = 2, .idle_close_ms = 20};

struct stage {
  struct journal_options options;
  struct sim *sim;
  struct sim_disk *device;
  struct sim_world *node;
  struct loop *lane;
  struct journal *journal;
  enum status start_status;
  entry_index carries;    /* so many entries of CARRIED_SIZE does the next start begin with */
  uint64_t torn_groups;   /* that the last opening dropped */
  entry_index found_last; /* the newest entry told by the last opening */
  size_t found;
};

/* ---- The stage ---- */

static void told(void *context, const struct journal_found *frame) {
  struct stage *stage = context;
  if (frame->kind != FRAME_ENTRY) return;
  if (frame->first_index == 1) stage->found = 0; /* carried by a start, as a whole */
  assert_int_equal(frame->first_index, stage->found == 0 ? frame->first_index : stage->found_last + 1);
  stage->found_last = frame->first_index;
  stage->found++;
}

static void damaged(void *context, const struct journal_loss *loss) {
  (void)context;
  fail_msg("damaged: known %d group %llu instance %llu index %llu", loss->known, (unsigned long long)loss->group,
           (unsigned long long)loss->instance, (unsigned long long)loss->first_index);
}

static void add_entry(struct journal_write *write, entry_index index, size_t size) {
  struct journal_frame *frame = journal_write_add(write, 1, 1, FRAME_ENTRY);
  struct blob *blob = NULL;
  assert_ok(blob_new(NULL, size, &blob));
  memset(blob->data, (int)index, size);
  frame->first_index = index;
  frame->payload = (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, size)};
}

static void run_start(void *context) {
  struct stage *stage = context;
  struct journal_replay replay = {.found = told, .damaged = damaged, .context = stage};
  struct journal_report report = {0};
  stage->found = 0;
  stage->found_last = 0;
  enum status status = journal_open(sim_world_doors(stage->node), &stage->options, 0, &replay, &stage->journal, &report);
  stage->torn_groups = report.torn_groups;
  struct journal_write carried;
  journal_write_init(&carried, NULL, NULL);
  for (entry_index i = 1; i <= stage->carries; i++) add_entry(&carried, i, CARRIED_SIZE);
  if (stage->carries > 0) carried.frames[carried.count - 1].supersedes = UINT64_MAX;
  if (status == STATUS_OK) assert_int_equal(report.rotten_groups, 0);
  if (status == STATUS_OK) status = journal_carry(stage->journal, &carried);
  stage->start_status = status == STATUS_OK ? journal_start(stage->journal) : status;
  journal_write_deinit(&carried);
}

static void run_close(void *context) {
  struct stage *stage = context;
  journal_close(stage->journal);
  stage->journal = NULL;
}

static void run_to_its_end(struct stage *stage, void (*run)(void *context)) {
  sim_world_boot(stage->node, run, stage);
  assert_true(sim_run_until(stage->sim, sim_world_booted, stage->node, sim_now_ns(stage->sim) + 600 * (uint64_t)SECOND_NS));
}

static void process_begin(struct stage *stage) {
  stage->node = sim_world_new(stage->sim, stage->device, "node");
  stage->lane = world_loop_new(sim_world_doors(stage->node), "lane", 0);
  run_to_its_end(stage, run_start);
}

static void process_end(struct stage *stage) {
  run_to_its_end(stage, run_close);
  loop_stop(stage->lane);
  sim_world_free(stage->node);
  stage->node = NULL;
}

static int set_up(void **state) {
  static struct stage stage;
  stage = (struct stage){.options = options, .sim = sim_new(7)};
  stage.device = sim_disk_new(stage.sim, "disk", (uint64_t)64 << 20);
  *state = &stage;
  return 0;
}

static int tear_down(void **state) {
  struct stage *stage = *state;
  if (stage->node != NULL) process_end(stage);
  sim_disk_free(stage->device);
  sim_free(stage->sim);
  return 0;
}

/* ---- Writing ---- */

struct turn {
  struct journal_write write;
  bool done;
};

static void turn_done(struct task *task) {
  container_of(container_of(task, struct journal_write, done), struct turn, write)->done = true;
}

static bool is_done(void *context) { return ((struct turn *)context)->done; }

static struct turn *turn_new(struct stage *stage, entry_index index, size_t size) {
  struct turn *turn = NEW(struct turn);
  journal_write_init(&turn->write, stage->lane, turn_done);
  if (index == 0) {
    journal_write_add_hard_state(&turn->write, 1, 1, &(struct hard_state){.term = 1});
  } else {
    add_entry(&turn->write, index, size);
  }
  return turn;
}

static void turn_free(struct turn *turn) {
  journal_write_deinit(&turn->write);
  memory_free(turn);
}

static bool answered(struct stage *stage, struct turn *turn, uint64_t within_ns) {
  return sim_run_until(stage->sim, is_done, turn, sim_now_ns(stage->sim) + within_ns);
}

/* Index 0: a hard state. */
static enum status write_one(struct stage *stage, entry_index index, size_t size) {
  struct turn *turn = turn_new(stage, index, size);
  journal_submit(stage->journal, &turn->write);
  assert_true(answered(stage, turn, SECOND_NS));
  enum status status = turn->write.status;
  turn_free(turn);
  return status;
}

static enum status append(struct stage *stage, entry_index index, size_t size) {
  enum status status = journal_admit(stage->journal, journal_cost(size));
  return status == STATUS_OK ? write_one(stage, index, size) : status;
}

/* ---- Failures ---- */

static void expect_broken_for_good(struct stage *stage, entry_index next) {
  uint64_t writes = sim_disk_stats(stage->device).writes;
  for (int i = 0; i < 20; i++) assert_status(write_one(stage, next, 100), STATUS_IO);
  assert_status(write_one(stage, 0, 0), STATUS_IO);
  assert_status(journal_admit(stage->journal, 1), STATUS_IO);
  assert_true(journal_usage(stage->journal).failed);
  journal_release(stage->journal, journal_usage(stage->journal).current_file);
  sim_run_for(stage->sim, 5 * (uint64_t)SECOND_NS);
  process_end(stage);
  struct sim_disk_stats stats = sim_disk_stats(stage->device);
  assert_int_equal(stats.writes, writes);
  assert_int_equal(stats.written_after_failure, 0);
  assert_int_equal(stats.cached_after_failure, 0);
}

static void journal_writes_nothing_after_a_failed_write(void **state) {
  struct stage *stage = *state;
  process_begin(stage);
  for (entry_index i = 1; i <= 10; i++) assert_ok(append(stage, i, 2000));
  sim_disk_fault(stage->device, "fail 1st write on journal/0*");
  assert_status(write_one(stage, 11, 2000), STATUS_IO);
  sim_disk_heal(stage->device); /* the disk would do again; nobody asks it */
  expect_broken_for_good(stage, 12);

  sim_disk_power_cut(stage->device, SIM_POWER_DROP, 1);
  process_begin(stage);
  assert_ok(stage->start_status);
  assert_int_equal(stage->found_last, 10);
  assert_ok(append(stage, 11, 2000));
}

static void journal_fails_with_all_that_waits(void **state) {
  struct stage *stage = *state;
  process_begin(stage);
  sim_run_for(stage->sim, SECOND_NS); /* all files are made */
  sim_disk_fault(stage->device, "fail 2nd write on journal/0*");
  struct turn *turns[20];
  for (entry_index i = 0; i < 20; i++) {
    turns[i] = turn_new(stage, i + 1, 5000); /* three to a group */
    journal_submit(stage->journal, &turns[i]->write);
  }
  entry_index acknowledged = 0;
  for (entry_index i = 0; i < 20; i++) {
    assert_true(answered(stage, turns[i], SECOND_NS));
    if (turns[i]->write.status == STATUS_OK) {
      assert_int_equal(acknowledged, i);
      acknowledged++;
    }
    turn_free(turns[i]);
  }
  assert_true(acknowledged > 0 && acknowledged < 20);
  expect_broken_for_good(stage, 30);
  sim_disk_heal(stage->device);
  sim_disk_power_cut(stage->device, SIM_POWER_DROP, 1);
  process_begin(stage);
  assert_true(stage->found_last >= acknowledged);
}

static void journal_fails_when_a_directory_cannot_be_synced(void **state) {
  struct stage *stage = *state;
  process_begin(stage);
  sim_run_for(stage->sim, SECOND_NS);
  sim_disk_fault(stage->device, "fail every sync_dir on journal");
  enum status status = STATUS_OK;
  entry_index next = 1;
  while (status == STATUS_OK && next < 1000) {
    status = write_one(stage, next++, 10000);
    journal_release(stage->journal, journal_usage(stage->journal).current_file);
  }
  assert_status(status, STATUS_IO);
  expect_broken_for_good(stage, next);
}

static void journal_does_not_start_on_a_disk_that_fails(void **state) {
  struct stage *stage = *state;
  sim_disk_fault(stage->device, "fail 5th write on journal/*");
  process_begin(stage);
  assert_status(stage->start_status, STATUS_IO);
  process_end(stage);
  sim_disk_heal(stage->device);
  process_begin(stage);
  assert_ok(stage->start_status);
  assert_int_equal(stage->found, 0);
}

static void journal_open_reports_an_unreadable_disk(void **state) {
  struct stage *stage = *state;
  process_begin(stage);
  assert_ok(append(stage, 1, 100));
  process_end(stage);
  sim_disk_fault(stage->device, "fail 3rd read on journal/*");
  stage->journal = NULL;
  process_begin(stage);
  assert_status(stage->start_status, STATUS_IO);
  process_end(stage);
  sim_disk_heal(stage->device);
  process_begin(stage);
  assert_int_equal(stage->found_last, 1);
}

static void start_and_fail(struct stage *stage, const char *fault) {
  sim_disk_fault(stage->device, fault);
  process_begin(stage);
  assert_status(stage->start_status, STATUS_IO);
  process_end(stage);
  sim_disk_heal(stage->device);
}

/* A start fails in its second file, the next one at each of its operations, as it takes those files for its own. Nobody may take what is left
 * of the first for a journal that has lost its middle. */
static void journal_drops_an_unfinished_start_file_by_file(void **state) {
  struct stage *stage = *state;
  process_begin(stage);
  process_end(stage);
  stage->carries = 8;
  bool fails = true;
  for (unsigned operation = 1; fails; operation++) {
    start_and_fail(stage, "fail 12th write on journal/0*"); /* heads 4, the first file's groups 4, the second's 3 */

    char fault[64];
    snprintf(fault, sizeof fault, "fail %uth any on journal*", operation);
    sim_disk_fault(stage->device, fault);
    process_begin(stage);
    fails = stage->start_status != STATUS_OK;
    if (fails) assert_status(stage->start_status, STATUS_IO);
    else assert_true(stage->torn_groups >= 7);
    process_end(stage);
    sim_disk_heal(stage->device);
    assert_true(operation < 200);
  }
  process_begin(stage);
  assert_ok(stage->start_status);
  assert_int_equal(stage->found_last, 8);
}

/* ---- Many replicas ---- */

static void open_many(struct stage *stage, size_t count) {
  struct turn turn = {0};
  journal_write_init(&turn.write, stage->lane, turn_done);
  for (group_id group = 2; group < 2 + count; group++) journal_write_add(&turn.write, group, 1, FRAME_OPEN);
  journal_submit(stage->journal, &turn.write);
  assert_true(answered(stage, &turn, SECOND_NS));
  assert_ok(turn.write.status);
  journal_write_deinit(&turn.write);
}

/* Files became smaller since: each still has to hold the table of all that there are, and something besides. */
static void journal_makes_files_that_hold_its_table(void **state) {
  struct stage *stage = *state;
  stage->options.file_bytes = 16 * FILE_BYTES;
  stage->options.ring_bytes = 8 * stage->options.file_bytes;
  process_begin(stage);
  assert_ok(stage->start_status);
  size_t count = (size_t)journal_replicas_max(stage->journal);
  assert_true(count > 6000);
  open_many(stage, count);
  process_end(stage);

  stage->options = options;
  process_begin(stage);

  assert_ok(stage->start_status);
  assert_true(journal_replicas_max(stage->journal) >= count);
  uint64_t first = journal_usage(stage->journal).current_file;
  entry_index next = 1;
  while (journal_usage(stage->journal).current_file < first + 5) {
    if (append(stage, next, 8000) == STATUS_OK) next++;
    journal_release(stage->journal, journal_usage(stage->journal).current_file);
    sim_run_for(stage->sim, SECOND_NS / 100);
  }
  assert_true(next > 5 * 10);
}

/* ---- Full disks ---- */

static void journal_does_not_start_without_any_room(void **state) {
  struct stage *stage = *state;
  sim_disk_set_capacity(stage->device, FILE_BYTES / 2);
  process_begin(stage);
  assert_status(stage->start_status, STATUS_NO_SPACE);
}

static void journal_refuses_appends_on_a_full_disk_and_resumes(void **state) {
  struct stage *stage = *state;
  sim_disk_set_capacity(stage->device, 4 * FILE_BYTES); /* one to write, and the three that are kept */
  process_begin(stage);
  assert_ok(stage->start_status);
  sim_run_for(stage->sim, SECOND_NS);
  entry_index next = 1;
  enum status status = STATUS_OK;
  while ((status = append(stage, next, 8000)) == STATUS_OK) next++;
  assert_status(status, STATUS_DISK_FULL);
  assert_true(next > 3);
  for (int i = 0; i < 5; i++) assert_ok(write_one(stage, 0, 0)); /* what must always be possible */
  assert_false(journal_usage(stage->journal).failed);

  sim_disk_set_capacity(stage->device, (uint64_t)64 << 20);
  sim_run_for(stage->sim, SECOND_NS);
  entry_index before = next;
  while ((status = append(stage, next, 8000)) == STATUS_OK) next++;
  assert_status(status, STATUS_JOURNAL_FULL);
  assert_true(next > before + 10);
  journal_release(stage->journal, journal_usage(stage->journal).current_file);
  sim_run_for(stage->sim, SECOND_NS);
  assert_ok(append(stage, next, 8000));
}

/* With files enough to go round, it is the checkpoint that an append waits for, full disk or not: it need not be refused. */
static void journal_with_some_of_its_files_waits_for_the_checkpoint(void **state) {
  struct stage *stage = *state;
  sim_disk_set_capacity(stage->device, 5 * FILE_BYTES);
  process_begin(stage);
  sim_run_for(stage->sim, SECOND_NS);
  entry_index next = 1;
  enum status status = STATUS_OK;
  while ((status = append(stage, next, 8000)) == STATUS_OK) next++;
  assert_status(status, STATUS_JOURNAL_FULL);
  for (int i = 0; i < 4; i++) {
    journal_release(stage->journal, journal_usage(stage->journal).current_file);
    sim_run_for(stage->sim, SECOND_NS);
    assert_ok(append(stage, next++, 8000));
  }
}

/* Only the first file is made whatever it leaves: the others leave the reserve, and what others are about to write. */
static void journal_files_leave_the_reserve_free(void **state) {
  struct stage *stage = *state;
  static atomic_uint_fast64_t claimed;
  stage->options.disk_reserve_bytes = 2 * FILE_BYTES;
  stage->options.claimed_bytes = &claimed;
  atomic_store(&claimed, FILE_BYTES);
  sim_disk_set_capacity(stage->device, 6 * FILE_BYTES + FILE_BYTES / 2);
  process_begin(stage);
  assert_ok(stage->start_status);

  sim_run_for(stage->sim, SECOND_NS);

  struct journal_usage usage = journal_usage(stage->journal);
  assert_int_equal(usage.space_taken, 3 * FILE_BYTES);
  assert_int_equal(usage.space_filled, 3 * FILE_BYTES);
  atomic_store(&claimed, 0);
  sim_run_for(stage->sim, SECOND_NS);
  assert_int_equal(journal_usage(stage->journal).space_filled, 4 * FILE_BYTES);
  assert_true(sim_disk_used(stage->device) <= 4 * FILE_BYTES + FILE_BYTES / 2);
}

/* More than was admitted, on a disk without room for another file: it waits, and goes on when something is released. */
static void journal_waits_for_a_file_when_there_is_none(void **state) {
  struct stage *stage = *state;
  sim_disk_set_capacity(stage->device, 3 * FILE_BYTES);
  process_begin(stage);
  sim_run_for(stage->sim, SECOND_NS);
  entry_index next = 1;
  struct turn *turn = NULL;
  for (;;) {
    turn = turn_new(stage, next++, 10000);
    journal_submit(stage->journal, &turn->write);
    if (!answered(stage, turn, 5 * (uint64_t)SECOND_NS)) break;
    assert_ok(turn->write.status);
    turn_free(turn);
    assert_true(next < 100);
  }
  journal_release(stage->journal, journal_usage(stage->journal).current_file);
  assert_true(answered(stage, turn, SECOND_NS));
  assert_ok(turn->write.status);
  turn_free(turn);
}

static void journal_closes_while_it_waits_for_a_file(void **state) {
  struct stage *stage = *state;
  sim_disk_set_capacity(stage->device, 3 * FILE_BYTES);
  process_begin(stage);
  struct turn *turns[30];
  for (entry_index i = 0; i < 30; i++) {
    turns[i] = turn_new(stage, i + 1, 10000);
    journal_submit(stage->journal, &turns[i]->write);
  }
  sim_run_for(stage->sim, SECOND_NS);
  run_to_its_end(stage, run_close);
  sim_run_for(stage->sim, SECOND_NS);
  for (entry_index i = 0; i < 30; i++) {
    assert_true(turns[i]->done);
    if (i == 29) assert_status(turns[i]->write.status, STATUS_DISK_FULL);
    turn_free(turns[i]);
  }
}

#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      test(journal_writes_nothing_after_a_failed_write),
      test(journal_fails_with_all_that_waits),
      test(journal_fails_when_a_directory_cannot_be_synced),
      test(journal_does_not_start_on_a_disk_that_fails),
      test(journal_open_reports_an_unreadable_disk),
      test(journal_drops_an_unfinished_start_file_by_file),
      test(journal_makes_files_that_hold_its_table),
      test(journal_does_not_start_without_any_room),
      test(journal_refuses_appends_on_a_full_disk_and_resumes),
      test(journal_with_some_of_its_files_waits_for_the_checkpoint),
      test(journal_files_leave_the_reserve_free),
      test(journal_waits_for_a_file_when_there_is_none),
      test(journal_closes_while_it_waits_for_a_file),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
