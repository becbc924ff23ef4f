#include "tests/sim/sim_random.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/codec.h"

static uint64_t splitmix(uint64_t *state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

void sim_random_init(struct sim_random *random, uint64_t seed, const char *purpose) {
  uint64_t state = xxh3(seed, bytes_of_string(purpose));
  for (int i = 0; i < 4; i++) random->state[i] = splitmix(&state);
}

static uint64_t rotate(uint64_t value, unsigned by) { return (value << by) | (value >> (64 - by)); }

uint64_t sim_random_next(struct sim_random *random) {
  uint64_t *s = random->state;
  uint64_t result = rotate(s[1] * 5, 7) * 9;
  uint64_t t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotate(s[3], 45);
  return result;
}

/* Lemire's product; the bias is below 2^-32 for the bounds in use. */
uint64_t sim_random_below(struct sim_random *random, uint64_t bound) {
  PRE(bound > 0);
  return (uint64_t)(((unsigned __int128)sim_random_next(random) * bound) >> 64);
}

uint64_t sim_random_between(struct sim_random *random, uint64_t low, uint64_t high) {
  PRE(low <= high);
  return low + (high - low == UINT64_MAX ? sim_random_next(random) : sim_random_below(random, high - low + 1));
}

bool sim_random_chance(struct sim_random *random, uint32_t percent) { return sim_random_below(random, 100) < percent; }
