/* Streams of chance. Each purpose has its own, split from the one seed by its name, so that a draw added for one purpose does
 * not shift what another draws, and a seed keeps telling the same story while the code around it grows.
 */
#ifndef CAIRN_TESTS_SIM_SIM_RANDOM_H
#define CAIRN_TESTS_SIM_SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct sim_random {
  uint64_t state[4];
};

void sim_random_init(struct sim_random *random, uint64_t seed, const char *purpose);
uint64_t sim_random_next(struct sim_random *random);                                 /* xoshiro256** */
uint64_t sim_random_below(struct sim_random *random, uint64_t bound);                /* 0 .. bound-1; PRE bound > 0 */
uint64_t sim_random_between(struct sim_random *random, uint64_t low, uint64_t high); /* both included */
bool sim_random_chance(struct sim_random *random, uint32_t percent);

#endif
