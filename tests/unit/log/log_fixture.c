#include "tests/unit/log/log_fixture.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/trace.h"

/* ---- Running on a lane ---- */

struct step {
  struct task task;
  void (*what)(void *context);
  void *context;
  pthread_mutex_t mutex;
  pthread_cond_t done_condition;
  bool done;
};

static void step_done(struct step *step) {
  pthread_mutex_lock(&step->mutex);
  step->done = true;
  pthread_cond_signal(&step->done_condition);
  pthread_mutex_unlock(&step->mutex);
}

static void step_wait(struct step *step) {
  pthread_mutex_lock(&step->mutex);
  while (!step->done) pthread_cond_wait(&step->done_condition, &step->mutex);
  pthread_mutex_unlock(&step->mutex);
}

static void step_init(struct step *step) {
  *step = (struct step){0};
  pthread_mutex_init(&step->mutex, NULL);
  pthread_cond_init(&step->done_condition, NULL);
}

static void step_run(struct task *task) {
  struct step *step = container_of(task, struct step, task);
  step->what(step->context);
  step_done(step);
}

static struct loop *lane_of(struct fixture *fixture, group_id group) { return fixture->lanes[group % 2]; }

void fixture_run(struct fixture *fixture, group_id group, void (*what)(void *context), void *context) {
  struct step step;
  step_init(&step);
  step.task.run = step_run;
  step.what = what;
  step.context = context;
  loop_post(lane_of(fixture, group), &step.task);
  step_wait(&step);
}

/* ---- Opening and closing ---- */

struct fixture *fixture_new(void) {
  struct fixture *fixture = NEW(struct fixture);
  const char *base = getenv("TEST_TMPDIR");
  snprintf(fixture->directory, sizeof fixture->directory, "%.200s/log.XXXXXX", base != NULL ? base : "/tmp");
  CHECK(mkdtemp(fixture->directory) != NULL);
  CHECK(world_os_open(fixture->directory, true, &fixture->world) == STATUS_OK);
  fault_disk_init(&fixture->fault, fixture->world->disk);
  fixture->world->disk = &fixture->fault.disk;
  account_init(&fixture->account, 64u << 20);
  fixture->options = (struct log_set_options){
      .journal =
          {.ring_bytes = 32u << 20, .file_bytes = 4u << 20, .group_bytes_max = 1u << 20, .files_ready = 2, .idle_close_ms = 20},
      .tail_bytes = 8u << 20,
      .store_bytes_max = 1ull << 30,
      .disk_reserve_bytes = 1u << 20,
      .readers = 2,
      .checkpoint_interval_ms = 60000,
      .account = &fixture->account,
  };
  fixture->format = (struct log_identity){.cluster = {1}, .incarnation = {2}, .broker_id = 3};
  buffer_init(&fixture->reason, 4096);
  return fixture;
}

void fixture_free(struct fixture *fixture) {
  if (fixture->set != NULL) fixture_close(fixture, false);
  fixture->world->disk = fixture->fault.inner;
  world_os_close(fixture->world);
  buffer_deinit(&fixture->reason);
  char command[600];
  snprintf(command, sizeof command, "rm -rf '%s'", fixture->directory);
  CHECK(system(command) == 0);
  CHECK(account_used(&fixture->account) == 0);
  memory_free(fixture);
}

int fixture_set_up(void **state) {
  trace_set_level(TRACE_ERROR);
  *state = fixture_new();
  return 0;
}

int fixture_tear_down(void **state) {
  fixture_free(*state);
  return 0;
}

static void adopt(void *context, struct log *log) {
  struct fixture *fixture = context;
  struct log_view view = log_view(log);
  CHECK(view.group < FIXTURE_LOGS_MAX);
  if (!view.spare) fixture->logs[view.group] = log;
  log_adopt(log, lane_of(fixture, view.group));
  fixture->log_count++;
}

enum status fixture_open(struct fixture *fixture) {
  buffer_reset(&fixture->reason);
  memset(fixture->logs, 0, sizeof fixture->logs);
  fixture->log_count = 0;
  enum status status = log_set_open(fixture->world, &fixture->options, &fixture->format, &fixture->set, &fixture->identity,
                                    &fixture->report, &fixture->reason);
  if (status != STATUS_OK) return status;
  for (int i = 0; i < 2; i++) fixture->lanes[i] = world_loop_new(fixture->world, i == 0 ? "lane0" : "lane1", 0);
  log_set_each(fixture->set, adopt, fixture);
  return STATUS_OK;
}

void fixture_close(struct fixture *fixture, bool checkpoint) {
  for (int i = 0; i < 2; i++) loop_stop(fixture->lanes[i]);
  log_set_close(fixture->set, checkpoint);
  fixture->set = NULL;
}

void fixture_reopen(struct fixture *fixture, bool checkpoint) {
  fixture_close(fixture, checkpoint);
  CHECK(fixture_open(fixture) == STATUS_OK);
}

/* ---- Writing ---- */

struct change {
  struct step step;
  struct fixture *fixture;
  struct journal_write write;
  enum { CHANGE_CREATE, CHANGE_APPEND, CHANGE_CUT, CHANGE_DELETE } what;
  group_id group;
  instance_id instance; /* 0: the first */
  size_t count;
  size_t size;
  uint64_t segment_bytes;
  int64_t time_ms;
  bool commit;
  entry_index from;
};

static void commit_all(struct log *log) {
  log_set_commit(log, log_view(log).last_index);
  log_set_applied(log, log_view(log).last_index);
}

static void change_done(struct task *task) {
  struct journal_write *write = container_of(task, struct journal_write, done);
  struct change *change = container_of(write, struct change, write);
  CHECK(write->status == STATUS_OK);
  for (size_t i = 0; i < write->count; i++) {
    log_frame_durable(change->fixture->logs[write->frames[i].group], &write->frames[i]);
    if (change->what == CHANGE_DELETE) change->fixture->logs[change->group] = NULL;
  }
  if (change->commit) commit_all(change->fixture->logs[change->group]);
  journal_write_deinit(write);
  step_done(&change->step);
}

/* Records { repeated Record records = 1 }, Record { key = 1, value = 2, ... }: one record with a value. */
static struct blob *payload_of(struct log *log, record_offset offset, size_t size) {
  struct blob *blob = NULL;
  size_t inner = 1 + (size < 128 ? 1 : size < 16384 ? 2 : 3) + size;
  uint8_t head[16];
  size_t at = 0;
  head[at++] = 0x0a;
  for (size_t left = inner;; left >>= 7) {
    head[at++] = (uint8_t)(left < 128 ? left : (left & 127) | 128);
    if (left < 128) break;
  }
  head[at++] = 0x12;
  for (size_t left = size;; left >>= 7) {
    head[at++] = (uint8_t)(left < 128 ? left : (left & 127) | 128);
    if (left < 128) break;
  }
  CHECK(blob_new(NULL, at + size, &blob) == STATUS_OK);
  memcpy(blob->data, head, at);
  memset(blob->data + at, (int)((uint64_t)offset * 31 + log_view(log).group), size);
  return blob;
}

static void append_one(struct change *change, struct log *log) {
  struct log_view view = log_view(log);
  struct blob *blob = payload_of(log, view.next_offset, change->size);
  int64_t time_ms = change->time_ms != 0 ? change->time_ms : 1000 + view.next_offset;
  struct entry entry = {
      .head = {.kind = ENTRY_RECORDS,
               .payload_size = (uint32_t)blob->size,
               .record_count = 1,
               .uncompressed_size = (uint32_t)blob->size,
               .index = view.last_index + 1,
               .term = view.last_term > 0 ? view.last_term : 1,
               .base_offset = view.next_offset,
               .base_time_ms = time_ms,
               .max_time_ms = time_ms,
               .leader_time_ms = time_ms},
      .payload = {.blob = blob, .bytes = bytes_of(blob->data, blob->size)},
  };
  log_append(log, &change->write, &entry);
  blob_release(blob);
}

static void change_run(struct task *task) {
  struct change *change = container_of(task, struct change, step.task);
  struct fixture *fixture = change->fixture;
  journal_write_init(&change->write, lane_of(fixture, change->group), change_done);
  struct log_settings settings = {.segment_bytes = change->segment_bytes, .retention_bytes = -1, .retention_ms = -1};
  if (change->what == CHANGE_CREATE) {
    for (size_t i = 0; i < change->count; i++) {
      group_id group = change->group + 2 * i;
      fixture->logs[group] = log_create(fixture->set, lane_of(fixture, group), &change->write, group,
                                        change->instance == 0 ? 1 : change->instance, &settings);
      fixture->log_count++;
    }
  }
  struct log *log = fixture->logs[change->group];
  if (change->what == CHANGE_APPEND) {
    for (size_t i = 0; i < change->count; i++) append_one(change, log);
  }
  if (change->what == CHANGE_CUT) log_cut(log, &change->write, change->from);
  if (change->what == CHANGE_DELETE) log_delete(log, &change->write);
  journal_submit(log_set_journal(fixture->set), &change->write);
}

static void change_do(struct change *change) {
  struct fixture *fixture = change->fixture;
  struct change copy = *change;
  step_init(&copy.step);
  copy.step.task.run = change_run;
  loop_post(lane_of(fixture, copy.group), &copy.step.task);
  step_wait(&copy.step);
}

struct log *fixture_create(struct fixture *fixture, group_id group, uint64_t segment_bytes) {
  change_do(
      &(struct change){.fixture = fixture, .what = CHANGE_CREATE, .group = group, .count = 1, .segment_bytes = segment_bytes});
  return fixture->logs[group];
}

struct log *fixture_create_beside(struct fixture *fixture, group_id group, instance_id instance, uint64_t segment_bytes) {
  change_do(&(struct change){.fixture = fixture,
                             .what = CHANGE_CREATE,
                             .group = group,
                             .count = 1,
                             .instance = instance,
                             .segment_bytes = segment_bytes});
  return fixture->logs[group];
}

void fixture_create_many(struct fixture *fixture, group_id first, size_t count) {
  for (group_id lane = 0; lane < 2; lane++) {
    change_do(&(struct change){
        .fixture = fixture, .what = CHANGE_CREATE, .group = first + lane, .count = count / 2, .segment_bytes = 1u << 20});
  }
}

static void append(struct fixture *fixture, group_id group, size_t count, size_t size, int64_t time_ms, bool commit) {
  while (count > 0) {
    size_t turn = count < 64 ? count : 64;
    while (log_set_admit(fixture->set, turn * (size + 256)) != STATUS_OK) usleep(1000);
    change_do(&(struct change){.fixture = fixture,
                               .what = CHANGE_APPEND,
                               .group = group,
                               .count = turn,
                               .size = size,
                               .time_ms = time_ms,
                               .commit = commit});
    count -= turn;
  }
}

void fixture_append(struct fixture *fixture, group_id group, size_t count, size_t size, bool commit) {
  append(fixture, group, count, size, 0, commit);
}
void fixture_append_at(struct fixture *fixture, group_id group, size_t count, size_t size, int64_t time_ms) {
  append(fixture, group, count, size, time_ms, true);
}
void fixture_cut(struct fixture *fixture, group_id group, entry_index from) {
  change_do(&(struct change){.fixture = fixture, .what = CHANGE_CUT, .group = group, .from = from});
}
void fixture_delete(struct fixture *fixture, group_id group) {
  change_do(&(struct change){.fixture = fixture, .what = CHANGE_DELETE, .group = group});
}

struct start {
  struct log *log;
  record_offset start;
  struct log_view view;
};
static void set_start(void *context) {
  struct start *start = context;
  log_set_start(start->log, start->start);
}
static void take_view(void *context) {
  struct start *start = context;
  start->view = log_view(start->log);
}
static void do_commit(void *context) { commit_all(context); }

void fixture_set_start(struct fixture *fixture, group_id group, record_offset offset) {
  struct start start = {.log = fixture->logs[group], .start = offset};
  fixture_run(fixture, group, set_start, &start);
}
struct log_view fixture_view(struct fixture *fixture, group_id group) {
  struct start start = {.log = fixture->logs[group]};
  fixture_run(fixture, group, take_view, &start);
  return start.view;
}
void fixture_commit_all(struct fixture *fixture, group_id group) { fixture_run(fixture, group, do_commit, fixture->logs[group]); }

static void posted(struct task *task) { step_done(container_of(task, struct step, task)); }

void fixture_checkpoint(struct fixture *fixture) {
  struct step step;
  step_init(&step);
  step.task.run = posted;
  log_set_checkpoint(fixture->set, fixture->lanes[0], &step.task);
  step_wait(&step);
}

/* ---- Reading ---- */

struct reading {
  struct step step;
  struct log *log;
  struct log_read *read;
  struct log_find *find;
};
static struct reading *current_reading(struct log_read *read) { return read->work; }
static void read_done(struct task *task) { step_done(&current_reading(container_of(task, struct log_read, done))->step); }
static void read_run(struct task *task) {
  struct reading *reading = container_of(task, struct reading, step.task);
  struct log_view view = log_view(reading->log);
  if (reading->read->limit == 0) reading->read->limit = view.next_offset;
  if (log_read(reading->log, reading->read)) step_done(&reading->step);
}

void fixture_read(struct fixture *fixture, group_id group, record_offset offset, size_t bytes_max, struct log_read *read) {
  struct reading reading = {.log = fixture->logs[group], .read = read};
  step_init(&reading.step);
  reading.step.task.run = read_run;
  read->offset = offset;
  read->bytes_max = bytes_max;
  read->loop = lane_of(fixture, group);
  read->done.run = read_done;
  read->work = &reading;
  loop_post(read->loop, &reading.step.task);
  step_wait(&reading.step);
}

size_t fixture_read_all(struct fixture *fixture, group_id group, record_offset from, size_t bytes_max, size_t value_size) {
  struct log_view view = fixture_view(fixture, group);
  struct log_read read = {0};
  size_t count = 0;
  for (record_offset at = from; at < view.next_offset;) {
    fixture_read(fixture, group, at, bytes_max, &read);
    CHECK_MSG(read.status == STATUS_OK, "offset %lld: %s", (long long)at, status_name(read.status));
    CHECK(read.count > 0);
    for (size_t i = 0; i < read.count; i++, at++) {
      CHECK(read.entries[i].head.base_offset == at);
      struct bytes payload = read.entries[i].payload.bytes;
      CHECK(entry_check_payload(&read.entries[i].head, payload) == STATUS_OK);
      CHECK(payload.data[payload.size - 1] == (uint8_t)((uint64_t)at * 31 + group) && payload.size > value_size);
      count++;
    }
    CHECK(read.next_offset == at);
    log_read_reset(&read);
    read.limit = 0;
  }
  return count;
}

static void find_done(struct task *task) {
  struct log_find *find = container_of(task, struct log_find, done);
  step_done(&((struct reading *)find->work)->step);
}
static void find_run(struct task *task) {
  struct reading *reading = container_of(task, struct reading, step.task);
  reading->find->limit = log_view(reading->log).next_offset;
  log_find_time(reading->log, reading->find);
}
void fixture_find(struct fixture *fixture, group_id group, int64_t time_ms, struct log_find *find) {
  struct reading reading = {.log = fixture->logs[group], .find = find};
  step_init(&reading.step);
  reading.step.task.run = find_run;
  *find = (struct log_find){.time_ms = time_ms, .loop = lane_of(fixture, group), .done.run = find_done, .work = &reading};
  loop_post(find->loop, &reading.step.task);
  step_wait(&reading.step);
}

/* ---- Files ---- */

void fixture_path(const struct fixture *fixture, const char *name, char *out, size_t size) {
  snprintf(out, size, "%s/%s", fixture->directory, name);
}

void fixture_flip(const struct fixture *fixture, const char *name, long offset) {
  char path[512];
  fixture_path(fixture, name, path, sizeof path);
  FILE *file = fopen(path, "r+b");
  CHECK(file != NULL);
  CHECK(fseek(file, offset, SEEK_SET) == 0);
  int byte = fgetc(file);
  CHECK(byte != EOF);
  CHECK(fseek(file, offset, SEEK_SET) == 0);
  fputc(byte ^ 1, file);
  CHECK(fclose(file) == 0);
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

size_t fixture_list(const struct fixture *fixture, const char *name, char out[][64], size_t max) {
  char path[512];
  fixture_path(fixture, name, path, sizeof path);
  DIR *directory = opendir(path);
  if (directory == NULL) return 0;
  size_t count = 0;
  for (struct dirent *entry = NULL; (entry = readdir(directory)) != NULL;) {
    if (entry->d_name[0] == '.' || count == max) continue;
    snprintf(out[count++], 64, "%.63s", entry->d_name);
  }
  closedir(directory);
  qsort(out, count, 64, by_name);
  return count;
}

bool fixture_has(const struct fixture *fixture, const char *name) {
  char path[512];
  struct stat info;
  fixture_path(fixture, name, path, sizeof path);
  return stat(path, &info) == 0;
}

uint64_t fixture_hash(const struct fixture *fixture) {
  static const char *const folders[] = {"journal", "dump", "."};
  uint64_t hash = 0;
  for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
    char names[64][64];
    size_t count = fixture_list(fixture, folders[i], names, 64);
    for (size_t k = 0; k < count; k++) {
      char name[160], path[512];
      snprintf(name, sizeof name, "%s/%s", folders[i], names[k]);
      if (strstr(name, "-lock") != NULL) continue;
      fixture_path(fixture, name, path, sizeof path);
      FILE *file = fopen(path, "rb");
      static uint8_t bytes[1 << 20];
      for (size_t size; file != NULL && (size = fread(bytes, 1, sizeof bytes, file)) > 0;)
        hash = xxh3(hash, bytes_of(bytes, size));
      if (file != NULL) fclose(file);
      hash = xxh3(hash, bytes_of_string(name));
    }
  }
  return hash;
}
