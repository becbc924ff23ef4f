/* Memory that lives exactly as long as one request. Nothing else lives in it. Bounded: beyond its limit it returns NULL,
 * which the caller answers with STATUS_NO_MEMORY or STATUS_TOO_LARGE.
 */
#ifndef CAIRN_BASE_ARENA_H
#define CAIRN_BASE_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_new(size_t limit);
void arena_free(struct arena *arena);               /* NULL is fine */
void arena_reset(struct arena *arena);              /* empty, keeps its first block */
void *arena_take(struct arena *arena, size_t size); /* zeroed, aligned for any type; NULL beyond the limit */
char *arena_copy_string(struct arena *arena, const char *text, size_t size); /* adds the NUL; NULL beyond the limit */
size_t arena_used(const struct arena *arena);

#endif
