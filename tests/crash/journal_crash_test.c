/* The journal alone, crashed at every operation.
 *
 * The model is the list of frames in the order in which they were submitted. After a crash the journal must tell an unbroken run of
 * them: nothing missing behind what was released, everything acknowledged there, every body byte for byte, and whatever came
 * after the run gone for good. A recovery may tell frames twice, as they stand in old files and were carried into new ones; of the old files
 * some may be recycled by then, so that the first telling begins in the middle, but the last one is whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "log/journal.h"
#include "tests/crash/crash_lab.h"
#include "tests/sim/sim_random.h"

#define GROUPS 5u
#define ITEMS_MAX 4096u
#define IN_FLIGHT_MAX 3u
#define TURNS 125u
#define WAIT_NS 50000u

static const struct journal_options journal_options = {
    .ring_bytes = 9 * 64 * 1024,
    .file_bytes = 64 * 1024,
    .group_bytes_max = 16 * 1024,
    .files_ready = 2,
    .idle_close_ms = 20,
};

/* A frame that was submitted, hard states apart. */
struct item {
  enum frame_kind kind;
  group_id group;
  entry_index index;
  uint64_t body_hash;
  uint64_t file; /* where it ended up */
};

struct model {
  struct item items[ITEMS_MAX];
  size_t count;
  size_t acked;    /* the first so many must be there */
  size_t released; /* the first so many may be missing */
  struct hard_state submitted[GROUPS];
  struct hard_state acked_state[GROUPS];
  entry_index last_index[GROUPS];
  bool open[GROUPS];
  uint64_t serial; /* of bodies */
  struct sim_random script;

  /* What a recovery was told. */
  size_t found;     /* items told so far */
  size_t found_end; /* behind the last of them; SIZE_MAX: none yet */
  size_t told_from; /* the first item of the last telling */
  struct hard_state found_state[GROUPS];
  bool state_told[GROUPS];
};

struct driver {
  struct crash_lab *lab;
  struct model *model;
  struct journal *journal;
  struct loop *lane;
  unsigned in_flight;
  bool failed;
};

struct turn {
  struct journal_write write;
  struct driver *driver;
  size_t first_item;
  size_t items_end;
  struct hard_state states[GROUPS];
  uint64_t cost;
};

static void *model_new(void) {
  struct model *model = NEW(struct model);
  sim_random_init(&model->script, 42, "journal script");
  return model;
}

/* ---- Building frames ---- */

static struct item *add_item(struct driver *driver, struct journal_frame *frame) {
  struct model *model = driver->model;
  CHECK(model->count < ITEMS_MAX);
  struct item *item = &model->items[model->count++];
  uint64_t hash = xxh3(0, bytes_of(frame->head, frame->head_size));
  *item = (struct item){
      .kind = frame->kind, .group = frame->group, .index = frame->first_index, .body_hash = xxh3(hash, frame->payload.bytes)};
  return item;
}

static void set_head(struct journal_frame *frame, uint64_t serial) {
  put_u64(frame->head, serial);
  put_u64(frame->head + 8, frame->group);
  frame->head_size = 16;
}

static void add_plain(struct driver *driver, struct journal_write *write, group_id group, enum frame_kind kind,
                      entry_index index) {
  struct journal_frame *frame = journal_write_add(write, group, 1, kind);
  frame->first_index = index;
  set_head(frame, ++driver->model->serial);
  add_item(driver, frame);
}

static void add_entry(struct driver *driver, struct journal_write *write, group_id group, size_t size) {
  struct model *model = driver->model;
  struct entry_head head = {.kind = ENTRY_RECORDS, .record_count = 1, .index = ++model->last_index[group], .term = 1};
  struct blob *blob = NULL;
  enum status status = blob_new(NULL, size, &blob);
  CHECK(status == STATUS_OK);
  struct sim_random filling;
  sim_random_init(&filling, ++model->serial, "body");
  for (size_t i = 0; i < size; i++) blob->data[i] = (uint8_t)sim_random_next(&filling);
  entry_seal(&head, bytes_of(blob->data, size), 0);
  struct journal_frame *frame = journal_write_add(write, group, 1, FRAME_ENTRY);
  frame->first_index = head.index;
  entry_encode_head(&head, frame->head);
  frame->head_size = ENTRY_HEAD_SIZE;
  frame->payload = blob_part_of(blob, 0, size);
  blob_release(blob);
  add_item(driver, frame);
}

static void add_hard_state(struct driver *driver, struct journal_write *write, group_id group) {
  struct hard_state *state = &driver->model->submitted[group];
  state->term++;
  state->vote = (uint32_t)(state->term % 3 + 1);
  state->commit = driver->model->last_index[group];
  journal_write_add_hard_state(write, group, 1, state);
}

/* A few frames of a few groups; now and then one larger than a journal group, a cut, an end and a new beginning. */
static void fill_turn(struct driver *driver, struct turn *turn) {
  struct model *model = driver->model;
  struct sim_random *script = &model->script;
  uint64_t frames = sim_random_between(script, 1, 5);
  for (uint64_t i = 0; i < frames; i++) {
    group_id group = sim_random_below(script, GROUPS);
    uint64_t what = sim_random_below(script, 100);
    if (!model->open[group]) {
      model->open[group] = true;
      add_plain(driver, &turn->write, group, FRAME_OPEN, 0);
    } else if (what < 10) {
      add_hard_state(driver, &turn->write, group);
    } else if (what < 14 && model->last_index[group] > 2) {
      add_plain(driver, &turn->write, group, FRAME_CUT, model->last_index[group]);
      model->last_index[group]--;
    } else {
      add_entry(driver, &turn->write, group, what < 20 ? 40000 : sim_random_between(script, 0, 3000));
    }
  }
}

/* ---- Turns ---- */

static void turn_done(struct task *task) {
  struct turn *turn = container_of(container_of(task, struct journal_write, done), struct turn, write);
  struct driver *driver = turn->driver;
  struct model *model = driver->model;
  driver->in_flight--;
  if (turn->write.status != STATUS_OK) {
    driver->failed = true;
  } else {
    if (turn->items_end > model->acked) {
      if (turn->first_item > model->acked) crash_violation(driver->lab, "answers out of order");
      model->acked = turn->items_end;
    }
    size_t item = turn->first_item;
    for (size_t i = 0; i < turn->write.count; i++) {
      if (turn->write.frames[i].kind != FRAME_HARD_STATE) model->items[item++].file = turn->write.frames[i].place.file;
    }
    memcpy(model->acked_state, turn->states, sizeof model->acked_state);
  }
  journal_write_deinit(&turn->write);
  memory_free(turn);
}

static bool going(const struct driver *driver) { return !driver->failed && !crash_dead(driver->lab); }

static void wait_for(struct driver *driver, unsigned in_flight) {
  while (driver->in_flight > in_flight) crash_sleep(driver->lab, WAIT_NS);
}

/* As a checkpoint would: everything in files before the current one is safe elsewhere. */
static void release_files(struct driver *driver) {
  wait_for(driver, 0);
  if (!going(driver)) return;
  uint64_t file = journal_usage(driver->journal).current_file;
  struct model *model = driver->model;
  while (model->released < model->acked && model->items[model->released].file < file) model->released++;
  journal_release(driver->journal, file);
}

static bool admitted(struct driver *driver, uint64_t bytes) {
  for (int i = 0; i < 200 && going(driver); i++) {
    enum status status = journal_admit(driver->journal, bytes);
    if (status == STATUS_OK) return true;
    if (status != STATUS_JOURNAL_FULL) break;
    release_files(driver);
    crash_sleep(driver->lab, 1000000);
  }
  if (going(driver)) crash_violation(driver->lab, "the journal admits nothing more");
  return false;
}

static void submit_turn(struct driver *driver, struct turn *turn) {
  turn->items_end = driver->model->count;
  memcpy(turn->states, driver->model->submitted, sizeof turn->states);
  driver->in_flight++;
  if (driver->lab->acknowledge_early && turn->items_end > driver->model->acked) driver->model->acked = turn->items_end;
  journal_submit(driver->journal, &turn->write);
}

static struct turn *turn_new(struct driver *driver) {
  struct turn *turn = NEW(struct turn);
  turn->driver = driver;
  turn->first_item = driver->model->count;
  journal_write_init(&turn->write, driver->lane, turn_done);
  return turn;
}

static void work(struct driver *driver, unsigned turns) {
  for (unsigned i = 0; i < turns && going(driver); i++) {
    wait_for(driver, IN_FLIGHT_MAX - 1);
    if (!admitted(driver, 5 * journal_cost(40200))) break;
    struct turn *turn = turn_new(driver);
    fill_turn(driver, turn);
    uint64_t used = 0;
    for (size_t f = 0; f < turn->write.count; f++) {
      if (turn->write.frames[f].kind == FRAME_ENTRY) {
        used += journal_cost(turn->write.frames[f].head_size + turn->write.frames[f].payload.bytes.size);
      }
    }
    journal_admit_undo(driver->journal, 5 * journal_cost(40200) - used);
    submit_turn(driver, turn);
    if (i % 9 == 8) release_files(driver);
    if (i % 13 == 12) crash_sleep(driver->lab, 30000000); /* long enough for the closing group */
  }
  wait_for(driver, 0);
}

static void stop(struct driver *driver) {
  wait_for(driver, 0);
  journal_close(driver->journal);
  loop_stop(driver->lane);
}

/* ---- What a scan tells ---- */

static size_t find_item(const struct model *model, const struct journal_found *frame) {
  uint64_t head_size = frame->kind == FRAME_ENTRY ? ENTRY_HEAD_SIZE : frame->body.size;
  if (head_size > frame->body.size) return SIZE_MAX;
  uint64_t hash = xxh3(0, bytes_of(frame->body.data, head_size));
  hash = xxh3(hash, bytes_after(frame->body, head_size));
  for (size_t i = model->count; i > 0; i--) {
    const struct item *item = &model->items[i - 1];
    if (item->body_hash == hash && item->kind == frame->kind && item->group == frame->group &&
        item->index == frame->first_index) {
      return i - 1;
    }
  }
  return SIZE_MAX;
}

struct telling {
  struct driver *driver;
  struct journal_write *carried;
};

static void carry(struct telling *telling, const struct journal_found *frame) {
  struct journal_frame *copy = journal_write_add(telling->carried, frame->group, frame->instance, frame->kind);
  struct blob *blob = NULL;
  enum status status = blob_new(NULL, frame->body.size, &blob);
  CHECK(status == STATUS_OK);
  memcpy(blob->data, frame->body.data, frame->body.size);
  copy->first_index = frame->first_index;
  copy->payload = blob_part_of(blob, 0, frame->body.size);
  blob_release(blob);
}

static void told_state(struct crash_lab *lab, struct model *model, const struct journal_found *frame) {
  enum status status = journal_hard_state_decode(frame->body, &model->found_state[frame->group]);
  if (status != STATUS_OK) crash_violation(lab, "a hard state that is none: %s", status_name(status));
  model->state_told[frame->group] = true;
}

static void told(void *context, const struct journal_found *frame) {
  struct telling *telling = context;
  struct crash_lab *lab = telling->driver->lab;
  struct model *model = telling->driver->model;
  if (frame->group >= GROUPS || frame->instance != 1) {
    crash_violation(lab, "a frame of nobody: group %llu", (unsigned long long)frame->group);
    return;
  }
  if (frame->kind == FRAME_HARD_STATE) {
    told_state(lab, model, frame);
    return;
  }
  size_t at = find_item(model, frame);
  if (at == SIZE_MAX) {
    crash_violation(lab, "a frame that was never submitted or had been dropped: group %llu kind %d index %llu size %zu",
                    (unsigned long long)frame->group, (int)frame->kind, (unsigned long long)frame->first_index, frame->body.size);
    return;
  }
  bool follows = model->found_end == SIZE_MAX || at == model->found_end;
  bool again = model->found_end != SIZE_MAX && at < model->found_end && at <= model->released;
  if (!follows && !again && at > model->released) {
    crash_violation(lab, "frame %zu follows frame %zu; %zu released, %zu acknowledged", at, model->found_end, model->released,
                    model->acked);
  }
  if (model->found_end == SIZE_MAX || again) model->told_from = at;
  model->found_end = at + 1;
  model->found++;
  if (again) journal_write_reset(telling->carried); /* from here it is all told once more */
  if (at >= model->released) carry(telling, frame);
}

static void damaged(void *context, const struct journal_loss *loss) {
  struct telling *telling = context;
  crash_violation(telling->driver->lab, "called rotten: known %d group %llu index %llu", loss->known,
                  (unsigned long long)loss->group, (unsigned long long)loss->first_index);
}

static void check_found(struct crash_lab *lab, struct model *model) {
  size_t end = model->found_end == SIZE_MAX ? 0 : model->found_end;
  if (end < model->acked && model->acked > model->released) {
    crash_violation(lab, "lost: %zu frames acknowledged, found up to %zu", model->acked, end);
  }
  if (model->found_end != SIZE_MAX && model->told_from > model->released) {
    crash_violation(lab, "lost: told from frame %zu on, %zu released", model->told_from, model->released);
  }
  for (group_id group = 0; group < GROUPS; group++) {
    uint64_t term = model->state_told[group] ? model->found_state[group].term : 0;
    if (term < model->acked_state[group].term || term > model->submitted[group].term) {
      crash_violation(lab, "group %llu: term %llu, acknowledged %llu, submitted %llu", (unsigned long long)group,
                      (unsigned long long)term, (unsigned long long)model->acked_state[group].term,
                      (unsigned long long)model->submitted[group].term);
    }
  }
}

/* What was found is the truth from now on; the rest must never be seen again. */
static void settle(struct model *model) {
  size_t end = model->found_end == SIZE_MAX ? model->released : model->found_end;
  if (end < model->released) end = model->released;
  model->count = end;
  model->acked = end;
  for (group_id group = 0; group < GROUPS; group++) {
    if (model->state_told[group]) model->submitted[group].term = model->found_state[group].term;
    model->acked_state[group] = model->submitted[group];
    model->last_index[group] = 0;
    model->open[group] = false;
  }
  for (size_t i = 0; i < end; i++) {
    const struct item *item = &model->items[i];
    if (item->kind == FRAME_OPEN) model->open[item->group] = true;
    if (item->kind == FRAME_ENTRY) model->last_index[item->group] = item->index;
    if (item->kind == FRAME_CUT) model->last_index[item->group] = item->index - 1;
  }
}

/* They are in new files now. */
static void note_carried(struct model *model, const struct journal_write *carried) {
  if (model->released + carried->count != model->count) return; /* a violation, noted already */
  for (size_t i = 0; i < carried->count; i++) model->items[model->released + i].file = carried->frames[i].place.file;
}

/* ---- The subject ---- */

static void ignore_done(struct task *task) { (void)task; }

static enum status open_journal(struct driver *driver, struct journal_write *carried, struct journal_report *report) {
  struct model *model = driver->model;
  struct telling telling = {.driver = driver, .carried = carried};
  struct journal_replay replay = {.found = told, .damaged = damaged, .context = &telling};
  model->found = 0;
  model->found_end = SIZE_MAX;
  memset(model->state_told, 0, sizeof model->state_told);
  return journal_open(sim_world_doors(driver->lab->world), &journal_options, 0, &replay, &driver->journal, report);
}

static void run(struct crash_lab *lab, unsigned turns) {
  struct driver driver = {.lab = lab, .model = lab->model};
  struct journal_write carried;
  struct journal_report report = {0};
  driver.lane = world_loop_new(sim_world_doors(lab->world), "lane", 0);
  journal_write_init(&carried, driver.lane, ignore_done);
  enum status status = open_journal(&driver, &carried, &report);
  if (status != STATUS_OK) {
    if (!crash_dead(lab)) crash_violation(lab, "open: %s", status_name(status));
    journal_write_deinit(&carried);
    loop_stop(driver.lane);
    return;
  }
  if (!crash_dead(lab)) check_found(lab, driver.model);
  if (report.rotten_groups > 0) crash_violation(lab, "%llu groups called rotten", (unsigned long long)report.rotten_groups);
  status = journal_carry(driver.journal, &carried);
  if (status == STATUS_OK) status = journal_start(driver.journal);
  if (status == STATUS_OK) {
    settle(driver.model);
    note_carried(driver.model, &carried);
    work(&driver, turns);
  } else if (!crash_dead(lab)) {
    crash_violation(lab, "start: %s", status_name(status));
  }
  stop(&driver);
  journal_write_deinit(&carried);
}

static void live(struct crash_lab *lab) { run(lab, TURNS); }
static void recover(struct crash_lab *lab) { run(lab, 4); }

static const struct crash_subject subject = {
    .name = "journal_crash", .model_new = model_new, .model_free = memory_free, .live = live, .recover = recover};

/* ---- Tests ---- */

static void every_crash_point_recovers(void **state) {
  (void)state;
  struct crash_options options = {.seed = 1, .stride = 1, .violations_max = 20};
  struct crash_totals totals = crash_sweep(&subject, &options);
  crash_print(&subject, &totals);
  assert_true(totals.operations >= 300);
  assert_int_equal(totals.violations, 0);
}

static void a_disk_whose_syncs_do_nothing_is_noticed(void **state) {
  (void)state;
  struct crash_options options = {.seed = 1, .stride = 29, .quiet = true, .violations_max = 5, .fault = "lie every sync on *"};
  struct crash_totals totals = crash_sweep(&subject, &options);
  assert_true(totals.violations >= 5);
}

static void acknowledging_before_the_sync_is_noticed(void **state) {
  (void)state;
  struct crash_options options = {.seed = 1, .stride = 7, .quiet = true, .violations_max = 5, .acknowledge_early = true};
  struct crash_totals totals = crash_sweep(&subject, &options);
  assert_true(totals.violations >= 5);
}

static void a_sweep_repeats_itself(void **state) {
  (void)state;
  struct crash_options options = {.seed = 3, .stride = 41};
  struct crash_totals first = crash_sweep(&subject, &options);
  struct crash_totals second = crash_sweep(&subject, &options);
  assert_int_equal(first.violations, 0);
  assert_true(first.hash == second.hash);
}

int main(int argc, char **argv) {
  uint64_t violations = 0;
  if (crash_replay(&subject, argc, argv, &violations)) return violations > 0;
  if (argc == 2) cmocka_set_test_filter(argv[1]);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_crash_point_recovers),
      cmocka_unit_test(a_disk_whose_syncs_do_nothing_is_noticed),
      cmocka_unit_test(acknowledging_before_the_sync_is_noticed),
      cmocka_unit_test(a_sweep_repeats_itself),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
