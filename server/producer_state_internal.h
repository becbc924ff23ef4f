/* What the files of the producer state share. See producer_state.h. */
#ifndef CAIRN_SERVER_PRODUCER_STATE_INTERNAL_H
#define CAIRN_SERVER_PRODUCER_STATE_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "server/producer_ring.h"
#include "server/producer_state.h"

struct producer {
  producer_id id;
  uint8_t *name;
  uint16_t name_size;

  /* As applied. */
  bool applied; /* the entry that opened it is */
  uint32_t epoch;
  uint64_t next_sequence;
  entry_index last_index; /* of its newest entry */
  struct producer_ring ring;
  struct list_node recent; /* of state->applied.recent, while applied */

  /* At the head. */
  bool given_up; /* an entry that is proposed gives it up */
  uint32_t head_epoch;
  uint64_t head_sequence;
  uint32_t head_batches;        /* that the ring will have */
  struct producer_ring pending; /* batches that are proposed */
  struct list_node head_recent; /* of state->head.recent, unless given up */
};

struct producer_view {
  struct list recent; /* producers, the one that appended least recently first */
  size_t count;
  uint64_t bytes;
  uint64_t given_up;
  struct producer_bounds bounds;
};

/* An entry that is proposed and not applied: whom it speaks of, and all that it says, so that it can be played again on another head. */
struct producer_proposed {
  entry_index index;
  struct producer *producer;     /* NULL: nobody has that name or id */
  struct producer_entry *change; /* its own copy; NULL: a batch */
  producer_id id;                /* of a batch */
  struct producer_batch batch;
};

struct producer_state {
  group_id group;
  struct map *by_name; /* at the head */
  struct map *by_id;   /* all */
  struct producer_view applied;
  struct producer_view head;
  struct producer_proposed *proposed; /* circular, in index order */
  size_t proposed_begin;
  size_t proposed_count;
  size_t proposed_capacity;
};

static inline struct bytes producer_name(const struct producer *producer) {
  return bytes_of(producer->name, producer->name_size);
}
static inline uint64_t producer_cost(const struct producer *producer, uint32_t batches) {
  return PRODUCER_COST + producer->name_size + (uint64_t)batches * PRODUCER_BATCH_COST;
}

struct producer *producer_state_add(struct producer_state *state, producer_id id, struct bytes name);
/* The head becomes what is applied. PRE: nothing is proposed and nobody is given up or new. */
void producer_state_copy_head(struct producer_state *state);
void producer_state_clear(struct producer_state *state);

#endif
