#include "tests/unit/server/lab.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/os/world_os.h"
#include "base/wire.h"

#define MIB (1u << 20)

static const struct log_set_options log_options = {
    .journal =
        {.ring_bytes = 16 * MIB, .file_bytes = 4 * MIB, .group_bytes_max = 256u << 10, .files_ready = 2, .idle_close_ms = 20},
    .tail_bytes = MIB,
    .store_bytes_max = 64 * MIB,
    .readers = 1,
    .checkpoint_interval_ms = 60000,
};

static unsigned done_count;

static void find_log(void *context, struct log *log) {
  struct log **found = context;
  if (log_view(log).group == 1) *found = log;
}

static const struct partition_place place = {.topic_id = 1, .number = 0, .group = 1, .instance = 1};

static void make_partition(struct lab *lab) {
  struct log_settings settings = partition_log_settings(&topic_settings_default);
  struct log *log = log_create(lab->logs, lab->host.loop, lane_write(lab->lane), 1, 1, &settings);
  assert_int_equal(partition_open(&lab->host, log, &place, &topic_settings_default, &lab->partition), STATUS_OK);
}

static void adopt(struct lab *lab) { partition_host_adopt(&lab->host); }

/* ---- A disk that fails ---- */

static const struct disk_ops *honest_ops;
static struct disk_ops ops;
static _Atomic(const char *) failing_text; /* on threads of the log too, so the ops themselves must not change while these run */

static bool carries(const struct bytes *parts, size_t count, const char *text) {
  for (size_t i = 0; i < count; i++)
    if (memmem(parts[i].data, parts[i].size, text, strlen(text)) != NULL) return true;
  return false;
}

static enum status write_or_fail(struct disk_file *file, uint64_t offset, const struct bytes *parts, size_t count) {
  const char *text = atomic_load(&failing_text);
  if (text != NULL && carries(parts, count, text)) return STATUS_IO;
  return honest_ops->write(file, offset, parts, count);
}

static atomic_uint reads_good;
static atomic_uint reads_fail;

static bool take_one(atomic_uint *left) {
  unsigned seen = atomic_load(left);
  while (seen > 0 && !atomic_compare_exchange_weak(left, &seen, seen - 1)) {}
  return seen > 0;
}

static enum status read_or_fail(struct disk_file *file, uint64_t offset, void *into, size_t size, size_t *out_size) {
  bool fails = !take_one(&reads_good) && take_one(&reads_fail);
  return fails ? STATUS_IO : honest_ops->read(file, offset, into, size, out_size);
}

void lab_fail_reads(unsigned after, unsigned count) {
  atomic_store(&reads_good, after);
  atomic_store(&reads_fail, count);
}

void lab_fail_writes_of(const char *text) { atomic_store(&failing_text, text); }

static void let_it_fail(struct disk *disk) {
  honest_ops = disk->ops;
  ops = *honest_ops;
  ops.write = write_or_fail;
  ops.read = read_or_fail;
  disk->ops = &ops;
}

/* ---- Life ---- */

void lab_open_bare(struct lab *lab) {
  if (lab->directory[0] == '\0') {
    const char *parent = getenv("TEST_TMPDIR");
    snprintf(lab->directory, sizeof lab->directory, "%s/cairn_lab_XXXXXX", parent == NULL ? "/tmp" : parent);
    assert_non_null(mkdtemp(lab->directory));
  }
  done_count = 0;
  assert_int_equal(world_os_open(lab->directory, true, &lab->world), STATUS_OK);
  let_it_fail(lab->world->disk);
  account_init(&lab->account, 64 * MIB);
  struct log_set_options options = log_options;
  options.account = &lab->account;
  struct log_identity identity = {.broker_id = 1};
  struct log_set_report report;
  assert_int_equal(log_set_open(lab->world, &options, &identity, &lab->logs, &identity, &report, NULL), STATUS_OK);
  lab->lane = lane_new(lab->world, lab->logs, 0, NULL, NULL);
  lab->inflater = offload_new(lab->world, "inflater");
  lab->host = (struct partition_host){.lane = lab->lane,
                                      .loop = lane_loop(lab->lane),
                                      .inflater = lab->inflater,
                                      .self = {.broker = 1},
                                      .uncompressed_bytes_max = MIB,
                                      .waiters_max = 3,
                                      .append_stall_ns = 1000000000u,
                                      .retention_interval_ns = 3600000000000u,
                                      .producers_max = 3};
  partition_host_init(&lab->host);
}

void lab_open(struct lab *lab) {
  lab_open_bare(lab);
  struct log *log = NULL;
  log_set_each(lab->logs, find_log, &log);
  if (log == NULL) {
    lab_on_lane(lab, make_partition);
  } else {
    assert_int_equal(partition_open(&lab->host, log, &place, &topic_settings_default, &lab->partition), STATUS_OK);
    lab_on_lane(lab, adopt);
  }
}

void lab_close(struct lab *lab, bool checkpoint) {
  offload_free(lab->inflater);
  lane_stop(lab->lane);
  struct journal_usage usage = journal_usage(log_set_journal(lab->logs));
  assert_true(usage.failed ||
              usage.admitted_bytes == 0); /* whatever was refused, and however; one that failed admits nothing more */
  log_set_close(lab->logs, checkpoint);
  partition_host_close(&lab->host);
  if (lab->partition != NULL) partition_release(lab->partition);
  lab->partition = NULL;
  lane_free(lab->lane);
  assert_int_equal(account_used(&lab->account), 0);
  world_os_close(lab->world);
}

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *walk) {
  (void)stat;
  (void)kind;
  (void)walk;
  return remove(path);
}

void lab_remove(struct lab *lab) {
  nftw(lab->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
  memset(lab, 0, sizeof *lab);
}

/* ---- On the lane ---- */

struct errand {
  struct task task;
  struct lab *lab;
  void (*run)(struct lab *lab);
  atomic_bool done;
};

static void run_errand(struct task *task) {
  struct errand *errand = container_of(task, struct errand, task);
  errand->run(errand->lab);
  atomic_store(&errand->done, true);
}

void lab_wait(struct lab *lab, atomic_bool *flag) { world_wait(lab->world, flag); }

void lab_on_lane(struct lab *lab, void (*run)(struct lab *lab)) {
  struct errand errand = {.lab = lab, .run = run, .task = {.run = run_errand}};
  loop_post(lab->host.loop, &errand.task);
  lab_wait(lab, &errand.done);
}

/* ---- Appends ---- */

struct blob *lab_records(const char *prefix, unsigned count) {
  struct buffer buffer;
  buffer_init(&buffer, MIB);
  for (unsigned i = 0; i < count; i++) {
    char value[64];
    snprintf(value, sizeof value, "%s%u", prefix, i);
    uint8_t record[80];
    size_t size = (size_t)(wire_put_bytes(record, 2, bytes_of_string(value)) - record);
    uint8_t head[16];
    size_t head_size = (size_t)(wire_put_bytes_head(head, 1, size) - head);
    assert_int_equal(buffer_append(&buffer, head, head_size), STATUS_OK);
    assert_int_equal(buffer_append(&buffer, record, size), STATUS_OK);
  }
  struct blob *blob = NULL;
  assert_int_equal(blob_new(NULL, buffer.size, &blob), STATUS_OK);
  if (buffer.size > 0) memcpy(blob->data, buffer.data, buffer.size);
  buffer_deinit(&buffer);
  return blob;
}

static void append_done(struct partition_append *append) {
  struct lab_append *this = container_of(append, struct lab_append, append);
  this->order = ++done_count;
  atomic_store(&this->finished, true);
}

void lab_append_init_payload(struct lab *lab, struct lab_append *append, struct blob *payload) {
  *append = (struct lab_append){0};
  append->append.partition = lab->partition;
  append->append.message = payload;
  append->append.request.payload = bytes_of(payload->data, payload->size);
  append->append.patience_ns = UINT64_MAX;
  append->append.done = append_done;
}

void lab_append_init(struct lab *lab, struct lab_append *append, const char *prefix, unsigned count) {
  lab_append_init_payload(lab, append, lab_records(prefix, count));
}

void lab_append_deinit(struct lab_append *append) { memory_free(append->append.failure); }

static struct lab_append *handing_in;
static void hand_in(struct lab *lab) {
  (void)lab;
  partition_append(&handing_in->append);
}

void lab_append_now(struct lab *lab, struct lab_append *append, const char *prefix, unsigned count) {
  lab_append_init(lab, append, prefix, count);
  handing_in = append;
  lab_on_lane(lab, hand_in);
  lab_wait(lab, &append->finished);
}
