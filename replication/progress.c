#include "replication/progress.h"

#include "base/check.h"
#include "replication/raft_mutant.h"

void progress_init(struct progress *progress, entry_index next, uint64_t sequence, uint64_t now_ns) {
  PRE(next > 0);
  *progress = (struct progress){
      .state = PROGRESS_PROBE, .next = next, .sequence = sequence, .match_sequence = sequence, .heard_ns = now_ns};
}

static void give_back_all(struct progress *progress) {
  if (RAFT_MUTANT(WINDOW_LEAK)) return;
  progress->window_count = 0;
  progress->window_bytes = 0;
}

void progress_probe(struct progress *progress, entry_index next) {
  progress->state = PROGRESS_PROBE;
  progress->next = next > progress->match ? next : progress->match + 1;
  progress->gathering = false;
  progress->waiting = false;
  progress->nudge = false;
  progress->suspect = false;
  progress->commit = 0;
  give_back_all(progress);
}

void progress_forget(struct progress *progress, entry_index next) {
  progress->match = 0;
  progress->forgotten_sequence = progress->sequence;
  progress->unproven = false;
  progress->proof = 0;
  progress->proof_sequence = 0;
  progress->match_sequence = progress->sequence;
  progress_probe(progress, next);
}

void progress_catch_up(struct progress *progress, entry_index through) {
  bool suspect = progress->suspect;
  progress_probe(progress, through + 1);
  progress->suspect = suspect;
  progress->state = PROGRESS_CATCH_UP;
}

bool progress_open(const struct progress *progress) {
  if (progress->gathering || progress->suspect || progress->reverted) return false;
  if (progress->state == PROGRESS_PROBE) return !progress->waiting;
  return progress->state == PROGRESS_PIPELINE && progress->window_count < PROGRESS_MESSAGES_MAX &&
         progress->window_bytes < PROGRESS_BYTES_MAX;
}

bool progress_gathers(const struct progress *progress, entry_index last) {
  return progress->window_count > 0 && progress->window_bytes < PROGRESS_GATHER_BYTES &&
         last + 1 < progress->next + PROGRESS_GATHER_ENTRIES;
}

void progress_ask(struct progress *progress, uint64_t sequence, uint64_t now_ns) {
  PRE(!progress->gathering && sequence > progress->sequence);
  progress->gathering = true;
  progress->nudge = false;
  progress->sequence = sequence;
  progress->asked_ns = now_ns;
}

static void take(struct progress *progress, entry_index last, uint32_t bytes) {
  PRE(progress->window_count < PROGRESS_MESSAGES_MAX);
  uint32_t place = (progress->window_first + progress->window_count++) % PROGRESS_MESSAGES_MAX;
  progress->window_last[place] = last;
  progress->window_bytes_each[place] = bytes;
  progress->window_bytes += bytes;
}

void progress_sent(struct progress *progress, entry_index last, uint32_t bytes) {
  PRE(progress->gathering);
  progress->gathering = false;
  if (progress->state == PROGRESS_PROBE) progress->waiting = true;
  if (progress->state != PROGRESS_PIPELINE || last < progress->next) return;
  progress->next = last + 1;
  take(progress, last, bytes);
}

static void give_back(struct progress *progress) {
  while (progress->window_count > 0 && progress->window_last[progress->window_first] <= progress->match) {
    progress->window_bytes -= progress->window_bytes_each[progress->window_first];
    progress->window_first = (progress->window_first + 1) % PROGRESS_MESSAGES_MAX;
    progress->window_count--;
  }
}

void progress_acknowledged(struct progress *progress, entry_index match) {
  progress->moved = true;
  if (match > progress->match) {
    progress->match = match;
    progress->match_sequence = progress->sequence;
  }
  bool shipped = progress->state == PROGRESS_CATCH_UP && progress->match + 1 >= progress->next;
  if (progress->state == PROGRESS_PROBE || shipped) {
    progress->state = PROGRESS_PIPELINE;
    progress->waiting = false;
    progress->next = progress->match + 1;
  }
  if (progress->next <= progress->match) progress->next = progress->match + 1;
  give_back(progress);
}

void progress_check_invariants(const struct progress *progress) {
  CHECK(progress->match < progress->next);
  CHECK(progress->window_count <= PROGRESS_MESSAGES_MAX);
  CHECK(IMPLIES(progress->suspect, progress->state == PROGRESS_CATCH_UP));
  CHECK(IMPLIES(progress->window_count == 0, progress->window_bytes == 0));
  CHECK(IMPLIES(progress->window_count > 0, progress->state == PROGRESS_PIPELINE) || RAFT_MUTANT(WINDOW_LEAK));
}
