/* What the library itself hears of topics, from a broker that says what a script tells it to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "clients/c/bell.h"
#include "clients/c/interests.h"
#include "tests/unit/clients/watch_teller.h"

#define TOLD_MAX 16u
#define PATIENCE_NS 10000000000u

static struct watch_teller teller;
static struct cairn_client *client;

/* ---- What is wanted to be known, and what was told of it ---- */

struct wish {
  struct interest interest;
  struct bell bell; /* rung for each that was told */
  uint32_t told[TOLD_MAX];
};

static struct wish first, second;

static void note_changed(struct interest *interest, uint32_t partitions) {
  struct wish *wish = container_of(interest, struct wish, interest);
  wish->told[bell_listen(&wish->bell) % TOLD_MAX] = partitions;
  bell_ring(client->world, &wish->bell);
}

/* What was told last, once so many things were. */
static uint32_t told(const struct wish *wish, unsigned count) {
  unsigned heard = bell_listen(&wish->bell);
  for (unsigned i = 0; heard < count && i < 100; i++, heard = bell_listen(&wish->bell))
    bell_wait(client->world, &wish->bell, heard, PATIENCE_NS / 100);
  assert_int_equal(heard, count);
  return wish->told[(count - 1) % TOLD_MAX];
}

/* ---- Its life, on the loop ---- */

struct errand {
  struct task task;
  struct wish *wish;
  uint64_t id;
  uint32_t partitions;
  struct bell done;
};

static void run_follow(struct task *task) {
  struct errand *errand = container_of(task, struct errand, task);
  errand->partitions = interests_follow(client->interests, &errand->wish->interest, errand->id, errand->partitions);
  bell_ring(client->world, &errand->done);
}

static void run_unfollow(struct task *task) {
  struct errand *errand = container_of(task, struct errand, task);
  interests_unfollow(client->interests, &errand->wish->interest);
  bell_ring(client->world, &errand->done);
}

static void on_loop(struct errand *errand) {
  loop_post(client->loop, &errand->task);
  while (bell_listen(&errand->done) == 0) bell_wait(client->world, &errand->done, 0, UINT64_MAX);
}

/* A broker answers that the topic has this id and so many partitions. */
static uint32_t answered(struct wish *wish, uint64_t id, uint32_t partitions) {
  struct errand errand = {.task.run = run_follow, .wish = wish, .id = id, .partitions = partitions};
  on_loop(&errand);
  return errand.partitions;
}

static void let_go(struct wish *wish) {
  struct errand errand = {.task.run = run_unfollow, .wish = wish};
  on_loop(&errand);
}

static int set_up(void **state) {
  (void)state;
  watch_teller_start(&teller);
  first = (struct wish){.interest = {.topic = "t1", .changed = note_changed}};
  second = (struct wish){.interest = {.topic = "t2", .changed = note_changed}};
  const struct cairn_client_options options = {.servers = teller.address, .retry_backoff_ms = 5};
  assert_int_equal(cairn_client_new(&options, &client, NULL), CAIRN_OK);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  let_go(&first);
  let_go(&second);
  cairn_client_free(client);
  watch_teller_stop(&teller);
  return 0;
}

/* ---- Behaviour ---- */

static void of_growth_and_deletion(void **state) {
  (void)state;
  struct step *script = teller.script[0];
  script[0] = (struct step){.version = 4, .begins = true, .topics = 1};
  script[1] = (struct step){.follows = 4, .version = 5, .topics = 1, .partitions = 5};
  script[2] = (struct step){.follows = 5, .version = 6, .topics = 1, .deleted = true};
  watch_teller_agree(&teller);
  assert_int_equal(answered(&first, 1, 3), 3);
  assert_int_equal(told(&first, 3), 0);
  assert_int_equal(first.told[0], 3);
  assert_int_equal(first.told[1], 5);
  watch_teller_agree(&teller);
  assert_int_equal(teller.topics[0], 1);
}

static void that_a_topic_is_another_one(void **state) {
  (void)state;
  teller.script[0][0] = (struct step){.version = 4, .begins = true, .topics = 1, .id = 7};
  watch_teller_agree(&teller);
  assert_int_equal(answered(&first, 1, 3), 3);
  assert_int_equal(told(&first, 1), 0);
}

static void that_a_topic_is_not_in_the_map(void **state) {
  (void)state;
  teller.script[0][0] = (struct step){.version = 4, .begins = true, .partial = true, .topics = 1};
  teller.script[0][1] = (struct step){.follows = 4, .version = 5};
  watch_teller_agree(&teller);
  assert_int_equal(answered(&second, 1, 3), 3);
  assert_int_equal(told(&second, 1), 0);
}

/* The watch goes on at one broker, and another one answers the question, which hears of all this later. */
static void an_answer_that_is_older_than_what_was_told(void **state) {
  (void)state;
  struct step *script = teller.script[0];
  script[0] = (struct step){.version = 4, .begins = true, .topics = 1};
  script[1] = (struct step){.follows = 4, .version = 5, .topics = 1, .deleted = true};
  script[2] = (struct step){.follows = 5, .version = 6, .topics = 1, .id = 9, .partitions = 2};
  script[3] = (struct step){.follows = 6, .version = 7, .topics = 1, .id = 9, .partitions = 4};
  watch_teller_agree(&teller);
  assert_int_equal(answered(&first, 1, 3), 3);
  assert_int_equal(told(&first, 4), 0); /* ask */

  assert_int_equal(answered(&first, 1, 3), 4);
  assert_int_equal(answered(&first, 9, 2), 4);
  assert_int_equal(answered(&first, 9, 4), 4);
  assert_int_equal(answered(&first, 9, 6), 6);
  assert_int_equal(answered(&first, 12, 1), 1);
}

/* That it was deleted is no answer to how many it has. */
static void an_answer_about_a_topic_that_was_deleted(void **state) {
  (void)state;
  teller.script[0][0] = (struct step){.version = 4, .begins = true, .topics = 1};
  teller.script[0][1] = (struct step){.follows = 4, .version = 5, .topics = 1, .deleted = true};
  watch_teller_agree(&teller);
  assert_int_equal(answered(&first, 1, 3), 3);
  assert_int_equal(told(&first, 2), 0);
  assert_int_equal(answered(&first, 1, 2), 2);
}

static void of_one_more_topic_with_a_watch_of_both(void **state) {
  (void)state;
  teller.script[0][0] = (struct step){.version = 4, .begins = true, .topics = 1};
  teller.script[1][0] = (struct step){.version = 5, .begins = true, .topics = 2, .partitions = 6};
  watch_teller_agree(&teller);
  assert_int_equal(answered(&first, 1, 3), 3);
  assert_int_equal(told(&first, 1), 3);
  assert_int_equal(answered(&second, 2, 3), 3);
  assert_int_equal(told(&second, 1), 6);
  assert_int_equal(told(&first, 2), 6);
  watch_teller_agree(&teller);
  assert_int_equal(teller.topics[1], 2);
}

static void again_where_the_watch_was_refused(void **state) {
  (void)state;
  teller.script[0][0] = (struct step){.version = 4, .begins = true, .topics = 1};
  teller.script[0][1] = (struct step){.follows = 9, .version = 10}; /* a gap */
  teller.script[1][0] = (struct step){.version = 5, .begins = true, .topics = 1, .partitions = 6};
  watch_teller_agree(&teller);
  assert_int_equal(answered(&first, 1, 3), 3);
  assert_int_equal(told(&first, 2), 6);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(of_growth_and_deletion),
      TEST(that_a_topic_is_another_one),
      TEST(that_a_topic_is_not_in_the_map),
      TEST(an_answer_that_is_older_than_what_was_told),
      TEST(an_answer_about_a_topic_that_was_deleted),
      TEST(of_one_more_topic_with_a_watch_of_both),
      TEST(again_where_the_watch_was_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
