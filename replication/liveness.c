#include "replication/liveness.h"

#include "base/check.h"

void liveness_init(struct liveness *liveness, uint64_t patience_ns) { *liveness = (struct liveness){.patience_ns = patience_ns}; }

bool liveness_pulse_stuck(const struct peer_pulse *pulse, uint64_t patience_ns) {
  uint64_t patience_us = patience_ns / 1000;
  for (size_t i = 0; i < pulse->lane_count; i++) {
    if (pulse->lanes[i].turn_us >= patience_us || pulse->lanes[i].unsynced_us >= patience_us) return true;
  }
  return false;
}

enum liveness_change liveness_beat(struct liveness *liveness, uint64_t boot, const struct peer_pulse *pulse, uint64_t now_ns,
                                   int64_t wall_ms) {
  bool was_up = liveness->up;
  bool reborn = liveness->boot != 0 && liveness->boot != boot;
  liveness->boot = boot;
  liveness->heard_ns = now_ns;
  liveness->ahead_ms = (int64_t)((uint64_t)pulse->wall_ms - (uint64_t)wall_ms);
  liveness->stuck = liveness_pulse_stuck(pulse, liveness->patience_ns);
  liveness->up = !liveness->stuck;
  if (was_up && liveness->up) return reborn ? LIVENESS_REBORN : LIVENESS_SAME;
  if (was_up) return LIVENESS_DOWN;
  return liveness->up ? LIVENESS_UP : LIVENESS_SAME;
}

enum liveness_change liveness_time(struct liveness *liveness, uint64_t now_ns) {
  if (!liveness->up || liveness_silent_ns(liveness, now_ns) < liveness->patience_ns) return LIVENESS_SAME;
  liveness->up = false;
  return LIVENESS_DOWN;
}

void liveness_forgive(struct liveness *liveness, uint64_t now_ns, uint64_t grace_ns) {
  uint64_t dead_ns = liveness->heard_ns + liveness->patience_ns;
  if (liveness->up && dead_ns < now_ns + grace_ns) liveness->heard_ns = now_ns + grace_ns - liveness->patience_ns;
}

uint64_t liveness_silent_ns(const struct liveness *liveness, uint64_t now_ns) {
  if (liveness->boot == 0) return UINT64_MAX;
  return now_ns > liveness->heard_ns ? now_ns - liveness->heard_ns : 0;
}

int64_t liveness_median(int64_t *values, size_t count) {
  PRE(count > 0);
  for (size_t i = 1; i < count; i++) {
    int64_t value = values[i];
    size_t at = i;
    for (; at > 0 && values[at - 1] > value; at--) values[at] = values[at - 1];
    values[at] = value;
  }
  return values[(count - 1) / 2];
}
