/* The newest deltas of the map, so that whoever has an earlier version can be brought to the present one without the whole. Kept by every broker,
 * in memory only. Pure, but for the memory.
 *
 * 1. It has every delta from map_history_from() to map_history_version(), one for each version, without a gap.
 * 2. It has at most `changes_max` of them, and at most MAP_HISTORY_BYTES_MAX together: the oldest go first.
 * 3. Where a map comes as a whole, what led to it is not known: it begins there anew.
 */
#ifndef CAIRN_CONTROLLER_MAP_HISTORY_H
#define CAIRN_CONTROLLER_MAP_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "controller/map_delta.h"

#define MAP_HISTORY_BYTES_MAX (16u << 20)

struct map_history;

/* A delta that is remembered. */
struct map_past {
  struct blob *blob; /* its bytes; NULL: nothing changed */
  char *topic;       /* whose; NULL: a broker's */
};

struct map_history *map_history_new(size_t changes_max); /* at version 0 */
void map_history_free(struct map_history *history);      /* NULL is fine */

/* Forgets everything: the map is of this version now. */
void map_history_begin(struct map_history *history, uint64_t version);
/* The next one. PRE: it leads to the version after the newest. Takes over the hold on `blob`; NULL where nothing changed. */
void map_history_add(struct map_history *history, const struct map_delta *delta, struct blob *blob);

uint64_t map_history_from(const struct map_history *history);    /* a map of this version, or a later one, can be brought on */
uint64_t map_history_version(const struct map_history *history); /* to this one */
/* What leads to `version`. PRE: from < version <= the newest. Borrowed until the history changes. */
const struct map_past *map_history_at(const struct map_history *history, uint64_t version);

#endif
