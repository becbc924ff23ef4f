#include "server/progress_board.h"

#include <stddef.h>

#include "base/memory.h"

#define PACE_NS 400000000u /* between two tellings that say how fast it goes */
#define NS_PER_SECOND 1000000000u

struct note {
  struct move_progress progress;
  uint64_t told_ns;
  uint64_t paced_ns; /* since when bytes are counted, and from how many */
  uint64_t paced_bytes;
};

struct progress_board {
  struct note notes[MAP_MOVES_MAX];
  size_t count;
};

struct progress_board *progress_board_new(void) {
  return NEW(struct progress_board);
}

void progress_board_free(struct progress_board *board) { memory_free(board); }

/* Its own, a free one, or the oldest. */
static struct note *place_for(struct progress_board *board, uint64_t group) {
  struct note *oldest = &board->notes[0];
  for (size_t i = 0; i < board->count; i++) {
    if (board->notes[i].progress.group == group) return &board->notes[i];
    if (board->notes[i].told_ns < oldest->told_ns) oldest = &board->notes[i];
  }
  return board->count < MAP_MOVES_MAX ? &board->notes[board->count++] : oldest;
}

/* Half of what it was, half of what it has been since. */
static void measure(struct note *note, uint64_t now_ns) {
  uint64_t since_ns = now_ns - note->paced_ns, done = note->progress.bytes_done;
  if (since_ns < PACE_NS) return;
  uint64_t gained = done > note->paced_bytes ? done - note->paced_bytes : 0;
  uint64_t rate = (uint64_t)((double)gained * NS_PER_SECOND / (double)since_ns);
  note->progress.bytes_per_second = note->progress.bytes_per_second == 0 ? rate : (note->progress.bytes_per_second + rate) / 2;
  note->paced_ns = now_ns;
  note->paced_bytes = done;
}

void progress_board_put(struct progress_board *board, uint64_t now_ns, const struct move_progress *told) {
  struct note *note = place_for(board, told->group);
  bool goes_on =
      note->progress.group == told->group && note->progress.move == told->move && now_ns - note->told_ns < PROGRESS_FRESH_NS;
  uint64_t rate = goes_on ? note->progress.bytes_per_second : 0;
  if (!goes_on) *note = (struct note){.paced_ns = now_ns, .paced_bytes = told->bytes_done};
  note->progress = *told;
  note->progress.bytes_per_second = rate;
  note->told_ns = now_ns;
  measure(note, now_ns);
}

bool progress_board_get(const struct progress_board *board, uint64_t now_ns, const struct map_move *move,
                        struct move_progress *out_progress) {
  for (size_t i = 0; i < board->count; i++) {
    const struct note *note = &board->notes[i];
    if (note->progress.group != move->group || note->progress.move != move->number) continue;
    if (now_ns - note->told_ns >= PROGRESS_FRESH_NS) return false;
    *out_progress = note->progress;
    return true;
  }
  return false;
}
