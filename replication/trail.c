#include "replication/trail.h"

#include "base/check.h"
#include "base/memory.h"

#define RUNS_FIRST 2u /* allocated with the first one */

void trail_init(struct trail *trail, entry_index base_index, entry_term base_term) {
  *trail = (struct trail){.base_index = base_index, .base_term = base_term, .last_index = base_index};
}

void trail_deinit(struct trail *trail) {
  memory_free(trail->runs);
  *trail = (struct trail){0};
}

entry_term trail_last_term(const struct trail *trail) {
  return trail->count == 0 ? trail->base_term : trail->runs[trail->count - 1].term;
}

/* The run that holds `index`; from the end, because that is where nearly everybody looks. PRE: base < index <= last. */
static const struct trail_run *run_at(const struct trail *trail, entry_index index) {
  uint32_t i = trail->count;
  while (trail->runs[i - 1].first > index) i--;
  return &trail->runs[i - 1];
}

bool trail_term(const struct trail *trail, entry_index index, entry_term *out_term) {
  if (index < trail->base_index || index > trail->last_index) return false;
  *out_term = index == trail->base_index ? trail->base_term : run_at(trail, index)->term;
  return true;
}

bool trail_has(const struct trail *trail, entry_index index, entry_term term) {
  entry_term known = 0;
  return trail_term(trail, index, &known) && known == term;
}

bool trail_room(const struct trail *trail) { return trail->count < TRAIL_RUNS_MAX; }

static void add_run(struct trail *trail, entry_index first, entry_term term) {
  PRE(trail_room(trail));
  if (trail->count == trail->capacity) {
    trail->capacity = trail->capacity == 0 ? RUNS_FIRST : trail->capacity * 2;
    trail->runs = memory_grow_array(trail->runs, trail->capacity, sizeof *trail->runs);
  }
  trail->runs[trail->count++] = (struct trail_run){.first = first, .term = term, .generation = trail->generation};
}

void trail_append(struct trail *trail, entry_index first, entry_index last, entry_term term) {
  PRE(first == trail->last_index + 1 && last >= first);
  PRE(term >= trail_last_term(trail));
  const struct trail_run *newest = trail->count == 0 ? NULL : &trail->runs[trail->count - 1];
  bool goes_on = newest != NULL && newest->term == term && newest->generation == trail->generation;
  if (!goes_on) add_run(trail, first, term);
  trail->last_index = last;
}

void trail_cut(struct trail *trail, entry_index from) {
  PRE(from > trail->base_index && from <= trail->last_index);
  while (trail->count > 0 && trail->runs[trail->count - 1].first >= from) trail->count--;
  trail->last_index = from - 1;
  trail->generation++;
}

entry_index trail_durable(const struct trail *trail, entry_index index, log_generation generation) {
  entry_index durable = index < trail->last_index ? index : trail->last_index;
  for (uint32_t i = trail->count; i > 0; i--) {
    const struct trail_run *run = &trail->runs[i - 1];
    if (run->first <= durable && run->generation <= generation) return durable;
    if (run->first <= durable) durable = run->first - 1;
  }
  return durable;
}

entry_index trail_find(const struct trail *trail, entry_index index, entry_term term) {
  entry_index found = index < trail->last_index ? index : trail->last_index;
  for (uint32_t i = trail->count; i > 0 && found > trail->base_index; i--) {
    const struct trail_run *run = &trail->runs[i - 1];
    if (run->first <= found && run->term <= term) return found;
    if (run->first <= found) found = run->first - 1;
  }
  return found;
}

void trail_forget(struct trail *trail, entry_index index) {
  PRE(index <= trail->last_index);
  entry_term term = 0;
  bool known = trail_term(trail, index, &term);
  PRE(known);
  uint32_t gone = 0;
  while (gone + 1 < trail->count && trail->runs[gone + 1].first <= index + 1) gone++;
  if (trail->count > 0 && index == trail->last_index) gone = trail->count;
  for (uint32_t i = gone; i < trail->count; i++) trail->runs[i - gone] = trail->runs[i];
  trail->count -= gone;
  if (trail->count > 0 && trail->runs[0].first <= index) trail->runs[0].first = index + 1;
  trail->base_index = index;
  trail->base_term = term;
}

void trail_limit(struct trail *trail, entry_index commit) {
  if (trail->count <= TRAIL_RUNS_KEPT) return;
  entry_index through = trail->runs[trail->count - TRAIL_RUNS_KEPT].first - 1;
  if (through > commit) through = commit;
  if (through > trail->base_index) trail_forget(trail, through);
}

void trail_reset(struct trail *trail, entry_index index, entry_term term) {
  trail->count = 0;
  trail->base_index = index;
  trail->base_term = term;
  trail->last_index = index;
  trail->generation++;
}

void trail_check_invariants(const struct trail *trail) {
  CHECK(trail->base_index <= trail->last_index);
  CHECK((trail->count == 0) == (trail->base_index == trail->last_index));
  entry_index next = trail->base_index + 1;
  for (uint32_t i = 0; i < trail->count; i++) {
    const struct trail_run *run = &trail->runs[i];
    CHECK(i == 0 ? run->first == next : run->first > next);
    CHECK(run->term >= (i == 0 ? trail->base_term : trail->runs[i - 1].term));
    CHECK(run->generation <= trail->generation);
    CHECK(i == 0 || run->generation >= trail->runs[i - 1].generation);
    CHECK(run->first <= trail->last_index);
    next = run->first;
  }
}
