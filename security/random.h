/* Randomness that others must not guess: identities, and the seeds of maps whose keys strangers choose.
 *
 * What only has to differ (jitter, salts) comes from base/entropy.h. Simulated brokers install a seeded generator with
 * random_use_seed(), so that a run repeats. @any-thread, once random_start() has returned.
 */
#ifndef CAIRN_SECURITY_RANDOM_H
#define CAIRN_SECURITY_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define RANDOM_ID_SIZE 16u
#define RANDOM_ID_HEX_SIZE (2u * RANDOM_ID_SIZE + 1u)

/* Before anything else here; more than once is fine. STATUS_IO when the system has no randomness to give. */
enum status random_start(void) MUST_CHECK;

/* For simulations and tests only: everything that follows comes from this seed. */
void random_use_seed(uint64_t seed);

void random_bytes(void *into, size_t size);
uint64_t random_seed(void);
/* An identity: 128 bits that nobody else has, never all zero. */
void random_id(uint8_t out_id[RANDOM_ID_SIZE]);
/* As 32 hex digits and a NUL. */
void random_id_hex(const uint8_t id[RANDOM_ID_SIZE], char out_hex[RANDOM_ID_HEX_SIZE]);

#endif
