/* Chance for the tests of replication: a stream from a seed, and where a random test begins. */
#ifndef CAIRN_TESTS_UNIT_REPLICATION_CHANCE_H
#define CAIRN_TESTS_UNIT_REPLICATION_CHANCE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct chance {
  uint64_t state;
};

/* splitmix64. */
static inline uint64_t chance_next(struct chance *chance) {
  uint64_t mixed = chance->state += 0x9e3779b97f4a7c15u;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
  return mixed ^ (mixed >> 31);
}

/* 0 .. below - 1 */
static inline uint64_t chance_below(struct chance *chance, uint64_t below) { return chance_next(chance) % below; }
static inline bool chance_in(struct chance *chance, unsigned per_mille) { return chance_below(chance, 1000) < per_mille; }

/* Where TEST_SEED says (./dev test: the hash of the tree), or elsewhere in each run. Prints the line that repeats it. */
static inline uint64_t chance_seed(void) {
  const char *wanted = getenv("TEST_SEED");
  uint64_t seed = wanted != NULL ? strtoull(wanted, NULL, 10) : (uint64_t)getpid() * 0x9e3779b97f4a7c15u;
  printf("to repeat: TEST_SEED=%llu\n", (unsigned long long)seed);
  return seed;
}

#endif
