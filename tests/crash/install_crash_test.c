/* A snapshot's log is filled beside the one in force and takes its place, crashed at every operation: after each crash exactly one instance is
 * in force, the old one unless its CLOSE frame had been submitted, the new one if that was acknowledged; it has every acknowledged
 * entry, the state that its start needs, and the newest term and vote; and it takes appends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/memory.h"
#include "log/log_set.h"
#include "tests/crash/crash_lab.h"

#define GROUP 1u
#define BASE_INDEX 100u
#define BASE_OFFSET 70
#define WAIT_NS 100000u
#define STATE "the snapshot's state"

static struct account account;
static const struct log_identity identity = {.cluster = "install", .incarnation = "one", .broker_id = 1};
static const struct log_settings settings = {.segment_bytes = 24 * 1024, .retention_bytes = -1, .retention_ms = -1};

struct model {
  bool made; /* the old log, acknowledged */
  bool replacing;
  bool replaced; /* acknowledged */
  entry_index old_acked;
  entry_index new_acked;
  entry_term term;  /* acknowledged */
  entry_term asked; /* submitted */
};

struct bench {
  struct crash_lab *lab;
  struct model *model;
  struct log_set *set;
  struct loop *loop;
  struct journal_write write;
  struct log *log;   /* in force */
  struct log *spare; /* NULL: none */
  bool answered;
  bool failed;
  size_t appends;
  size_t size;
};

static void *model_new(void) { return NEW(struct model); }
static bool going(const struct bench *bench) { return !bench->failed && !crash_dead(bench->lab); }

/* ---- Turns: something is done on the lane, written, and durable ---- */

struct call {
  struct task task;
  void (*run)(struct bench *bench);
  struct bench *bench;
  bool done;
};
static void run_call(struct task *task) {
  struct call *call = container_of(task, struct call, task);
  if (call->run != NULL) call->run(call->bench);
  call->done = true;
}
static void on_lane(struct bench *bench, void (*run)(struct bench *bench)) {
  struct call call = {.task = {.run = run_call}, .run = run, .bench = bench};
  loop_post(bench->loop, &call.task);
  while (!call.done) crash_sleep(bench->lab, WAIT_NS);
}

static void take_frame(struct bench *bench, const struct journal_frame *frame) {
  bool of_spare = bench->spare != NULL && log_view(bench->spare).instance == frame->instance;
  log_frame_durable(of_spare ? bench->spare : bench->log, frame);
  if (frame->kind != FRAME_CLOSE) return;
  if (of_spare) bench->spare = NULL;
  if (of_spare) return;
  bench->log = bench->spare;
  bench->spare = NULL;
  bench->model->replaced = true;
}

static void write_done(struct task *task) {
  struct bench *bench = container_of(container_of(task, struct journal_write, done), struct bench, write);
  bench->answered = true;
  bench->failed = bench->failed || bench->write.status != STATUS_OK;
  if (bench->failed) return;
  for (size_t i = 0; i < bench->write.count; i++) take_frame(bench, &bench->write.frames[i]);
  struct model *model = bench->model;
  struct log_view view = log_view(bench->log);
  model->made = true;
  model->term = model->asked;
  if (view.instance == 1) model->old_acked = view.last_index;
  else model->new_acked = view.last_index;
  if (bench->spare != NULL) model->new_acked = log_view(bench->spare).last_index;
}
static void submit(struct bench *bench) { journal_submit(log_set_journal(bench->set), &bench->write); }

static void turn(struct bench *bench, void (*run)(struct bench *bench)) {
  if (!going(bench)) return;
  bench->answered = false;
  on_lane(bench, run);
  on_lane(bench, submit);
  while (!bench->answered) crash_sleep(bench->lab, WAIT_NS);
  journal_write_reset(&bench->write);
}

static void checkpoint(struct bench *bench) {
  if (!going(bench)) return;
  struct call call = {.task = {.run = run_call}, .bench = bench};
  log_set_checkpoint(bench->set, bench->loop, &call.task);
  while (!call.done) crash_sleep(bench->lab, WAIT_NS);
}

/* ---- What is done ---- */

static void append_to(struct bench *bench, struct log *log) {
  for (size_t i = 0; i < bench->appends; i++) {
    struct log_view view = log_view(log);
    struct blob *blob = NULL;
    CHECK(blob_new(NULL, bench->size, &blob) == STATUS_OK);
    memset(blob->data, (int)view.last_index, bench->size);
    struct entry entry = {.payload = blob_part_of(blob, 0, bench->size)};
    entry.head = (struct entry_head){.kind = ENTRY_RECORDS,
                                     .record_count = 1,
                                     .uncompressed_size = (uint32_t)bench->size,
                                     .index = view.last_index + 1,
                                     .term = view.last_term > 0 ? view.last_term : 1,
                                     .base_offset = view.next_offset,
                                     .leader_time_ms = view.last_leader_time_ms + 1};
    entry_seal(&entry.head, entry.payload.bytes, view.last_chain);
    log_append_sealed(log, &bench->write, &entry);
    blob_part_release(entry.payload);
    blob_release(blob);
  }
}
static void apply_all(struct log *log) {
  log_set_commit(log, log_view(log).last_index);
  log_set_applied(log, log_view(log).last_index);
}

static void make_log(struct bench *bench) {
  bench->log = log_create(bench->set, bench->loop, &bench->write, GROUP, 1, &settings);
}
static void append_log(struct bench *bench) { append_to(bench, bench->log); }
static void apply_log(struct bench *bench) { apply_all(bench->log); }
static void append_spare(struct bench *bench) {
  append_to(bench, bench->spare);
  apply_all(bench->spare); /* as when it is committed long since: before this disk has it */
}
static void make_spare(struct bench *bench) {
  const struct log_base base = {
      .index = BASE_INDEX, .term = 3, .chain = 77, .leader_time_ms = 9, .next_offset = BASE_OFFSET, .max_time_ms = 8};
  bench->spare = log_create_at(bench->log, &bench->write, &base);
}
static void drop_spare(struct bench *bench) { log_delete(bench->spare, &bench->write); }
static void vote(struct bench *bench) {
  bench->model->asked++;
  struct hard_state state = {.term = bench->model->asked, .vote = 2, .commit = log_view(bench->log).commit_index};
  log_set_hard_state(bench->log, &bench->write, &state);
}
static enum status give_state(void *context, struct buffer *out) {
  (void)context;
  return buffer_append_string(out, STATE);
}
static void own_spare(struct bench *bench) { log_set_owner(bench->spare, &(struct log_owner){.snapshot = give_state}); }
static void replace(struct bench *bench) {
  struct log_view view = log_view(bench->spare);
  if (view.stored_index != view.last_index) { /* the disk failed, and nothing was stored */
    bench->failed = true;
    return;
  }
  bench->model->replacing = true;
  log_replace(bench->spare, &bench->write);
}

static void append(struct bench *bench, void (*run)(struct bench *bench), size_t count, size_t size) {
  bench->appends = count;
  bench->size = size;
  for (size_t i = 0; i < count && going(bench); i++) {
    enum status status = log_set_admit(bench->set, size);
    if (status != STATUS_OK) bench->failed = true;
  }
  turn(bench, run);
}

/* ---- Opening ---- */

static void meet(void *context, struct log *log) {
  struct bench *bench = context;
  struct log_view view = log_view(log);
  if (view.damaged) crash_violation(bench->lab, "instance %llu is called damaged", (unsigned long long)view.instance);
  if (view.spare && bench->spare != NULL) crash_violation(bench->lab, "two spares");
  if (!view.spare && bench->log != NULL) crash_violation(bench->lab, "two instances are in force");
  *(view.spare ? &bench->spare : &bench->log) = log;
  log_adopt(log, bench->loop);
}

static enum status count_entry(void *context, const struct entry *entry) {
  entry_index *next = context;
  if (entry->head.index == *next) ++*next;
  return STATUS_OK;
}

static void check_log(struct bench *bench) {
  struct crash_lab *lab = bench->lab;
  struct model *model = bench->model;
  struct log_view view = log_view(bench->log);
  bool is_old = view.instance == 1;
  if (is_old && model->replaced) crash_violation(lab, "the old one is in force again");
  if (!is_old && !model->replacing) crash_violation(lab, "the spare is in force, and nobody asked for that");
  if (view.last_index < (is_old ? model->old_acked : model->new_acked)) {
    crash_violation(lab, "instance %llu ends at %llu", (unsigned long long)view.instance, (unsigned long long)view.last_index);
  }
  if (view.hard_state.term < model->term || view.hard_state.term > model->asked ||
      (view.hard_state.term > 0 && view.hard_state.vote != 2)) {
    crash_violation(lab, "instance %llu is in term %llu", (unsigned long long)view.instance,
                    (unsigned long long)view.hard_state.term);
  }
  entry_index applied = 0;
  struct bytes state = log_recovered_state(bench->log, &applied);
  bool has_state = applied >= BASE_INDEX && state.size == strlen(STATE) && memcmp(state.data, STATE, state.size) == 0;
  if (!is_old && !has_state) crash_violation(lab, "the state of the snapshot is not there");
  if (!is_old && view.start_offset != BASE_OFFSET) crash_violation(lab, "it starts at %lld", (long long)view.start_offset);
  entry_index next = view.start_index;
  enum status status = log_replay(bench->log, view.start_index - 1, view.last_index, count_entry, &next);
  if (!crash_dead(lab) && (status != STATUS_OK || next != view.last_index + 1)) {
    crash_violation(lab, "replay ends before %llu: %s", (unsigned long long)next, status_name(status));
  }
  *model = (struct model){.made = true,
                          .replacing = !is_old,
                          .replaced = !is_old,
                          .old_acked = is_old ? view.last_index : 0,
                          .new_acked = is_old ? 0 : view.last_index,
                          .term = view.hard_state.term,
                          .asked = view.hard_state.term};
}

static bool open_bench(struct bench *bench, struct crash_lab *lab) {
  struct log_set_options options = {
      .journal = {.ring_bytes = 8 * 128 * 1024,
                  .file_bytes = 128 * 1024,
                  .group_bytes_max = 16 * 1024,
                  .files_ready = 2,
                  .idle_close_ms = 20},
      .tail_bytes = 96 * 1024,
      .store_bytes_max = 8 << 20,
      .disk_reserve_bytes = 64 * 1024,
      .readers = 1,
      .checkpoint_interval_ms = 200,
      .account = &account,
  };
  struct log_identity found;
  struct log_set_report report;
  *bench = (struct bench){.lab = lab, .model = lab->model};
  bench->loop = world_loop_new(sim_world_doors(lab->world), "lane", 0);
  journal_write_init(&bench->write, bench->loop, write_done);
  enum status status = log_set_open(sim_world_doors(lab->world), &options, &identity, &bench->set, &found, &report, NULL);
  if (status != STATUS_OK) {
    if (!crash_dead(lab) && !lab->faulty) crash_violation(lab, "open: %s", status_name(status));
    return false;
  }
  log_set_each(bench->set, meet, bench);
  if (bench->log == NULL && bench->model->made) crash_violation(lab, "no instance is in force");
  if (bench->log == NULL && bench->spare != NULL) crash_violation(lab, "a spare alone");
  if (lab->violations > 0 || !going(bench)) return false;
  if (bench->log != NULL) check_log(bench);
  return going(bench) && lab->violations == 0;
}

static void close_bench(struct bench *bench, bool last_round) {
  loop_stop(bench->loop);
  log_set_close(bench->set, last_round);
  journal_write_deinit(&bench->write);
}

/* ---- The story ---- */

static void install(struct bench *bench) {
  turn(bench, make_spare);
  append(bench, append_spare, 3, 5000);
  checkpoint(bench);
  append(bench, append_spare, 2, 15000);
  turn(bench, vote);
  append(bench, append_spare, 4, 900);
  if (going(bench)) on_lane(bench, own_spare);
  checkpoint(bench);
  turn(bench, vote);
  turn(bench, replace);
}

static void live(struct crash_lab *lab) {
  struct bench bench;
  if (open_bench(&bench, lab)) {
    turn(&bench, make_log);
    turn(&bench, vote);
    append(&bench, append_log, 4, 3000);
    if (going(&bench)) on_lane(&bench, apply_log);
    checkpoint(&bench);
    append(&bench, append_log, 2, 3000);
    install(&bench);
    append(&bench, append_log, 3, 2000);
    checkpoint(&bench);
    append(&bench, append_log, 1, 100);
  }
  close_bench(&bench, false);
}

/* A spare that is found is dropped, and the installation begins anew. */
static void recover(struct crash_lab *lab) {
  struct bench bench;
  if (open_bench(&bench, lab)) {
    if (bench.log == NULL) turn(&bench, make_log);
    if (bench.spare != NULL) turn(&bench, drop_spare);
    bench.model->new_acked = bench.model->replaced ? bench.model->new_acked : 0;
    append(&bench, append_log, 2, 500);
    if (lab->recoveries % 2 == 0 && going(&bench) && !bench.model->replaced) install(&bench);
    append(&bench, append_log, 1, 500);
  }
  close_bench(&bench, lab->recoveries % 3 == 0);
}

static const struct crash_subject subject = {
    .name = "install_crash", .model_new = model_new, .model_free = memory_free, .live = live, .recover = recover};

static void one_instance_is_in_force_after_every_crash(void **state) {
  (void)state;
  struct crash_options options = {.seed = 1, .stride = 1, .violations_max = 10};
  struct crash_totals totals = crash_sweep(&subject, &options);
  crash_print(&subject, &totals);
  assert_true(totals.operations >= 100);
  assert_int_equal(totals.violations, 0);
}

static void a_disk_whose_syncs_do_nothing_is_noticed(void **state) {
  (void)state;
  struct crash_options options = {.seed = 1, .stride = 7, .quiet = true, .violations_max = 5, .fault = "lie every sync on *"};
  struct crash_totals totals = crash_sweep(&subject, &options);
  assert_true(totals.violations >= 5);
}

int main(int argc, char **argv) {
  uint64_t violations = 0;
  account_init(&account, (size_t)256 << 20);
  if (crash_replay(&subject, argc, argv, &violations)) return violations > 0;
  if (argc == 2) cmocka_set_test_filter(argv[1]);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_instance_is_in_force_after_every_crash),
      cmocka_unit_test(a_disk_whose_syncs_do_nothing_is_noticed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
