/* The beginning and the end of a journal: open, start, close. */
#include "base/check.h"
#include "base/memory.h"
#include "log/journal_private.h"
#include "log/journal_scan.h"

#define GROUP_BYTES_MIN (2 * JOURNAL_BLOCK)
#define GROUPS_PER_FILE_MIN 4u

static uint32_t group_bytes(const struct journal_options *options, uint64_t file_bytes) {
  uint64_t bytes = options->group_bytes_max & ~(JOURNAL_BLOCK - 1);
  uint64_t most = (file_bytes / GROUPS_PER_FILE_MIN) & ~(uint64_t)(JOURNAL_BLOCK - 1);
  if (most > JOURNAL_GROUP_BYTES_MAX) most = JOURNAL_GROUP_BYTES_MAX;
  if (bytes > most) bytes = most;
  return bytes < GROUP_BYTES_MIN ? GROUP_BYTES_MIN : (uint32_t)bytes;
}

static struct journal *journal_new(struct world *world, const struct journal_options *options) {
  struct journal *journal = NEW(struct journal);
  journal->world = world;
  journal->idle_close_ns = (uint64_t)options->idle_close_ms * 1000000u;
  journal->files_ready = options->files_ready > 0 ? options->files_ready : 1;
  journal->disk_reserve_bytes = options->disk_reserve_bytes;
  journal->claimed_bytes = options->claimed_bytes;
  journal->room_wanted = options->room_wanted;
  journal->room_context = options->room_context;
  journal_ring_init(&journal->ring, world->disk, world->entropy, options);
  journal_group_init(&journal->group, group_bytes(options, journal->ring.file_bytes));
  journal->states = journal_states_new(entropy_next(world->entropy));
  buffer_init(&journal->table, JOURNAL_BODY_MAX);
  journal->closed_group = true;
  return journal;
}

static void journal_free(struct journal *journal) {
  journal_ring_deinit(&journal->ring);
  journal_group_deinit(&journal->group);
  journal_states_free(journal->states);
  buffer_deinit(&journal->table);
  memory_free(journal);
}

/* What the scan accepted may stand in a disk's cache only, if the last write was cut short by a kill. From now on the report, and every group
 * to come, says it is durable, so it has to be: else a power cut after the kill would make rot of it. */
static enum status sync_found_files(struct journal *journal) {
  list_for_each(&journal->ring.used, node, following) {
    const struct journal_file *file = list_entry(node, struct journal_file, node);
    if (file->blank) continue;
    char path[DISK_PATH_MAX];
    struct disk_file *disk = NULL;
    journal_file_path(path, file->name);
    enum status status = disk_open(journal->world->disk, path, DISK_READ_ONLY | DISK_DIRECT, &disk);
    if (status != STATUS_OK) return status;
    status = disk_sync(disk);
    disk_close(disk);
    if (status != STATUS_OK) return status;
  }
  return STATUS_OK;
}

enum status journal_open(struct world *world, const struct journal_options *options, uint64_t durable_through,
                         const struct journal_replay *replay, struct journal **out_journal, struct journal_report *out_report) {
  struct journal *journal = journal_new(world, options);
  struct journal_scan_result result;
  enum status status = journal_scan(&journal->ring, journal->states, durable_through, replay, &result);
  if (status == STATUS_OK) status = sync_found_files(journal);
  if (status != STATUS_OK) {
    journal_free(journal);
    return status;
  }
  journal->sequence = result.next_sequence - 1;
  journal->hash = result.last_hash;
  journal->frames = result.frames;
  journal_publish_usage(journal);
  atomic_store(&journal->durable_group, journal->sequence);
  *out_journal = journal;
  *out_report = result.report;
  return STATUS_OK;
}

/* ---- Start ---- */

/* A ring of smaller files than before may not hold the table of what there is. Files of another size are not recycled but removed. */
static void grow_files(struct journal *journal) {
  uint64_t table = JOURNAL_TABLE_HEAD_SIZE + (uint64_t)journal_states_count(journal->states) * JOURNAL_TABLE_ROW_SIZE;
  uint64_t bytes = journal_round_up(table * JOURNAL_TABLE_SHARE);
  if (bytes > journal->ring.file_bytes) journal->ring.file_bytes = bytes;
}

/* Enough ready files to begin: one, on which everything depends, and more as long as the ring may have them. */
static enum status make_first_files(struct journal *journal) {
  struct journal_ring *ring = &journal->ring;
  while (ring->ready_count < journal->files_ready &&
         journal_ring_plan(ring, ring->ready_count == 0 ? UINT32_MAX : ring->files_nominal, &journal->job)) {
    if (ring->ready_count > 0) journal->job.keep_free = journal_keep_free(journal);
    journal_job_run(&journal->job);
    enum status status = journal_ring_finish(ring, &journal->job);
    if (status == STATUS_NO_SPACE && ring->ready_count > 0) break;
    if (status != STATUS_OK) return status;
  }
  return STATUS_OK;
}

static uint64_t superseded_below(const struct journal *journal) {
  uint64_t start_file = journal->ring.start_file;
  return journal->superseded_below < start_file ? journal->superseded_below : start_file;
}

/* Into files that are free and, within the ring's nominal count, new ones; beyond it when nothing would come of stopping. STATUS_END: that was all.
 * STATUS_NO_SPACE: there are no more files unless found ones are given up. STATUS_DISK_FULL: there are none. */
static enum status carry_some(struct journal *journal) {
  for (;;) {
    journal->start_files_max = journal->ring.files_nominal;
    enum status status = journal_write_next(journal);
    if (status == STATUS_NO_SPACE && !journal_ring_would_free(&journal->ring, superseded_below(journal))) {
      journal->start_files_max = UINT32_MAX;
      status = journal_write_next(journal);
      if (status == STATUS_NO_SPACE) return STATUS_DISK_FULL;
    }
    if (status != STATUS_OK) return status;
  }
}

/* The table and what is carried, in groups that count only together; the last one, empty, says that this is all. One more says that even
 * that one is durable, or rot in it would look like a start that did not come to its end; and which files are released by it. */
static enum status write_start(struct journal *journal) {
  journal->carry_flags = GROUP_CARRIED | GROUP_CARRY_BEGINS;
  journal->start_files_max = UINT32_MAX;
  enum status status = journal_next_file(journal);
  if (status == STATUS_OK) status = carry_some(journal);
  if (status != STATUS_END && status != STATUS_NO_SPACE) return status;
  journal->carry_flags |= GROUP_CARRY_ENDS;
  status = journal_write_closing(journal);
  journal->carry_flags = 0;
  if (status != STATUS_OK) return status;
  journal_ring_release(&journal->ring, atomic_load(&journal->release_below));
  journal_ring_release(&journal->ring, superseded_below(journal));
  return journal_write_closing(journal);
}

/* Ordinary groups: what stands twice in the journal does no harm, and each file that is superseded makes room for the next. */
static enum status carry_rest(struct journal *journal) {
  for (;;) {
    enum status status = carry_some(journal);
    if (status != STATUS_NO_SPACE && status != STATUS_END) return status;
    journal_ring_release(&journal->ring, superseded_below(journal));
    enum status said = journal_say_released(journal);
    if (said != STATUS_OK || status == STATUS_END) return said;
  }
}

static void give_carried_back(struct journal *journal) {
  if (journal->carried != NULL) journal->carried->loop = journal->carried_owner;
  journal->carried = NULL;
}

static enum status end_half(struct journal *journal, enum status status) {
  journal_publish_usage(journal);
  if (status == STATUS_OK) return STATUS_OK;
  give_carried_back(journal);
  journal->broken = true;
  atomic_store(&journal->failed, true);
  return status == STATUS_DISK_FULL ? STATUS_NO_SPACE : status;
}

enum status journal_carry(struct journal *journal, struct journal_write *carried) {
  PRE(journal->loop == NULL && !journal->broken && !journal->carry_done);
  journal->carry_done = true;
  if (carried != NULL && carried->count > 0) {
    journal->carried = carried;
    journal->carried_owner = carried->loop;
    carried->loop = NULL; /* nobody waits for an answer */
    journal_queue_put(journal, carried);
  }
  grow_files(journal);
  enum status status = journal_ring_prepare(&journal->ring);
  if (status == STATUS_OK) status = make_first_files(journal);
  if (status == STATUS_OK) status = write_start(journal);
  return end_half(journal, status);
}

enum status journal_start(struct journal *journal) {
  PRE(journal->loop == NULL && !journal->broken);
  enum status status = journal->carry_done ? STATUS_OK : journal_carry(journal, NULL);
  if (status == STATUS_OK) status = end_half(journal, carry_rest(journal));
  if (status != STATUS_OK) return status;
  give_carried_back(journal);
  journal_loop_begin(journal);
  return STATUS_OK;
}

void journal_close(struct journal *journal) {
  if (journal == NULL) return;
  if (journal->loop != NULL) {
    loop_post(journal->loop, &journal->close_task);
    loop_stop(journal->loop);
  }
  journal_free(journal);
}
