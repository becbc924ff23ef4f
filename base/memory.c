#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"

#define HUGE_PAGE ((size_t)2 << 20)

static void *or_stop(void *memory, size_t size) {
  CHECK_MSG(memory != NULL, "out of memory: %zu bytes", size);
  return memory;
}

static size_t product(size_t count, size_t size) {
  size_t bytes = 0;
  CHECK_MSG(!__builtin_mul_overflow(count, size, &bytes), "array of %zu times %zu bytes", count, size);
  return bytes;
}

void *memory_new(size_t size) { return or_stop(calloc(1, size == 0 ? 1 : size), size); }

void *memory_new_array(size_t count, size_t size) { return memory_new(product(count, size)); }

void *memory_grow_array(void *memory, size_t count, size_t size) {
  size_t bytes = product(count, size);
  return or_stop(realloc(memory, bytes == 0 ? 1 : bytes), bytes);
}

void *memory_new_aligned(size_t alignment, size_t size) {
  void *memory = NULL;
  int error = posix_memalign(&memory, alignment < sizeof(void *) ? sizeof(void *) : alignment, size == 0 ? 1 : size);
  CHECK_MSG(error == 0, "out of memory: %zu bytes aligned to %zu", size, alignment);
  return memory;
}

void *memory_new_large(size_t size) {
  size_t pages = size / HUGE_PAGE + (size % HUGE_PAGE != 0 ? 1 : 0);
  size_t rounded = product(pages, HUGE_PAGE);
  void *memory = memory_new_aligned(HUGE_PAGE, rounded);
  (void)madvise(memory, rounded, MADV_HUGEPAGE); /* a wish */
  return memory;
}

char *memory_copy_string(const char *text) {
  size_t size = strlen(text) + 1;
  char *copy = memory_grow_array(NULL, size, 1);
  memcpy(copy, text, size);
  return copy;
}

void memory_free(void *memory) { free(memory); }
