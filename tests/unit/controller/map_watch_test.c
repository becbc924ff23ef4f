/* Watchers of the map, and what they make of what they are told: whatever happened between two messages, it is the map. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "controller/map_watch.h"
#include "tests/unit/controller/map_rig.h"
#include "tests/unit/controller/map_view.h"

#define HISTORY 64u

static struct map_history *history;
static struct account account;
static unsigned most_topics = 6;

static int set_up(void **state) {
  history = map_history_new(HISTORY);
  account_init(&account, 64u << 20);
  return rig_set_up(state);
}

static int tear_down(void **state) {
  map_history_free(history);
  assert_int_equal(account_used(&account), 0);
  return rig_tear_down(state);
}

/* ---- The map changes, as a broker changes it ---- */

static enum status apply(const struct command *command) {
  struct map_delta delta;
  struct blob *blob = NULL;
  enum status status = map_delta_apply(map, command, &delta);
  if (delta.kind != CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_UNSPECIFIED)
    assert_int_equal(map_delta_pack(&delta, map, &account, &blob), STATUS_OK);
  assert_true(status == STATUS_OK || blob == NULL);
  map_history_add(history, &delta, blob);
  return status;
}

static void register_broker(uint32_t id, const char *advertised) {
  struct command command = {.kind = COMMAND_REGISTER_BROKER, .broker = {.id = id, .incarnation = {(uint8_t)id}}};
  command.cluster_id[0] = 1;
  snprintf(command.broker.advertised, sizeof command.broker.advertised, "%s", advertised);
  assert_int_equal(apply(&command), STATUS_OK);
}

static void fill_partitions(struct map_topic *topic, uint32_t first, uint32_t count, uint32_t replicas) {
  topic->partition_count = count;
  topic->partitions = memory_new_array(count, sizeof *topic->partitions);
  for (uint32_t i = 0; i < count; i++) {
    struct map_partition *partition = &topic->partitions[i];
    *partition = (struct map_partition){
        .number = first + i, .group = cluster_map_next_group_id(map) + i, .instance = 1, .replica_count = replicas};
    for (uint32_t at = 0; at < replicas; at++)
      partition->replicas[at] = (struct map_replica){.broker = 1 + at, .incarnation = {(uint8_t)(1 + at)}};
  }
}

static void create(const char *name, uint32_t partitions, uint32_t replicas) {
  struct command command = {.kind = COMMAND_CREATE_TOPIC};
  command.topic.name = memory_copy_string(name);
  command.topic.id = cluster_map_next_topic_id(map);
  command.topic.settings = topic_settings_default;
  fill_partitions(&command.topic, 0, partitions, replicas);
  (void)apply(&command);
  command_deinit(&command);
}

static void grow(const struct map_topic *topic, uint32_t more) {
  struct command command = {.kind = COMMAND_GROW_TOPIC, .topic_id = topic->id};
  fill_partitions(&command.topic, topic->partition_count, more, 2);
  (void)apply(&command);
  command_deinit(&command);
}

static void alter(const struct map_topic *topic, int64_t retention_ms) {
  struct command command = {.kind = COMMAND_ALTER_TOPIC, .topic_id = topic->id, .settings = topic_settings_default};
  command.settings.retention_ms = retention_ms;
  (void)apply(&command);
}

static void move(const struct map_topic *topic, uint32_t partition, uint32_t to) {
  struct command command = {.kind = COMMAND_MOVE_PARTITION,
                            .move = {.topic_id = topic->id, .partition = partition, .target_count = 1}};
  command.move.target[0] = (struct map_replica){.broker = to, .incarnation = {(uint8_t)to}};
  (void)apply(&command);
}

static void arrive(const struct map_topic *topic, uint32_t partition) {
  const struct map_move *under_way = cluster_map_move(map, topic->partitions[partition].group);
  struct command command = {
      .kind = COMMAND_PARTITION_MOVED,
      .move = {.topic_id = topic->id, .partition = partition, .number = under_way == NULL ? 1 : under_way->number}};
  (void)apply(&command);
}

static void delete_topic(uint64_t id) {
  struct command command = {.kind = COMMAND_DELETE_TOPIC, .topic_id = id};
  (void)apply(&command);
}

static void set_standing(uint32_t broker, enum map_standing standing) {
  struct command command = {.kind = COMMAND_SET_STANDING, .broker = {.id = broker, .standing = standing}};
  (void)apply(&command);
}

static void raise_level(uint32_t level) {
  struct command command = {.kind = COMMAND_SET_FEATURE_LEVEL, .feature_level = level};
  (void)apply(&command);
}

/* ---- A watcher ---- */

struct watcher {
  struct map_watch watch;
  struct map_view *view;
  struct map_filter filter; /* the same once more, for the comparison */
};

static const struct map_teller *teller(void) {
  static struct map_teller now;
  static const uint8_t cluster[CLUSTER_ID_SIZE] = {1};
  now =
      (struct map_teller){.history = history, .map = map, .account = &account, .cluster = cluster, .broker = 1, .controller = 2};
  return &now;
}

static struct map_filter filter_of(const char *only) {
  struct map_filter filter;
  char copy[8];
  char *names[] = {copy};
  snprintf(copy, sizeof copy, "%s", only == NULL ? "" : only);
  map_filter_init(&filter, names, only == NULL ? 0 : 1);
  return filter;
}

static void watch(struct watcher *watcher, const char *only, uint64_t from) {
  watcher->filter = filter_of(only);
  map_watch_init(&watcher->watch, filter_of(only), from);
}

static void begin(struct watcher *watcher, const char *only) {
  watcher->view = map_view_new();
  watch(watcher, only, 0);
}

/* At another broker, from what it has. */
static void begin_again(struct watcher *watcher) {
  map_watch_deinit(&watcher->watch);
  struct map_filter filter = watcher->filter;
  bool whole = map_view_whole(watcher->view);
  struct map_filter copy;
  char *names[1] = {filter.count > 0 ? filter.names[0] : NULL};
  map_filter_init(&copy, names, filter.count);
  map_watch_init(&watcher->watch, copy, whole ? map_view_version(watcher->view) : 0);
}

static void end(struct watcher *watcher) {
  map_watch_deinit(&watcher->watch);
  map_filter_deinit(&watcher->filter);
  map_view_free(watcher->view);
}

/* False: there was nothing to be told. */
static bool hear(struct watcher *watcher) {
  struct map_message message;
  assert_int_equal(map_watch_next(&watcher->watch, teller(), false, &message), STATUS_OK);
  if (message.count == 0) return false;
  map_view_take(watcher->view, &message);
  return true;
}

static void hear_all(struct watcher *watcher) {
  while (hear(watcher)) continue;
}

static void has_the_map(const struct watcher *watcher) {
  char *seen = map_view_text(watcher->view), *is = map_text(map, &watcher->filter);
  assert_true(map_view_whole(watcher->view));
  assert_string_equal(seen, is);
  memory_free(seen);
  memory_free(is);
}

/* ---- One thing at a time ---- */

static void a_new_watcher_gets_the_map_and_then_what_changes(void **state) {
  (void)state;
  struct watcher watcher;
  register_broker(1, "one:1");
  create("a", 2, 1);
  begin(&watcher, NULL);
  hear_all(&watcher);
  has_the_map(&watcher);
  assert_int_equal(map_view_changes(watcher.view), 2);
  assert_int_equal(map_view_version(watcher.view), 2);

  alter(cluster_map_topic_by_id(map, 1), 7);
  grow(cluster_map_topic_by_id(map, 1), 3);
  hear_all(&watcher);

  has_the_map(&watcher);
  assert_int_equal(map_view_changes(watcher.view), 4);
  assert_int_equal(map_view_begun(watcher.view), 1);
  end(&watcher);
}

static void the_feature_level_is_told_when_it_rises_and_with_a_whole_map(void **state) {
  (void)state;
  struct watcher watcher, later;
  register_broker(1, "one:1");
  begin(&watcher, NULL);
  hear_all(&watcher);
  raise_level(2);
  hear_all(&watcher);
  has_the_map(&watcher);
  assert_int_equal(map_view_begun(watcher.view), 1);
  assert_int_equal(map_view_changes(watcher.view), 2);
  raise_level(2); /* refused: a version, and nothing to tell */
  assert_false(hear(&watcher));

  begin(&later, "a");
  hear_all(&later);

  has_the_map(&later);
  end(&watcher);
  end(&later);
}

static void a_refused_command_is_a_version_and_nothing_to_tell(void **state) {
  (void)state;
  struct watcher watcher;
  struct map_message message;
  register_broker(1, "one:1");
  begin(&watcher, NULL);
  hear_all(&watcher);
  delete_topic(77);
  assert_int_equal(cluster_map_version(map), 2);
  assert_false(hear(&watcher));

  assert_int_equal(map_watch_next(&watcher.watch, teller(), true, &message), STATUS_OK);
  map_view_take(watcher.view, &message);

  assert_int_equal(map_view_version(watcher.view), 2);
  end(&watcher);
}

/* So many changes come after it heard all. */
static void begin_and_fall_behind(struct watcher *watcher, unsigned changes) {
  register_broker(1, "one:1");
  create("a", 1, 1);
  begin(watcher, NULL);
  hear_all(watcher);
  for (unsigned i = 0; i < changes; i++) alter(cluster_map_topic_by_id(map, 1), i);
}

static void who_is_within_the_history_goes_on(void **state) {
  (void)state;
  struct watcher watcher;
  begin_and_fall_behind(&watcher, HISTORY);
  begin_again(&watcher);
  hear_all(&watcher);
  assert_int_equal(map_view_begun(watcher.view), 1);
  has_the_map(&watcher);
  end(&watcher);
}

static void who_is_behind_it_gets_the_whole_map(void **state) {
  (void)state;
  struct watcher watcher;
  begin_and_fall_behind(&watcher, HISTORY + 1);
  hear_all(&watcher);
  assert_int_equal(map_view_begun(watcher.view), 2);
  has_the_map(&watcher);
  end(&watcher);
}

static void where_the_map_came_as_a_whole_the_past_is_unknown(void **state) {
  (void)state;
  struct watcher watcher;
  register_broker(1, "one:1");
  begin(&watcher, NULL);
  hear_all(&watcher);
  rig_register_broker(2, "two:1"); /* that the history does not have */
  map_history_begin(history, cluster_map_version(map));
  hear_all(&watcher);
  assert_int_equal(map_view_begun(watcher.view), 2);
  has_the_map(&watcher);
  end(&watcher);
}

static void a_watcher_of_one_topic_hears_of_no_other(void **state) {
  (void)state;
  struct watcher watcher;
  register_broker(1, "one:1");
  create("a", 1, 1);
  create("b", 1, 1);
  begin(&watcher, "b");
  hear_all(&watcher);
  assert_int_equal(map_view_changes(watcher.view), 2);
  alter(cluster_map_topic_by_id(map, 1), 1);
  assert_false(hear(&watcher));
  delete_topic(2);
  create("b", 3, 1);
  hear_all(&watcher);
  has_the_map(&watcher);
  assert_int_equal(map_view_changes(watcher.view), 4);
  end(&watcher);
}

/* 10,000 partitions with three replicas, and with seven. */
static void no_message_is_too_large(void **state) {
  (void)state;
  struct watcher watcher;
  for (uint32_t id = 1; id <= 7; id++) register_broker(id, "an-address-that-is-rather-long.example.internal:7411");
  begin(&watcher, NULL);
  hear_all(&watcher);
  create("wide", TOPIC_PARTITIONS_MAX, 3);
  create("wider", TOPIC_PARTITIONS_MAX, 7);
  for (uint32_t i = 0; i < 20; i++) {
    char name[16];
    snprintf(name, sizeof name, "t%u", i);
    create(name, 1000, 3);
  }
  hear_all(&watcher);
  has_the_map(&watcher);
  end(&watcher);

  begin(&watcher, NULL);
  hear_all(&watcher);
  has_the_map(&watcher);
  assert_in_range(map_view_largest(watcher.view), 256u << 10, MAP_MESSAGE_BYTES_MAX);
  end(&watcher);
}

/* Of the topics up to a name. */
static void has_the_map_up_to(const struct watcher *watcher, const char *last) {
  char *names[MAP_FILTER_TOPICS_MAX];
  struct map_filter told;
  size_t count = 0;
  const struct map_topic *topic = cluster_map_topic_after(map, bytes_of_string(""));
  for (; topic != NULL && strcmp(topic->name, last) <= 0; topic = cluster_map_topic_after(map, bytes_of_string(topic->name)))
    names[count++] = topic->name;
  map_filter_init(&told, names, count);
  char *seen = map_view_text(watcher->view), *is = map_text(map, &told);
  assert_string_equal(seen, is);
  memory_free(seen);
  memory_free(is);
  map_filter_deinit(&told);
}

/* Of topics that were told, that one was told last, and that are still to come. */
static void change_on_both_sides(const char *last, unsigned round) {
  const struct map_topic *of_last = cluster_map_topic(map, bytes_of_string(last));
  char name[16];
  register_broker(2, round % 2 == 0 ? "here:1" : "there:1");
  alter(of_last, 100 + round);
  grow(of_last, 2);
  move(of_last, 1, 3);
  alter(rig_find("w39"), 200 + round);
  snprintf(name, sizeof name, "a%u", round);
  create(name, 3, 2);
  snprintf(name, sizeof name, "x%u", round);
  create(name, 3, 2);
  snprintf(name, sizeof name, "w%02u", round);
  delete_topic(rig_find(name)->id);
  snprintf(name, sizeof name, "w%02u", 38 - round);
  delete_topic(rig_find(name)->id);
}

static void what_was_told_between_two_pieces_is_a_part_of_one_map(void **state) {
  (void)state;
  struct watcher watcher;
  unsigned round = 0;
  for (uint32_t id = 1; id <= 3; id++) register_broker(id, "here:1");
  for (unsigned i = 0; i < 40; i++) {
    char name[16];
    snprintf(name, sizeof name, "w%02u", i);
    create(name, 3000, 3);
  }
  begin(&watcher, NULL);
  while (hear(&watcher) && !watcher.watch.walk.over) {
    char last[TOPIC_NAME_MAX + 1];
    snprintf(last, sizeof last, "%s", watcher.watch.walk.after);
    has_the_map_up_to(&watcher, last);
    assert_false(map_view_whole(watcher.view));
    change_on_both_sides(last, round++);
  }
  has_the_map(&watcher);
  assert_in_range(round, 2, 10);
  assert_int_equal(map_view_begun(watcher.view), 1);
  end(&watcher);
}

static void without_memory_nothing_is_told_and_nothing_lost(void **state) {
  (void)state;
  struct watcher watcher;
  struct map_message message;
  register_broker(1, "one:1");
  create("a", 100, 1);
  begin(&watcher, NULL);
  size_t limit = account.limit;
  account.limit = account_used(&account);
  assert_int_equal(map_watch_next(&watcher.watch, teller(), false, &message), STATUS_NO_MEMORY);
  account.limit = limit;
  hear_all(&watcher);
  has_the_map(&watcher);
  end(&watcher);
}

/* The history is charged by bytes too: it lets go of the oldest, and of nothing else. */
static void the_history_is_bounded_in_bytes(void **state) {
  (void)state;
  map_history_free(history);
  history = map_history_new(4 * HISTORY);
  register_broker(1, "one:1");
  for (unsigned i = 0; i < 2 * HISTORY - 1; i++) {
    char name[16];
    snprintf(name, sizeof name, "t%u", i);
    create(name, TOPIC_PARTITIONS_MAX, 7);
    delete_topic(i + 1);
  }
  assert_true(map_history_version(history) < 4 * HISTORY);
  assert_true(map_history_from(history) > 0);
  assert_in_range(account_used(&account), MAP_HISTORY_BYTES_MAX / 2, MAP_HISTORY_BYTES_MAX + (1u << 20));
}

/* ---- Any history at all ---- */

static uint64_t chance;

static uint32_t draw(uint32_t below) { /* splitmix64 */
  uint64_t z = (chance += 0x9e3779b97f4a7c15u);
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return (uint32_t)((z ^ z >> 31) % below);
}

static const struct map_topic *draw_topic(void) {
  char name[2] = {(char)('a' + (int)draw(most_topics)), '\0'};
  return rig_find(name);
}

static void change_something(void) {
  char name[2] = {(char)('a' + (int)draw(most_topics)), '\0'};
  const struct map_topic *topic = draw_topic();
  uint32_t partition = topic == NULL ? 0 : draw(topic->partition_count);
  switch (draw(9)) {
    case 0: create(name, 1 + draw(4), 1 + draw(3)); break;
    case 1: delete_topic(topic == NULL ? 999 : topic->id); break;
    case 2: register_broker(1 + draw(5), draw(2) == 0 ? "here:1" : "there:1"); break;
    case 3: set_standing(1 + draw(6), (enum map_standing)draw(3)); break;
    case 4:
      if (topic != NULL) grow(topic, 1 + draw(3));
      break;
    case 5:
      if (topic != NULL) alter(topic, draw(100));
      break;
    case 6:
    case 7:
      if (topic != NULL) move(topic, partition, 1 + draw(5));
      break;
    default:
      if (topic != NULL) arrive(topic, partition);
      break;
  }
}

/* Some hear everything at once, some one message now and then, some go to another broker in between. */
static void one_history(uint64_t seed) {
  static const char *const only[] = {NULL, NULL, "a", "c"};
  struct watcher watchers[4];
  chance = seed;
  for (uint32_t id = 1; id <= 5; id++) register_broker(id, "here:1");
  for (unsigned i = 0; i < draw(60); i++) change_something();
  for (unsigned i = 0; i < 4; i++) begin(&watchers[i], only[i]);
  for (unsigned step = 0; step < 400; step++) {
    unsigned burst = draw(20) == 0 ? draw(2 * HISTORY) : draw(3);
    for (unsigned i = 0; i < burst; i++) change_something();
    struct watcher *watcher = &watchers[draw(4)];
    if (draw(10) == 0) begin_again(watcher);
    if (draw(2) == 0) {
      (void)hear(watcher);
      if (map_view_whole(watcher->view) && map_view_version(watcher->view) == cluster_map_version(map)) has_the_map(watcher);
    } else {
      hear_all(watcher);
      has_the_map(watcher);
    }
  }
  for (unsigned i = 0; i < 4; i++) {
    hear_all(&watchers[i]);
    has_the_map(&watchers[i]);
    end(&watchers[i]);
  }
}

static void whatever_happens_what_was_told_is_the_map(void **state) {
  const char *given = getenv("TEST_SEED");
  uint64_t seed = given == NULL ? 1 : strtoull(given, NULL, 10);
  for (unsigned i = 0; i < 12; i++) {
    if (i == 0) print_message("TEST_SEED=%" PRIu64 ", and 11 more\n", seed);
    one_history(seed + i);
    tear_down(state);
    set_up(state);
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_new_watcher_gets_the_map_and_then_what_changes),
      TEST(the_feature_level_is_told_when_it_rises_and_with_a_whole_map),
      TEST(a_refused_command_is_a_version_and_nothing_to_tell),
      TEST(who_is_within_the_history_goes_on),
      TEST(who_is_behind_it_gets_the_whole_map),
      TEST(where_the_map_came_as_a_whole_the_past_is_unknown),
      TEST(a_watcher_of_one_topic_hears_of_no_other),
      TEST(no_message_is_too_large),
      TEST(what_was_told_between_two_pieces_is_a_part_of_one_map),
      TEST(without_memory_nothing_is_told_and_nothing_lost),
      TEST(the_history_is_bounded_in_bytes),
      TEST(whatever_happens_what_was_told_is_the_map),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
