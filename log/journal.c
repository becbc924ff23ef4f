/* When what waits is written, and what it waits for: the loop, and everybody's way to it. */
#include "log/journal.h"

#include "base/check.h"
#include "base/probe.h"
#include "log/journal_private.h"

#define SPACE_RETRY_NS 250000000u /* a file that could not be made on a full disk is tried again after so long */
#define HOLD_NS 500000000u        /* so long is waited for room before a file of the reserve is taken */
#define PATIENCE_NS 1000000000u   /* and so long for a file when the process is about to end */

/* ---- The loop ---- */

static void set_timer_unless_set(struct journal *journal, struct timer *timer, uint64_t deadline_ns) {
  if (timer->slot == 0) loop_timer_set(journal->loop, timer, deadline_ns);
}

bool journal_has_to_wait_for_room(struct journal *journal) {
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

static void post_again(struct journal *journal) {
  if (journal->again_posted) return;
  journal->again_posted = true;
  loop_post(journal->loop, &journal->again);
}

uint64_t journal_keep_free(const struct journal *journal) {
  uint64_t claimed = journal->claimed_bytes == NULL ? 0 : atomic_load_explicit(journal->claimed_bytes, memory_order_relaxed);
  return journal->disk_reserve_bytes + claimed;
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
    journal_break_down(journal);
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
  journal_answer_all(journal, STATUS_DISK_FULL);
}

static void schedule_closing(struct journal *journal) {
  if (journal->closed_group || journal->idle_close_ns == 0 || journal->broken) return;
  set_timer_unless_set(journal, &journal->idle_timer, journal->last_write_ns + journal->idle_close_ns);
}

static void close_group_now(struct journal *journal) {
  if (journal->closed_group || journal->broken || journal_ring_current(&journal->ring) == NULL) return;
  enum status status = journal_write_closing(journal);
  journal->closed_group = true; /* also when the file had no room for it: the next file tells as much */
  if (status != STATUS_OK) journal_break_down(journal);
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
  if (status != STATUS_OK) journal_break_down(journal);
  if (journal->hastened && !journal->closing)
    set_timer_unless_set(journal, &journal->patience_timer, loop_now_ns(journal->loop) + PATIENCE_NS);
  if (!journal->closing || journal->job_running || journal->broken) return;
  if (frees) post_again(journal);                     /* the helper is gone: the next turn takes it */
  else journal_answer_all(journal, STATUS_DISK_FULL); /* nothing will come of waiting */
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
    journal_queue_put(journal, journal_write_of(oldest));
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

static enum status admission(const struct journal *journal, uint64_t admitted, uint64_t bytes) {
  if (atomic_load_explicit(&journal->failed, memory_order_relaxed)) return STATUS_IO;
  int64_t room = atomic_load_explicit(&journal->room, memory_order_relaxed);
  int64_t wanted = (int64_t)(admitted + bytes);
  if (wanted <= room) return STATUS_OK;
  /* A checkpoint helps, unless it takes files that cannot be made. */
  uint64_t lacking = atomic_load_explicit(&journal->lacking, memory_order_relaxed);
  bool in_reach = bytes <= atomic_load_explicit(&journal->reachable, memory_order_relaxed);
  return lacking > 0 && !in_reach && wanted <= room + (int64_t)lacking ? STATUS_DISK_FULL : STATUS_JOURNAL_FULL;
}

enum status journal_would_admit(const struct journal *journal, uint64_t bytes) {
  return admission(journal, atomic_load_explicit(&journal->admitted, memory_order_relaxed), bytes);
}

enum status journal_admit(struct journal *journal, uint64_t bytes) {
  uint64_t admitted = atomic_load_explicit(&journal->admitted, memory_order_relaxed);
  do {
    enum status status = admission(journal, admitted, bytes);
    if (status == STATUS_JOURNAL_FULL || status == STATUS_DISK_FULL) REACHED(append_not_admitted);
    if (status != STATUS_OK) return status;
  } while (!atomic_compare_exchange_weak_explicit(&journal->admitted, &admitted, admitted + bytes, memory_order_relaxed,
                                                  memory_order_relaxed));
  return STATUS_OK;
}

/* Never below zero: what must always be possible is written without having been admitted. */
void journal_give_back(struct journal *journal, uint64_t bytes) {
  uint64_t admitted = atomic_load_explicit(&journal->admitted, memory_order_relaxed);
  while (!atomic_compare_exchange_weak_explicit(&journal->admitted, &admitted, admitted > bytes ? admitted - bytes : 0,
                                                memory_order_relaxed, memory_order_relaxed)) {}
}

void journal_admit_undo(struct journal *journal, uint64_t bytes) { journal_give_back(journal, bytes); }

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
