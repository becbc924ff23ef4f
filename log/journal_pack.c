/* From writes to groups: the queue of what waits, the next group of it, and the file that it goes into. */
#include "base/check.h"
#include "base/mutant.h"
#include "log/journal_private.h"

/* ---- The queue ---- */

static struct journal_write *write_after(const struct journal_write *write) {
  return write->task.next == NULL ? NULL : journal_write_of(write->task.next);
}

void journal_queue_put(struct journal *journal, struct journal_write *write) {
  struct journal_queue *queue = &journal->queue;
  write->task.next = NULL;
  if (queue->first == NULL) queue->first = write;
  else queue->last->task.next = &write->task;
  queue->last = write;
  if (queue->packing == NULL) {
    queue->packing = write;
    queue->frame = 0;
    queue->start = 0;
  }
}

/* Answers the oldest write, which is its owner's again at once. */
static void answer_first(struct journal *journal, enum status status) {
  struct journal_write *write = journal->queue.first;
  journal->queue.first = write_after(write);
  if (journal->queue.first == NULL) journal->queue.last = NULL;
  write->status = status;
  if (write->loop != NULL) loop_post(write->loop, &write->done);
}

static void answer_packed(struct journal *journal) {
  while (journal->queue.first != journal->queue.packing) answer_first(journal, STATUS_OK);
}

void journal_answer_all(struct journal *journal, enum status status) {
  while (journal->queue.first != NULL) answer_first(journal, status);
  journal->queue.packing = NULL;
}

static void finish_frame(struct journal_queue *queue) {
  queue->start = 0;
  queue->frame++;
}

/* Steps over what has no frames left. False: all is packed. */
static bool find_frame(struct journal_queue *queue) {
  while (queue->packing != NULL && queue->frame == queue->packing->count) {
    queue->packing = write_after(queue->packing);
    queue->frame = 0;
  }
  return queue->packing != NULL;
}

/* ---- Groups ---- */

enum status journal_break_down(struct journal *journal) {
  journal->broken = true;
  atomic_store(&journal->failed, true);
  atomic_store(&journal->job.cancel, true);
  journal_answer_all(journal, STATUS_IO);
  return STATUS_IO;
}

/* What is left of the current file, less the block that is kept for its closing group; the first half of a start ends with two of them. */
static uint64_t file_left(const struct journal *journal) {
  const struct journal_file *file = journal_ring_current(&journal->ring);
  uint64_t kept = (journal->carry_flags & GROUP_CARRIED) != 0 ? 2 : 1;
  uint64_t end = journal_groups_end(file->head.size) - kept * JOURNAL_BLOCK;
  return file->end < end ? end - file->end : 0;
}

/* Seals and writes the planned group. On failure the journal is broken for good, but writes are not answered yet. */
static enum status write_group(struct journal *journal) {
  struct journal_file *file = journal_ring_current(&journal->ring);
  struct journal_group_head head = {
      .sequence = journal->sequence + 1,
      .predecessor = journal->hash,
      .synced_through = journal->sequence, /* one in flight: the one before is durable */
      .file_first = journal->file_first,
      .frames_before = journal->frames,
      .released_below = journal_ring_releasable(&journal->ring),
      .block = (uint32_t)(file->end / JOURNAL_BLOCK),
      .flags = journal->carry_flags,
  };
  struct bytes bytes = journal_group_seal(&journal->group, &file->head, &head);
  enum status status = disk_write(file->disk, file->end, bytes);
  if (status != STATUS_OK && !MUTANT(write_failure_ignored)) return status;
  file->end += bytes.size;
  journal->sequence = head.sequence;
  journal->hash = head.hash;
  journal->frames += journal->group.frames;
  journal_ring_give_up(&journal->ring, head.released_below);
  journal->carry_flags &= ~(uint32_t)GROUP_CARRY_BEGINS;
  journal->closed_group = head.rows == 0;
  atomic_store(&journal->durable_group, head.sequence);
  return STATUS_OK;
}

static enum status write_table(struct journal *journal) {
  journal_states_table(journal->states, &journal->table);
  struct journal_frame frame = {.kind = FRAME_TABLE, .payload = {.bytes = buffer_bytes(&journal->table)}};
  uint64_t size = journal_frame_body_size(&frame);
  for (uint64_t start = 0; start < size;) {
    uint64_t taken = 0;
    CHECK_MSG(file_left(journal) > 2 * (uint64_t)JOURNAL_BLOCK, "a table of %zu replicas fills a journal file",
              journal_states_count(journal->states));
    journal_group_begin(&journal->group, file_left(journal));
    bool added = journal_group_add(&journal->group, &frame, start, &taken);
    CHECK(added);
    start += taken;
    /* Its last group is the first to count on it: what becomes free by a new file is free as soon as that is in use. */
    if (start == size) journal_ring_current(&journal->ring)->has_table = true;
    enum status status = write_group(journal);
    if (status != STATUS_OK) return status;
  }
  return STATUS_OK;
}

/* In place: before there is a helper, and after it is gone. */
static enum status make_file_now(struct journal *journal) {
  struct journal_ring *ring = &journal->ring;
  bool starting = journal->loop == NULL;
  uint32_t files_max = starting ? journal->start_files_max : ring->files_nominal + JOURNAL_FILES_EXTRA;
  while (starting ? ring->ready_count == 0 : !journal_ring_may_advance(ring)) {
    if (!journal_ring_plan(ring, files_max, &journal->job)) return STATUS_NO_SPACE;
    journal_job_run(&journal->job);
    enum status status = journal_ring_finish(ring, &journal->job);
    if (status != STATUS_OK) return status;
  }
  return STATUS_OK;
}

enum status journal_next_file(struct journal *journal) {
  struct journal_ring *ring = &journal->ring;
  bool starting = journal->loop == NULL;
  bool others_make_files = journal->helper != NULL || journal->job_running;
  if (!starting && journal_has_to_wait_for_room(journal)) return STATUS_NO_SPACE;
  if (!starting && others_make_files && !journal_ring_may_advance(ring)) return STATUS_NO_SPACE;
  enum status status = make_file_now(journal);
  if (status != STATUS_OK) return status;
  journal_ring_advance(ring);
  journal->tried = false;
  journal->file_first = journal->sequence + 1;
  status = write_table(journal);
  /* A file system that promised the space and has it no more has failed. */
  return status == STATUS_NO_SPACE ? STATUS_IO : status;
}

enum status journal_write_closing(struct journal *journal) {
  /* Its block was kept free by all groups before it. */
  journal_group_begin(&journal->group, JOURNAL_BLOCK);
  const struct journal_file *file = journal_ring_current(&journal->ring);
  if (file->end + JOURNAL_BLOCK > journal_groups_end(file->head.size)) return STATUS_OK;
  return write_group(journal);
}

enum status journal_say_released(struct journal *journal) {
  struct journal_ring *ring = &journal->ring;
  if (journal_ring_releasable(ring) <= ring->given_up_below) return STATUS_OK;
  enum status status = journal_write_closing(journal);
  /* Without a block left in this file the table of the next one says it. */
  if (status == STATUS_OK) journal_ring_give_up(ring, journal_ring_releasable(ring));
  return status;
}

/* ---- Packing ---- */

/* Plans one group from the queue; returns what the appends in it had been admitted for. */
static uint64_t plan_group(struct journal *journal) {
  struct journal_queue *queue = &journal->queue;
  const struct journal_file *file = journal_ring_current(&journal->ring);
  uint64_t admitted = 0;
  journal_group_begin(&journal->group, file_left(journal));
  while (find_frame(queue)) {
    struct journal_frame *frame = &queue->packing->frames[queue->frame];
    uint64_t taken = 0;
    if (!journal_group_add(&journal->group, frame, queue->start, &taken)) break;
    if (queue->start == 0) {
      frame->place = (struct journal_place){.file = file->head.sequence, .offset = file->end, .slot = journal->group.rows - 1};
    }
    queue->start += taken;
    if (queue->start < journal_frame_body_size(frame)) break;
    bool was_admitted = frame->kind == FRAME_ENTRY && !frame->from_reserve;
    if (was_admitted) admitted += journal_cost(journal_frame_body_size(frame));
    /* The table of the next file, which comes after this group, knows it. */
    journal_states_note(journal->states, frame->kind, frame->group, frame->instance,
                        frame->head_size > 0 ? bytes_of(frame->head, frame->head_size) : frame->payload.bytes);
    if (frame->supersedes > journal->group_supersedes) journal->group_supersedes = frame->supersedes;
    finish_frame(queue);
  }
  return admitted;
}

enum status journal_write_next(struct journal *journal) {
  if (journal->broken) return journal_break_down(journal);
  if (!find_frame(&journal->queue)) {
    answer_packed(journal);
    return STATUS_END;
  }
  uint64_t admitted = plan_group(journal);
  if (MUTANT(ack_before_write)) {
    find_frame(&journal->queue);
    answer_packed(journal);
  }
  if (journal->group.rows == 0) {
    enum status status = journal_next_file(journal);
    if (status == STATUS_NO_SPACE) return status;
    if (status != STATUS_OK) return journal_break_down(journal);
    journal_publish_usage(journal);
    admitted = plan_group(journal);
    CHECK(journal->group.rows > 0);
  }
  enum status status = write_group(journal);
  if (status != STATUS_OK) return journal_break_down(journal);
  journal->superseded_below = journal->group_supersedes;
  /* Room first, so that whoever is answered can be admitted again. */
  journal_publish_usage(journal);
  if (journal->loop != NULL) journal_give_back(journal, admitted);
  find_frame(&journal->queue);
  answer_packed(journal);
  return STATUS_OK;
}
