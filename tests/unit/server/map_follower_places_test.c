/* What a broker does as partitions come from other brokers and go there. It is broker 1; brokers 2 and 3 are only in the map. */
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

static struct lab lab;
static struct cluster_map *map;
static struct routing *routing;
static struct map_follower *follower;

/* ---- The map ---- */

static void put_replicas(struct map_replica *into, uint32_t *out_count, const char *brokers) {
  for (*out_count = 0; brokers[*out_count] != '\0'; ++*out_count)
    into[*out_count] = (struct map_replica){.broker = (uint32_t)(brokers[*out_count] - '0')};
}

/* Topic t, of one partition; each digit is a broker, with the directory of this number. */
static struct cluster_map *map_of_directory(const char *replicas, uint8_t directory) {
  struct cluster_map *made = cluster_map_new(1);
  for (uint32_t id = 1; id <= 3; id++) {
    struct command registers = {.kind = COMMAND_REGISTER_BROKER,
                                .broker = {.id = id, .advertised = "a:1", .peer_address = "p:1"}};
    assert_int_equal(cluster_map_apply(made, &registers), STATUS_OK);
  }
  struct command command = {.kind = COMMAND_CREATE_TOPIC};
  command.topic.name = memory_copy_string("t");
  command.topic.id = 1;
  command.topic.replicas = 1;
  command.topic.settings = topic_settings_default;
  command.topic.partition_count = 1;
  command.topic.partitions = memory_new_array(1, sizeof *command.topic.partitions);
  command.topic.partitions[0] = (struct map_partition){.group = 1, .instance = 1};
  struct map_partition *place = &command.topic.partitions[0];
  put_replicas(place->replicas, &place->replica_count, replicas);
  for (uint32_t i = 0; i < place->replica_count; i++)
    memset(place->replicas[i].incarnation, directory, sizeof place->replicas[i].incarnation);
  assert_int_equal(cluster_map_apply(made, &command), STATUS_OK);
  command_deinit(&command);
  return made;
}

static struct cluster_map *map_with(const char *replicas) { return map_of_directory(replicas, 0); }

/* Its number. */
static uint64_t begin_move(struct cluster_map *of, const char *target) {
  struct command command = {.kind = COMMAND_MOVE_PARTITION, .move = {.topic_id = 1}};
  put_replicas(command.move.target, &command.move.target_count, target);
  assert_int_equal(cluster_map_apply(of, &command), STATUS_OK);
  return cluster_map_move(of, 1)->number;
}

static void end_move(struct cluster_map *of) {
  struct command command = {.kind = COMMAND_PARTITION_MOVED, .move = {.topic_id = 1, .number = cluster_map_move(of, 1)->number}};
  assert_int_equal(cluster_map_apply(of, &command), STATUS_OK);
}

/* ---- The broker ---- */

static void adopt(struct lab *of) {
  partition_host_adopt(&of->host);
  log_set_adopt_rest(of->logs, of->host.loop);
}
static void make(struct lab *of) {
  (void)of;
  map_follower_make(follower, map);
}

static void open_follower(void) {
  lab_open_bare(&lab);
  routing = routing_new(1);
  follower = map_follower_new(&(struct map_follower_options){
      .world = lab.world, .logs = lab.logs, .routing = routing, .hosts = &lab.host, .lane_count = 1});
}

/* As a broker starts that knows `map` to be committed, and `ahead` to be in its log. */
static struct map_follower_report start(const struct cluster_map *ahead) {
  open_follower();
  struct map_follower_report report =
      map_follower_adopt(follower, &(struct known_map){.today = map, .ahead = ahead, .whole = true}, false);
  lab_on_lane(&lab, adopt);
  lab_on_lane(&lab, make);
  return report;
}

static void stop(void) {
  routing_free(routing);
  lab_close(&lab, true);
  map_follower_free(follower);
}

static void hear_place(struct lab *of) {
  (void)of;
  struct controller_watch watch = map_follower_watch(follower);
  watch.partition_placed(watch.context, cluster_map_topic_by_id(map, 1), 0, cluster_map_move(map, 1));
}
static void hear_topic(struct lab *of) {
  (void)of;
  struct controller_watch watch = map_follower_watch(follower);
  watch.topic_created(watch.context, cluster_map_topic_by_id(map, 1));
}
static void hear_all(struct lab *of) {
  (void)of;
  struct controller_watch watch = map_follower_watch(follower);
  watch.caught_up(watch.context, map);
}
static void hear_deletion(struct lab *of) {
  (void)of;
  struct controller_watch watch = map_follower_watch(follower);
  watch.topic_deleted(watch.context, cluster_map_topic_by_id(map, 1));
}

static struct map_follower_wait wait;
static atomic_bool settled;
static void is_settled(struct map_follower_wait *of) {
  (void)of;
  atomic_store(&settled, true);
}
static void ask_when_settled(struct lab *of) {
  (void)of;
  wait = (struct map_follower_wait){.done = is_settled};
  map_follower_when_settled(follower, &wait);
}
static void settle(void) {
  atomic_store(&settled, false);
  lab_on_lane(&lab, ask_when_settled);
  lab_wait(&lab, &settled);
}

/* ---- What is there ---- */

struct logs {
  unsigned count;
  instance_id instance; /* of the last */
  bool damaged;
};
static struct logs logs_now;
static void see_log(void *context, struct log *log) {
  (void)context;
  logs_now.count++;
  logs_now.instance = log_view(log).instance;
  logs_now.damaged = log_view(log).damaged;
}
static void find_log(void *context, struct log *log) { *(struct log **)context = log; }
static void see_logs(struct lab *of) {
  logs_now = (struct logs){0};
  log_set_each(of->logs, see_log, NULL);
}
static struct logs logs(void) {
  lab_on_lane(&lab, see_logs);
  return logs_now;
}

static enum status find(struct route_found *out_found) {
  memset(out_found, 0, sizeof *out_found);
  enum status status = routing_find(routing, bytes_of_string("t"), 0, out_found);
  if (status == STATUS_OK) partition_release(out_found->partition);
  return status;
}

#define TURNS_MAX 1000000u

static void wait_for_logs(unsigned count) {
  unsigned found = logs().count;
  for (unsigned turn = 0; turn < TURNS_MAX && found != count; turn++) found = logs().count;
  assert_int_equal(found, count);
}

static bool is_here(uint64_t placement) {
  struct logs there = logs();
  return there.count == 1 && partition_placement(there.instance) == placement;
}

/* It is here as what this move made it; what was here before goes first. */
static void expect_here(uint64_t placement) {
  struct route_found found;
  for (unsigned turn = 0; turn < TURNS_MAX && !is_here(placement); turn++) continue;
  settle();
  assert_int_equal(find(&found), STATUS_OK);
  assert_true(is_here(placement));
}

static void expect_elsewhere(uint32_t broker) {
  struct route_found found;
  assert_int_equal(find(&found), STATUS_NOT_LEADER);
  assert_int_equal(found.ask, broker);
}

static int set_up(void **state) {
  (void)state;
  map = NULL;
  return 0;
}
static int tear_down(void **state) {
  (void)state;
  cluster_map_free(map);
  lab_remove(&lab);
  return 0;
}

/* ---- Tests ---- */

static void a_partition_comes_with_the_number_of_its_move(void **state) {
  (void)state;
  map = map_with("23");
  start(map);
  expect_elsewhere(2);

  uint64_t number = begin_move(map, "12");
  lab_on_lane(&lab, hear_place);

  expect_here(number);
  end_move(map);
  lab_on_lane(&lab, hear_place); /* it belongs here: nothing is to be done */
  expect_here(number);
  stop();
}

static void nothing_is_given_up_before_a_move_is_over(void **state) {
  (void)state;
  map = map_with("23");
  start(map);
  (void)begin_move(map, "12");
  lab_on_lane(&lab, hear_place);
  end_move(map);
  lab_on_lane(&lab, hear_place);
  settle();

  (void)begin_move(map, "23");
  lab_on_lane(&lab, hear_place);
  struct route_found found;
  assert_int_equal(find(&found), STATUS_OK);
  assert_int_equal(logs().count, 1);

  end_move(map);
  lab_on_lane(&lab, hear_place);
  expect_elsewhere(2);
  wait_for_logs(0);
  stop();
}

/* A move that was called off, or sent elsewhere, may have made it a voter by then: it stays until all is over. */
static void who_was_named_on_the_way_stays_until_it_is_over(void **state) {
  (void)state;
  map = map_with("23");
  start(map);
  uint64_t number = begin_move(map, "12");
  lab_on_lane(&lab, hear_place);
  expect_here(number);

  (void)begin_move(map, "23");
  lab_on_lane(&lab, hear_place);
  expect_here(number);

  end_move(map);
  lab_on_lane(&lab, hear_place);
  expect_elsewhere(2);
  wait_for_logs(0);
  stop();
}

/* The map went on from one placement here to another while nobody told: the earlier one goes, and the later one, whose move is over, was lost. */
static void another_placement_takes_the_place_of_one_that_is_here(void **state) {
  (void)state;
  map = map_with("23");
  start(map);
  (void)begin_move(map, "12");
  lab_on_lane(&lab, hear_place);
  settle();
  end_move(map);
  (void)begin_move(map, "23");
  end_move(map);
  uint64_t number = begin_move(map, "12");

  lab_on_lane(&lab, hear_place);
  expect_here(number);
  assert_false(logs().damaged);

  end_move(map);
  (void)begin_move(map, "23");
  end_move(map);
  number = begin_move(map, "12");
  end_move(map);
  lab_on_lane(&lab, hear_place);
  expect_here(number);
  assert_true(logs().damaged);
  stop();
}

/* What is told while the broker starts is looked at when it has started. */
static void nothing_is_done_before_the_start_is_over(void **state) {
  (void)state;
  map = map_with("23");
  open_follower();
  (void)map_follower_adopt(follower, &(struct known_map){.today = map, .ahead = map, .whole = true}, false);
  uint64_t number = begin_move(map, "12");
  lab_on_lane(&lab, hear_place);
  settle();
  assert_int_equal(logs().count, 0);

  lab_on_lane(&lab, adopt);
  lab_on_lane(&lab, make);
  expect_here(number);
  stop();
}

static void a_lane_that_has_failed_opens_nothing_and_ends(void **state) {
  (void)state;
  map = map_with("23");
  start(map);
  lab_fail_writes_of(""); /* all of them */
  (void)begin_move(map, "12");
  lab_on_lane(&lab, hear_place);
  settle();
  struct route_found found;
  assert_int_not_equal(find(&found), STATUS_OK);

  (void)begin_move(map, "13"); /* what was made of the first is on the lane still, and will never be gone */
  lab_on_lane(&lab, hear_place);
  settle();
  stop();
  lab_fail_writes_of(NULL);
}

static void append_nonsense(struct lab *of) {
  static const uint8_t nonsense[] = {0xff, 0xff, 0xff};
  struct log *log = NULL;
  log_set_each(of->logs, find_log, &log);
  struct log_view view = log_view(log);
  struct entry entry = {.head = {.kind = ENTRY_CONFIG,
                                 .index = view.last_index + 1,
                                 .term = view.last_term + 1,
                                 .base_offset = view.next_offset,
                                 .payload_size = sizeof nonsense},
                        .payload = {.bytes = bytes_of(nonsense, sizeof nonsense)}};
  (void)log_append(log, lane_write(of->lane), &entry);
}

/* All that in one turn, so that the first has not been opened yet. */
static void come_leave_come_and_delete(struct lab *of) {
  for (unsigned i = 0; i < 2; i++) {
    (void)begin_move(map, "12");
    hear_place(of);
    if (i == 1) break;
    end_move(map);
    (void)begin_move(map, "23");
    end_move(map);
    hear_place(of);
  }
  hear_deletion(of);
}

static void what_waits_to_be_opened_goes_with_its_topic(void **state) {
  (void)state;
  map = map_with("23");
  start(map);

  lab_on_lane(&lab, come_leave_come_and_delete);

  settle();
  wait_for_logs(0);
  stop();
}

/* What is ahead has it elsewhere, and its log is closed for that: it is not made anew for the moment in which the map has it here. */
static void what_has_left_already_is_not_made_again(void **state) {
  (void)state;
  map = map_with("12");
  struct cluster_map *ahead = map_with("12");
  (void)begin_move(ahead, "23");
  end_move(ahead);

  struct map_follower_report report = start(ahead);

  settle();
  assert_int_equal(report.missing, 0);
  assert_int_equal(logs().count, 0);
  stop();
  cluster_map_free(ahead);
}

/* Its log cannot be opened, and the partition is elsewhere: there is where whoever asks is sent. */
static void what_cannot_be_opened_and_is_elsewhere_points_there(void **state) {
  (void)state;
  map = map_with("1");
  start(map);
  settle();
  lab_on_lane(&lab, append_nonsense);
  stop();
  struct map_follower_report report = start(map);
  struct route_found found;
  assert_int_equal(report.damaged, 1);
  assert_int_equal(find(&found), STATUS_DAMAGED);
  stop();

  (void)begin_move(map, "23");
  end_move(map);
  struct cluster_map *ahead = map_with("1"); /* something more is to come: this start has not caught up */
  (void)begin_move(ahead, "23");
  end_move(ahead);
  (void)begin_move(ahead, "3");
  report = start(ahead);
  assert_int_equal(report.damaged, 1);
  expect_elsewhere(2);
  stop();
  cluster_map_free(ahead);
}

static void hear_known(struct lab *of) {
  (void)of;
  map_follower_known(follower, map);
}

/* Its only replica was in a directory that this broker had before. As long as the map does not know the present one, it may be behind. */
static void what_an_earlier_directory_had_is_lost_once_the_map_knows_this_one(void **state) {
  (void)state;
  map = map_of_directory("1", 9);
  start(map);
  expect_elsewhere(0);

  lab_on_lane(&lab, hear_known);

  struct route_found found;
  assert_int_equal(find(&found), STATUS_DAMAGED);
  stop();
  start(map); /* and told so from then on */
  lab_on_lane(&lab, hear_known);
  assert_int_equal(find(&found), STATUS_DAMAGED);
  stop();
}

/* There and back and there again, faster than anything is opened or deleted: what is there in the end is what the last move made. */
static void who_comes_back_waits_until_its_earlier_self_is_gone(void **state) {
  (void)state;
  map = map_with("23");
  start(map);
  uint64_t number = 0;
  for (unsigned round = 0; round < 20; round++) {
    number = begin_move(map, "12");
    lab_on_lane(&lab, hear_place);
    end_move(map);
    lab_on_lane(&lab, hear_place);
    if (round == 19) break;
    (void)begin_move(map, "23");
    lab_on_lane(&lab, hear_place);
    end_move(map);
    lab_on_lane(&lab, hear_place);
  }

  expect_here(number);
  stop();
}

static void a_topic_that_is_deleted_takes_along_what_is_on_its_way(void **state) {
  (void)state;
  map = map_with("23");
  start(map);
  (void)begin_move(map, "12");
  lab_on_lane(&lab, hear_place);

  lab_on_lane(&lab, hear_deletion);

  settle();
  wait_for_logs(0);
  stop();
}

/* The broker stopped after it heard that the partition has left, and before its log was closed; group 0's log is ahead of what it knows to
 * be committed. The log is opened all the same, and goes when all of that is known. */
static void what_had_left_before_a_start_is_opened_and_goes(void **state) {
  (void)state;
  map = map_with("12");
  start(map);
  settle();
  assert_int_equal(logs().count, 1);
  stop();

  cluster_map_free(map);
  map = cluster_map_new(1);
  struct cluster_map *ahead = map_with("12");
  (void)begin_move(ahead, "23");
  end_move(ahead);
  struct map_follower_report report = start(ahead);
  assert_int_equal(report.early, 1);
  assert_int_equal(report.orphans, 0);

  cluster_map_free(map);
  map = map_with("12");
  lab_on_lane(&lab, hear_topic);
  cluster_map_free(map);
  map = ahead;
  lab_on_lane(&lab, hear_all);

  expect_elsewhere(2);
  wait_for_logs(0);
  stop();
}

/* The broker stopped before it had begun to make it: nobody has counted on it. */
static void what_is_on_its_way_at_a_start_is_made(void **state) {
  (void)state;
  map = map_with("23");
  uint64_t number = begin_move(map, "12");

  start(map);

  expect_here(number);
  assert_false(logs().damaged);
  stop();
}

/* Group 0's log could not be read to its end: what is not here may have been here. */
static void what_is_ahead_and_cannot_be_read_puts_all_in_doubt(void **state) {
  (void)state;
  map = map_with("12");
  start(NULL);
  settle();
  struct logs there = logs();
  assert_int_equal(there.count, 1);
  assert_true(there.damaged); /* it may have been here */

  (void)begin_move(map, "13");
  end_move(map);
  lab_on_lane(&lab, hear_all);
  assert_int_equal(logs().count, 1);
  stop();
}

/* The map that is committed for sure is from before the partition left: it was the only replica then. What came since, and has forgotten all, is not
 * what is left of that one. */
static void what_came_since_is_not_taken_for_the_only_replica(void **state) {
  (void)state;
  map = map_with("1");
  (void)begin_move(map, "2");
  end_move(map);
  uint64_t number = begin_move(map, "12");
  start(NULL); /* all is in doubt */
  lab_on_lane(&lab, hear_all);
  expect_here(number);
  assert_true(logs().damaged);
  stop();

  struct cluster_map *ahead = map;
  map = map_with("1");
  struct map_follower_report report = start(ahead);

  assert_int_equal(report.opened, 1);
  assert_int_equal(report.damaged, 0);
  stop();
  cluster_map_free(ahead);
}

/* It was moved here, and its log is gone: it has forgotten what it promised, and says so. */
static void a_replica_that_came_and_was_lost_is_not_made_as_new(void **state) {
  (void)state;
  map = map_with("23");
  uint64_t number = begin_move(map, "12");
  end_move(map);
  start(map);

  expect_here(number);
  assert_true(logs().damaged);
  stop();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_waits_to_be_opened_goes_with_its_topic),
      TEST(what_has_left_already_is_not_made_again),
      TEST(who_was_named_on_the_way_stays_until_it_is_over),
      TEST(another_placement_takes_the_place_of_one_that_is_here),
      TEST(nothing_is_done_before_the_start_is_over),
      TEST(a_lane_that_has_failed_opens_nothing_and_ends),
      TEST(what_cannot_be_opened_and_is_elsewhere_points_there),
      TEST(what_came_since_is_not_taken_for_the_only_replica),
      TEST(a_partition_comes_with_the_number_of_its_move),
      TEST(nothing_is_given_up_before_a_move_is_over),
      TEST(what_an_earlier_directory_had_is_lost_once_the_map_knows_this_one),
      TEST(who_comes_back_waits_until_its_earlier_self_is_gone),
      TEST(a_topic_that_is_deleted_takes_along_what_is_on_its_way),
      TEST(what_had_left_before_a_start_is_opened_and_goes),
      TEST(a_replica_that_came_and_was_lost_is_not_made_as_new),
      TEST(what_is_on_its_way_at_a_start_is_made),
      TEST(what_is_ahead_and_cannot_be_read_puts_all_in_doubt),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
