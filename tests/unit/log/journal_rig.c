#include "tests/unit/log/journal_rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/list.h"
#include "base/memory.h"

void rig_init(struct rig *rig) {
  const char *parent = getenv("TEST_TMPDIR");
  *rig = (struct rig){.options = {.ring_bytes = 8 * RIG_SMALL_FILE,
                                  .file_bytes = RIG_SMALL_FILE,
                                  .group_bytes_max = 32 << 10,
                                  .files_ready = 2,
                                  .idle_close_ms = 5}};
  snprintf(rig->directory, sizeof rig->directory, "%s/cairn_journal_XXXXXX", parent == NULL ? "/tmp" : parent);
  assert_non_null(mkdtemp(rig->directory));
  assert_ok(world_os_open(rig->directory, false, &rig->world));
  rig->lane = loop_os_new("lane", 0);
  rig->found = memory_new_array(RIG_FRAMES_MAX, sizeof *rig->found);
}

static void each_file(const struct rig *rig, void (*visit)(void *context, const char *path), void *context) {
  char path[600];
  snprintf(path, sizeof path, "%s/journal", rig->directory);
  DIR *directory = opendir(path);
  if (directory == NULL) return;
  for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%s/journal/%s", rig->directory, entry->d_name);
    visit(context, path);
  }
  closedir(directory);
}

static void unlink_one(void *context, const char *path) {
  (void)context;
  unlink(path);
}

void rig_deinit(struct rig *rig) {
  rig_close(rig);
  loop_stop(rig->lane);
  world_os_close(rig->world);
  char path[600];
  each_file(rig, unlink_one, NULL);
  snprintf(path, sizeof path, "%s/journal", rig->directory);
  rmdir(path);
  rmdir(rig->directory);
  memory_free(rig->found);
}

int rig_set_up(void **state) {
  static struct rig rig;
  rig_init(&rig);
  *state = &rig;
  return 0;
}

int rig_tear_down(void **state) {
  rig_deinit(*state);
  return 0;
}

/* ---- Opening ---- */

static void note_found(void *context, const struct journal_found *frame) {
  struct rig *rig = context;
  assert_true(rig->found_count < RIG_FRAMES_MAX);
  struct rig_frame *noted = &rig->found[rig->found_count++];
  *noted = (struct rig_frame){.group = frame->group,
                              .instance = frame->instance,
                              .kind = frame->kind,
                              .index = frame->first_index,
                              .size = frame->body.size,
                              .hash = xxh3(0, frame->body),
                              .place = frame->place};
  if (frame->kind == FRAME_HARD_STATE) assert_ok(journal_hard_state_decode(frame->body, &noted->state));
}

static void note_damage(void *context, const struct journal_loss *loss) {
  struct rig *rig = context;
  assert_true(rig->damage_count < sizeof rig->damage / sizeof *rig->damage);
  rig->damage[rig->damage_count++] =
      (struct rig_damage){.known = loss->known, .group = loss->group, .instance = loss->instance, .index = loss->first_index};
}

static void note_dropped(void *context, const struct journal_loss *loss) {
  struct rig *rig = context;
  assert_true(rig->dropped_count < sizeof rig->dropped / sizeof *rig->dropped);
  rig->dropped[rig->dropped_count++] = *loss;
}

enum status rig_try_open(struct rig *rig, uint64_t durable_through) {
  struct journal_replay replay = {.found = note_found, .damaged = note_damage, .dropped = note_dropped, .context = rig};
  rig->found_count = 0;
  rig->damage_count = 0;
  rig->dropped_count = 0;
  return journal_open(rig->world, &rig->options, durable_through, &replay, &rig->journal, &rig->report);
}

void rig_open(struct rig *rig) { assert_ok(rig_try_open(rig, 0)); }

void rig_start(struct rig *rig) {
  rig_open(rig);
  assert_ok(journal_start(rig->journal));
}

void rig_close(struct rig *rig) {
  journal_close(rig->journal);
  rig->journal = NULL;
}

/* ---- Writing ---- */

static atomic_int answers;

static void turn_done(struct task *task) {
  struct rig_turn *turn = container_of(container_of(task, struct journal_write, done), struct rig_turn, write);
  atomic_store(&turn->answered, atomic_fetch_add(&answers, 1) + 1);
}

void rig_turn_init(struct rig *rig, struct rig_turn *turn) {
  journal_write_init(&turn->write, rig->lane, turn_done);
  atomic_init(&turn->answered, 0);
}

void rig_turn_deinit(struct rig_turn *turn) { journal_write_deinit(&turn->write); }

static void fill_payload(uint8_t *payload, group_id group, entry_index index, size_t size) {
  uint64_t seed = group * 1000003 + index;
  for (size_t i = 0; i < size; i++) payload[i] = (uint8_t)((seed + i) * 2654435761u >> 11);
}

static void seal_head(uint8_t encoded[ENTRY_HEAD_SIZE], entry_index index, struct bytes payload) {
  struct entry_head head = {.kind = ENTRY_RECORDS, .record_count = 1, .index = index, .term = 1};
  entry_seal(&head, payload, 0);
  entry_encode_head(&head, encoded);
}

void rig_add_entry(struct rig_turn *turn, group_id group, entry_index index, size_t size) {
  struct blob *blob = NULL;
  assert_ok(blob_new(NULL, size, &blob));
  fill_payload(blob->data, group, index, size);
  struct journal_frame *frame = journal_write_add(&turn->write, group, 1, FRAME_ENTRY);
  frame->first_index = index;
  frame->head_size = ENTRY_HEAD_SIZE;
  seal_head(frame->head, index, bytes_of(blob->data, size));
  frame->payload = (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, size)};
  turn->write.bytes += ENTRY_HEAD_SIZE + size;
}

uint64_t rig_body_hash(group_id group, entry_index index, size_t size) {
  uint8_t *body = memory_new(ENTRY_HEAD_SIZE + size);
  fill_payload(body + ENTRY_HEAD_SIZE, group, index, size);
  seal_head(body, index, bytes_of(body + ENTRY_HEAD_SIZE, size));
  uint64_t hash = xxh3(0, bytes_of(body, ENTRY_HEAD_SIZE + size));
  memory_free(body);
  return hash;
}

void rig_submit(struct rig *rig, struct rig_turn *turn) {
  atomic_store(&turn->answered, 0);
  journal_submit(rig->journal, &turn->write);
}

enum status rig_wait(struct rig_turn *turn) {
  while (atomic_load(&turn->answered) == 0) sched_yield();
  return turn->write.status;
}

struct journal_place rig_append(struct rig *rig, group_id group, entry_index index, size_t size) {
  struct rig_turn turn;
  rig_turn_init(rig, &turn);
  rig_add_entry(&turn, group, index, size);
  rig_submit(rig, &turn);
  assert_ok(rig_wait(&turn));
  struct journal_place place = turn.write.frames[0].place;
  rig_turn_deinit(&turn);
  return place;
}

void rig_hard_state(struct rig *rig, group_id group, entry_term term) {
  struct rig_turn turn;
  rig_turn_init(rig, &turn);
  struct hard_state hard_state = {.term = term, .vote = 3, .commit = term * 10};
  journal_write_add_hard_state(&turn.write, group, 1, &hard_state);
  rig_submit(rig, &turn);
  assert_ok(rig_wait(&turn));
  rig_turn_deinit(&turn);
}

entry_index rig_fill_file(struct rig *rig, group_id group, entry_index index, size_t size) {
  uint64_t file = journal_usage(rig->journal).current_file;
  do {
    rig_append(rig, group, index++, size);
  } while (journal_usage(rig->journal).current_file == file);
  return index;
}

void rig_settle(struct rig *rig) {
  struct journal_usage before;
  struct journal_usage usage = journal_usage(rig->journal);
  do {
    before = usage;
    usleep(30000);
    usage = journal_usage(rig->journal);
  } while (!usage.idle || before.durable_group != usage.durable_group);
}

/* ---- What was found ---- */

void rig_expect_entries(const struct rig *rig, group_id group, entry_index first, entry_index last, size_t size) {
  entry_index next = first;
  for (size_t i = 0; i < rig->found_count; i++) {
    const struct rig_frame *frame = &rig->found[i];
    if (frame->kind != FRAME_ENTRY || frame->group != group) continue;
    assert_int_equal(frame->index, next);
    assert_int_equal(frame->size, ENTRY_HEAD_SIZE + size);
    assert_true(frame->hash == rig_body_hash(group, next, size));
    next++;
  }
  assert_int_equal(next, last + 1);
}

size_t rig_count(const struct rig *rig, enum frame_kind kind, group_id group) {
  size_t count = 0;
  for (size_t i = 0; i < rig->found_count; i++) {
    if (rig->found[i].kind == kind && rig->found[i].group == group) count++;
  }
  return count;
}

struct hard_state rig_found_state(const struct rig *rig, group_id group) {
  struct hard_state hard_state = {0};
  for (size_t i = 0; i < rig->found_count; i++) {
    if (rig->found[i].kind == FRAME_HARD_STATE && rig->found[i].group == group) hard_state = rig->found[i].state;
  }
  return hard_state;
}

/* ---- Tampering ---- */

static int open_file(const struct rig *rig, uint64_t file) {
  char path[600];
  snprintf(path, sizeof path, "%s/journal/%020" PRIu64, rig->directory, file);
  int descriptor = open(path, O_RDWR | O_CLOEXEC);
  assert_true(descriptor >= 0);
  return descriptor;
}

void rig_read(const struct rig *rig, uint64_t file, uint64_t offset, void *into, size_t size) {
  int descriptor = open_file(rig, file);
  assert_int_equal(pread(descriptor, into, size, (off_t)offset), size);
  close(descriptor);
}

void rig_overwrite(const struct rig *rig, uint64_t file, uint64_t offset, const void *bytes, size_t size) {
  int descriptor = open_file(rig, file);
  assert_int_equal(pwrite(descriptor, bytes, size, (off_t)offset), size);
  close(descriptor);
}

void rig_flip(const struct rig *rig, uint64_t file, uint64_t offset, uint8_t mask) {
  uint8_t byte = 0;
  rig_read(rig, file, offset, &byte, 1);
  byte ^= mask;
  rig_overwrite(rig, file, offset, &byte, 1);
}

struct rig_image {
  struct {
    char path[600];
    uint8_t *bytes;
    size_t size;
  } files[64];
  size_t count;
};

static void take_one(void *context, const char *path) {
  struct rig_image *image = context;
  assert_true(image->count < 64);
  int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  struct stat stat;
  assert_int_equal(fstat(descriptor, &stat), 0);
  size_t size = (size_t)stat.st_size;
  snprintf(image->files[image->count].path, sizeof image->files[0].path, "%s", path);
  image->files[image->count].size = size;
  image->files[image->count].bytes = memory_new(size);
  assert_int_equal(pread(descriptor, image->files[image->count].bytes, size, 0), size);
  image->count++;
  close(descriptor);
}

struct rig_image *rig_image_take(const struct rig *rig) {
  struct rig_image *image = NEW(struct rig_image);
  each_file(rig, take_one, image);
  return image;
}

void rig_image_restore(const struct rig *rig, const struct rig_image *image) {
  each_file(rig, unlink_one, NULL);
  for (size_t i = 0; i < image->count; i++) {
    int descriptor = open(image->files[i].path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(pwrite(descriptor, image->files[i].bytes, image->files[i].size, 0), image->files[i].size);
    close(descriptor);
  }
}

void rig_image_free(struct rig_image *image) {
  for (size_t i = 0; i < image->count; i++) memory_free(image->files[i].bytes);
  memory_free(image);
}
