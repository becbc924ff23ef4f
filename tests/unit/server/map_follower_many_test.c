/* What a broker does that misses the partitions of many topics: each is made once, however often the map is looked at meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/memory.h"
#include "controller/cluster_map.h"
#include "controller/command.h"
#include "server/map_follower.h"
#include "tests/unit/server/lab.h"

#define TOPICS 200u
#define PARTITIONS 3u /* of each */

static struct lab lab;
static struct cluster_map *map;
static struct routing *routing;
static struct map_follower *follower;

static void name_topic(uint32_t i, char out_name[16]) { snprintf(out_name, 16, "t%03u", i); }

/* On this broker alone. */
static void create(uint32_t i) {
  char name[16];
  name_topic(i, name);
  struct command command = {.kind = COMMAND_CREATE_TOPIC};
  command.topic = (struct map_topic){.name = memory_copy_string(name),
                                     .id = i + 1,
                                     .replicas = 1,
                                     .settings = topic_settings_default,
                                     .partition_count = PARTITIONS,
                                     .partitions = memory_new_array(PARTITIONS, sizeof *command.topic.partitions)};
  for (uint32_t at = 0; at < PARTITIONS; at++)
    command.topic.partitions[at] = (struct map_partition){.number = at, .group = i * PARTITIONS + at + 1, .instance = 1};
  assert_int_equal(cluster_map_apply(map, &command), STATUS_OK);
  command_deinit(&command);
}

static int set_up(void **state) {
  (void)state;
  map = cluster_map_new(1);
  for (uint32_t i = 0; i < TOPICS; i++) create(i);
  lab_open_bare(&lab);
  routing = routing_new(1);
  follower = map_follower_new(&(struct map_follower_options){
      .world = lab.world, .logs = lab.logs, .routing = routing, .hosts = &lab.host, .lane_count = 1});
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  routing_free(routing);
  lab_close(&lab, true);
  map_follower_free(follower);
  cluster_map_free(map);
  lab_remove(&lab);
  return 0;
}

static struct map_follower_wait wait;
static atomic_bool settled;
static void is_settled(struct map_follower_wait *of) {
  (void)of;
  atomic_store(&settled, true);
}

static void adopt(struct lab *of) {
  partition_host_adopt(&of->host);
  log_set_adopt_rest(of->logs, of->host.loop);
}

/* Before the lane has opened one of them. */
static void make_and_look_again(struct lab *of) {
  (void)of;
  map_follower_make(follower, map);
  const struct controller_watch watch = map_follower_watch(follower);
  watch.caught_up(watch.context, map);
  wait = (struct map_follower_wait){.done = is_settled};
  map_follower_when_settled(follower, &wait);
}

static void make_and_delete_some(struct lab *of) {
  make_and_look_again(of);
  const struct controller_watch watch = map_follower_watch(follower);
  for (uint32_t i = 1; i < TOPICS; i += 2) watch.topic_deleted(watch.context, cluster_map_topic_by_id(map, i + 1));
}

static void start(void (*make)(struct lab *of)) {
  const struct known_map known = {.today = map, .ahead = map, .whole = true};
  atomic_store(&settled, false);
  struct map_follower_report report = map_follower_adopt(follower, &known, false);
  assert_int_equal(report.missing, TOPICS * PARTITIONS);
  lab_on_lane(&lab, adopt);
  lab_on_lane(&lab, make);
  lab_wait(&lab, &settled);
}

static void count_log(void *context, struct log *log) {
  (void)log;
  ++*(unsigned *)context;
}
static unsigned logs;
static void count_logs(struct lab *of) {
  logs = 0;
  log_set_each(of->logs, count_log, &logs);
}

static void expect(uint32_t i, enum status expected) {
  char name[16];
  name_topic(i, name);
  for (uint32_t at = 0; at < PARTITIONS; at++) {
    struct route_found found;
    enum status status = routing_find(routing, bytes_of_string(name), at, &found);
    if (status == STATUS_OK) partition_release(found.partition);
    assert_int_equal(status, expected);
  }
}

static void each_is_made_once(void **state) {
  (void)state;
  start(make_and_look_again);
  lab_on_lane(&lab, count_logs);
  assert_int_equal(logs, TOPICS * PARTITIONS);
  for (uint32_t i = 0; i < TOPICS; i++) expect(i, STATUS_OK);
}

static void those_that_are_deleted_meanwhile_are_not_there(void **state) {
  (void)state;
  start(make_and_delete_some);
  for (uint32_t i = 0; i < TOPICS; i++) expect(i, i % 2 == 0 ? STATUS_OK : STATUS_UNKNOWN_TOPIC);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(each_is_made_once, set_up, tear_down),
      cmocka_unit_test_setup_teardown(those_that_are_deleted_meanwhile_are_not_there, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
