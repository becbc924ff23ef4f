/* The controller on a real log: changes in line, who is told when, what a restart knows. The story of a test is its transcript: a line for
 * each change that was answered, and before it one for what the watch was told. */
#include "controller/controller.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "tests/unit/replication/stage.h"

#define CHANGES_MAX (CONTROLLER_QUEUE_MAX + 10u)

struct request {
  struct change change;
  struct rig *rig;
  unsigned answers;
};

struct rig {
  struct stage stage;
  struct controller *controller;
  struct request *requests;
  size_t request_count;
  size_t handed_in;
  size_t answered;
  struct buffer story;
  bool silent; /* no story: too many lines */
};

/* ---- The transcript ---- */

static void tell(struct rig *rig, const char *what, const char *name) {
  if (!rig->silent) assert_int_equal(buffer_printf(&rig->story, "%s %s\n", what, name), STATUS_OK);
}

static void assert_story(struct rig *rig, const char *expected) {
  assert_int_equal(buffer_append(&rig->story, "", 1), STATUS_OK);
  assert_string_equal((const char *)rig->story.data, expected);
  buffer_reset(&rig->story);
}

/* What is told must be in the map already, and what is deleted no longer findable by name once its answer is out. */
static void topic_created(void *context, const struct map_topic *topic) {
  struct rig *rig = context;
  assert_ptr_equal(cluster_map_topic(controller_map(rig->controller), bytes_of_string(topic->name)), topic);
  int64_t now_ms = loop_wall_ms(lane_loop(rig->stage.lane));
  assert_in_range(topic->created_ms, now_ms - 60000, now_ms);
  tell(rig, "  created", topic->name);
}
static void topic_altered(void *context, const struct map_topic *topic) {
  char words[64];
  snprintf(words, sizeof words, "%s: retention_ms=%lld segment_bytes=%lld", topic->name, (long long)topic->settings.retention_ms,
           (long long)topic->settings.segment_bytes);
  tell(context, "  altered", words);
}
static void topic_grown(void *context, const struct map_topic *topic, uint32_t first) {
  char words[64];
  snprintf(words, sizeof words, "%s: from %u to %u", topic->name, first, topic->partition_count);
  tell(context, "  grown", words);
}
static void topic_deleted(void *context, const struct map_topic *topic) { tell(context, "  deleted", topic->name); }

static void partition_placed(void *context, const struct map_topic *topic, uint32_t partition, const struct map_move *move) {
  char words[64];
  snprintf(words, sizeof words, "%s/%u on %u%s", topic->name, partition, topic->partitions[partition].replicas[0].broker,
           move == NULL ? "" : ", moving");
  tell(context, "  placed", words);
}

static void caught_up(void *context, const struct cluster_map *map) {
  (void)map;
  tell(context, "  caught", "up");
}

static void answered(struct change *change) {
  struct request *request = container_of(change, struct request, change);
  static const char *const words[] = {
      [COMMAND_REGISTER_BROKER] = "register", [COMMAND_CREATE_TOPIC] = "create", [COMMAND_ALTER_TOPIC] = "alter",
      [COMMAND_DELETE_TOPIC] = "delete",      [COMMAND_MOVE_PARTITION] = "move", [COMMAND_PARTITION_MOVED] = "moved",
      [COMMAND_GROW_TOPIC] = "grow"};
  char line[320];
  snprintf(line, sizeof line, "%s%s: %s", change->name, change->validate_only ? " (only validated)" : "",
           status_name(change->status));
  tell(request->rig, words[change->kind], line);
  request->answers++;
  request->rig->answered++;
}

/* ---- The rig ---- */

static const struct controller_watch *watch_of(struct rig *rig) {
  static struct controller_watch watch;
  watch = (struct controller_watch){.topic_created = topic_created,
                                    .topic_altered = topic_altered,
                                    .topic_grown = topic_grown,
                                    .topic_deleted = topic_deleted,
                                    .partition_placed = partition_placed,
                                    .caught_up = caught_up,
                                    .context = rig};
  return &watch;
}

static void open_controller(void *context) {
  struct rig *rig = context;
  struct stage *stage = &rig->stage;
  assert_int_equal(controller_open(sim_world_doors(stage->node), stage->lane, stage->log[0],
                                   &(struct replica_options){.self = {.broker = 1}}, feature_range_own(0), watch_of(rig),
                                   &rig->controller),
                   STATUS_OK);
}

static void found_controller(void *context) {
  struct rig *rig = context;
  stage_make_log(&rig->stage, 0);
  open_controller(rig);
}

static void begin(struct rig *rig) {
  stage_open(&rig->stage);
  rig->request_count = rig->handed_in = rig->answered = 0;
  if (rig->stage.log[0] != NULL) stage_blocking(&rig->stage, open_controller, rig);
  else stage_on_lane(&rig->stage, found_controller, rig);
}

static void end(struct rig *rig, bool checkpoint) {
  stage_stop(&rig->stage, checkpoint);
  controller_free(rig->controller);
  rig->controller = NULL;
  stage_close(&rig->stage);
}

static int set_up(void **state) {
  struct rig *rig = NEW(struct rig);
  rig->requests = memory_new_array(CHANGES_MAX, sizeof *rig->requests);
  buffer_init(&rig->story, 65536);
  stage_init(&rig->stage);
  begin(rig);
  *state = rig;
  return 0;
}

static int tear_down(void **state) {
  struct rig *rig = *state;
  if (rig->stage.node != NULL) end(rig, false);
  stage_deinit(&rig->stage);
  buffer_deinit(&rig->story);
  memory_free(rig->requests);
  memory_free(rig);
  return 0;
}

/* ---- Changes ---- */

static struct change *change_new(struct rig *rig, enum command_kind kind, const char *name) {
  assert_true(rig->request_count < CHANGES_MAX);
  struct request *request = &rig->requests[rig->request_count++];
  *request = (struct request){.rig = rig};
  request->change = (struct change){.kind = kind, .settings = topic_settings_default, .done = answered};
  snprintf(request->change.name, sizeof request->change.name, "%s", name);
  return &request->change;
}

static struct change *create(struct rig *rig, const char *name, uint32_t partitions) {
  struct change *change = change_new(rig, COMMAND_CREATE_TOPIC, name);
  change->partition_count = partitions;
  return change;
}
static struct change *alter(struct rig *rig, const char *name, int64_t retention_ms) {
  struct change *change = change_new(rig, COMMAND_ALTER_TOPIC, name);
  change->settings.retention_ms = retention_ms;
  change->set_retention_ms = true;
  return change;
}
static struct change *grow(struct rig *rig, const char *name, uint32_t partitions) {
  struct change *change = change_new(rig, COMMAND_GROW_TOPIC, name);
  change->partition_count = partitions;
  return change;
}
static struct change *delete_topic(struct rig *rig, const char *name) { return change_new(rig, COMMAND_DELETE_TOPIC, name); }

static void hand_in(void *context) {
  struct rig *rig = context;
  while (rig->handed_in < rig->request_count) controller_change(rig->controller, &rig->requests[rig->handed_in++].change);
}

static bool all_answered(void *context) {
  const struct rig *rig = context;
  return rig->answered == rig->request_count;
}

/* Hands in, in one turn, what was made and not handed in yet; waits for all answers. */
static void run(struct rig *rig) {
  stage_on_lane(&rig->stage, hand_in, rig);
  stage_wait(&rig->stage, all_answered, rig);
  for (size_t i = 0; i < rig->request_count; i++) assert_int_equal(rig->requests[i].answers, 1);
}

static const struct map_topic *find(struct rig *rig, const char *name) {
  return cluster_map_topic(controller_map(rig->controller), bytes_of_string(name));
}

/* ---- One after the other ---- */

static void each_change_meets_the_map_that_the_one_before_left(void **state) {
  struct rig *rig = *state;
  create(rig, "a", 2);
  create(rig, "b", 0);
  create(rig, "a", 1);
  alter(rig, "a", 1000);
  delete_topic(rig, "a");
  alter(rig, "a", 2000);
  delete_topic(rig, "a");
  create(rig, "a", 3);

  run(rig);

  assert_story(rig, "  created a\n"
                    "create a: OK\n"
                    "  created b\n"
                    "create b: OK\n"
                    "create a: TOPIC_EXISTS\n"
                    "  altered a: retention_ms=1000 segment_bytes=268435456\n"
                    "alter a: OK\n"
                    "  deleted a\n"
                    "delete a: OK\n"
                    "alter a: UNKNOWN_TOPIC\n"
                    "delete a: UNKNOWN_TOPIC\n"
                    "  created a\n"
                    "create a: OK\n");
  assert_int_equal(find(rig, "a")->id, 3);
  assert_int_equal(find(rig, "a")->partitions[0].group, 4); /* 1 and 2 were the first a's, 3 is b's */
  assert_int_equal(find(rig, "b")->partition_count, 1);
}

static void nothing_is_told_or_true_before_it_is_durable(void **state) {
  struct rig *rig = *state;
  stage_slow_journal(&rig->stage);
  create(rig, "a", 1);
  create(rig, "b", 1);
  stage_on_lane(&rig->stage, hand_in, rig);

  assert_story(rig, "");
  assert_null(find(rig, "a"));

  stage_wait(&rig->stage, all_answered, rig);
  assert_story(rig, "  created a\ncreate a: OK\n  created b\ncreate b: OK\n");
}

/* ---- Refusals ---- */

static void add_broker(struct rig *rig, uint32_t id) {
  struct change *change = change_new(rig, COMMAND_REGISTER_BROKER, "");
  change->broker = (struct map_broker){.id = id, .incarnation = {(uint8_t)id, 1}};
  change->cluster_id[0] = 1;
}

/* The map's, and members of group 0 that it does not have yet. */
static void a_change_is_decided_against_the_brokers_that_there_are(void **state) {
  struct rig *rig = *state;
  rig->silent = true;
  struct change *first = create(rig, "one", 1), *too_many = create(rig, "two", 1);
  too_many->replicas = 2;
  for (uint32_t id = 1; id <= 2; id++) add_broker(rig, id);
  struct change *fits = create(rig, "both", 1);

  run(rig);

  assert_int_equal(first->status, STATUS_OK);
  assert_int_equal(find(rig, "one")->replicas, 1);
  assert_int_equal(too_many->status, STATUS_INVALID);
  assert_int_equal(fits->status, STATUS_OK);
  assert_int_equal(find(rig, "both")->replicas, 2);
}

static void add_peer(struct rig *rig, uint32_t id) {
  add_broker(rig, id);
  struct change *change = &rig->requests[rig->request_count - 1].change;
  snprintf(change->broker.peer_address, sizeof change->broker.peer_address, "b%u:1", id);
  if (id == 1) memset(change->broker.incarnation, 0, CLUSTER_ID_SIZE); /* the one that is here: open_controller() */
}

/* `to`: each digit is a broker. */
static struct change *move(struct rig *rig, const char *name, uint32_t partition, const char *to) {
  struct change *change = change_new(rig, COMMAND_MOVE_PARTITION, name);
  change->partition = partition;
  for (; *to != '\0'; to++) change->to[change->to_count++] = (uint32_t)(*to - '0');
  return change;
}

static struct change *moved(struct rig *rig, uint64_t topic_id, uint64_t number) {
  struct change *change = change_new(rig, COMMAND_PARTITION_MOVED, "");
  change->topic_id = topic_id;
  change->move = number;
  return change;
}

/* Only validated; asked for, and asked for again; replaced by another before it is over. */
static void a_partition_moves_when_it_is_said_to_have_moved(void **state) {
  struct rig *rig = *state;
  rig->silent = true;
  for (uint32_t id = 1; id <= 5; id++) add_peer(rig, id);
  create(rig, "a", 1)->replicas = 3;
  move(rig, "a", 0, "5432")->validate_only = true;
  run(rig);
  uint64_t group = find(rig, "a")->partitions[0].group, topic_id = find(rig, "a")->id;
  assert_int_equal(cluster_map_move_count(controller_map(rig->controller)), 0);

  move(rig, "a", 0, "543");
  run(rig);
  uint64_t first = cluster_map_move(controller_map(rig->controller), group)->number;
  struct change *again = move(rig, "a", 0, "543"), *other = move(rig, "a", 0, "54"), *late = moved(rig, topic_id, first);
  run(rig);
  assert_int_equal(again->status, STATUS_OK);
  assert_int_equal(other->status, STATUS_OK);
  assert_int_equal(late->status, STATUS_NOT_FOUND);

  const struct map_move *under_way = cluster_map_move(controller_map(rig->controller), group);
  assert_int_equal(under_way->target_count, 2);
  assert_int_equal(under_way->target[0].incarnation[0], 5);
  struct change *over = moved(rig, topic_id, under_way->number), *twice = moved(rig, topic_id, under_way->number);
  run(rig);
  assert_int_equal(over->status, STATUS_OK);
  assert_int_equal(twice->status, STATUS_NOT_FOUND);
  const struct map_partition *partition = &find(rig, "a")->partitions[0];
  assert_int_equal(partition->replica_count, 2);
  assert_int_equal(partition->replicas[0].broker, 5);
  assert_int_equal(partition->replicas[1].broker, 4);
  assert_int_equal(partition->group, group);
}

static void validating_checks_everything_and_changes_nothing(void **state) {
  struct rig *rig = *state;
  create(rig, "a", 1);
  run(rig);
  assert_story(rig, "  created a\ncreate a: OK\n");
  uint64_t version = cluster_map_version(controller_map(rig->controller));
  entry_index last = log_view(rig->stage.log[0]).last_index;
  create(rig, "b", 4)->validate_only = true;
  create(rig, "a", 4)->validate_only = true;
  alter(rig, "a", 9)->validate_only = true;
  alter(rig, "a", -9)->validate_only = true;
  alter(rig, "b", 9)->validate_only = true;
  delete_topic(rig, "a")->validate_only = true;
  delete_topic(rig, "b")->validate_only = true;

  run(rig);

  assert_story(rig, "create b (only validated): OK\n"
                    "create a (only validated): TOPIC_EXISTS\n"
                    "alter a (only validated): OK\n"
                    "alter a (only validated): INVALID\n"
                    "alter b (only validated): UNKNOWN_TOPIC\n"
                    "delete a (only validated): OK\n"
                    "delete b (only validated): UNKNOWN_TOPIC\n");
  assert_int_equal(cluster_map_version(controller_map(rig->controller)), version);
  assert_int_equal(log_view(rig->stage.log[0]).last_index, last);
  assert_int_equal(find(rig, "a")->settings.retention_ms, -1);
}

static void note_validated(struct change *change) {
  assert_int_equal(change->status, STATUS_OK);
  assert_int_equal(change->topic->partition_count, 4);
  assert_int_equal(change->topic->settings.retention_ms, 9);
  assert_int_equal(change->topic->id, 1);
  answered(change);
}

static void validating_shows_the_topic_as_it_would_be(void **state) {
  struct rig *rig = *state;
  struct change *validated = create(rig, "a", 4);
  validated->settings.retention_ms = 9;
  validated->validate_only = true;
  validated->done = note_validated;
  create(rig, "a", 4);
  validated = alter(rig, "a", 9);
  validated->validate_only = true;
  validated->done = note_validated;

  run(rig);

  assert_int_equal(rig->answered, 3);
}

static void more_than_the_line_holds_is_busy(void **state) {
  struct rig *rig = *state;
  stage_slow_journal(&rig->stage);
  rig->silent = true;
  for (unsigned i = 0; i < CONTROLLER_QUEUE_MAX + 3; i++) {
    char name[16];
    snprintf(name, sizeof name, "t%u", i);
    create(rig, name, 1);
  }
  stage_on_lane(&rig->stage, hand_in, rig);

  assert_int_equal(rig->answered, 2); /* one is on its way, a line full waits */
  for (unsigned i = 0; i < 2; i++) {
    assert_int_equal(rig->requests[CONTROLLER_QUEUE_MAX + 1 + i].change.status, STATUS_BUSY);
  }
  stage_heal(&rig->stage);
  stage_wait(&rig->stage, all_answered, rig);
  assert_int_equal(cluster_map_topic_count(controller_map(rig->controller)), CONTROLLER_QUEUE_MAX + 1);
}

/* ---- A disk that fails ---- */

static void a_failing_journal_answers_all_that_wait(void **state) {
  struct rig *rig = *state;
  create(rig, "a", 1);
  run(rig);
  assert_story(rig, "  created a\ncreate a: OK\n");
  stage_slow_journal(&rig->stage);
  stage_fail_journal(&rig->stage);
  create(rig, "b", 1);
  create(rig, "c", 1);
  delete_topic(rig, "a");
  create(rig, "a", 1)->validate_only = true;

  run(rig);

  assert_story(rig, "create b: UNKNOWN_OUTCOME\n"
                    "create c: FENCED\n"
                    "delete a: FENCED\n"
                    "create a (only validated): TOPIC_EXISTS\n");
  assert_null(find(rig, "b"));
  assert_non_null(find(rig, "a"));
}

/* ---- A restart ---- */

static void assert_restored(struct rig *rig, uint64_t version) {
  const struct cluster_map *map = controller_map(rig->controller);
  assert_int_equal(cluster_map_version(map), version);
  assert_int_equal(cluster_map_topic_count(map), 2);
  assert_int_equal(find(rig, "big")->partition_count, 10000);
  assert_int_equal(find(rig, "small")->settings.retention_ms, 4321);
  assert_null(find(rig, "gone"));
  assert_int_equal(cluster_map_next_topic_id(map), 4);
  assert_int_equal(cluster_map_next_group_id(map), 10006);
  assert_story(rig, ""); /* history is told to nobody */
}

static void a_growth_is_told(void **state) {
  struct rig *rig = *state;
  create(rig, "a", 1);
  grow(rig, "a", 3);
  grow(rig, "a", 3);
  grow(rig, "a", 2);
  run(rig);
  assert_story(rig, "  created a\n"
                    "create a: OK\n"
                    "  grown a: from 1 to 3\n"
                    "grow a: OK\n"
                    "grow a: OK\n"
                    "grow a: INVALID\n");
}

static void hush(void *context) { controller_hush(((struct rig *)context)->controller); }

/* The watch's lanes may be gone when a broker stops. What was not told is in the map. */
static void nobody_is_told_before_the_lanes_stop(void **state) {
  struct rig *rig = *state;
  create(rig, "before", 1);
  run(rig);
  stage_on_lane(&rig->stage, hush, rig);
  create(rig, "a", 1);
  alter(rig, "a", 1000);
  grow(rig, "a", 2);
  delete_topic(rig, "before");

  run(rig);

  assert_story(rig, "  created before\n"
                    "create before: OK\n"
                    "create a: OK\n"
                    "alter a: OK\n"
                    "grow a: OK\n"
                    "delete before: OK\n");
  assert_non_null(find(rig, "a"));
  assert_null(find(rig, "before"));
}

static void nobody_is_told_of_moves_either(void **state) {
  struct rig *rig = *state;
  rig->silent = true;
  for (uint32_t id = 1; id <= 3; id++) add_peer(rig, id);
  create(rig, "a", 1)->replicas = 2;
  run(rig);
  stage_on_lane(&rig->stage, hush, rig);

  move(rig, "a", 0, "3");
  run(rig);

  assert_int_equal(cluster_map_move_count(controller_map(rig->controller)), 1);
}

static void a_restart_knows_the_map_and_tells_nobody(void **state) {
  struct rig *rig = *state;
  create(rig, "small", 2);
  create(rig, "big", 10000); /* enough for a checkpoint to keep a snapshot */
  create(rig, "gone", 3);
  alter(rig, "small", 4321);
  delete_topic(rig, "gone");
  run(rig);
  buffer_reset(&rig->story);
  uint64_t version = cluster_map_version(controller_map(rig->controller));

  end(rig, false); /* from the journal */
  begin(rig);
  assert_restored(rig, version);
  end(rig, true); /* from the snapshot */
  begin(rig);
  assert_restored(rig, version);

  create(rig, "gone", 1);
  run(rig);
  assert_story(rig, "  created gone\ncreate gone: OK\n");
  assert_int_equal(find(rig, "gone")->id, 4); /* another topic of that name */
  assert_int_equal(find(rig, "gone")->partitions[0].group, 10006);
}

static void what_was_answered_survives_a_power_cut(void **state) {
  struct rig *rig = *state;
  create(rig, "a", 1);
  create(rig, "b", 1);
  run(rig);
  buffer_reset(&rig->story);

  stage_kill(&rig->stage);
  controller_free(rig->controller);
  stage_close(&rig->stage);
  sim_disk_power_cut(rig->stage.device, SIM_POWER_DROP, 1);
  begin(rig);

  assert_non_null(find(rig, "a"));
  assert_non_null(find(rig, "b"));
  assert_story(rig, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(each_change_meets_the_map_that_the_one_before_left),
      TEST(nothing_is_told_or_true_before_it_is_durable),
      TEST(a_change_is_decided_against_the_brokers_that_there_are),
      TEST(a_partition_moves_when_it_is_said_to_have_moved),
      TEST(validating_checks_everything_and_changes_nothing),
      TEST(validating_shows_the_topic_as_it_would_be),
      TEST(more_than_the_line_holds_is_busy),
      TEST(a_failing_journal_answers_all_that_wait),
      TEST(a_growth_is_told),
      TEST(nobody_is_told_before_the_lanes_stop),
      TEST(nobody_is_told_of_moves_either),
      TEST(a_restart_knows_the_map_and_tells_nobody),
      TEST(what_was_answered_survives_a_power_cut),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
