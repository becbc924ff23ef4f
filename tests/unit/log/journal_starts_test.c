/* Start after start, and what the ring has to spare: in simulated time, on a disk that can be full. */
#include "tests/unit/log/cmocka_log.h"

#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "log/journal.h"
#include "log/journal_format.h"
#include "log/journal_ring.h"
#include "tests/sim/sim_world.h"

#define FILE_BYTES (64u << 10)
#define MS_NS 1000000u
#define SECOND_NS 1000000000u
#define ENTRY_SIZE 4000u
#define ENTRIES_MAX 1000u
#define FILE_CAPACITY (FILE_BYTES - 5 * JOURNAL_BLOCK) /* less both heads, the table, and what closes it */

struct stage {
  struct journal_options options;
  struct sim *sim;
  struct sim_disk *device;
  struct sim_world *node;
  struct loop *lane;
  struct journal *journal;
  enum status status;           /* of the last start */
  uint64_t places[ENTRIES_MAX]; /* by index: the file that the last opening found it in; 0: it did not */
  entry_index last;
  unsigned asked_for_room;
};

/* ---- The stage ---- */

static void told(void *context, const struct journal_found *frame) {
  struct stage *stage = context;
  if (frame->kind != FRAME_ENTRY) return;
  assert_true(frame->first_index < ENTRIES_MAX);
  stage->places[frame->first_index] = frame->place.file;
  if (frame->first_index > stage->last) stage->last = frame->first_index;
}

static void damaged(void *context, const struct journal_loss *loss) {
  (void)context;
  fail_msg("damaged: known %d group %llu instance %llu index %llu", loss->known, (unsigned long long)loss->group,
           (unsigned long long)loss->instance, (unsigned long long)loss->first_index);
}

static void add_entry(struct journal_write *write, entry_index index) {
  struct journal_frame *frame = journal_write_add(write, 1, 1, FRAME_ENTRY);
  struct blob *blob = NULL;
  assert_ok(blob_new(NULL, ENTRY_SIZE, &blob));
  memset(blob->data, (int)index, ENTRY_SIZE);
  frame->first_index = index;
  frame->payload = (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, ENTRY_SIZE)};
}

/* As a recovery does: all that was found once more, oldest file first. */
static void fill_carried(const struct stage *stage, struct journal_write *carried) {
  uint64_t newest = 0;
  for (entry_index i = 1; i <= stage->last; i++) {
    assert_true(stage->places[i] >= newest); /* nothing is missing, and none was appended again out of order */
    newest = stage->places[i];
    add_entry(carried, i);
    carried->frames[carried->count - 1].supersedes = i < stage->last ? stage->places[i + 1] : 0;
  }
  journal_write_add_hard_state(carried, 1, 1, &(struct hard_state){.term = 1});
  carried->frames[carried->count - 1].supersedes = UINT64_MAX;
}

static void run_start(void *context) {
  struct stage *stage = context;
  struct journal_replay replay = {.found = told, .damaged = damaged, .context = stage};
  struct journal_report report;
  struct journal_write carried;
  memset(stage->places, 0, sizeof stage->places);
  stage->last = 0;
  journal_write_init(&carried, NULL, NULL);
  stage->status = journal_open(sim_world_doors(stage->node), &stage->options, 0, &replay, &stage->journal, &report);
  if (stage->status == STATUS_OK) {
    fill_carried(stage, &carried);
    stage->status = journal_carry(stage->journal, &carried);
  }
  if (stage->status == STATUS_OK) stage->status = journal_start(stage->journal);
  journal_write_deinit(&carried);
}

static void run_close(void *context) {
  struct stage *stage = context;
  journal_close(stage->journal);
  stage->journal = NULL;
}

static void run_hasten(void *context) { journal_hasten(((struct stage *)context)->journal); }

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
  stage = (struct stage){.sim = sim_new(7)};
  stage.options = (struct journal_options){.ring_bytes = JOURNAL_FILES_MIN * FILE_BYTES,
                                           .file_bytes = FILE_BYTES,
                                           .group_bytes_max = 16 << 10,
                                           .files_ready = 2,
                                           .idle_close_ms = 20};
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

/* Index 0: a hard state, alone in its group. */
static struct turn *submit(struct stage *stage, entry_index index) {
  struct turn *turn = NEW(struct turn);
  journal_write_init(&turn->write, stage->lane, turn_done);
  if (index == 0) journal_write_add_hard_state(&turn->write, 1, 1, &(struct hard_state){.term = 1});
  else add_entry(&turn->write, index);
  journal_submit(stage->journal, &turn->write);
  return turn;
}

static bool is_answered(struct stage *stage, struct turn *turn, uint64_t within_ns) {
  return sim_run_until(stage->sim, is_done, turn, sim_now_ns(stage->sim) + within_ns);
}

static enum status turn_end(struct turn *turn) {
  enum status status = turn->write.status;
  journal_write_deinit(&turn->write);
  memory_free(turn);
  return status;
}

static entry_index append_all(struct stage *stage, entry_index next) {
  while (journal_admit(stage->journal, journal_cost(ENTRY_SIZE)) == STATUS_OK) {
    struct turn *turn = submit(stage, next++);
    assert_true(is_answered(stage, turn, 10 * (uint64_t)SECOND_NS));
    assert_ok(turn_end(turn));
  }
  return next;
}

/* Hard states until one has to wait for a file. Returns that one; `out_bytes`: that the others took. */
static struct turn *write_until_it_waits(struct stage *stage, uint64_t *out_bytes) {
  *out_bytes = 0;
  for (;;) {
    struct turn *turn = submit(stage, 0);
    if (!is_answered(stage, turn, 2 * (uint64_t)SECOND_NS)) return turn;
    assert_ok(turn_end(turn));
    *out_bytes += JOURNAL_BLOCK;
    assert_true(*out_bytes < 100 * (uint64_t)FILE_BYTES);
  }
}

/* ---- Start after start ---- */

static void many_starts_in_a_row_need_no_more_room_than_one(void **state) {
  struct stage *stage = *state;
  process_begin(stage);
  for (entry_index i = 1; i <= 6; i++) {
    struct turn *turn = submit(stage, i);
    assert_true(is_answered(stage, turn, SECOND_NS));
    assert_ok(turn_end(turn));
  }
  for (int start = 0; start < 40; start++) {
    process_end(stage);
    process_begin(stage);
    assert_ok(stage->status);
    assert_int_equal(stage->last, 6);
    assert_true(sim_disk_used(stage->device) <= JOURNAL_FILES_MIN * (uint64_t)FILE_BYTES + FILE_BYTES / 2);
    assert_true(journal_usage(stage->journal).used_bytes <= FILE_BYTES);
    assert_ok(journal_admit(stage->journal, FILE_CAPACITY / 2)); /* what is carried does not take it from appends */
    journal_admit_undo(stage->journal, FILE_CAPACITY / 2);
  }
}

/* The ring full of what no checkpoint has covered, the reserve full of hard states, and not a byte more on the disk. */
static void a_full_ring_on_a_full_disk_can_be_started_again_and_again(void **state) {
  struct stage *stage = *state;
  for (uint64_t files = JOURNAL_FILES_MIN; files <= 9; files++) {
    stage->options.ring_bytes = files * FILE_BYTES;
    process_begin(stage);
    assert_ok(stage->status);
    sim_run_for(stage->sim, SECOND_NS);
    sim_disk_set_capacity(stage->device, sim_disk_used(stage->device));
    entry_index next = append_all(stage, stage->last + 1);
    assert_true(next > (files - JOURNAL_FILES_RESERVE - JOURNAL_FILES_START - 1) * (FILE_CAPACITY / 8192));
    uint64_t bytes = 0;
    struct turn *waiting = write_until_it_waits(stage, &bytes);
    for (int start = 0; start < 8; start++) {
      process_end(stage);
      if (waiting != NULL) assert_status(turn_end(waiting), STATUS_DISK_FULL);
      waiting = NULL;
      process_begin(stage);
      assert_ok(stage->status);
      assert_int_equal(stage->last, next - 1);
      waiting = write_until_it_waits(stage, &bytes);
      assert_true(bytes >= FILE_CAPACITY); /* what must always be possible is, also with all of it carried */
    }
    process_end(stage);
    assert_status(turn_end(waiting), STATUS_DISK_FULL);
    sim_disk_free(stage->device);
    stage->device = sim_disk_new(stage->sim, "disk", (uint64_t)64 << 20);
  }
}

/* ---- The reserve ---- */

static void the_reserve_is_two_whole_files_beside_the_one_of_the_next_start(void **state) {
  struct stage *stage = *state;
  for (uint64_t files = JOURNAL_FILES_MIN; files <= 8; files++) {
    stage->options.ring_bytes = files * FILE_BYTES;
    process_begin(stage);
    sim_run_for(stage->sim, SECOND_NS);
    sim_disk_set_capacity(stage->device, sim_disk_used(stage->device));
    assert_int_equal(sim_disk_used(stage->device) / FILE_BYTES, files);
    append_all(stage, stage->last + 1);
    uint64_t bytes = 0;
    struct turn *waiting = write_until_it_waits(stage, &bytes);
    assert_true(bytes >= JOURNAL_FILES_RESERVE * (uint64_t)FILE_CAPACITY);
    assert_true(bytes < (JOURNAL_FILES_RESERVE + 1) * (uint64_t)FILE_BYTES);
    process_end(stage);
    assert_status(turn_end(waiting), STATUS_DISK_FULL);
    sim_disk_free(stage->device);
    stage->device = sim_disk_new(stage->sim, "disk", (uint64_t)64 << 20);
  }
}

static void ask_for_room(void *context) { ((struct stage *)context)->asked_for_room++; }

/* Whoever can make room has his turn before each file of the reserve is taken. */
static void a_file_of_the_reserve_is_not_taken_before_room_was_tried(void **state) {
  struct stage *stage = *state;
  stage->options.room_wanted = ask_for_room;
  stage->options.room_context = stage;
  process_begin(stage);
  sim_run_for(stage->sim, SECOND_NS);
  append_all(stage, 1);
  struct turn *turn = submit(stage, 0);
  for (; is_answered(stage, turn, 100 * MS_NS); turn = submit(stage, 0)) assert_ok(turn_end(turn));
  assert_int_equal(stage->asked_for_room, 1);
  journal_room_tried(stage->journal);
  assert_true(is_answered(stage, turn, 100 * MS_NS));
  assert_ok(turn_end(turn));

  turn = submit(stage, 0);
  for (; is_answered(stage, turn, 100 * MS_NS); turn = submit(stage, 0)) assert_ok(turn_end(turn));
  assert_int_equal(stage->asked_for_room, 2);
  assert_true(is_answered(stage, turn, SECOND_NS)); /* nobody answers: not for ever */
  assert_ok(turn_end(turn));
}

/* ---- The end ---- */

static void what_waits_for_a_file_is_refused_when_the_process_ends(void **state) {
  struct stage *stage = *state;
  process_begin(stage);
  sim_run_for(stage->sim, SECOND_NS);
  sim_disk_set_capacity(stage->device, sim_disk_used(stage->device));
  uint64_t bytes = 0;
  struct turn *waiting = write_until_it_waits(stage, &bytes);
  struct turn *behind = submit(stage, 0);

  run_to_its_end(stage, run_hasten);

  assert_true(is_answered(stage, waiting, 2 * (uint64_t)SECOND_NS));
  assert_true(is_answered(stage, behind, MS_NS));
  assert_status(turn_end(waiting), STATUS_DISK_FULL);
  assert_status(turn_end(behind), STATUS_DISK_FULL);
  struct turn *late = submit(stage, 0);
  assert_true(is_answered(stage, late, MS_NS)); /* it counts on those before */
  assert_status(turn_end(late), STATUS_IO);
}

#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      test(many_starts_in_a_row_need_no_more_room_than_one),
      test(a_full_ring_on_a_full_disk_can_be_started_again_and_again),
      test(the_reserve_is_two_whole_files_beside_the_one_of_the_next_start),
      test(a_file_of_the_reserve_is_not_taken_before_room_was_tried),
      test(what_waits_for_a_file_is_refused_when_the_process_ends),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
