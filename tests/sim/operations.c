#include "tests/sim/operations.h"

#include <string.h>

#include "base/map.h"
#include "base/memory.h"
#include "base/probe.h"
#include "controller/cluster_map.h"
#include "tests/sim/aim.h"
#include "tests/sim/run.h"

/* A partition on its way. */
struct way {
  uint64_t group;
  uint64_t move;
  uint64_t blows;
  struct map_replica target[MAP_REPLICAS_MAX];
  uint32_t target_count;
};

struct operations {
  struct run *run;
  uint64_t blows;
  struct map *ways; /* struct way, by group */
  bool leaves[PLAN_NODES_MAX];
  uint64_t leaves_blows[PLAN_NODES_MAX];
  struct operation_count counts[OPERATION_COUNT];
};

const char *operation_name(enum operation_kind kind) {
  static const char *const names[] = {
#define OPERATION_NAME(name, what) [OPERATION_##name] = #name,
      OPERATIONS(OPERATION_NAME)
#undef OPERATION_NAME
  };
  return names[kind];
}

struct operations *operations_new(struct run *run) {
  struct operations *operations = NEW(struct operations);
  operations->run = run;
  operations->ways = map_new(0);
  return operations;
}

void operations_free(struct operations *operations) {
  if (operations == NULL) return;
  struct map_cursor cursor = {0};
  for (struct way *way; (way = map_next(operations->ways, &cursor)) != NULL;) memory_free(way);
  map_free(operations->ways);
  memory_free(operations);
}

const struct operation_count *operations_counts(const struct operations *operations) { return operations->counts; }
void operations_blow(struct operations *operations) { operations->blows++; }

/* ---- Hits ---- */

static void reach(enum operation_kind kind) {
  switch (kind) {
#define OPERATION_REACHED(name, what) \
  case OPERATION_##name: REACHED(controller_fails_in_a_##name); break;
    OPERATIONS(OPERATION_REACHED)
#undef OPERATION_REACHED
    default: break;
  }
}

static void note_hit(struct operations *operations, enum operation_kind kind, uint64_t blows) {
  if (blows == operations->blows) return;
  operations->counts[kind].hit++;
  reach(kind);
}

/* ---- Calls ---- */

struct operation operation_begin(struct run *run, enum operation_kind kind) {
  struct operations *operations = run->operations;
  operations->counts[kind].begun++;
  run_call_begin(run);
  aim_asked(run->aim, kind);
  return (struct operation){.kind = kind, .blows = operations->blows};
}

void operation_end(struct run *run, const struct operation *operation, const struct cairn_error *error) {
  struct operations *operations = run->operations;
  struct operation_count *count = &operations->counts[operation->kind];
  run_call_end(run);
  note_hit(operations, operation->kind, operation->blows);
  if (error->code == CAIRN_OK) count->done++;
  else if (error->executed == CAIRN_EXECUTED_NO) count->absent++;
  else count->unknown++;
}

/* ---- What takes many commands ---- */

static bool has_arrived(const struct cluster_map *map, const struct way *way) {
  const struct map_topic *topic = cluster_map_topic_after(map, bytes_of_string(""));
  for (; topic != NULL; topic = cluster_map_topic_after(map, bytes_of_string(topic->name))) {
    for (uint32_t i = 0; i < topic->partition_count; i++) {
      const struct map_partition *place = &topic->partitions[i];
      if (place->group == way->group)
        return place->replica_count == way->target_count &&
               memcmp(place->replicas, way->target, way->target_count * sizeof *way->target) == 0;
    }
  }
  return false;
}

static void end_way(struct operations *operations, const struct cluster_map *map, struct way *way) {
  struct operation_count *count = &operations->counts[OPERATION_moving];
  note_hit(operations, OPERATION_moving, way->blows);
  if (has_arrived(map, way)) count->done++;
  else count->absent++;
  memory_free(map_remove_number(operations->ways, way->group));
}

static void begin_way(struct operations *operations, const struct map_move *move) {
  struct way *way = NEW(struct way);
  *way = (struct way){.group = move->group, .move = move->number, .blows = operations->blows, .target_count = move->target_count};
  memcpy(way->target, move->target, sizeof way->target);
  operations->counts[OPERATION_moving].begun++;
  map_put_number(operations->ways, move->group, way);
}

static void see_ways(struct operations *operations, const struct cluster_map *map) {
  struct map_cursor cursor = {0};
  for (struct way *way; (way = map_next(operations->ways, &cursor)) != NULL;) {
    const struct map_move *move = cluster_map_move(map, way->group);
    if (move == NULL || move->number != way->move) end_way(operations, map, way);
  }
  const struct map_move *move = cluster_map_move_after(map, 0);
  for (; move != NULL; move = cluster_map_move_after(map, move->group))
    if (map_get_number(operations->ways, move->group) == NULL) begin_way(operations, move);
}

static void see_broker(struct operations *operations, const struct map_broker *broker) {
  unsigned which = broker->id - 1;
  struct operation_count *count = &operations->counts[OPERATION_leaving];
  if (which >= PLAN_NODES_MAX) return;
  bool leaves = broker->standing == STANDING_LEAVING, left = operations->leaves[which];
  operations->leaves[which] = leaves;
  if (leaves && !left) {
    count->begun++;
    operations->leaves_blows[which] = operations->blows;
  }
  if (leaves || !left) return;
  note_hit(operations, OPERATION_leaving, operations->leaves_blows[which]);
  if (broker->standing == STANDING_GONE) count->done++;
  else count->absent++;
}

void operations_see(struct operations *operations, const struct cluster_map *map) {
  see_ways(operations, map);
  const struct map_broker *broker = cluster_map_broker_after(map, 0);
  for (; broker != NULL; broker = cluster_map_broker_after(map, broker->id)) see_broker(operations, broker);
}
