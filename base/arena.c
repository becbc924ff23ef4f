#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"

#define BLOCK_SIZE_FIRST 2048u
#define BLOCK_SIZE_MAX 65536u

struct block {
  struct block *next; /* the one filled before it */
  size_t size;
  size_t used;
  alignas(max_align_t) uint8_t data[];
};

struct arena {
  struct block *newest; /* the first block is the last of this chain */
  size_t limit;
  size_t used;
};

static struct block *block_new(size_t size, struct block *next) {
  struct block *block = memory_grow_array(NULL, sizeof *block + size, 1);
  block->next = next;
  block->size = size;
  block->used = 0;
  return block;
}

struct arena *arena_new(size_t limit) {
  struct arena *arena = NEW(struct arena);
  arena->limit = limit;
  arena->newest = block_new(limit < BLOCK_SIZE_FIRST ? limit : BLOCK_SIZE_FIRST, NULL);
  return arena;
}

void arena_reset(struct arena *arena) {
  while (arena->newest->next != NULL) {
    struct block *block = arena->newest;
    arena->newest = block->next;
    memory_free(block);
  }
  arena->newest->used = 0;
  arena->used = 0;
}

void arena_free(struct arena *arena) {
  if (arena == NULL) return;
  arena_reset(arena);
  memory_free(arena->newest);
  memory_free(arena);
}

void *arena_take(struct arena *arena, size_t size) {
  if (size > arena->limit - arena->used) return NULL;
  size_t rounded = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
  if (rounded < size || rounded > arena->limit - arena->used) return NULL;
  struct block *block = arena->newest;
  if (rounded > block->size - block->used) {
    size_t block_size = block->size * 2 < BLOCK_SIZE_MAX ? block->size * 2 : BLOCK_SIZE_MAX;
    block = block_new(rounded > block_size ? rounded : block_size, block);
    arena->newest = block;
  }
  void *memory = block->data + block->used;
  block->used += rounded;
  arena->used += rounded;
  memset(memory, 0, rounded);
  return memory;
}

char *arena_copy_string(struct arena *arena, const char *text, size_t size) {
  if (size == SIZE_MAX) return NULL;
  char *copy = arena_take(arena, size + 1);
  if (copy != NULL && size > 0) memcpy(copy, text, size);
  return copy;
}

size_t arena_used(const struct arena *arena) { return arena->used; }
