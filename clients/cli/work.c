#include "clients/cli/work.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "clients/cli/map_json.h"
#include "clients/cli/quantity.h"

#define TEXT_SIZE 160u
#define SIZE_SIZE 32u

static void move_visit(void *context, const struct cairn_move *move) {
  struct work *work = context;
  json_array_append_new(work->moves, move_json(move));
}

static void evacuation_visit(void *context, const struct cairn_evacuation *evacuation) {
  struct work *work = context;
  work->departures = memory_grow_array(work->departures, work->departure_count + 1, sizeof *work->departures);
  struct departure *departure = &work->departures[work->departure_count++];
  *departure = (struct departure){.broker_id = evacuation->broker_id,
                                  .replicas = evacuation->replicas,
                                  .moving = evacuation->moving,
                                  .bytes_to_go = evacuation->bytes,
                                  .more_to_go = evacuation->partitions_of_unknown_size > 0};
  if (evacuation->stuck[0] == '\0') return;
  if (evacuation->stuck_topic[0] == '\0') snprintf(departure->stuck, sizeof departure->stuck, "%s", evacuation->stuck);
  else
    snprintf(departure->stuck, sizeof departure->stuck, "partition %u of %s: %s", evacuation->stuck_partition,
             evacuation->stuck_topic, evacuation->stuck);
}

static bool names(const json_t *brokers, uint32_t broker) {
  size_t i;
  json_t *one;
  json_array_foreach(brokers, i, one) {
    if (json_integer_value(one) == broker) return true;
  }
  return false;
}

/* The moves that take something from it. */
static void add_moves(struct departure *departure, const json_t *moves) {
  size_t i;
  json_t *move;
  json_array_foreach(moves, i, move) {
    if (!names(json_object_get(move, "from"), departure->broker_id)) continue;
    departure->bytes_to_go += (uint64_t)json_integer_value(json_object_get(move, "bytes_to_go"));
    departure->bytes_per_second += (uint64_t)json_integer_value(json_object_get(move, "bytes_per_second"));
    departure->more_to_go = departure->more_to_go || !json_is_true(json_object_get(move, "told"));
  }
}

int work_look(struct cli *cli, struct work *out_work, struct cairn_error *error) {
  struct work work = {.moves = json_array()};
  int code = cairn_work_list(cli->client, move_visit, evacuation_visit, &work, error);
  if (code != CAIRN_OK) {
    work_deinit(&work);
    return code;
  }
  for (size_t i = 0; i < work.departure_count; i++) add_moves(&work.departures[i], work.moves);
  *out_work = work;
  return CAIRN_OK;
}

void work_deinit(struct work *work) {
  json_decref(work->moves);
  memory_free(work->departures);
}

const struct departure *work_departure(const struct work *work, uint32_t broker) {
  for (size_t i = 0; i < work->departure_count; i++)
    if (work->departures[i].broker_id == broker) return &work->departures[i];
  return NULL;
}

int64_t work_seconds_left(uint64_t bytes_to_go, uint64_t bytes_per_second) {
  return bytes_per_second == 0 ? -1 : (int64_t)(bytes_to_go / bytes_per_second) + 1;
}

const char *work_departure_text(char *into, size_t size, const struct departure *departure) {
  char to_go[SIZE_SIZE], pace[SIZE_SIZE], left[SIZE_SIZE], speed[TEXT_SIZE] = "";
  int64_t seconds = work_seconds_left(departure->bytes_to_go, departure->bytes_per_second);
  if (seconds >= 0)
    snprintf(speed, sizeof speed, " at %s/s, %s left",
             quantity_format_bytes(pace, sizeof pace, (double)departure->bytes_per_second),
             quantity_format_duration(left, sizeof left, seconds * 1000));
  snprintf(into, size, "%u replica%s left, %u on %s way; %s%s to go%s", departure->replicas, departure->replicas == 1 ? "" : "s",
           departure->moving, departure->moving == 1 ? "its" : "their",
           quantity_format_bytes(to_go, sizeof to_go, (double)departure->bytes_to_go),
           departure->more_to_go ? " and what is not known" : "", speed);
  return into;
}
