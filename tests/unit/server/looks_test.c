#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/os/world_os.h"
#include "server/looks.h"

#define LOOKS 100u

static struct world *world;
static struct looks looks;
static struct look all[LOOKS];
static unsigned order[LOOKS];
static unsigned done;
static unsigned done_before_other;
static struct task begin_task, other_task;
static atomic_bool over;

static void run(struct look *look) {
  order[done++] = (unsigned)(look - all);
  if (done == LOOKS) atomic_store(&over, true);
}

static void other(struct task *task) {
  (void)task;
  done_before_other = done;
}

static void begin(struct task *task) {
  (void)task;
  for (unsigned i = 0; i < LOOKS; i++) {
    all[i].run = run;
    looks_add(&looks, &all[i]);
  }
  loop_post(looks.loop, &other_task);
}

static void what_comes_behind_many_waits_for_one(void **state) {
  (void)state;
  assert_int_equal(world_os_open("/", false, &world), STATUS_OK);
  struct loop *loop = world_loop_new(world, "lane", 0);
  looks_init(&looks, loop);
  begin_task.run = begin;
  other_task.run = other;

  loop_post(loop, &begin_task);
  world_wait(world, &over);

  assert_in_range(done_before_other, 0, 1);
  for (unsigned i = 0; i < LOOKS; i++) assert_int_equal(order[i], i);
  loop_stop(loop);
  world_os_close(world);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(what_comes_behind_many_waits_for_one)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
