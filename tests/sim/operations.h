/* What admins want of the cluster, and what became of each wish: counted by kind, and by whether the controller failed in the middle of it.
 *
 * One is under way from the call until its answer; the two that take many commands, a partition's way to other brokers and a broker's way out,
 * from the version of the map that begins them to the one that ends them, whoever wanted them. It is hit when a fault was aimed at whoever
 * leads the map meanwhile (aim.h), or when another broker came to lead it.
 */
#ifndef CAIRN_TESTS_SIM_OPERATIONS_H
#define CAIRN_TESTS_SIM_OPERATIONS_H

#include <stdint.h>

#include "clients/c/cairn.h"

#define OPERATIONS(X)                                          \
  X(create, "a topic is made")                                 \
  X(alter, "its settings change")                              \
  X(delete, "it goes")                                         \
  X(grow, "it gets more partitions")                           \
  X(move, "a partition is to go to other brokers")             \
  X(reassign, "the same, by a plan")                           \
  X(take_back, "it is to stay after all")                      \
  X(transfer, "another broker is to lead it")                  \
  X(drain, "a broker is to lead nothing")                      \
  X(decommission, "it is to leave")                            \
  X(stay, "it is to stay after all")                           \
  X(moving, "a partition is on its way, until it has arrived") \
  X(leaving, "a broker is on its way out, until it is gone")

enum operation_kind {
#define OPERATION_ENUM(name, what) OPERATION_##name,
  OPERATIONS(OPERATION_ENUM)
#undef OPERATION_ENUM
      OPERATION_COUNT
};
const char *operation_name(enum operation_kind kind);

struct operation_count {
  uint32_t begun, hit;
  uint32_t done, absent, unknown; /* of those whose end was seen; absent: it was not to be, or others wanted something else */
};

struct run;
struct cluster_map;
struct operations;

struct operations *operations_new(struct run *run);
void operations_free(struct operations *operations); /* NULL is fine */

/* A call under way. */
struct operation {
  enum operation_kind kind;
  uint64_t blows;
};

/* Around an admin's call: run_call_begin() and run_call_end() are in it. */
struct operation operation_begin(struct run *run, enum operation_kind kind);
void operation_end(struct run *run, const struct operation *operation, const struct cairn_error *error);

/* The next version of the map, the first time that any broker has it. */
void operations_see(struct operations *operations, const struct cluster_map *map);
/* Something happened to whoever leads the map, or another one does. */
void operations_blow(struct operations *operations);
const struct operation_count *operations_counts(const struct operations *operations); /* OPERATION_COUNT of them */

#endif
