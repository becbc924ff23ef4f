#include "log/journal_ring.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/mutant.h"
#include "base/probe.h"

#define FILL_STEP (256u << 10) /* small, for the sake of the groups that are written meanwhile */
#define FILE_BYTES_MIN (64u << 10)
#define UNFINISHED_PATH JOURNAL_DIRECTORY "/unfinished"

void journal_file_path(char into[DISK_PATH_MAX], uint64_t name) {
  snprintf(into, DISK_PATH_MAX, JOURNAL_DIRECTORY "/%020" PRIu64, name);
}

void journal_ring_init(struct journal_ring *ring, struct disk *disk, struct entropy *entropy,
                       const struct journal_options *options) {
  *ring = (struct journal_ring){.disk = disk, .entropy = entropy, .next_name = 1};
  memcpy(ring->owner, options->owner, sizeof ring->owner);
  ring->file_bytes = options->file_bytes & ~(uint64_t)(JOURNAL_BLOCK - 1);
  if (ring->file_bytes < FILE_BYTES_MIN) ring->file_bytes = FILE_BYTES_MIN;
  uint64_t files = options->ring_bytes / ring->file_bytes;
  ring->files_nominal = files < JOURNAL_FILES_MIN ? JOURNAL_FILES_MIN : (uint32_t)files;
  list_init(&ring->used);
  list_init(&ring->ready);
}

static struct journal_file *file_of(struct list_node *node) { return list_entry(node, struct journal_file, node); }

static void free_files(struct list *list) {
  list_for_each(list, node, following) {
    disk_close(file_of(node)->disk);
    memory_free(file_of(node));
  }
  list_init(list);
}

void journal_ring_deinit(struct journal_ring *ring) {
  free_files(&ring->used);
  free_files(&ring->ready);
}

void journal_ring_adopt(struct journal_ring *ring, const struct journal_file *file) {
  struct journal_file *adopted = NEW(struct journal_file);
  *adopted = *file;
  list_push_back(&ring->used, &adopted->node);
  ring->used_count++;
  uint64_t highest = file->name > file->head.sequence ? file->name : file->head.sequence;
  if (highest >= ring->next_name) ring->next_name = highest + 1;
}

/* ---- Before the first step ---- */

enum status journal_ring_prepare(struct journal_ring *ring) {
  enum status status = disk_make_dir(ring->disk, JOURNAL_DIRECTORY);
  if (status != STATUS_OK && status != STATUS_EXISTS) return status;
  status = disk_sync_dir(ring->disk, "");
  if (status != STATUS_OK) return status;
  status = disk_remove(ring->disk, UNFINISHED_PATH);
  return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* ---- What could be done next ---- */

static bool released(const struct journal_ring *ring, const struct journal_file *file) {
  return file->blank || file->head.sequence < ring->released_below;
}

static bool is_current(const struct journal_file *file) { return file->disk != NULL; }

/* The file to take next: blank ones at once (rule 4), of the others only the oldest (rule 2). */
static struct journal_file *recyclable(const struct journal_ring *ring) {
  struct journal_file *newest_blank = NULL;
  list_for_each(&ring->used, node, following) {
    if (file_of(node)->blank) newest_blank = file_of(node);
  }
  if (newest_blank != NULL) return newest_blank;
  struct list_node *first = list_first(&ring->used);
  if (first == NULL) return NULL;
  struct journal_file *oldest = file_of(first);
  return is_current(oldest) || oldest->head.sequence >= ring->given_up_below ? NULL : oldest;
}

static uint32_t file_count(const struct journal_ring *ring) { return ring->used_count + ring->ready_count + ring->in_job_count; }

/* ---- Jobs: planned and finished on the journal's loop ---- */

/* What the file will be once the job is done. */
static void name_file(struct journal_ring *ring, struct journal_file *file) {
  *file = (struct journal_file){.name = ring->next_name++, .end = JOURNAL_BLOCK};
  file->head = (struct journal_file_head){.sequence = file->name, .salt = entropy_next(ring->entropy), .size = ring->file_bytes};
  memcpy(file->head.owner, ring->owner, sizeof file->head.owner);
}

static void plan_reuse(struct journal_ring *ring, struct journal_file *file, struct journal_job *job) {
  bool fits = file->head.size == ring->file_bytes;
  bool surplus = file_count(ring) > ring->files_nominal && ring->ready_count > JOURNAL_FILES_START;
  list_remove(&file->node);
  ring->used_count--;
  job->file = file;
  job->old_name = file->name;
  job->kind = fits && !surplus ? JOB_RECYCLE : JOB_REMOVE;
  if (job->kind == JOB_REMOVE) return;
  REACHED(journal_file_recycled);
  ring->in_job_count = 1;
  name_file(ring, file);
}

bool journal_ring_plan(struct journal_ring *ring, uint32_t files_max, struct journal_job *out_job) {
  PRE(ring->in_job_count == 0);
  out_job->disk = ring->disk;
  out_job->status = STATUS_OK;
  atomic_store(&out_job->cancel, false);
  struct journal_file *file = recyclable(ring);
  if (file != NULL) {
    plan_reuse(ring, file, out_job);
    return true;
  }
  if (file_count(ring) >= files_max) return false;
  out_job->kind = JOB_MAKE;
  out_job->keep_free = 0;
  out_job->filled = &ring->space_filled;
  out_job->file = NEW(struct journal_file);
  ring->in_job_count = 1;
  name_file(ring, out_job->file);
  atomic_fetch_add(&ring->space_taken, out_job->file->head.size);
  return true;
}

enum status journal_ring_finish(struct journal_ring *ring, struct journal_job *job) {
  struct journal_file *file = job->file;
  job->file = NULL;
  ring->in_job_count = 0;
  if (job->kind == JOB_REMOVE || job->status != STATUS_OK) {
    /* A number that no file got is given to the next, so that sequences stay dense. */
    if (job->kind == JOB_MAKE) ring->next_name = file->name;
    if (job->kind == JOB_MAKE) atomic_store(&ring->space_taken, atomic_load(&ring->space_filled));
    if (job->status == STATUS_NO_SPACE) ring->short_of_space = true;
    disk_close(file->disk);
    memory_free(file);
    return job->status;
  }
  list_push_back(&ring->ready, &file->node);
  ring->ready_count++;
  ring->short_of_space = false;
  return STATUS_OK;
}

/* ---- Jobs: run wherever blocking is allowed ---- */

static enum status write_heads(const struct journal_file *file) {
  uint8_t *block = memory_new_aligned(JOURNAL_BLOCK, JOURNAL_BLOCK);
  journal_file_head_encode(&file->head, block);
  enum status status = disk_write(file->disk, file->head.size - JOURNAL_BLOCK, bytes_of(block, JOURNAL_BLOCK));
  if (status == STATUS_OK) status = disk_write(file->disk, 0, bytes_of(block, JOURNAL_BLOCK));
  memory_free(block);
  return status;
}

/* A file of zeros or of an earlier lap gets the name, and only when that is durable the head, of what it will be. */
static enum status rename_and_head(struct disk *disk, const char *from, struct journal_file *file) {
  char path[DISK_PATH_MAX];
  journal_file_path(path, file->name);
  enum status status = disk_rename(disk, from, path);
  if (status == STATUS_OK && !MUTANT(journal_name_not_synced)) status = disk_sync_dir(disk, JOURNAL_DIRECTORY);
  unsigned through = MUTANT(ack_without_sync) ? 0 : DISK_WRITE_THROUGH;
  if (status == STATUS_OK) status = disk_open(disk, path, DISK_DIRECT | through, &file->disk);
  if (status == STATUS_OK) status = write_heads(file);
  return status;
}

static enum status fill_with_zeros(const struct journal_job *job, struct disk_file *file) {
  uint8_t *zeros = memory_new_aligned(JOURNAL_BLOCK, FILL_STEP);
  memset(zeros, 0, FILL_STEP);
  enum status status = STATUS_OK;
  for (uint64_t at = 0; status == STATUS_OK && at < job->file->head.size;) {
    uint64_t step = job->file->head.size - at;
    if (step > FILL_STEP) step = FILL_STEP;
    status = disk_write(file, at, bytes_of(zeros, (size_t)step));
    at += step;
    atomic_fetch_add(job->filled, step);
    if (status == STATUS_OK && atomic_load(&job->cancel)) status = STATUS_CANCELLED;
  }
  memory_free(zeros);
  return status == STATUS_OK ? disk_sync(file) : status;
}

static enum status make_file(struct journal_job *job) {
  struct disk_space space;
  enum status status = disk_space(job->disk, &space);
  if (status != STATUS_OK) return status;
  /* Spares everybody a disk that is full for a moment. */
  if (space.available < job->file->head.size || space.available - job->file->head.size < job->keep_free) return STATUS_NO_SPACE;

  struct disk_file *unfinished = NULL;
  status = disk_open(job->disk, UNFINISHED_PATH, DISK_CREATE | DISK_DIRECT, &unfinished);
  if (status != STATUS_OK) return status;
  status = fill_with_zeros(job, unfinished);
  disk_close(unfinished);
  if (status == STATUS_OK) return rename_and_head(job->disk, UNFINISHED_PATH, job->file);
  /* What is left of it takes space that others need; if even that fails, the next start removes it. */
  enum status removed = disk_remove(job->disk, UNFINISHED_PATH);
  (void)removed;
  return status;
}

/* Failures leave it open which name the file has: whatever they are called, the ring cannot go on. */
static enum status reuse_file(struct journal_job *job) {
  char path[DISK_PATH_MAX];
  journal_file_path(path, job->old_name);
  enum status status = STATUS_OK;
  if (job->kind == JOB_RECYCLE) {
    status = rename_and_head(job->disk, path, job->file);
  } else {
    status = disk_remove(job->disk, path);
    if (status == STATUS_OK) status = disk_sync_dir(job->disk, JOURNAL_DIRECTORY);
  }
  return status == STATUS_OK ? STATUS_OK : STATUS_IO;
}

void journal_job_run(struct journal_job *job) { job->status = job->kind == JOB_MAKE ? make_file(job) : reuse_file(job); }

/* ---- Use ---- */

struct journal_file *journal_ring_current(const struct journal_ring *ring) {
  struct list_node *last = list_last(&ring->used);
  return last != NULL && is_current(file_of(last)) ? file_of(last) : NULL;
}

struct journal_file *journal_ring_advance(struct journal_ring *ring) {
  struct list_node *node = list_pop_front(&ring->ready);
  if (node == NULL) return NULL;
  struct journal_file *before = journal_ring_current(ring);
  if (before != NULL) {
    disk_close(before->disk);
    before->disk = NULL;
  }
  list_push_back(&ring->used, node);
  ring->ready_count--;
  ring->used_count++;
  if (ring->start_file == 0) ring->start_file = file_of(node)->head.sequence;
  return file_of(node);
}

void journal_ring_release(struct journal_ring *ring, uint64_t below) {
  if (below > ring->released_below) ring->released_below = below;
}

/* Files below may go: they are released, and at least `tables` others, not older, hold a table. */
static uint64_t releasable(const struct journal_ring *ring, uint64_t released_below, unsigned tables) {
  uint64_t newest[2] = {0, 0}; /* files with a table */
  list_for_each(&ring->used, node, following) {
    if (!file_of(node)->has_table) continue;
    newest[1] = newest[0];
    newest[0] = file_of(node)->head.sequence;
  }
  uint64_t below = released_below < newest[tables - 1] ? released_below : newest[tables - 1];
  return below < ring->given_up_below ? ring->given_up_below : below;
}

static bool frees_oldest(const struct journal_ring *ring, uint64_t below) {
  struct list_node *first = list_first(&ring->used);
  return first != NULL && file_of(first)->head.sequence < below;
}

uint64_t journal_ring_releasable(const struct journal_ring *ring) { return releasable(ring, ring->released_below, 2); }

bool journal_ring_would_free(const struct journal_ring *ring, uint64_t below) {
  return frees_oldest(ring, releasable(ring, below > ring->released_below ? below : ring->released_below, 2));
}

bool journal_ring_may_advance(const struct journal_ring *ring) {
  if (ring->ready_count != JOURNAL_FILES_START) return ring->ready_count > JOURNAL_FILES_START;
  return frees_oldest(ring, releasable(ring, ring->released_below, 1)); /* the next file begins with a table too */
}

void journal_ring_give_up(struct journal_ring *ring, uint64_t below) {
  PRE(below <= ring->released_below);
  if (below > ring->given_up_below) ring->given_up_below = below;
}

static uint64_t capacity(const struct journal_ring *ring) {
  return journal_groups_end(ring->file_bytes) - 2 * (uint64_t)JOURNAL_BLOCK; /* the head, and the closing group */
}

/* So many files are not free to be taken sooner or later, the current one included. */
static uint32_t needed_count(const struct journal_ring *ring) {
  uint32_t needed = 0;
  list_for_each(&ring->used, node, following) {
    if (is_current(file_of(node)) || !released(ring, file_of(node))) needed++;
  }
  return needed;
}

bool journal_ring_in_reserve(const struct journal_ring *ring) {
  return needed_count(ring) + JOURNAL_FILES_RESERVE + JOURNAL_FILES_START >= ring->files_nominal;
}

struct journal_room journal_ring_room(const struct journal_ring *ring) {
  uint64_t left = 0;
  struct journal_file *current = journal_ring_current(ring);
  if (current != NULL && current->end < JOURNAL_BLOCK + capacity(ring)) left = JOURNAL_BLOCK + capacity(ring) - current->end;
  int64_t kept = JOURNAL_FILES_RESERVE + JOURNAL_FILES_START;
  int64_t files = (int64_t)ring->files_nominal - needed_count(ring) - kept;
  int64_t missing = (int64_t)ring->files_nominal - file_count(ring);
  int64_t lacking = ring->short_of_space && missing > 0 ? missing : 0;
  int64_t reachable = (int64_t)ring->files_nominal - 1 - kept - lacking;
  return (struct journal_room){.bytes = (files - lacking) * (int64_t)capacity(ring) + (int64_t)left,
                               .lacking = (uint64_t)lacking * capacity(ring),
                               .reachable = reachable > 0 ? (uint64_t)reachable * capacity(ring) : 0};
}

uint64_t journal_ring_used_bytes(const struct journal_ring *ring) {
  uint64_t bytes = 0;
  list_for_each(&ring->used, node, following) {
    if (!released(ring, file_of(node))) bytes += file_of(node)->end;
  }
  return bytes;
}

uint64_t journal_ring_oldest(const struct journal_ring *ring) {
  list_for_each(&ring->used, node, following) {
    if (!released(ring, file_of(node)) || is_current(file_of(node))) return file_of(node)->head.sequence;
  }
  return 0;
}
