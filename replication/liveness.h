/* Who is up: what one broker concludes from the beats of another, and from their absence. One to a broker; pure: beats and time in,
 * a change out.
 *
 *   down ──beat of a healthy broker──> up ──silence for an election timeout, or a beat that tells of a lane that stands still
 *     ^                                 │    or of a write that waits for the disk so long──> down
 *     └────────── a beat with another boot: it was down and is up again (REBORN) ──┘
 *
 * An alive broker is not an alive lane: a beat comes from a thread that has nothing else to do. So it carries how long ago each lane
 * ended a turn, and how old its oldest unsynced write is.
 */
#ifndef CAIRN_REPLICATION_LIVENESS_H
#define CAIRN_REPLICATION_LIVENESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "replication/peer_wire.h"

enum liveness_change {
  LIVENESS_SAME,
  LIVENESS_UP,
  LIVENESS_DOWN,
  LIVENESS_REBORN /* down and up again: it was started anew meanwhile */
};

struct liveness {
  uint64_t patience_ns; /* an election timeout */
  uint64_t boot;        /* of the last beat; 0: none was heard */
  uint64_t heard_ns;
  bool up;
  bool stuck;
  int64_t ahead_ms; /* its wall clock before ours, by its last beat */
};

void liveness_init(struct liveness *liveness, uint64_t patience_ns);
enum liveness_change liveness_beat(struct liveness *liveness, uint64_t boot, const struct peer_pulse *pulse, uint64_t now_ns,
                                   int64_t wall_ms);
enum liveness_change liveness_time(struct liveness *liveness, uint64_t now_ns);
/* We ourselves stood still (were stopped, or starved): what was said meanwhile waits to be heard. Silence ends no sooner than in `grace_ns`. */
void liveness_forgive(struct liveness *liveness, uint64_t now_ns, uint64_t grace_ns);
/* For how long nothing was heard; UINT64_MAX: never. */
uint64_t liveness_silent_ns(const struct liveness *liveness, uint64_t now_ns);

/* A lane stands still, or waits for its disk. */
bool liveness_pulse_stuck(const struct peer_pulse *pulse, uint64_t patience_ns);

/* The lower median; sorts in place. PRE: count > 0. */
int64_t liveness_median(int64_t *values, size_t count);

#endif
