#include "security/random.h"

#include <sodium.h>
#include <string.h>

static uint64_t seeded_state;

/* SplitMix64 (Steele, Lea, Flood, 2014): small, and the same everywhere. Nothing secret hangs on it. */
static uint64_t seeded_next(void) {
  uint64_t z = (seeded_state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static const char *seeded_name(void) { return "seeded"; }
static uint32_t seeded_random(void) { return (uint32_t)(seeded_next() >> 32); }
static void seeded_buffer(void *const into, const size_t size) {
  uint8_t *at = into;
  for (size_t done = 0; done < size;) {
    uint64_t word = seeded_next();
    size_t part = size - done < sizeof word ? size - done : sizeof word;
    memcpy(at + done, &word, part);
    done += part;
  }
}

static randombytes_implementation seeded = {.implementation_name = seeded_name, .random = seeded_random, .buf = seeded_buffer};

enum status random_start(void) { return sodium_init() < 0 ? STATUS_IO : STATUS_OK; }

void random_use_seed(uint64_t seed) {
  seeded_state = seed;
  randombytes_set_implementation(&seeded);
}

void random_bytes(void *into, size_t size) { randombytes_buf(into, size); }

uint64_t random_seed(void) {
  uint64_t seed;
  random_bytes(&seed, sizeof seed);
  return seed;
}

void random_id(uint8_t out_id[RANDOM_ID_SIZE]) {
  do random_bytes(out_id, RANDOM_ID_SIZE);
  while (sodium_is_zero(out_id, RANDOM_ID_SIZE));
}

void random_id_hex(const uint8_t id[RANDOM_ID_SIZE], char out_hex[RANDOM_ID_HEX_SIZE]) {
  sodium_bin2hex(out_hex, RANDOM_ID_HEX_SIZE, id, RANDOM_ID_SIZE);
}
