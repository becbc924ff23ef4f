/* What a broker makes of what it finds when it starts: logs on one side, the map on the other, and a disk that does not always read. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "controller/cluster_map.h"
#include "controller/command.h"
#include "server/map_follower.h"
#include "tests/unit/server/lab.h"

#define ALWAYS UINT_MAX

static struct lab lab;
static struct cluster_map *map;
static struct routing *routing;
static struct map_follower *follower;

static void add_topic(struct cluster_map *to, const char *name) {
  struct command command = {.kind = COMMAND_CREATE_TOPIC};
  command.topic.name = memory_copy_string(name);
  command.topic.id = cluster_map_next_topic_id(to);
  command.topic.replicas = 1;
  command.topic.settings = topic_settings_default;
  command.topic.partition_count = 1;
  command.topic.partitions = memory_new_array(1, sizeof *command.topic.partitions);
  command.topic.partitions[0] = (struct map_partition){.group = cluster_map_next_group_id(to), .instance = 1};
  assert_int_equal(cluster_map_apply(to, &command), STATUS_OK);
  command_deinit(&command);
}

/* A topic of one partition: group 1, which is the lab's. */
static struct cluster_map *map_of_one_topic(void) {
  struct cluster_map *made = cluster_map_new(1);
  add_topic(made, "t");
  return made;
}

static struct partition_trim trim;
static atomic_bool trimmed;

static void trim_done(struct partition_trim *of) {
  assert_null(of->failure);
  atomic_store(&trimmed, true);
}
static void hand_in_trim(struct lab *of) {
  trim = (struct partition_trim){.partition = of->partition, .before = 3, .done = trim_done};
  partition_trim(&trim);
}

/* Five records, the first three trimmed, nothing of it in a checkpoint. */
static int set_up(void **state) {
  (void)state;
  struct lab_append append;
  lab_open(&lab);
  lab_append_now(&lab, &append, "r", 5);
  assert_null(append.append.failure);
  lab_append_deinit(&append);
  atomic_store(&trimmed, false);
  lab_on_lane(&lab, hand_in_trim);
  lab_wait(&lab, &trimmed);
  lab_close(&lab, false);
  map = map_of_one_topic();
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  cluster_map_free(map);
  lab_remove(&lab);
  return 0;
}

static void adopt(struct lab *of) {
  partition_host_adopt(&of->host);
  log_set_adopt_rest(of->logs, of->host.loop);
}
static void make(struct lab *of) {
  (void)of;
  map_follower_make(follower, map);
}

/* As a broker starts: `committed` is in the map for sure, `ahead` is what its log of the map ends with. */
static struct map_follower_report start_knowing(const struct known_map *known) {
  struct map_follower_report report = map_follower_adopt(follower, known, false);
  lab_fail_reads(0, 0);
  lab_on_lane(&lab, adopt);
  lab_on_lane(&lab, make);
  return report;
}

static struct map_follower_report start_with(const struct cluster_map *committed, const struct cluster_map *ahead) {
  return start_knowing(&(struct known_map){.today = committed, .ahead = ahead, .whole = true});
}

static void open_follower(void) {
  lab_open_bare(&lab);
  routing = routing_new(1);
  follower = map_follower_new(&(struct map_follower_options){
      .world = lab.world, .logs = lab.logs, .routing = routing, .hosts = &lab.host, .lane_count = 1});
}

/* With a disk that reads well until its logs are open, and then fails. `early`: the topic is only ahead, and thus among what is known in passing. */
static struct map_follower_report start(unsigned good_reads, unsigned failing_reads, bool early) {
  struct cluster_map *empty = cluster_map_new(1);
  open_follower();
  lab_fail_reads(good_reads, failing_reads);
  struct map_follower_report report =
      start_knowing(&(struct known_map){.today = early ? empty : map, .ahead = map, .passing = map, .whole = true});
  cluster_map_free(empty);
  return report;
}

static void stop(void) {
  routing_free(routing);
  lab_close(&lab, true);
  map_follower_free(follower);
}

static enum status find(struct partition_glimpse *out_glimpse) {
  struct route_found found;
  enum status status = routing_find(routing, bytes_of_string("t"), 0, &found);
  if (status != STATUS_OK) return status;
  *out_glimpse = partition_glimpse(found.partition);
  partition_release(found.partition);
  return STATUS_OK;
}

static void expect_open(void) {
  struct partition_glimpse glimpse = {0};
  assert_int_equal(find(&glimpse), STATUS_OK);
  assert_int_equal(glimpse.log_start_offset, 3);
  assert_int_equal(glimpse.high_watermark, 5);
}

/* Partition 1, of group 2. */
static void grow_topic(struct cluster_map *of) {
  struct command command = {.kind = COMMAND_GROW_TOPIC, .topic_id = 1};
  command.topic.partition_count = 1;
  command.topic.partitions = memory_new_array(1, sizeof *command.topic.partitions);
  command.topic.partitions[0] = (struct map_partition){.number = 1, .group = cluster_map_next_group_id(of), .instance = 1};
  assert_int_equal(cluster_map_apply(of, &command), STATUS_OK);
  command_deinit(&command);
}

static void hear_growth(struct lab *of) {
  (void)of;
  struct controller_watch watch = map_follower_watch(follower);
  watch.topic_grown(watch.context, cluster_map_topic_by_id(map, 1), 1);
}

static struct map_follower_wait opened;
static atomic_bool is_open;
static void tell_open(struct map_follower_wait *wait) { atomic_store(&is_open, wait->status == STATUS_OK); }
static void wait_open(struct lab *of) {
  (void)of;
  opened = (struct map_follower_wait){.done = tell_open};
  map_follower_when_open(follower, 1, &opened);
}

static enum status find_grown(void) {
  struct route_found found;
  enum status status = routing_find(routing, bytes_of_string("t"), 1, &found);
  if (status == STATUS_OK) partition_release(found.partition);
  return status;
}

/* Also one that is in the log of the map and not known to be committed when the broker starts again. */
static void a_topic_that_grows_gets_its_partitions_opened(void **state) {
  (void)state;
  (void)start(0, 0, false);
  assert_int_equal(find_grown(), STATUS_UNKNOWN_PARTITION);
  struct cluster_map *before = map_of_one_topic();
  grow_topic(map);
  lab_on_lane(&lab, hear_growth);
  atomic_store(&is_open, false);
  lab_on_lane(&lab, wait_open);
  lab_wait(&lab, &is_open);
  assert_int_equal(find_grown(), STATUS_OK);
  expect_open();
  stop();

  open_follower();
  struct map_follower_report report = start_with(before, map);
  assert_int_equal(report.opened, 1);
  assert_int_equal(report.early, 1);
  assert_int_equal(report.orphans, 0);
  assert_int_equal(find_grown(), STATUS_UNKNOWN_PARTITION);
  lab_on_lane(&lab, hear_growth);
  assert_int_equal(find_grown(), STATUS_OK);
  stop();
  cluster_map_free(before);
}

static void a_partition_that_can_be_read_the_second_time_is_opened(void **state) {
  (void)state;
  struct map_follower_report report = start(0, 1, false);

  assert_int_equal(report.opened, 1);
  assert_int_equal(report.damaged + report.unread + report.missing, 0);
  expect_open();
  stop();
}

static void a_partition_that_cannot_be_read_is_neither_damaged_nor_made_anew(void **state) {
  (void)state;
  for (unsigned good_reads = 0; good_reads < 2; good_reads++) {
    struct map_follower_report report = start(good_reads, ALWAYS, false);
    struct partition_glimpse glimpse = {0};

    assert_int_equal(report.unread, 1);
    assert_int_equal(report.opened + report.damaged + report.missing, 0);
    assert_int_equal(find(&glimpse), STATUS_UNREADABLE);
    stop();
  }

  struct map_follower_report report = start(0, 0, false);

  assert_int_equal(report.opened, 1);
  expect_open();
  stop();
}

static const struct map_topic *heard;
static void hear(struct lab *of) {
  (void)of;
  struct controller_watch watch = map_follower_watch(follower);
  watch.topic_created(watch.context, heard);
}
static void hear_of(const struct cluster_map *in, const char *topic) {
  heard = cluster_map_topic(in, bytes_of_string(topic));
  lab_on_lane(&lab, hear);
}

static void a_partition_of_a_topic_ahead_is_tried_again_too(void **state) {
  (void)state;
  struct map_follower_report report = start(0, ALWAYS, true);
  struct partition_glimpse glimpse = {0};
  assert_int_equal(report.unread, 1);
  assert_int_equal(report.early + report.orphans, 0);
  hear_of(map, "t");
  assert_int_equal(find(&glimpse), STATUS_UNREADABLE);
  stop();

  report = start(0, 1, true);
  assert_int_equal(report.early, 1);
  hear_of(map, "t");
  expect_open();
  stop();
}

static void find_log(void *context, struct log *log) { *(struct log **)context = log; }

static void begin_spare(struct lab *of) {
  struct log *log = NULL;
  log_set_each(of->logs, find_log, &log);
  log_create_at(log, lane_write(of->lane), &(struct log_base){.index = 100, .term = 1, .next_offset = 200});
}

/* The broker stopped while it took in what another one sent it. */
static void a_spare_is_not_the_log_of_its_group(void **state) {
  (void)state;
  lab_open(&lab);
  lab_on_lane(&lab, begin_spare);
  lab_close(&lab, true);

  struct map_follower_report report = start(0, 0, false);

  assert_int_equal(report.opened, 1);
  assert_int_equal(report.orphans, 0);
  expect_open();
  stop();
}

static void count_log(void *context, struct log *log) {
  (void)log;
  ++*(unsigned *)context;
}

/* What is committed for sure does not have it yet, what is ahead does not have it any more, and its log is deleted. */
static void a_topic_that_was_made_and_deleted_again_is_not_made_anew(void **state) {
  (void)state;
  struct cluster_map *ahead = map_of_one_topic();
  struct cluster_map *between = map_of_one_topic();
  add_topic(ahead, "u");
  add_topic(between, "u");
  assert_int_equal(cluster_map_apply(ahead, &(struct command){.kind = COMMAND_DELETE_TOPIC, .topic_id = 2}), STATUS_OK);
  open_follower();
  (void)start_with(map, ahead);

  hear_of(between, "u");

  struct route_found found;
  unsigned logs = 0;
  log_set_each(lab.logs, count_log, &logs);
  assert_int_equal(logs, 1);
  assert_int_equal(routing_find(routing, bytes_of_string("u"), 0, &found), STATUS_LOADING);
  cluster_map_free(ahead);
  cluster_map_free(between);
  stop();
}

static struct cluster_map *map_after_deletion(void) {
  struct cluster_map *after = map_of_one_topic();
  assert_int_equal(cluster_map_apply(after, &(struct command){.kind = COMMAND_DELETE_TOPIC, .topic_id = 1}), STATUS_OK);
  return after;
}

static void hear_deletion(struct lab *of) {
  (void)of;
  struct controller_watch watch = map_follower_watch(follower);
  watch.topic_deleted(watch.context, heard);
}

static const struct cluster_map *caught_up_with;
static void hear_all(struct lab *of) {
  (void)of;
  struct controller_watch watch = map_follower_watch(follower);
  watch.caught_up(watch.context, caught_up_with);
}

static unsigned logs_left(void) {
  unsigned logs = 0;
  log_set_each(lab.logs, count_log, &logs);
  return logs;
}

/* What is committed for sure does not have it yet, what is ahead does not have it any more, and its log is there: the deletion may not be true. */
static void a_log_of_what_is_made_and_deleted_ahead_is_opened(void **state) {
  (void)state;
  struct cluster_map *empty = cluster_map_new(1), *ahead = map_after_deletion();
  const struct known_map known = {.today = empty, .ahead = ahead, .passing = map, .whole = true};
  open_follower();
  struct map_follower_report report = start_knowing(&known);
  assert_int_equal(report.early, 1);
  assert_int_equal(report.orphans, 0);

  hear_of(map, "t");

  expect_open();
  lab_on_lane(&lab, hear_deletion);
  stop();
  open_follower();
  assert_int_equal(logs_left(), 0);
  stop();
  cluster_map_free(empty);
  cluster_map_free(ahead);
}

/* Another broker's map came as a whole, and does not have it. */
static void what_was_opened_for_what_is_ahead_and_is_past_goes(void **state) {
  (void)state;
  struct cluster_map *empty = cluster_map_new(1), *after = map_after_deletion();
  const struct known_map known = {.today = empty, .ahead = map, .whole = true};
  open_follower();
  assert_int_equal(start_knowing(&known).early, 1);

  caught_up_with = after;
  lab_on_lane(&lab, hear_all);

  stop();
  open_follower();
  assert_int_equal(logs_left(), 0);
  stop();
  cluster_map_free(empty);
  cluster_map_free(after);
}

#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      test(a_topic_that_grows_gets_its_partitions_opened),
      test(a_partition_that_can_be_read_the_second_time_is_opened),
      test(a_partition_that_cannot_be_read_is_neither_damaged_nor_made_anew),
      test(a_partition_of_a_topic_ahead_is_tried_again_too),
      test(a_topic_that_was_made_and_deleted_again_is_not_made_anew),
      test(a_log_of_what_is_made_and_deleted_ahead_is_opened),
      test(what_was_opened_for_what_is_ahead_and_is_past_goes),
      test(a_spare_is_not_the_log_of_its_group),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
