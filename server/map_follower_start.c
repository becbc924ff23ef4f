#include <inttypes.h>
#include <stdatomic.h>

#include "base/check.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/trace.h"
#include "base/witness.h"
#include "server/map_follower_internal.h"

/* What a broker finds when it starts: logs on one side, the map on the other. */

#define UNREAD_ROUNDS 3u           /* a partition whose files cannot be read is tried again so often ... */
#define UNREAD_PAUSE_NS 100000000u /* ... after so long */

/* A read failed while it was opened. */
struct unread {
  const struct map_topic *topic;
  uint32_t number;
  struct log *log;
  bool early;
};

struct adoption {
  struct map_follower *follower;
  const struct cluster_map *map;
  const struct cluster_map *ahead;
  bool doubt;
  struct map *logs; /* recovered and not yet matched, by group */
  struct unread *unread;
  size_t unread_count;
  struct map_follower_report report;
};

static void remember_log(void *context, struct log *log) {
  struct adoption *adoption = context;
  struct log_view view = log_view(log);
  group_id group = view.group;
  if (group == 0 || view.spare) return; /* the controller's; or left by an install, which the replica drops */
  WITNESS(found, adoption->follower->options.hosts[0].self.broker, group, view.instance);
  void *earlier = map_put_number(adoption->logs, group, log);
  CHECK(earlier == NULL);
}

static enum status adopt(struct adoption *adoption, struct log *log, const struct map_topic *topic, uint32_t i,
                         struct partition **out_partition) {
  const struct map_partition *place = &topic->partitions[i];
  struct partition_host *host = map_follower_host(adoption->follower, place->group);
  struct raft_config founding;
  struct partition_place own = {
      .topic_id = topic->id, .number = place->number, .group = place->group, .instance = place->instance};
  if (map_follower_founding(place, &founding)) own.founding = &founding;
  return partition_open(host, log, &own, &topic->settings, out_partition);
}

void map_follower_tell_lost(const struct map_topic *topic, uint32_t i) {
  trace_error("partition_lost", "topic=%s partition=%u group=%" PRIu64 " do=\"nothing: it is had from the others\"", topic->name,
              topic->partitions[i].number, topic->partitions[i].group);
}

static void remember_lost(struct map_follower *follower, const struct map_topic *topic, uint32_t i) {
  follower->lost = memory_grow_array(follower->lost, follower->lost_count + 1, sizeof *follower->lost);
  follower->lost[follower->lost_count++] =
      (struct lost_partition){.place = topic->partitions[i], .settings = partition_log_settings(&topic->settings)};
}

static void remember_missing(struct adoption *adoption, const struct map_topic *topic, uint32_t i, bool lost) {
  struct map_follower *follower = adoption->follower;
  follower->missing = memory_grow_array(follower->missing, follower->missing_count + 1, sizeof *follower->missing);
  follower->missing[follower->missing_count++] = (struct missing_partition){.topic_id = topic->id, .number = i, .lost = lost};
  adoption->report.missing++;
}

static void remember_unread(struct adoption *adoption, const struct map_topic *topic, uint32_t i, struct log *log, bool early) {
  adoption->unread = memory_grow_array(adoption->unread, adoption->unread_count + 1, sizeof *adoption->unread);
  adoption->unread[adoption->unread_count++] = (struct unread){.topic = topic, .number = i, .log = log, .early = early};
}

static void settle_opened(struct adoption *adoption, const struct map_topic *topic, uint32_t i, struct partition *partition) {
  routing_set_partition(adoption->follower->options.routing, bytes_of_string(topic->name), topic->partitions[i].number,
                        partition);
  adoption->report.opened++;
}

static void settle_damaged(struct adoption *adoption, const struct map_topic *topic, uint32_t i, struct log *log,
                           enum status status) {
  const struct map_partition *place = &topic->partitions[i];
  trace_error("partition_damaged", "topic=%s partition=%u group=%" PRIu64 " reason=%s", topic->name, place->number, place->group,
              status_name(status));
  if (map_follower_has(adoption->follower, place))
    routing_set_absent(adoption->follower->options.routing, bytes_of_string(topic->name), place->number, STATUS_DAMAGED);
  else map_follower_point_elsewhere(adoption->follower, topic, i);
  if (log != NULL)
    map_put_number(adoption->follower->unclaimed, place->group, log); /* no other takes its place before the next start */
  adoption->report.damaged++;
}

static void settle_early(struct adoption *adoption, const struct map_topic *topic, uint32_t i, struct partition *partition) {
  map_put_number(adoption->follower->early, topic->partitions[i].group, partition);
  adoption->report.early++;
}

/* By all that is in group 0's log here, committed for sure or not: it has its place on this broker. */
static bool will_have(const struct adoption *adoption, uint64_t topic_id, uint32_t i) {
  const struct map_topic *topic = cluster_map_topic_by_id(adoption->ahead, topic_id);
  return topic != NULL && map_follower_has(adoption->follower, &topic->partitions[i]);
}

/* The only replica, as the map has it: what it has lost nobody has. A log of another placement is of one that has come since, from others. */
static bool is_only(const struct adoption *adoption, const struct map_partition *place, const struct log *log) {
  struct map_partition own;
  if (place->replica_count > 1 || !map_follower_own(adoption->follower, place, NULL, &own)) return false;
  return log == NULL || partition_placement(log_view(log).instance) == partition_placement(own.instance);
}

/* A log that is there is opened, wherever the map has the partition: it may be behind what was promised. What is left over goes when it has caught
 * up. Routes the partition if its log is there and good: whichever instance is in force by now, the map names the first. One that still has to be
 * made stays absent as LOADING. */
static void adopt_partition(struct adoption *adoption, const struct map_topic *topic, uint32_t i) {
  const struct map_partition *place = &topic->partitions[i];
  bool belongs = map_follower_has(adoption->follower, place);
  struct log *log = map_remove_number(adoption->logs, place->group);
  if (log == NULL && !belongs) {
    map_follower_point_elsewhere(adoption->follower, topic, i);
    return;
  }
  if (log == NULL && !adoption->doubt) {
    /* Or its topic is deleted by what is ahead, or it is elsewhere by then, and its log is closed for that. */
    if (will_have(adoption, topic->id, i)) remember_missing(adoption, topic, i, false);
    return;
  }

  struct partition *partition = NULL;
  enum status status = STATUS_NOT_FOUND;
  bool others = !is_only(adoption, place, log); /* have it: a damaged replica has it from them */
  if (log == NULL && others) {
    map_follower_tell_lost(topic, i);
    remember_missing(adoption, topic, i, true);
    return;
  }
  if (log == NULL) remember_lost(adoption->follower, topic, i);
  else if (!others && log_view(log).damaged && log_view(log).last_index == 0) status = STATUS_DAMAGED; /* nothing is left of it */
  else status = adopt(adoption, log, topic, i, &partition);
  if (status == STATUS_OK) settle_opened(adoption, topic, i, partition);
  else if (status == STATUS_IO) remember_unread(adoption, topic, i, log, false);
  else settle_damaged(adoption, topic, i, log, status);
}

static void adopt_topic(struct adoption *adoption, const struct map_topic *topic) {
  routing_add_topic(adoption->follower->options.routing, bytes_of_string(topic->name), topic->partition_count);
  for (uint32_t i = 0; i < topic->partition_count; i++) adopt_partition(adoption, topic, i);
}

/* A log is there only because what made its partition, its topic's creation or growth, was once known to be committed. It is opened wherever the partition is by now,
 * as above; also where the topic is deleted later on, which may not come true: the map will have it, and then perhaps not any more. */
static void adopt_early(struct adoption *adoption, const struct map_topic *topic) {
  const struct map_topic *known = cluster_map_topic_by_id(adoption->map, topic->id);
  for (uint32_t i = known == NULL ? 0 : known->partition_count; i < topic->partition_count; i++) {
    const struct map_partition *place = &topic->partitions[i];
    struct log *log = map_remove_number(adoption->logs, place->group);
    struct partition *partition = NULL;
    if (log == NULL) continue;
    enum status status = adopt(adoption, log, topic, i, &partition);
    if (status == STATUS_OK) settle_early(adoption, topic, i, partition);
    else if (status == STATUS_IO) remember_unread(adoption, topic, i, log, true);
    else map_put_number(adoption->logs, place->group, log);
  }
}

/* ---- What could not be read ---- */

static enum status try_again(struct adoption *adoption, const struct unread *unread) {
  struct partition *partition = NULL;
  enum status status = adopt(adoption, unread->log, unread->topic, unread->number, &partition);
  if (status == STATUS_OK && unread->early) settle_early(adoption, unread->topic, unread->number, partition);
  else if (status == STATUS_OK) settle_opened(adoption, unread->topic, unread->number, partition);
  else if (status != STATUS_IO && unread->early) map_put_number(adoption->logs, log_view(unread->log).group, unread->log);
  else if (status != STATUS_IO) settle_damaged(adoption, unread->topic, unread->number, unread->log, status);
  return status;
}

static void give_up(struct adoption *adoption, const struct unread *unread) {
  struct map_follower *follower = adoption->follower;
  const struct map_topic *topic = unread->topic;
  const struct map_partition *place = &topic->partitions[unread->number];
  trace_error("partition_unreadable",
              "topic=%s partition=%u group=%" PRIu64
              " do=\"the disk would not read it: look at the disk and restart the broker, nothing of it is given up\"",
              topic->name, place->number, place->group);
  map_put_number(follower->unread, place->group, unread->log);
  if (!unread->early) /* else the map speaks of it later */
    routing_set_absent(follower->options.routing, bytes_of_string(topic->name), place->number, STATUS_UNREADABLE);
  adoption->report.unread++;
}

static void open_unread(struct adoption *adoption) {
  static const atomic_uint nobody; /* wakes this thread */
  for (unsigned round = 0; round < UNREAD_ROUNDS && adoption->unread_count > 0; round++) {
    world_wait_word(adoption->follower->options.world, &nobody, 0, UNREAD_PAUSE_NS);
    size_t kept = 0;
    for (size_t i = 0; i < adoption->unread_count; i++)
      if (try_again(adoption, &adoption->unread[i]) == STATUS_IO) adoption->unread[kept++] = adoption->unread[i];
    adoption->unread_count = kept;
  }
  for (size_t i = 0; i < adoption->unread_count; i++) give_up(adoption, &adoption->unread[i]);
  memory_free(adoption->unread);
}

/* ---- Logs that no topic claims ---- */

/* A log that no topic claims. The broker stopped between the deletion's commit and the log's CLOSE frame: then the map knows the group
 * and has given it up. Anything else is for people to look at. */
static void settle_unclaimed(struct adoption *adoption, struct log *log) {
  struct log_view view = log_view(log);
  struct partition *partition = NULL;
  struct partition_host *host = map_follower_host(adoption->follower, view.group);
  struct partition_place place = {.group = view.group, .instance = view.instance};
  bool known_deleted = !adoption->doubt && view.group < cluster_map_next_group_id(adoption->map);
  if (known_deleted) known_deleted = partition_open(host, log, &place, &topic_settings_default, &partition) == STATUS_OK;
  if (!known_deleted) {
    trace_warn("log_unclaimed", "group=%" PRIu64 " instance=%" PRIu64 " records=%" PRId64, view.group, view.instance,
               view.next_offset - view.start_offset);
    map_put_number(adoption->follower->unclaimed, view.group, log);
    adoption->report.orphans++;
    return;
  }
  map_put_number(adoption->follower->leftovers, view.group, partition);
  adoption->report.deleted++;
}

static void adopt_all_early(struct adoption *adoption, const struct cluster_map *ahead) {
  const struct map_topic *topic;
  for (size_t at = 0; (topic = cluster_map_topic_at(ahead, at)) != NULL; at++) adopt_early(adoption, topic);
}

struct map_follower_report map_follower_adopt(struct map_follower *follower, const struct known_map *known, bool doubt) {
  const struct cluster_map *map = known->today, *ahead = known->ahead == NULL ? map : known->ahead;
  bool told = known->ahead != NULL; /* else what more is promised is told later: until then all is in doubt */
  struct adoption adoption = {.follower = follower, .map = map, .ahead = ahead, .doubt = doubt || !told, .logs = map_new(0)};
  follower->caught_up = told && cluster_map_version(map) == cluster_map_version(ahead);
  if (adoption.doubt) follower->doubted = known->whole && told ? cluster_map_next_group_id(ahead) : UINT64_MAX;
  log_set_each(follower->options.logs, remember_log, &adoption);
  const struct map_topic *topic;
  for (size_t at = 0; (topic = cluster_map_topic_at(map, at)) != NULL; at++) adopt_topic(&adoption, topic);
  adopt_all_early(&adoption, ahead);
  if (known->passing != NULL) adopt_all_early(&adoption, known->passing);
  open_unread(&adoption);
  struct map_cursor cursor = {0};
  for (struct log *log; (log = map_next(adoption.logs, &cursor)) != NULL;) settle_unclaimed(&adoption, log);
  map_free(adoption.logs);
  return adoption.report;
}

/* Of one topic, from `first` on in the list of those that are missing. Returns where the next topic's begin. */
static size_t make_missing(struct map_follower *follower, const struct cluster_map *map, size_t first) {
  uint64_t topic_id = follower->missing[first].topic_id;
  const struct map_topic *topic = cluster_map_topic_by_id(map, topic_id);
  size_t end = first;
  while (end < follower->missing_count && follower->missing[end].topic_id == topic_id) end++;
  if (topic == NULL) return end; /* deleted since the start */
  struct map_partition *wanted = memory_new_array(end - first, sizeof *wanted);
  bool *lost = memory_new_array(end - first, sizeof *lost);
  uint32_t count = 0;
  for (size_t i = first; i < end; i++) {
    const struct map_partition *place = &topic->partitions[follower->missing[i].number];
    if (!map_follower_own(follower, place, NULL, &wanted[count])) continue; /* it has gone elsewhere since the start */
    bool counted_on = partition_placement(wanted[count].instance) != 0;
    lost[count++] = follower->missing[i].lost || counted_on;
  }
  map_follower_open(follower, topic, wanted, count, lost);
  return end;
}

/* Doubt ends with the next start; what is lost stays lost. */
static void mark_lost(struct map_follower *follower) {
  struct partition_host *host = &follower->options.hosts[0];
  for (size_t i = 0; i < follower->lost_count; i++) {
    const struct lost_partition *lost = &follower->lost[i];
    log_create_lost(follower->options.logs, host->loop, lane_write(host->lane), lost->place.group, lost->place.instance,
                    &lost->settings);
  }
  follower->lost_count = 0;
}

void map_follower_make(struct map_follower *follower, const struct cluster_map *map) {
  mark_lost(follower);
  for (size_t next = 0; next < follower->missing_count;) next = make_missing(follower, map, next);
  follower->missing_count = 0;
  struct map_cursor cursor = {0};
  for (struct partition *partition; (partition = map_next(follower->leftovers, &cursor)) != NULL;) {
    map_remove_number(follower->leftovers, partition_place_of(partition).group);
    map_follower_send_close(partition);
    partition_release(partition);
  }
  follower->made = true;
  if (follower->caught_up) map_follower_caught_up(follower, map);
}
