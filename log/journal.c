#include "log/journal.h"

#include "base/check.h"
#include "base/codec.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/mutant.h"
#include "base/probe.h"
#include "log/journal_private.h"

#define SPACE_RETRY_NS 250000000u /* a file that could not be made on a full disk is tried again after so long */
#define HOLD_NS 500000000u        /* so long is waited for room before a file of the reserve is taken */
#define PATIENCE_NS 1000000000u   /* and so long for a file when the process is about to end */

/* ---- The queue ---- */

static struct journal_write *write_of(struct task *task) { return container_of(task, struct journal_write, task); }

static struct journal_write *write_after(const struct journal_write *write) {
  return write->task.next == NULL ? NULL : write_of(write->task.next);
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

static void answer_all(struct journal *journal, enum status status) {
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

static enum status break_down(struct journal *journal) {
  journal->broken = true;
  atomic_store(&journal->failed, true);
  atomic_store(&journal->job.cancel, true);
  answer_all(journal, STATUS_IO);
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

uint64_t journal_keep_free(const struct journal *journal) {
  uint64_t claimed = journal->claimed_bytes == NULL ? 0 : atomic_load_explicit(journal->claimed_bytes, memory_order_relaxed);
  return journal->disk_reserve_bytes + claimed;
}

static void set_timer_unless_set(struct journal *journal, struct timer *timer, uint64_t deadline_ns) {
  if (timer->slot == 0) loop_timer_set(journal->loop, timer, deadline_ns);
}

/* What must always be possible could fill the reserve before a checkpoint has even looked: it gets its turn for each file. */
static bool has_to_wait_for_room(struct journal *journal) {
  bool waits = journal->room_wanted != NULL && !journal->hastened && !journal->tried && journal_ring_in_reserve(&journal->ring);
  if (waits && !journal->held) {
    set_timer_unless_set(journal, &journal->hold_timer, loop_now_ns(journal->loop) + HOLD_NS);
    atomic_store(&journal->waits, true); /* before it is asked: it must not wait in turn for what it writes */
    journal->room_wanted(journal->room_context);
  }
  journal->held = waits;
  if (!waits && journal->hold_timer.slot != 0) loop_timer_cancel(journal->loop, &journal->hold_timer);
  return waits;
}

enum status journal_next_file(struct journal *journal) {
  struct journal_ring *ring = &journal->ring;
  bool starting = journal->loop == NULL;
  bool others_make_files = journal->helper != NULL || journal->job_running;
  if (!starting && has_to_wait_for_room(journal)) return STATUS_NO_SPACE;
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

/* Never below zero: what must always be possible is written without having been admitted. */
static void give_back(struct journal *journal, uint64_t bytes) {
  uint64_t admitted = atomic_load_explicit(&journal->admitted, memory_order_relaxed);
  while (!atomic_compare_exchange_weak_explicit(&journal->admitted, &admitted, admitted > bytes ? admitted - bytes : 0,
                                                memory_order_relaxed, memory_order_relaxed)) {}
}

enum status journal_write_next(struct journal *journal) {
  if (journal->broken) return break_down(journal);
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
    if (status != STATUS_OK) return break_down(journal);
    journal_publish_usage(journal);
    admitted = plan_group(journal);
    CHECK(journal->group.rows > 0);
  }
  enum status status = write_group(journal);
  if (status != STATUS_OK) return break_down(journal);
  journal->superseded_below = journal->group_supersedes;
  /* Room first, so that whoever is answered can be admitted again. */
  journal_publish_usage(journal);
  if (journal->loop != NULL) give_back(journal, admitted);
  find_frame(&journal->queue);
  answer_packed(journal);
  return STATUS_OK;
}

/* ---- The loop ---- */

static void post_again(struct journal *journal) {
  if (journal->again_posted) return;
  journal->again_posted = true;
  loop_post(journal->loop, &journal->again);
}

/* One job after the other, as long as the ring has use for them. Beyond its nominal count only when all stands still for want of a file. */
static void tend_ring(struct journal *journal) {
  struct journal_ring *ring = &journal->ring;
  if (journal->job_running || journal->helper == NULL || journal->broken) return;
  uint32_t files_max = ring->files_nominal + (journal->stalled && !journal->held ? JOURNAL_FILES_EXTRA : 0);
  if (journal->space_timer.slot != 0) files_max = 0;
  if (!journal_ring_plan(ring, files_max, &journal->job)) return;
  if (!journal->stalled) journal->job.keep_free = journal_keep_free(journal);
  journal->job_running = true;
  loop_post(journal->helper, &journal->job_task);
}

static void run_job(struct task *task) {
  struct journal *journal = container_of(task, struct journal, job_task);
  journal_job_run(&journal->job);
  loop_post(journal->loop, &journal->job_done);
}

static void run_job_done(struct task *task) {
  struct journal *journal = container_of(task, struct journal, job_done);
  journal->job_running = false;
  enum status status = journal_ring_finish(&journal->ring, &journal->job);
  if (status == STATUS_NO_SPACE) {
    set_timer_unless_set(journal, &journal->space_timer, loop_now_ns(journal->loop) + SPACE_RETRY_NS);
  } else if (status != STATUS_OK && status != STATUS_CANCELLED) {
    break_down(journal);
  }
  journal_publish_usage(journal);
}

/* The turn that follows tries again. */
static void space_timer_fired(struct timer *timer) { (void)timer; }
static void hold_timer_fired(struct timer *timer) { container_of(timer, struct journal, hold_timer)->tried = true; }

/* What waits is refused, and nothing may be written after it that counts on it. */
static void patience_timer_fired(struct timer *timer) {
  struct journal *journal = container_of(timer, struct journal, patience_timer);
  if (!journal->stalled) return;
  journal->broken = true;
  answer_all(journal, STATUS_DISK_FULL);
}

static void schedule_closing(struct journal *journal) {
  if (journal->closed_group || journal->idle_close_ns == 0 || journal->broken) return;
  set_timer_unless_set(journal, &journal->idle_timer, journal->last_write_ns + journal->idle_close_ns);
}

static void close_group_now(struct journal *journal) {
  if (journal->closed_group || journal->broken || journal_ring_current(&journal->ring) == NULL) return;
  enum status status = journal_write_closing(journal);
  journal->closed_group = true; /* also when the file had no room for it: the next file tells as much */
  if (status != STATUS_OK) break_down(journal);
  else journal_publish_usage(journal);
}

static void idle_timer_fired(struct timer *timer) {
  struct journal *journal = container_of(timer, struct journal, idle_timer);
  uint64_t idle_since_ns = loop_now_ns(journal->loop) - journal->last_write_ns;
  if (journal->queue.first == NULL && idle_since_ns >= journal->idle_close_ns) close_group_now(journal);
}

/* No file to write into. What is released may not have been said yet, and no other group is going to say it. */
static void stall(struct journal *journal) {
  REACHED(journal_waits_for_a_file);
  bool frees = journal_ring_would_free(&journal->ring, 0);
  enum status status = journal_say_released(journal);
  if (status != STATUS_OK) break_down(journal);
  if (journal->hastened && !journal->closing)
    set_timer_unless_set(journal, &journal->patience_timer, loop_now_ns(journal->loop) + PATIENCE_NS);
  if (!journal->closing || journal->job_running || journal->broken) return;
  if (frees) post_again(journal);             /* the helper is gone: the next turn takes it */
  else answer_all(journal, STATUS_DISK_FULL); /* nothing will come of waiting */
}

/* After each iteration of the loop: everything that was submitted is in the queue. One group, then look again who came. */
static void journal_turn(void *context) {
  struct journal *journal = context;
  enum status status = journal_write_next(journal);
  if (status == STATUS_OK) journal->last_write_ns = loop_now_ns(journal->loop);
  if (status == STATUS_NO_SPACE) stall(journal);
  journal->stalled = status == STATUS_NO_SPACE && journal->queue.first != NULL;
  atomic_store(&journal->waits, journal->stalled);
  if (!journal->stalled && journal->patience_timer.slot != 0) loop_timer_cancel(journal->loop, &journal->patience_timer);
  tend_ring(journal);
  if (journal->stalled) return; /* until a job is done, a file is released or the timer fires */
  if (journal->queue.first != NULL) {
    post_again(journal);
    return;
  }
  if (journal->closing) close_group_now(journal);
  else schedule_closing(journal);
}

static void run_again(struct task *task) { container_of(task, struct journal, again)->again_posted = false; }

static void run_close(struct task *task) {
  struct journal *journal = container_of(task, struct journal, close_task);
  journal->closing = true;
  journal->hastened = true;
  atomic_store(&journal->job.cancel, true);
  loop_stop(journal->helper); /* a job that was running is behind this task in the mailbox */
  journal->helper = NULL;
}

static void run_release(struct task *task) {
  struct journal *journal = container_of(task, struct journal, release_task);
  atomic_store(&journal->release_posted, false);
  journal_ring_release(&journal->ring, atomic_load(&journal->release_below));
  /* Files are recycled after a group has said so; if no other comes soon, a closing one does. */
  if (journal_ring_releasable(&journal->ring) > journal->ring.given_up_below) journal->closed_group = false;
  journal_publish_usage(journal);
}

static void run_tried(struct task *task) {
  struct journal *journal = container_of(task, struct journal, tried_task);
  atomic_store(&journal->tried_posted, false);
  journal->tried = journal->held;
}

static void run_hasten(struct task *task) {
  struct journal *journal = container_of(task, struct journal, hasten_task);
  journal->hastened = true;
  atomic_store_explicit(&journal->hasten_done, true, memory_order_release);
}

/* Takes what was submitted, oldest first. */
static void run_arrived(struct task *task) {
  struct journal *journal = container_of(task, struct journal, arrived);
  /* Acquire: the writes. Release: whoever finds it empty now posts this very task again, after the loop has let go of it. */
  struct task *newest = atomic_exchange_explicit(&journal->submitted, NULL, memory_order_acq_rel);
  struct task *oldest = NULL;
  while (newest != NULL) {
    struct task *before = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = before;
  }
  while (oldest != NULL) {
    struct task *after = oldest->next;
    journal_queue_put(journal, write_of(oldest));
    oldest = after;
  }
}

void journal_loop_begin(struct journal *journal) {
  journal->arrived.run = run_arrived;
  journal->again.run = run_again;
  journal->close_task.run = run_close;
  journal->release_task.run = run_release;
  journal->idle_timer.fire = idle_timer_fired;
  journal->space_timer.fire = space_timer_fired;
  journal->hold_timer.fire = hold_timer_fired;
  journal->patience_timer.fire = patience_timer_fired;
  journal->tried_task.run = run_tried;
  journal->hasten_task.run = run_hasten;
  journal->job_task.run = run_job;
  journal->job_done.run = run_job_done;
  struct loop *loop = world_loop_new(journal->world, "journal", LOOP_MAY_BLOCK);
  loop_set_turn_hook(loop, journal_turn, journal);
  journal->loop = loop;
  journal->helper = world_loop_new(journal->world, "journal-files", LOOP_MAY_BLOCK);
  journal->last_write_ns = loop_now_ns(loop);
  post_again(journal); /* the first turn tends the ring and closes what the start wrote */
}

/* ---- From any thread ---- */

void journal_submit(struct journal *journal, struct journal_write *write) {
  PRE(journal->loop != NULL);
  struct task *newest = atomic_load_explicit(&journal->submitted, memory_order_relaxed);
  do {
    write->task.next = newest;
    /* Release: the journal sees the frames. Acquire: and those of the writes before, which it reaches through this one. */
  } while (!atomic_compare_exchange_weak_explicit(&journal->submitted, &newest, &write->task, memory_order_acq_rel,
                                                  memory_order_relaxed));
  /* Whoever finds it empty knocks; run_arrived() alone empties it. */
  if (newest == NULL) loop_post(journal->loop, &journal->arrived);
}

uint64_t journal_cost(uint64_t body_bytes) {
  /* At worst it has a group for itself; a body of many groups pays a head in each, at most a 32nd. */
  return journal_round_up(JOURNAL_GROUP_HEAD_SIZE + JOURNAL_ROW_SIZE + body_bytes + body_bytes / 32);
}

enum status journal_admit(struct journal *journal, uint64_t bytes) {
  uint64_t admitted = atomic_load_explicit(&journal->admitted, memory_order_relaxed);
  do {
    if (atomic_load_explicit(&journal->failed, memory_order_relaxed)) return STATUS_IO;
    int64_t room = atomic_load_explicit(&journal->room, memory_order_relaxed);
    int64_t wanted = (int64_t)(admitted + bytes);
    if (wanted > room) {
      REACHED(append_not_admitted);
      /* A checkpoint helps, unless it takes files that cannot be made. */
      uint64_t lacking = atomic_load_explicit(&journal->lacking, memory_order_relaxed);
      bool in_reach = bytes <= atomic_load_explicit(&journal->reachable, memory_order_relaxed);
      return lacking > 0 && !in_reach && wanted <= room + (int64_t)lacking ? STATUS_DISK_FULL : STATUS_JOURNAL_FULL;
    }
  } while (!atomic_compare_exchange_weak_explicit(&journal->admitted, &admitted, admitted + bytes, memory_order_relaxed,
                                                  memory_order_relaxed));
  return STATUS_OK;
}

void journal_admit_undo(struct journal *journal, uint64_t bytes) { give_back(journal, bytes); }

uint64_t journal_replicas_max(const struct journal *journal) {
  return (journal->ring.file_bytes / JOURNAL_TABLE_SHARE - JOURNAL_TABLE_HEAD_SIZE) / JOURNAL_TABLE_ROW_SIZE;
}

void journal_release(struct journal *journal, uint64_t file) {
  uint64_t below = atomic_load(&journal->release_below);
  while (below < file && !atomic_compare_exchange_weak(&journal->release_below, &below, file)) {}
  if (journal->loop == NULL || atomic_exchange(&journal->release_posted, true)) return;
  loop_post(journal->loop, &journal->release_task);
}

void journal_room_tried(struct journal *journal) {
  if (!atomic_load(&journal->waits) || atomic_exchange(&journal->tried_posted, true)) return;
  loop_post(journal->loop, &journal->tried_task);
}

void journal_hasten(struct journal *journal) {
  if (journal->loop == NULL) return;
  if (!atomic_exchange(&journal->hasten_posted, true)) loop_post(journal->loop, &journal->hasten_task);
  world_wait(journal->world, &journal->hasten_done);
}

void journal_publish_usage(struct journal *journal) {
  const struct journal_ring *ring = &journal->ring;
  const struct journal_file *current = journal_ring_current(ring);
  struct journal_room room = journal_ring_room(ring);
  atomic_store(&journal->idle, journal->queue.first == NULL && (journal->closed_group || journal->broken));
  atomic_store_explicit(&journal->lacking, room.lacking, memory_order_relaxed);
  atomic_store_explicit(&journal->reachable, room.reachable, memory_order_relaxed);
  atomic_store_explicit(&journal->room, room.bytes, memory_order_relaxed);
  atomic_store_explicit(&journal->used_bytes, journal_ring_used_bytes(ring), memory_order_relaxed);
  atomic_store_explicit(&journal->current_file, current == NULL ? 0 : current->head.sequence, memory_order_release);
  atomic_store_explicit(&journal->oldest_file, journal_ring_oldest(ring), memory_order_relaxed);
}

struct journal_usage journal_usage(struct journal *journal) {
  return (struct journal_usage){
      .used_bytes = atomic_load_explicit(&journal->used_bytes, memory_order_relaxed),
      .ring_bytes = journal->ring.file_bytes * journal->ring.files_nominal,
      /* Acquire: whoever looks at what lanes need after it must not have looked before it. */
      .current_file = atomic_load_explicit(&journal->current_file, memory_order_acquire),
      .oldest_file = atomic_load_explicit(&journal->oldest_file, memory_order_relaxed),
      .durable_group = atomic_load_explicit(&journal->durable_group, memory_order_relaxed),
      .admitted_bytes = atomic_load_explicit(&journal->admitted, memory_order_relaxed),
      .space_taken = atomic_load(&journal->ring.space_taken),
      .space_filled = atomic_load(&journal->ring.space_filled),
      .waits = atomic_load(&journal->waits),
      .idle = atomic_load(&journal->idle),
      .failed = atomic_load_explicit(&journal->failed, memory_order_relaxed),
  };
}
