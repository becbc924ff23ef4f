#include "server/leadership.h"

static size_t find_self(const struct leadership_candidate *candidates, size_t count) {
  size_t at = 0;
  while (at < count && !candidates[at].self) at++;
  return at;
}

/* The first that may lead; `self` when none before it does. */
static size_t find_preferred(const struct leadership_candidate *candidates, size_t self) {
  size_t at = 0;
  while (at < self && candidates[at].steadiness == STEADILY_OUT) at++;
  return at;
}

static struct leadership_choice wait_until(uint64_t due_ns) {
  enum leadership_step step = due_ns == LEADERSHIP_NEVER ? LEADERSHIP_RESTS : LEADERSHIP_WAITS;
  return (struct leadership_choice){.step = step, .due_ns = due_ns};
}

struct leadership_choice leadership_choose(const struct leadership *leadership, const struct leadership_candidate *candidates,
                                           size_t count, uint64_t now_ns) {
  size_t self = find_self(candidates, count);
  if (self == count) return wait_until(LEADERSHIP_NEVER);
  size_t preferred = find_preferred(candidates, self);
  if (preferred == self) return wait_until(LEADERSHIP_NEVER);
  if (candidates[preferred].steadiness != STEADY) return wait_until(candidates[preferred].due_ns);
  uint64_t free_ns = leadership->again_ns > leadership->held_until_ns ? leadership->again_ns : leadership->held_until_ns;
  if (now_ns < free_ns) return wait_until(free_ns);
  return (struct leadership_choice){.step = LEADERSHIP_OFFERS, .to = preferred, .due_ns = LEADERSHIP_NEVER};
}

static uint64_t doubled(uint64_t first_ns, uint64_t most_ns, unsigned times) {
  uint64_t pause_ns = first_ns;
  while (times-- > 0 && pause_ns < most_ns) pause_ns *= 2;
  return pause_ns < most_ns ? pause_ns : most_ns;
}

uint64_t leadership_failed_pause_ns(unsigned failures_before) {
  return doubled(LEADERSHIP_FAILED_NS, LEADERSHIP_FAILED_NS_MAX, failures_before);
}

void leadership_refused(struct leadership *leadership, uint64_t now_ns) {
  leadership->again_ns = now_ns + doubled(LEADERSHIP_REFUSED_NS, LEADERSHIP_REFUSED_NS_MAX, leadership->failures++);
}

void leadership_failed(struct leadership *leadership, uint64_t now_ns) {
  leadership->again_ns = now_ns + leadership_failed_pause_ns(leadership->failures++);
}
