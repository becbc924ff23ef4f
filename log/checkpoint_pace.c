#include "log/checkpoint_pace.h"

#include <stddef.h>

#include "base/probe.h"
#include "base/world.h"
#include "log/journal.h"
#include "log/log_internal.h"
#include "log/segment.h"

uint64_t checkpoint_rest_ns(const struct checkpoint_progress *progress) {
  if (progress->hurried || progress->round_bytes == 0 || progress->room_bytes == 0) return 0;
  double written = (double)progress->written_bytes / (double)progress->round_bytes;
  double used = (double)progress->grown_bytes / (double)progress->room_bytes;
  if (used > written / 2) return 0;
  if (progress->rested_ns >= CHECKPOINT_RESTS_NS_MAX) return 0;
  uint64_t rest_ns = progress->took_ns * CHECKPOINT_REST_SHARE;
  return rest_ns < CHECKPOINT_REST_NS_MAX ? rest_ns : CHECKPOINT_REST_NS_MAX;
}

static bool is_hurried(struct log_set *set) {
  if (atomic_load(&set->lanes_stopped) || atomic_load(&set->pressed) || atomic_load(&set->rounds_wanted) > 0) return true;
  struct journal_usage usage = journal_usage(set->journal);
  return usage.waits || usage.used_bytes > usage.ring_bytes / 2;
}

void checkpoint_pace_begin(struct checkpoint_pace *pace, struct log_set *set, uint64_t round_bytes, uint64_t room_bytes) {
  *pace = (struct checkpoint_pace){
      .set = set,
      .progress = {.round_bytes = round_bytes, .room_bytes = room_bytes},
      .rests = !is_hurried(set),
      .begin_bytes = atomic_load_explicit(&set->unflushed_bytes, memory_order_relaxed),
  };
}

size_t checkpoint_pace_bytes(const struct checkpoint_pace *pace) {
  return pace != NULL && pace->rests ? CHECKPOINT_PIECE_BYTES : SEGMENT_CHUNK_BYTES;
}

void checkpoint_pace_writes(struct checkpoint_pace *pace) {
  if (pace != NULL) pace->began_ns = world_now_ns(pace->set->world);
}

void checkpoint_pace_wrote(struct checkpoint_pace *pace, uint64_t bytes) {
  if (pace == NULL) return;
  struct world *world = pace->set->world;
  struct checkpoint_progress *progress = &pace->progress;
  uint64_t unflushed = atomic_load_explicit(&pace->set->unflushed_bytes, memory_order_relaxed);
  progress->took_ns = world_now_ns(world) - pace->began_ns;
  progress->written_bytes += bytes;
  progress->grown_bytes = unflushed > pace->begin_bytes ? unflushed - pace->begin_bytes : 0;
  progress->hurried = is_hurried(pace->set);
  uint64_t rest_ns = checkpoint_rest_ns(progress);
  pace->rests = rest_ns > 0;
  progress->rested_ns += rest_ns;
  if (!pace->rests) return;
  REACHED(checkpoint_rests);
  const atomic_uint nobody = 0; /* wakes it: it looks again soon enough */
  world_wait_word(world, &nobody, 0, rest_ns);
}
