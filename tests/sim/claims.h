/* What admins asked for and what they were told, held against the map at each of its versions.
 *
 *   M5 whole            what was answered OK has been in the map, what was refused with `executed: no` never was, and nothing is in it that nobody
 *                       asked for; at each version a topic has all of its partitions, each with replicas on brokers that are there
 *
 * A claim has a name of its own, which the map can be searched for: "create t3", "grow t3 4", "alter t3 17" (of a value that no other alteration
 * has), "move 17" (of a pace that no other move has), "delete t3", "broker 2 leaving". Several may claim the same.
 */
#ifndef CAIRN_TESTS_SIM_CLAIMS_H
#define CAIRN_TESTS_SIM_CLAIMS_H

#include <stddef.h>
#include <stdint.h>

#include "clients/c/cairn.h"

struct checker;
struct claim;
struct claims;
struct cluster_map;

struct claims *claims_new(struct checker *checker);
void claims_free(struct claims *claims); /* NULL is fine */

/* It is asked for, and not answered. */
struct claim *claim_begin(struct claims *claims, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Of a move: it is as good as in the map where the partition is on these brokers, or on its way there, also for somebody else's sake. */
void claim_place(struct claims *claims, struct claim *claim, const char *topic, uint32_t partition, const uint32_t *brokers,
                 size_t count);
/* It was answered. Each that was begun, once. */
void claim_end(struct claims *claims, struct claim *claim, const struct cairn_error *error);
/* A number that no other claim has, from 1 on. */
uint64_t claims_number(struct claims *claims);

/* The next version of the map, the first time that any broker has it. */
void claims_see(struct claims *claims, const struct cluster_map *map);

/* Retention by age of at least so long is the number of an alteration. */
#define CLAIMS_RETENTION_MS ((int64_t)100 * 24 * 3600 * 1000)
/* And a move's pace from here on, in bytes per second, that of a move: no bound that anything here comes near. */
#define CLAIMS_PACE ((uint64_t)1 << 40)

#endif
