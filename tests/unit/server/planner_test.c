/* Plans that are made beside a lane: what is refused before the map is copied for it, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/os/world_os.h"
#include "server/planner.h"
#include "tests/unit/controller/map_rig.h"
#include "tests/unit/server/held_offload.h"

static struct world *world;
static struct loop *lane;
static struct held_offload planner;
static struct planner_job job;
static struct task asking;
static bool began;
static atomic_bool over;

static void done(struct planner_job *planned) {
  assert_ptr_equal(planned, &job);
  assert_true(began);
  atomic_store(&over, true);
}

static int set_up(void **state) {
  (void)rig_set_up(state);
  assert_int_equal(world_os_open("/", false, &world), STATUS_OK);
  lane = world_loop_new(world, "lane", 0);
  held_offload_init(&planner, world);
  job = (struct planner_job){.done = done};
  began = false;
  atomic_store(&over, false);
  for (uint32_t id = 1; id <= 3; id++) rig_register_broker(id, "peer:1");
  rig_create_on("small", (const char *const[]){"1", "1", "1"}, 3);
  return 0;
}

static int tear_down(void **state) {
  reassignment_deinit(&job.plan);
  held_offload_deinit(&planner);
  loop_stop(lane);
  world_os_close(world);
  return rig_tear_down(state);
}

/* More partitions than one plan has. */
static void put_too_many(void) {
  for (const char *const *name = (const char *const[]){"a", "b", "c", NULL}; *name != NULL; name++)
    assert_int_equal(rig_create(*name, REASSIGNMENT_PARTITIONS_MAX / 2), STATUS_OK);
}

static void begin(struct task *task) {
  (void)task;
  planner_begin(planner.offload, &job, lane, map, rig_is_up, NULL);
  began = true;
}

static void ask(void) {
  asking.run = begin;
  loop_post(lane, &asking);
  world_wait(world, &over);
}

static void expect_refused_at_once(enum status status, const char *word) {
  ask();
  assert_int_equal(job.status, status);
  assert_non_null(strstr(job.plan.problem, word));
  assert_int_equal(planner.asked, 0);
}

static bool is_small(void *context, const struct map_topic *topic) {
  (void)context;
  return strcmp(topic->name, "small") == 0;
}

static void all_of_a_small_map_is_planned(void **state) {
  (void)state;
  ask();
  assert_int_equal(job.status, STATUS_OK);
  assert_int_equal(job.plan.count, 2);
  assert_int_equal(planner.asked, 1);
}

static void too_many_partitions_are_refused_at_once(void **state) {
  (void)state;
  put_too_many();
  expect_refused_at_once(STATUS_TOO_LARGE, "30003 partitions");
}

static void a_few_topics_among_many_are_planned(void **state) {
  (void)state;
  put_too_many();
  job.is_asked = is_small;
  ask();
  assert_int_equal(job.status, STATUS_OK);
  assert_int_equal(job.plan.partitions, 3);
  assert_int_equal(planner.asked, 1);
}

static bool is_large(void *context, const struct map_topic *topic) { return !is_small(context, topic); }

/* How many partitions they have is counted beside the lane. */
static void many_topics_are_refused_all_the_same(void **state) {
  (void)state;
  put_too_many();
  job.is_asked = is_large;
  ask();
  assert_int_equal(job.status, STATUS_TOO_LARGE);
  assert_int_equal(planner.asked, 1);
}

static void a_broker_that_is_down_is_refused_at_once(void **state) {
  (void)state;
  static const uint32_t brokers[] = {2, 3};
  rig_down = 1u << 3;
  job.brokers = brokers;
  job.broker_count = 2;
  expect_refused_at_once(STATUS_INVALID, "broker 3");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(all_of_a_small_map_is_planned),
      TEST(too_many_partitions_are_refused_at_once),
      TEST(a_few_topics_among_many_are_planned),
      TEST(many_topics_are_refused_all_the_same),
      TEST(a_broker_that_is_down_is_refused_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
