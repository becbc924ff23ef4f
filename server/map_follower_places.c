#include <inttypes.h>

#include "base/list.h"
#include "base/memory.h"
#include "base/mutant.h"
#include "base/probe.h"
#include "base/trace.h"
#include "server/map_follower_internal.h"

/* Partitions that come from other brokers, and go there. */

/* There may be tens of thousands under way, where a start found much missing: each is asked about. NULL: none opens it. */
static const struct opening_place *find_opening(const struct map_follower *follower, group_id group) {
  return map_get_number(follower->opens, group);
}

static bool is_left(const struct opening_place *opens) { return opens->opening->left != NULL && opens->opening->left[opens->at]; }

/* Which replica of it is here, is being opened, or waits for that. False: none. */
static bool find_here(struct map_follower *follower, const struct map_topic *topic, uint32_t i, uint64_t *out_placement) {
  struct route_found found;
  group_id group = topic->partitions[i].group;
  const struct arrival *arrival = map_get_number(follower->arrivals, group);
  const struct opening_place *opens = find_opening(follower, group);
  if (arrival != NULL) {
    *out_placement = partition_placement(arrival->own.instance);
    return true;
  }
  if (opens != NULL) {
    *out_placement = partition_placement(opens->opening->wanted[opens->at].instance);
    return !is_left(opens);
  }
  if (routing_find(follower->options.routing, bytes_of_string(topic->name), i, &found) != STATUS_OK) return false;
  *out_placement = partition_placement(partition_place_of(found.partition).instance);
  partition_release(found.partition);
  return true;
}

static void open_arrival(struct map_follower *follower, const struct arrival *arrival) {
  struct map_topic topic = {.id = arrival->topic_id, .name = arrival->name, .settings = arrival->settings};
  struct map_partition *wanted = memory_new_array(1, sizeof *wanted);
  bool *lost = memory_new_array(1, sizeof *lost);
  wanted[0] = arrival->own;
  lost[0] = arrival->lost;
  map_follower_open(follower, &topic, wanted, 1, lost);
}

static void arrival_free(struct arrival *arrival) {
  if (arrival == NULL) return;
  memory_free(arrival->name);
  memory_free(arrival);
}

void map_follower_next_arrival(struct map_follower *follower, group_id group, bool deleted) {
  struct arrival *arrival = map_remove_number(follower->arrivals, group);
  if (arrival != NULL && !deleted) open_arrival(follower, arrival);
  arrival_free(arrival);
}

/* One log of a group at a time: an opening that is under way comes to its end first, and what it opens leaves. `lost`: it was here. */
static void come(struct map_follower *follower, const struct map_topic *topic, uint32_t i, const struct map_partition *own,
                 bool lost) {
  if (map_get_number(follower->unclaimed, own->group) != NULL || map_get_number(follower->unread, own->group) != NULL) {
    trace_error(
        "partition_cannot_come",
        "topic=%s partition=%u group=%" PRIu64
        " reason=a log of it could not be opened do=\"run cairn verify; the replica comes to another directory of this broker\"",
        topic->name, i, own->group);
    return;
  }
  trace_info("partition_comes", "topic=%s partition=%u group=%" PRIu64 " placement=%" PRIu64, topic->name, i, own->group,
             partition_placement(own->instance));
  struct arrival *arrival = NEW(struct arrival);
  *arrival = (struct arrival){
      .topic_id = topic->id, .name = memory_copy_string(topic->name), .settings = topic->settings, .own = *own, .lost = lost};
  if (find_opening(follower, own->group) != NULL) {
    arrival_free(map_put_number(follower->arrivals, own->group, arrival));
    return;
  }
  open_arrival(follower, arrival);
  arrival_free(arrival);
}

static void leave_opening(const struct opening_place *opens) {
  struct opening *opening = opens->opening;
  if (opening->left == NULL) opening->left = memory_new_array(opening->count, sizeof *opening->left);
  opening->left[opens->at] = true;
}

static void leave(struct map_follower *follower, const struct map_topic *topic, uint32_t i) {
  const struct map_partition *place = &topic->partitions[i];
  arrival_free(map_remove_number(follower->arrivals, place->group));
  const struct opening_place *opens = find_opening(follower, place->group);
  struct partition *partition = routing_take_partition(follower->options.routing, bytes_of_string(topic->name), i);
  if (opens != NULL) leave_opening(opens);
  if (MUTANT(replica_kept) && partition != NULL && place->group % 3 == 0) {
    partition_release(partition);
    partition = NULL;
  }
  if (partition != NULL) {
    trace_info("partition_leaves", "topic=%s partition=%u group=%" PRIu64, topic->name, i, place->group);
    REACHED(partition_leaves);
    map_follower_send_leave(partition);
    partition_release(partition);
  }
  map_follower_point_elsewhere(follower, topic, i);
}

/* Nobody knows sooner than the map. */
static void tell_places(struct map_follower *follower, const struct map_topic *topic, uint32_t i, bool moving) {
  struct route_found found;
  if (routing_find(follower->options.routing, bytes_of_string(topic->name), i, &found) != STATUS_OK) return;
  map_follower_send_places(found.partition, &topic->partitions[i], moving);
  partition_release(found.partition);
}

/* While a move is under way nobody gives anything up but a replica that was out before it began. */
void map_follower_placed(void *context, const struct map_topic *topic, uint32_t i, const struct map_move *move) {
  struct map_follower *follower = context;
  struct map_partition own;
  uint64_t here = 0;
  if (move != NULL && follower->options.moving != NULL) follower->options.moving(follower->options.moving_context);
  if (!follower->made) return; /* map_follower_make() looks at all of them at its end */
  bool belongs = map_follower_own(follower, &topic->partitions[i], move, &own);
  bool is_here = find_here(follower, topic, i, &here);
  bool is_other = belongs && is_here && here != partition_placement(own.instance);
  if (is_here && !is_other) tell_places(follower, topic, i, move != NULL);
  if (is_here && (is_other || (!belongs && move == NULL))) leave(follower, topic, i);
  else if (!is_here && !belongs && move == NULL) map_follower_point_elsewhere(follower, topic, i);
  bool arrives = belongs && partition_placement(own.instance) != 0;
  bool lost = move == NULL || own.group < follower->doubted; /* that its move is over says that it was here, and was counted on */
  if (arrives && (!is_here || is_other)) come(follower, topic, i, &own, lost);
}

/* ---- From here on the map is followed ---- */

static bool is_absent(struct map_follower *follower, const struct map_topic *topic, uint32_t i) {
  struct route_found found;
  enum status status = routing_find(follower->options.routing, bytes_of_string(topic->name), i, &found);
  if (status == STATUS_OK) partition_release(found.partition);
  return status == STATUS_LOADING && find_opening(follower, topic->partitions[i].group) == NULL;
}

/* A topic that was made just before the last stop, or since: nobody has moved it here, so nobody has counted on this replica. */
static void make_absent(struct map_follower *follower, const struct map_topic *topic) {
  struct map_partition *wanted = memory_new_array(topic->partition_count, sizeof *wanted);
  bool *lost = memory_new_array(topic->partition_count, sizeof *lost);
  uint32_t count = 0;
  for (uint32_t i = 0; i < topic->partition_count; i++) {
    if (!is_absent(follower, topic, i) || !map_follower_wants(follower, topic, i)) continue;
    (void)map_follower_own(follower, &topic->partitions[i], NULL, &wanted[count]);
    lost[count++] = map_follower_has_lost(follower, topic, i);
  }
  map_follower_open(follower, topic, wanted, count, lost);
}

static void settled(struct map_follower_wait *wait) {
  struct map_follower *follower = container_of(wait, struct map_follower, settled);
  if (wait->status != STATUS_OK) return;
  trace_info("losses_settled", "groups=%" PRIu64, follower->doubted);
  log_set_settle(follower->options.logs);
}

/* Of what may have been here and was lost everything that the map knows is made by now, or is being made: when that is durable a start that
 * finds no rot has nothing to doubt. Where the map itself has lost something only the next start can say what may have been here. */
static void settle_losses(struct map_follower *follower) {
  if (follower->doubted == 0 || follower->doubted == UINT64_MAX || follower->settles) return;
  follower->settles = true;
  follower->settled.done = settled;
  map_follower_when_settled(follower, &follower->settled);
}

/* Opened for what was ahead, and the map has come past it without a word: as a whole, or because it was cut. */
static void close_early(struct map_follower *follower) {
  struct map_cursor cursor = {0};
  for (struct partition *partition; (partition = map_next(follower->early, &cursor)) != NULL;) {
    map_remove_number(follower->early, partition_place_of(partition).group);
    map_follower_send_close(partition);
    partition_release(partition);
  }
}

void map_follower_caught_up(void *context, const struct cluster_map *map) {
  struct map_follower *follower = context;
  follower->caught_up = true;
  if (!follower->made) return; /* it comes to this by itself */
  close_early(follower);
  const struct map_topic *topic;
  for (size_t at = 0; (topic = cluster_map_topic_at(map, at)) != NULL; at++) {
    for (uint32_t i = 0; i < topic->partition_count; i++)
      map_follower_placed(follower, topic, i, cluster_map_move(map, topic->partitions[i].group));
    make_absent(follower, topic);
  }
  settle_losses(follower);
}
