#include "server/fitness.h"

static enum fitness_state next_state(const struct fitness *fitness, const struct fitness_look *look,
                                     const struct raft_timing *timing, uint64_t now_ns) {
  uint64_t age_ns = now_ns - fitness->since_ns;
  switch (fitness->state) {
    case FITNESS_FIT: return look->lacks ? FITNESS_LOW : FITNESS_FIT;
    case FITNESS_LOW:
      if (!look->lacks) return FITNESS_RECOVERING;
      return age_ns >= FITNESS_BEATS * timing->heartbeat_ns ? FITNESS_FULL : FITNESS_LOW;
    case FITNESS_FULL: return look->roomy ? FITNESS_RECOVERING : FITNESS_FULL;
    case FITNESS_RECOVERING:
      if (look->lacks) return FITNESS_LOW;
      return look->roomy && age_ns >= timing->election_ns ? FITNESS_FIT : FITNESS_RECOVERING;
  }
  return FITNESS_FIT;
}

enum peers_wish fitness_of(struct fitness *fitness, const struct fitness_look *look, const struct raft_timing *timing,
                           uint64_t now_ns) {
  enum fitness_state next = next_state(fitness, look, timing, now_ns);
  if (next != fitness->state) *fitness = (struct fitness){.state = next, .since_ns = now_ns};
  if (fitness->state == FITNESS_FIT) return PEERS_WILLING;
  return fitness->state == FITNESS_FULL ? PEERS_LEAVES : PEERS_KEEPS;
}
