#include "base/check.h"
#include "base/mutant.h"
#include "server/partition_internal.h"

/* A follower holds an offset. It reads a chunk when the transport has room for one (TAIL_CHUNKS_MAX, TAIL_BYTES_MAX) and something is
 * committed behind the offset: while a reader stalls nothing is held for it, and under load chunks grow by themselves.
 */

static void end(struct partition_tail *tail) {
  list_remove(&tail->node);
  tail->partition->waiting--;
  tail->ended(tail);
}

static void end_with(struct partition_tail *tail, struct failure *failure) {
  tail->failure = failure;
  end(tail);
}

static bool has_room(const struct partition_tail *tail) {
  return tail->chunks == 0 || (tail->chunks < TAIL_CHUNKS_MAX && tail->bytes < TAIL_BYTES_MAX);
}

static void hand_over(struct partition_tail *tail) {
  struct partition *partition = tail->partition;
  size_t bytes = 0;
  for (size_t i = 0; i < tail->log.count; i++) bytes += tail->log.entries[i].payload.bytes.size;
  tail->chunk_bytes[(tail->first_chunk + tail->chunks) % TAIL_CHUNKS_MAX] = (uint32_t)bytes;
  tail->chunks++;
  tail->bytes += (uint32_t)bytes;
  tail->caught_up = !tail->told_caught_up && tail->offset >= tail->opened_at;
  if (tail->caught_up) tail->told_caught_up = true;
  tail->high_watermark = replica_high_watermark(partition->replica);
  tail->start_offset = log_view(partition->log).start_offset;
  tail->chunk(tail);
  log_read_reset(&tail->log);
}

static void step(struct partition_tail *tail);

static void look_again(struct timer *timer) {
  struct partition_tail *tail = container_of(timer, struct partition_tail, timer);
  tail->reading = false;
  if (tail->ending) end(tail);
  else step(tail);
}

/* As if the read took longer. */
static bool await_mending(struct partition_tail *tail) {
  tail->timer.fire = look_again;
  if (!partition_await_mending(tail->partition, tail->log.status, &tail->mend_until_ns, &tail->timer)) return false;
  log_read_reset(&tail->log);
  tail->log.cursor = (struct log_cursor){0};
  tail->reading = true;
  return true;
}

/* False: the follower is over, or waits. */
static bool take_chunk(struct partition_tail *tail) {
  tail->reading = false;
  if (tail->ending) {
    log_read_reset(&tail->log);
    end(tail);
    return false;
  }
  if (await_mending(tail)) return false;
  if (tail->log.status != STATUS_OK) {
    end_with(tail, partition_read_failure(tail->partition, &tail->log));
    return false;
  }
  tail->mend_until_ns = 0;
  tail->offset = tail->log.next_offset;
  if (MUTANT(tail_skips) && tail->offset % 7 == 0) tail->offset++;
  hand_over(tail);
  return true;
}

static void read_done(struct task *task) {
  struct partition_tail *tail = container_of(container_of(task, struct log_read, done), struct partition_tail, log);
  if (take_chunk(tail)) step(tail);
}

/* True: answered at once. */
static bool read_chunk(struct partition_tail *tail, record_offset high_watermark) {
  tail->log.offset = tail->offset;
  tail->log.limit = high_watermark;
  tail->log.bytes_max = tail->bytes_max;
  tail->log.loop = tail->partition->host->loop;
  tail->log.done.run = read_done;
  tail->reading = true;
  return log_read(tail->partition->log, &tail->log);
}

static void step(struct partition_tail *tail) {
  while (!tail->reading && !tail->ending && has_room(tail)) {
    record_offset high_watermark = replica_high_watermark(tail->partition->replica);
    if (tail->offset >= high_watermark) {
      if (tail->told_caught_up) return;
      hand_over(tail); /* nothing but the word */
      continue;
    }
    if (!read_chunk(tail, high_watermark) || !take_chunk(tail)) return;
  }
}

void partition_tail_start(struct partition_tail *tail) {
  struct partition *partition = tail->partition;
  tail->failure = partition_check_offset(partition, tail->offset, partition->closed || partition_alone(partition));
  if (tail->failure == NULL && !partition_may_wait(partition))
    tail->failure = refusal_new(STATUS_BUSY, "%u requests wait on this partition already; try again in a moment",
                                partition->host->waiters_max);
  if (tail->failure != NULL) {
    tail->ended(tail);
    return;
  }
  tail->opened_at = replica_high_watermark(partition->replica);
  tail->mend_until_ns = 0;
  list_push_back(&partition->tails, &tail->node);
  step(tail);
}

void partition_tail_taken(struct partition_tail *tail, uint32_t chunks) {
  CHECK(chunks <= tail->chunks);
  for (; chunks > 0; chunks--) {
    tail->bytes -= tail->chunk_bytes[tail->first_chunk];
    tail->first_chunk = (tail->first_chunk + 1) % TAIL_CHUNKS_MAX;
    tail->chunks--;
  }
  if (list_node_linked(&tail->node)) step(tail);
}

void partition_tail_stop(struct partition_tail *tail) {
  if (!list_node_linked(&tail->node) || tail->ending) return;
  tail->ending = true;
  if (!tail->reading) end(tail);
}

void partition_tail_wake(struct partition *partition) {
  list_for_each(&partition->tails, node, following) step(list_entry(node, struct partition_tail, node));
}

void partition_tail_end_all(struct partition *partition, enum status reason) {
  list_for_each(&partition->tails, node, following) {
    struct partition_tail *tail = list_entry(node, struct partition_tail, node);
    if (tail->ending) continue;
    tail->failure = partition->closed ? partition_closed_failure(partition) : refusal_of_status(reason);
    partition_tail_stop(tail);
  }
}
