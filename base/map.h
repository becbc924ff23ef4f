/* A hash map with walks in the order of insertion, so that a run of the simulator never depends on addresses or seeds.
 *
 * Keys are byte strings (copied) or numbers; values are pointers that the caller owns. The hash is keyed with a seed, because
 * strangers choose some of the keys. Removing while walking is fine.
 */
#ifndef CAIRN_BASE_MAP_H
#define CAIRN_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct map;

struct map *map_new(uint64_t seed);
void map_free(struct map *map); /* the values stay the caller's; NULL is fine */
size_t map_count(const struct map *map);

void *map_get(const struct map *map, struct bytes key); /* NULL when absent */
/* Replaces an earlier value and returns it, or NULL. PRE value is not NULL. */
void *map_put(struct map *map, struct bytes key, void *value);
void *map_remove(struct map *map, struct bytes key); /* the removed value, or NULL */

void *map_get_number(const struct map *map, uint64_t key);
void *map_put_number(struct map *map, uint64_t key, void *value);
void *map_remove_number(struct map *map, uint64_t key);

/* Walks in the order of insertion: start with a zero cursor, ends with NULL. */
struct map_cursor {
  size_t slot;
};
void *map_next(const struct map *map, struct map_cursor *cursor);

#endif
