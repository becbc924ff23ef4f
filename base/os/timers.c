#include "base/os/timers.h"

#include <stdbool.h>

#include "base/memory.h"

#define FRESH ((size_t)1 << (sizeof(size_t) * 8 - 1)) /* in a slot: among the fresh timers, not in the heap */

static bool is_before(const struct timer *a, const struct timer *b) {
  return a->deadline_ns != b->deadline_ns ? a->deadline_ns < b->deadline_ns : a->order < b->order;
}

static void append(struct timer_list *list, struct timer *timer) {
  if (list->count == list->capacity) {
    list->capacity = list->capacity == 0 ? 16 : list->capacity * 2;
    list->items = memory_grow_array(list->items, list->capacity, sizeof(struct timer *));
  }
  list->items[list->count++] = timer;
}

/* ---- The heap ---- */

static void heap_place(struct timer_list *heap, size_t at, struct timer *timer) {
  heap->items[at] = timer;
  timer->slot = at + 1;
}

static void heap_up(struct timer_list *heap, size_t at, struct timer *timer) {
  while (at > 0 && is_before(timer, heap->items[(at - 1) / 2])) {
    heap_place(heap, at, heap->items[(at - 1) / 2]);
    at = (at - 1) / 2;
  }
  heap_place(heap, at, timer);
}

static void heap_down(struct timer_list *heap, size_t at, struct timer *timer) {
  for (;;) {
    size_t child = at * 2 + 1;
    if (child >= heap->count) break;
    if (child + 1 < heap->count && is_before(heap->items[child + 1], heap->items[child])) child++;
    if (is_before(timer, heap->items[child])) break;
    heap_place(heap, at, heap->items[child]);
    at = child;
  }
  heap_place(heap, at, timer);
}

static void heap_remove(struct timer_list *heap, size_t at) {
  struct timer *last = heap->items[--heap->count];
  if (at == heap->count) return;
  if (at > 0 && is_before(last, heap->items[(at - 1) / 2])) heap_up(heap, at, last);
  else heap_down(heap, at, last);
}

static void fresh_remove(struct timer_list *fresh, size_t at) {
  struct timer *last = fresh->items[--fresh->count];
  if (at == fresh->count) return;
  fresh->items[at] = last;
  last->slot = FRESH | at;
}

/* ---- Both ---- */

void timers_deinit(struct timers *timers) {
  memory_free(timers->heap.items);
  memory_free(timers->fresh.items);
}

void timers_cancel(struct timers *timers, struct timer *timer) {
  if (timer->slot == 0) return;
  if (timer->slot & FRESH) fresh_remove(&timers->fresh, timer->slot & ~FRESH);
  else heap_remove(&timers->heap, timer->slot - 1);
  timer->slot = 0;
}

void timers_set(struct timers *timers, struct timer *timer, uint64_t deadline_ns) {
  timers_cancel(timers, timer);
  timer->deadline_ns = deadline_ns;
  timer->order = ++timers->order;
  timer->slot = FRESH | timers->fresh.count;
  append(&timers->fresh, timer);
}

struct timer *timers_take_due(struct timers *timers, uint64_t now_ns) {
  if (timers_next_ns(timers) > now_ns || timers->heap.count == 0) return NULL;
  struct timer *timer = timers->heap.items[0];
  heap_remove(&timers->heap, 0);
  timer->slot = 0;
  return timer;
}

void timers_settle(struct timers *timers) {
  for (size_t i = 0; i < timers->fresh.count; i++) {
    struct timer *timer = timers->fresh.items[i];
    append(&timers->heap, timer);
    heap_up(&timers->heap, timers->heap.count - 1, timer);
  }
  timers->fresh.count = 0;
}

uint64_t timers_next_ns(const struct timers *timers) {
  return timers->heap.count > 0 ? timers->heap.items[0]->deadline_ns : UINT64_MAX;
}
