/* How fast a round of the checkpoint writes. Its large writes go to the disk that the journal syncs, and somebody waits for every one of
 * those syncs: while there is time the checkpoint writes little at once, and rests after each write, nine times as long as it took.
 *
 * There is time while the round is further with its writing than appends are with the room that they have until they wait for it
 * (`log_set.round_bytes`): it takes half of that at most. Nobody waits for a round that rests: a stop, a call for a round, a journal that is
 * half full or short of room end the resting; and so does a round that has rested five seconds in all.
 */
#ifndef CAIRN_LOG_CHECKPOINT_PACE_H
#define CAIRN_LOG_CHECKPOINT_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_set;

#define CHECKPOINT_REST_SHARE 9u          /* of the time that a write took, so many times */
#define CHECKPOINT_PIECE_BYTES (1u << 17) /* written at once while it rests: a sync of the journal may have to wait for as much */
#define CHECKPOINT_RESTS_NS_MAX 5000000000u /* of a round, in all: it may be of many small logs */
#define CHECKPOINT_REST_NS_MAX 50000000     /* a stop does not wait longer */

struct checkpoint_progress {
  uint64_t took_ns;       /* the last write */
  uint64_t rested_ns;     /* in this round */
  uint64_t written_bytes; /* in this round, ... */
  uint64_t round_bytes;   /* ... which has so many */
  uint64_t grown_bytes;   /* appended since it began, ... */
  uint64_t room_bytes;    /* ... of as many as may be, until appends wait */
  bool hurried;
};
/* How long to rest now. Pure. */
uint64_t checkpoint_rest_ns(const struct checkpoint_progress *progress);

/* One round's. */
struct checkpoint_pace {
  struct log_set *set;
  struct checkpoint_progress progress;
  uint64_t begin_bytes; /* unflushed when it began */
  uint64_t began_ns;    /* the write */
  bool rests;           /* after the write before this one: there was time */
};
/* `round_bytes`: to be written; `room_bytes`: what may be appended meanwhile. */
void checkpoint_pace_begin(struct checkpoint_pace *pace, struct log_set *set, uint64_t round_bytes, uint64_t room_bytes);
/* How much to write at once now. `pace` NULL: as much as a segment takes. */
size_t checkpoint_pace_bytes(const struct checkpoint_pace *pace);
/* Around each write. The second blocks as long as the round rests. `pace` NULL: as fast as it goes. */
void checkpoint_pace_writes(struct checkpoint_pace *pace);
void checkpoint_pace_wrote(struct checkpoint_pace *pace, uint64_t bytes);

#endif
