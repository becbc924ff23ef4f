/* The only door to the heap. Allocation does not fail: when the operating system refuses, the process stops, which the
 * journal survives. What strangers can make grow is bounded by an account (blob.h) before it gets here.
 */
#ifndef CAIRN_BASE_MEMORY_H
#define CAIRN_BASE_MEMORY_H

#include <stddef.h>

void *memory_new(size_t size);                                    /* zeroed; size 0 gives a pointer all the same */
void *memory_new_array(size_t count, size_t size);                /* zeroed, checked for overflow */
void *memory_grow_array(void *memory, size_t count, size_t size); /* realloc; what is new is not zeroed */
void *memory_new_aligned(size_t alignment, size_t size);          /* for direct I/O; not zeroed; freed by memory_free */
/* For direct I/O in large pieces by one owner for long: begins on a huge page and, if the system can spare some, is made of them. The
 * disk then pins one page where it would pin hundreds. Takes up whole huge pages of 2 MiB; not zeroed; freed by memory_free. */
void *memory_new_large(size_t size);
char *memory_copy_string(const char *text);
void memory_free(void *memory); /* NULL is fine */

#define NEW(type) ((type *)memory_new(sizeof(type)))

#endif
