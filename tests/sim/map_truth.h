/* The map of the cluster at each of its versions, as brokers have it, and what watchers make of what they are told: both as sums, so that one can be
 * held against the other at any version.
 *
 *   M1 one-map          a version of the map is the same on every broker, also after every restart
 *   M2 watched-map      what a watcher has made of what he was told is, at every version that he comes to, the map of that version; and a
 *                       version does not go back
 */
#ifndef CAIRN_TESTS_SIM_MAP_TRUTH_H
#define CAIRN_TESTS_SIM_MAP_TRUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clients/c/cairn_admin.h"

struct checker;
struct cluster_map;

/* ---- What is so ---- */

struct map_truth;

struct map_truth *map_truth_new(struct checker *checker);
void map_truth_free(struct map_truth *truth);
/* A broker has this one. */
void map_truth_take(struct map_truth *truth, const struct cluster_map *map);
uint64_t map_truth_newest(const struct map_truth *truth); /* version that any broker has come to */

/* ---- What is seen ---- */

struct map_sight;

struct map_sight *map_sight_new(struct checker *checker, const struct map_truth *truth);
void map_sight_free(struct map_sight *sight);
/* The next change that a watch of everything tells, in their order, whatever watch it is. */
void map_sight_take(struct map_sight *sight, const struct cairn_change *change);
uint64_t map_sight_version(const struct map_sight *sight); /* of what he has; 0: not a whole map */

#endif
