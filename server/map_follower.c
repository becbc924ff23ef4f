#include "server/map_follower.h"

#include <inttypes.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "base/trace.h"
#include "controller/moves.h"
#include "server/map_follower_internal.h"

#define OPEN_PER_TURN_MAX 256u
#define OPEN_AGAIN_NS 5000000u

struct map_follower *map_follower_new(const struct map_follower_options *options) {
  struct map_follower *follower = NEW(struct map_follower);
  follower->options = *options;
  list_init(&follower->openings);
  list_init(&follower->settling);
  follower->opens = map_new(0);
  follower->leftovers = map_new(0);
  follower->early = map_new(0);
  follower->unclaimed = map_new(0);
  follower->unread = map_new(0);
  follower->arrivals = map_new(0);
  return follower;
}

void map_follower_free(struct map_follower *follower) {
  if (follower == NULL) return;
  CHECK(list_empty(&follower->openings));
  map_free(follower->opens);
  struct map_cursor cursor = {0};
  for (struct partition *partition; (partition = map_next(follower->leftovers, &cursor)) != NULL;) partition_release(partition);
  map_free(follower->leftovers);
  cursor = (struct map_cursor){0};
  for (struct partition *partition; (partition = map_next(follower->early, &cursor)) != NULL;) partition_release(partition);
  map_free(follower->early);
  map_free(follower->unclaimed);
  map_free(follower->unread);
  cursor = (struct map_cursor){0};
  for (struct arrival *arrival; (arrival = map_next(follower->arrivals, &cursor)) != NULL;) {
    memory_free(arrival->name);
    memory_free(arrival);
  }
  map_free(follower->arrivals);
  memory_free(follower->lost);
  memory_free(follower->missing);
  memory_free(follower);
}

struct partition_host *map_follower_host(const struct map_follower *follower, group_id group) {
  return &follower->options.hosts[group % follower->options.lane_count];
}

/* ---- Where a partition is ---- */

static const struct map_replica *find_own(const struct map_follower *follower, const struct map_replica *replicas,
                                          uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    struct replica_id id = map_replica_id(&replicas[i]);
    if (replica_same_directory(&id, &follower->options.hosts[0].self)) return &replicas[i];
  }
  return NULL;
}

bool map_follower_has(const struct map_follower *follower, const struct map_partition *place) {
  return place->replica_count == 0 || find_own(follower, place->replicas, place->replica_count) != NULL;
}

bool map_follower_own(const struct map_follower *follower, const struct map_partition *place, const struct map_move *move,
                      struct map_partition *out_own) {
  const struct map_replica *own = find_own(follower, place->replicas, place->replica_count);
  if (own == NULL && move != NULL) own = find_own(follower, move->target, move->target_count);
  *out_own = *place;
  if (own != NULL && own->placement != 0) out_own->instance = partition_first_instance(own->placement);
  return own != NULL || place->replica_count == 0;
}

/* Is it to lead the partition, and are there others? */
static bool is_first(const struct map_follower *follower, const struct map_partition *place) {
  if (place->replica_count < 2) return false;
  struct replica_id first = map_replica_id(&place->replicas[0]);
  return replica_same_directory(&first, &follower->options.hosts[0].self);
}

bool map_follower_founding(const struct map_partition *place, struct raft_config *out_config) {
  *out_config = (struct raft_config){.phase = RAFT_STABLE};
  for (uint32_t i = 0; i < place->replica_count; i++) {
    struct replica_id id = map_replica_id(&place->replicas[i]);
    raft_config_add(out_config, &id, RAFT_VOTER, RAFT_VOTER);
  }
  return place->replica_count > 0;
}

void map_follower_point_elsewhere(struct map_follower *follower, const struct map_topic *topic, uint32_t i) {
  const struct map_partition *place = &topic->partitions[i];
  struct bytes name = bytes_of_string(topic->name);
  for (uint32_t at = 0; at < place->replica_count; at++) {
    if (place->replicas[at].broker == follower->options.hosts[0].self.broker) continue;
    routing_set_elsewhere(follower->options.routing, name, place->number, place->replicas[at].broker);
    return;
  }
  /* Its only replica was in a directory that this broker had before. A map from before this one came may be behind: others have it by now. */
  if (follower->known) routing_set_absent(follower->options.routing, name, place->number, STATUS_DAMAGED);
  else routing_set_elsewhere(follower->options.routing, name, place->number, 0);
}

/* Is its only replica one that this broker had with another directory? */
static bool is_left_behind(const struct map_follower *follower, const struct map_partition *place) {
  struct replica_id self = follower->options.hosts[0].self;
  if (place->replica_count == 0 || map_follower_has(follower, place)) return false;
  for (uint32_t at = 0; at < place->replica_count; at++)
    if (place->replicas[at].broker != self.broker) return false;
  return true;
}

void map_follower_known(struct map_follower *follower, const struct cluster_map *map) {
  if (follower->known) return;
  follower->known = true;
  const struct map_topic *topic;
  for (size_t at = 0; (topic = cluster_map_topic_at(map, at)) != NULL; at++) {
    for (uint32_t i = 0; i < topic->partition_count; i++)
      if (is_left_behind(follower, &topic->partitions[i])) map_follower_point_elsewhere(follower, topic, i);
  }
}

/* ---- Telling those who wait ---- */

static void tell(struct list *waits, enum status status) {
  for (struct list_node *node; (node = list_pop_front(waits)) != NULL;) {
    struct map_follower_wait *wait = list_entry(node, struct map_follower_wait, node);
    wait->status = status;
    wait->done(wait);
  }
}

/* The one that began last: a topic that grows may have several. */
static struct opening *find_opening(struct map_follower *follower, uint64_t topic_id) {
  struct opening *last = NULL;
  list_for_each(&follower->openings, node, following) {
    struct opening *opening = list_entry(node, struct opening, node);
    if (opening->topic_id == topic_id) last = opening;
  }
  return last;
}

static void wait_or_tell(struct list *waits, struct map_follower_wait *wait, bool ready) {
  list_push_back(waits, &wait->node);
  if (ready) tell(waits, STATUS_OK);
}

void map_follower_when_open(struct map_follower *follower, uint64_t topic_id, struct map_follower_wait *wait) {
  struct opening *opening = find_opening(follower, topic_id);
  struct list nobody;
  list_init(&nobody);
  wait_or_tell(opening == NULL ? &nobody : &opening->waits, wait, opening == NULL);
}

void map_follower_when_settled(struct map_follower *follower, struct map_follower_wait *wait) {
  wait_or_tell(&follower->settling, wait, list_empty(&follower->openings));
}

/* ---- Errands to a partition's lane ---- */

struct errand {
  struct task task;
  struct partition *partition;
  struct topic_settings settings;
  struct partition_places places;
};

static void end_errand(struct errand *errand) {
  partition_release(errand->partition);
  memory_free(errand);
}

static void run_close(struct task *task) {
  struct errand *errand = container_of(task, struct errand, task);
  partition_close(errand->partition, false);
  end_errand(errand);
}

static void run_leave(struct task *task) {
  struct errand *errand = container_of(task, struct errand, task);
  partition_close(errand->partition, true);
  end_errand(errand);
}

static void run_settings(struct task *task) {
  struct errand *errand = container_of(task, struct errand, task);
  partition_set_settings(errand->partition, &errand->settings);
  end_errand(errand);
}

static void run_campaign(struct task *task) {
  struct errand *errand = container_of(task, struct errand, task);
  partition_campaign(errand->partition);
  end_errand(errand);
}

static void run_places(struct task *task) {
  struct errand *errand = container_of(task, struct errand, task);
  partition_set_places(errand->partition, &errand->places);
  end_errand(errand);
}

static void send_errand(struct partition *partition, void (*run)(struct task *task), const struct topic_settings *settings) {
  struct errand *errand = NEW(struct errand);
  errand->task.run = run;
  errand->partition = partition_hold(partition);
  if (settings != NULL) errand->settings = *settings;
  loop_post(partition_host_of(partition)->loop, &errand->task);
}

void map_follower_send_places(struct partition *partition, const struct map_partition *place, bool moving) {
  struct errand *errand = NEW(struct errand);
  errand->task.run = run_places;
  errand->partition = partition_hold(partition);
  errand->places = (struct partition_places){.count = place->replica_count, .moving = moving};
  for (uint32_t i = 0; i < place->replica_count; i++) errand->places.brokers[i] = place->replicas[i].broker;
  loop_post(partition_host_of(partition)->loop, &errand->task);
}

void map_follower_send_close(struct partition *partition) { send_errand(partition, run_close, NULL); }
void map_follower_send_leave(struct partition *partition) { send_errand(partition, run_leave, NULL); }

/* ---- Opening: a topic's new logs, on the lanes that will own them ---- */

static void free_opening(struct opening *opening) {
  memory_free(opening->name);
  memory_free(opening->wanted);
  memory_free(opening->lost);
  memory_free(opening->left);
  memory_free(opening->places);
  memory_free(opening->opened);
  memory_free(opening->lanes);
  memory_free(opening);
}

static bool same_places(const struct map_partition *a, const struct map_partition *b) {
  bool same = a->replica_count == b->replica_count;
  for (uint32_t i = 0; same && i < a->replica_count; i++) same = a->replicas[i].broker == b->replicas[i].broker;
  return same;
}

/* It may have moved while it was opened. */
static void send_news(struct opening *opening, uint32_t i) {
  const struct map_follower_options *options = &opening->follower->options;
  const struct map_partition *wanted = &opening->wanted[i];
  if (options->map == NULL) return;
  const struct cluster_map *map = options->map(options->map_context);
  const struct map_topic *topic = cluster_map_topic_by_id(map, opening->topic_id);
  if (topic == NULL) return;
  bool moving = cluster_map_move(map, wanted->group) != NULL;
  const struct map_partition *place = &topic->partitions[wanted->number];
  if (moving || !same_places(place, wanted)) map_follower_send_places(opening->opened[i], place, moving);
}

/* It is found by each group that it opens. */
static void note_opening(struct opening *opening) {
  struct map_follower *follower = opening->follower;
  list_push_back(&follower->openings, &opening->node);
  for (uint32_t i = 0; i < opening->count; i++) {
    opening->places[i] = (struct opening_place){.opening = opening, .at = i};
    void *earlier = map_put_number(follower->opens, opening->wanted[i].group, &opening->places[i]);
    CHECK(earlier == NULL);
  }
}

static void forget_opening(struct opening *opening) {
  list_remove(&opening->node);
  for (uint32_t i = 0; i < opening->count; i++) map_remove_number(opening->follower->opens, opening->wanted[i].group);
}

/* On lane 0, when every lane has done its part. */
static void finish_opening(struct opening *opening) {
  struct map_follower *follower = opening->follower;
  struct bytes name = bytes_of_string(opening->name);
  for (uint32_t i = 0; i < opening->count; i++) {
    struct partition *partition = opening->opened[i];
    if (partition == NULL) continue;
    bool left = opening->left != NULL && opening->left[i];
    if (opening->deleted || left) {
      (left ? map_follower_send_leave : map_follower_send_close)(partition);
      partition_release(partition);
    } else if (opening->status != STATUS_OK) {
      partition_release(partition);
    } else {
      if (opening->altered) send_errand(partition, run_settings, &opening->next_settings);
      send_news(opening, i);
      if (is_first(follower, &opening->wanted[i])) send_errand(partition, run_campaign, NULL);
      routing_set_partition(follower->options.routing, name, opening->wanted[i].number, partition);
    }
  }
  forget_opening(opening);
  tell(&opening->waits, opening->deleted ? STATUS_UNKNOWN_TOPIC : opening->status);
  for (uint32_t i = 0; i < opening->count; i++) map_follower_next_arrival(follower, opening->wanted[i].group, opening->deleted);
  free_opening(opening);
  if (list_empty(&follower->openings)) tell(&follower->settling, STATUS_OK);
}

static void lane_reported(struct task *task) {
  struct opening_lane *part = container_of(task, struct opening_lane, task);
  struct opening *opening = part->opening;
  if (part->status != STATUS_OK) {
    opening->status = part->status;
    trace_error("topic_not_opened", "topic=%s lane=%u reason=%s", opening->name, part->lane, status_name(part->status));
  }
  CHECK(opening->lanes_left > 0);
  if (--opening->lanes_left == 0) finish_opening(opening);
}

static void report(struct opening_lane *part, enum status status) {
  part->status = status;
  part->task.run = lane_reported;
  loop_post(part->opening->follower->options.hosts[0].loop, &part->task);
}

static void lane_is_durable(struct lane_fence *fence, enum status status) {
  report(container_of(fence, struct opening_lane, fence), status);
}

static enum status open_one(struct opening *opening, struct partition_host *host, uint32_t i) {
  const struct map_partition *wanted = &opening->wanted[i];
  struct raft_config founding;
  struct log_settings log_settings = partition_log_settings(&opening->settings);
  struct log *log = (opening->lost[i] ? log_create_lost : log_create)(lane_logs(host->lane), host->loop, lane_write(host->lane),
                                                                      wanted->group, wanted->instance, &log_settings);
  struct partition_place place = {
      .topic_id = opening->topic_id, .number = wanted->number, .group = wanted->group, .instance = wanted->instance};
  if (map_follower_founding(wanted, &founding)) place.founding = &founding;
  enum status status = partition_open(host, log, &place, &opening->settings, &opening->opened[i]);
  if (status == STATUS_OK) partition_start(opening->opened[i]);
  return status;
}

static void open_later(struct timer *timer) {
  struct opening_lane *part = container_of(timer, struct opening_lane, again);
  part->task.run(&part->task);
}

/* On a partition's lane: some, then after others had a turn some more. */
static void open_on_lane(struct task *task) {
  struct opening_lane *part = container_of(task, struct opening_lane, task);
  struct opening *opening = part->opening;
  struct partition_host *host = &opening->follower->options.hosts[part->lane];
  bool any = false; /* in this turn; what earlier turns made is durable before that */
  unsigned budget = OPEN_PER_TURN_MAX;
  if (lane_failed(host->lane)) { /* nothing that is here will ever be gone */
    report(part, STATUS_IO);
    return;
  }
  for (; part->next < opening->count; part->next++) {
    if (map_follower_host(opening->follower, opening->wanted[part->next].group) != host) continue;
    if (lane_has(host->lane, opening->wanted[part->next].group)) {
      part->again.fire = open_later;
      loop_timer_set(host->loop, &part->again, loop_now_ns(host->loop) + OPEN_AGAIN_NS);
      return;
    }
    if (budget-- == 0) break;
    enum status status = open_one(opening, host, part->next);
    if (status != STATUS_OK) {
      report(part, status);
      return;
    }
    any = true;
  }
  if (part->next < opening->count) {
    loop_post(host->loop, &part->task);
  } else if (any) {
    part->fence.done = lane_is_durable;
    lane_when_durable(host->lane, &part->fence);
  } else {
    report(part, STATUS_OK); /* nothing of it lives here */
  }
}

/* `wanted`: those without a log; taken over, and there may be none. `lost`, taken over too: those that had one, and begin as damaged replicas. The
 * settings of an opening are those at its start; see `altered`. */
void map_follower_open(struct map_follower *follower, const struct map_topic *topic, struct map_partition *wanted, uint32_t count,
                       bool *lost) {
  if (count == 0) {
    memory_free(wanted);
    memory_free(lost);
    return;
  }
  unsigned lane_count = follower->options.lane_count;
  struct opening *opening = NEW(struct opening);
  opening->follower = follower;
  opening->topic_id = topic->id;
  opening->name = memory_copy_string(topic->name);
  opening->settings = topic->settings;
  opening->lost = lost;
  opening->wanted = wanted;
  opening->count = count;
  opening->places = memory_new_array(count, sizeof *opening->places);
  opening->opened = memory_new_array(count, sizeof *opening->opened);
  opening->lanes = memory_new_array(lane_count, sizeof *opening->lanes);
  opening->lanes_left = lane_count;
  list_init(&opening->waits);
  note_opening(opening);
  for (unsigned i = 0; i < lane_count; i++) {
    opening->lanes[i] = (struct opening_lane){.opening = opening, .lane = i, .task = {.run = open_on_lane}};
    loop_post(follower->options.hosts[i].loop, &opening->lanes[i].task);
  }
}

/* ---- What the map says ---- */

bool map_follower_wants(struct map_follower *follower, const struct map_topic *topic, uint32_t i) {
  const struct map_partition *place = &topic->partitions[i];
  struct routing *routing = follower->options.routing;
  struct partition *early = map_remove_number(follower->early, place->group);
  if (early != NULL) { /* perhaps for what the map does not say yet, but will */
    send_errand(early, run_settings, &topic->settings);
    routing_set_partition(routing, bytes_of_string(topic->name), place->number, early);
    return false;
  }
  if (!map_follower_has(follower, place)) {
    map_follower_point_elsewhere(follower, topic, i);
    return false;
  }
  if (map_get_number(follower->unread, place->group) != NULL) {
    routing_set_absent(routing, bytes_of_string(topic->name), place->number, STATUS_UNREADABLE);
    return false;
  }
  if (!follower->caught_up) return false; /* it may have moved since, and be known here otherwise than as a new one */
  if (map_get_number(follower->unclaimed, place->group) == NULL) return true;
  trace_error("partition_damaged", "topic=%s partition=%u group=%" PRIu64 " reason=a log of it could not be opened", topic->name,
              place->number, place->group);
  routing_set_absent(routing, bytes_of_string(topic->name), place->number, STATUS_DAMAGED);
  return false;
}

/* The start lost something, and this may have been here: then it has promised things that it does not know. Others have it. */
bool map_follower_has_lost(const struct map_follower *follower, const struct map_topic *topic, uint32_t i) {
  const struct map_partition *place = &topic->partitions[i];
  bool lost = place->group < follower->doubted && place->replica_count > 1;
  if (lost) map_follower_tell_lost(topic, i);
  return lost;
}

/* Partitions from this one on. */
static void open_new(struct map_follower *follower, const struct map_topic *topic, uint32_t first) {
  struct map_partition *wanted = memory_new_array(topic->partition_count - first, sizeof *wanted);
  bool *lost = memory_new_array(topic->partition_count - first, sizeof *lost);
  uint32_t count = 0;
  for (uint32_t i = first; i < topic->partition_count; i++) {
    if (!map_follower_wants(follower, topic, i)) continue;
    lost[count] = map_follower_has_lost(follower, topic, i);
    (void)map_follower_own(follower, &topic->partitions[i], NULL, &wanted[count++]);
  }
  map_follower_open(follower, topic, wanted, count, lost);
}

static void topic_created(void *context, const struct map_topic *topic) {
  struct map_follower *follower = context;
  routing_add_topic(follower->options.routing, bytes_of_string(topic->name), topic->partition_count);
  open_new(follower, topic, 0);
}

static void topic_grown(void *context, const struct map_topic *topic, uint32_t first) {
  struct map_follower *follower = context;
  REACHED(topic_grows);
  routing_grow_topic(follower->options.routing, bytes_of_string(topic->name), topic->partition_count);
  open_new(follower, topic, first);
}

static void topic_altered(void *context, const struct map_topic *topic) {
  struct map_follower *follower = context;
  list_for_each(&follower->openings, node, following) {
    struct opening *opening = list_entry(node, struct opening, node);
    if (opening->topic_id != topic->id) continue;
    opening->next_settings = topic->settings;
    opening->altered = true;
  }
  for (uint32_t i = 0; i < topic->partition_count; i++) {
    struct route_found found;
    struct arrival *arrival = map_get_number(follower->arrivals, topic->partitions[i].group);
    if (arrival != NULL) arrival->settings = topic->settings;
    if (routing_find(follower->options.routing, bytes_of_string(topic->name), i, &found) != STATUS_OK) continue;
    send_errand(found.partition, run_settings, &topic->settings);
    partition_release(found.partition);
  }
}

static void close_routed(void *context, struct partition *partition) {
  (void)context;
  map_follower_send_close(partition);
}

static void topic_deleted(void *context, const struct map_topic *topic) {
  struct map_follower *follower = context;
  list_for_each(&follower->openings, node, following) {
    struct opening *opening = list_entry(node, struct opening, node);
    if (opening->topic_id == topic->id) opening->deleted = true;
  }
  routing_remove_topic(follower->options.routing, bytes_of_string(topic->name), close_routed, NULL);
}

struct controller_watch map_follower_watch(struct map_follower *follower) {
  return (struct controller_watch){.topic_created = topic_created,
                                   .topic_altered = topic_altered,
                                   .topic_grown = topic_grown,
                                   .topic_deleted = topic_deleted,
                                   .partition_placed = map_follower_placed,
                                   .caught_up = map_follower_caught_up,
                                   .context = follower};
}
