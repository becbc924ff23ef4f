/* A watch of the map against brokers that say what a script tells them to: what it makes of gaps, of older maps, of brokers that end it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "clients/c/cairn_admin.h"
#include "tests/unit/clients/watch_teller.h"

#define FLOOD 200u

static struct watch_teller tellers[2];

/* ---- A client of both, and its watch ---- */

static struct cairn_client *client;
static struct cairn_watch *watch;
static struct cairn_error error;

static int set_up(void **state) {
  (void)state;
  for (size_t i = 0; i < 2; i++) watch_teller_start(&tellers[i]);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  cairn_watch_free(watch);
  cairn_client_free(client);
  for (size_t i = 0; i < 2; i++) watch_teller_stop(&tellers[i]);
  return 0;
}

static void agree(void) {
  for (size_t i = 0; i < 2; i++) watch_teller_agree(&tellers[i]);
}

static void open_watch(bool both, const struct cairn_watch_options *options) {
  char servers[80];
  snprintf(servers, sizeof servers, both ? "%s,%s" : "%s", tellers[0].address, tellers[1].address);
  agree();
  const struct cairn_client_options of_client = {.servers = servers, .retry_backoff_ms = 5};
  assert_int_equal(cairn_client_new(&of_client, &client, &error), CAIRN_OK);
  assert_int_equal(cairn_watch_new(client, options, &watch, &error), CAIRN_OK);
}

/* What comes next, as words with versions. */
static void expect(const char *story) {
  char told[512] = "";
  struct cairn_change change;
  size_t at = 0, size = strlen(story);
  while (at < size) {
    int code = cairn_watch_next(watch, 10000, &change, &error);
    const char *word = code != CAIRN_OK                         ? error.reason
                       : change.kind == CAIRN_CHANGE_MAP_BEGINS ? "begins"
                       : change.kind == CAIRN_CHANGE_MAP_WHOLE  ? "whole"
                                                                : change.topic->name;
    at += (size_t)snprintf(told + at, sizeof told - at, "%s%s@%llu", at == 0 ? "" : " ", word,
                           code == CAIRN_OK ? (unsigned long long)change.version : 0ull);
    if (code != CAIRN_OK) break;
  }
  agree();
  assert_string_equal(told, story);
}

static void the_whole_map_and_what_comes_then(void **state) {
  (void)state;
  struct step *script = tellers[0].script[0];
  script[0] = (struct step){.version = 4, .begins = true, .partial = true, .topics = 1};
  script[1] = (struct step){.follows = 4, .version = 5, .topics = 1};
  script[2] = (struct step){.follows = 5, .version = 9};
  script[3] = (struct step){.follows = 9, .version = 11, .topics = 2};
  open_watch(false, NULL);
  struct cairn_change change;
  assert_int_equal(cairn_watch_next(watch, 10000, &change, &error), CAIRN_OK);
  assert_int_equal(cairn_watch_version(watch), 0); /* not yet a whole map */
  expect("t1@4 t1@5 whole@5");
  assert_int_equal(cairn_watch_version(watch), 5);
  expect("t1@10");
  assert_int_equal(cairn_watch_version(watch), 10);
  expect("t2@11");
  assert_string_equal(cairn_watch_cluster_id(watch), HERE);
  assert_int_equal(cairn_watch_next(watch, 0, &change, &error), CAIRN_WAIT);
}

static void it_goes_on_at_another_broker_from_where_it_was(void **state) {
  (void)state;
  tellers[0].script[0][0] = (struct step){.version = 4, .begins = true, .topics = 1};
  tellers[0].script[0][1] = (struct step){.follows = 4, .version = 5, .topics = 1};
  tellers[0].script[0][2] = (struct step){.end = STATUS_DRAINING};
  tellers[1].script[0][0] = (struct step){.follows = 5, .version = 7, .topics = 2};
  tellers[0].other = tellers[1].address;
  open_watch(false, NULL); /* which the client was not told of */
  expect("begins@4 t1@4 whole@4 t1@5 t1@6 t2@7");
  assert_int_equal(tellers[1].from[0], 5);
  assert_string_equal(tellers[1].cluster[0], HERE);
}

static void from_a_version_with_its_cluster(void **state) {
  (void)state;
  tellers[0].script[0][0] = (struct step){.follows = 20, .version = 21, .topics = 1};
  open_watch(false, &(struct cairn_watch_options){.from_version = 20, .cluster_id = HERE});
  assert_int_equal(cairn_watch_version(watch), 20);
  expect("t1@21");
  assert_int_equal(tellers[0].from[0], 20);
  assert_string_equal(tellers[0].cluster[0], HERE);
}

static void from_now_on_once(void **state) {
  (void)state;
  tellers[0].script[0][0] = (struct step){.follows = 8, .version = 8};
  tellers[0].script[0][1] = (struct step){.end = STATUS_BUSY};
  tellers[1].script[0][0] = (struct step){.follows = 8, .version = 9, .topics = 1};
  open_watch(true, &(struct cairn_watch_options){.from_now = true});
  expect("t1@9");
  assert_true(tellers[0].from_now[0]);
  assert_false(tellers[1].from_now[0]);
  assert_int_equal(tellers[1].from[0], 8);
}

static void a_gap_is_an_error(void **state) {
  (void)state;
  tellers[0].script[0][0] = (struct step){.version = 4, .begins = true, .topics = 1};
  tellers[0].script[0][1] = (struct step){.follows = 5, .version = 6, .topics = 1};
  open_watch(true, NULL);
  expect("begins@4 t1@4 whole@4 MALFORMED@0");
  assert_non_null(strstr(error.message, "does not follow"));
  expect("MALFORMED@0"); /* and stays one */
}

static void another_cluster_is_an_error(void **state) {
  (void)state;
  tellers[0].script[0][0] = (struct step){.version = 4, .begins = true};
  tellers[0].script[0][1] = (struct step){.end = STATUS_DRAINING};
  tellers[1].script[0][0] = (struct step){.follows = 4, .version = 5, .cluster = THERE, .topics = 1};
  open_watch(true, NULL);
  expect("begins@4 whole@4 MALFORMED@0");
}

/* What was told of a whole map was not all of it; who is asked for it anew is behind. */
static void an_older_map_is_not_taken(void **state) {
  (void)state;
  tellers[0].script[0][0] = (struct step){.version = 9, .begins = true};
  tellers[0].script[0][1] = (struct step){.version = 10, .begins = true, .partial = true, .topics = 1};
  tellers[0].script[0][2] = (struct step){.end = STATUS_DRAINING};
  tellers[1].script[0][0] = (struct step){.version = 8, .begins = true, .topics = 2};
  tellers[0].script[1][0] = (struct step){.version = 11, .begins = true, .topics = 1};
  open_watch(true, NULL);
  expect("begins@9 whole@9 begins@10 t1@10 begins@11 t1@11 whole@11");
  assert_int_equal(tellers[1].from[0], 0);
}

static void who_is_told_of_no_broker_that_has_more_hears_why(void **state) {
  (void)state;
  tellers[0].script[0][0] = (struct step){.version = 9, .begins = true};
  tellers[0].script[0][1] = (struct step){.version = 10, .begins = true, .partial = true, .topics = 1};
  tellers[0].script[0][2] = (struct step){.end = STATUS_DRAINING};
  for (unsigned call = 1; call < CALLS_MAX; call++) tellers[0].script[call][0] = (struct step){.version = 8, .begins = true};
  open_watch(false, &(struct cairn_watch_options){.retry_timeout_ms = 20});
  expect("begins@9 whole@9 begins@10 t1@10 TRANSPORT@0");
  assert_non_null(strstr(error.message, "older map"));
}

/* Whoever asks from a version gets the whole map from who knows that the version is none: also an older one. */
static void what_the_cluster_has_lost_is_lost(void **state) {
  (void)state;
  tellers[0].script[0][0] = (struct step){.version = 3, .begins = true, .topics = 1};
  open_watch(false, &(struct cairn_watch_options){.from_version = 20});
  expect("begins@3 t1@3 whole@3");
}

/* Also where that older one breaks off. */
static void what_the_cluster_has_lost_is_not_waited_for(void **state) {
  (void)state;
  tellers[0].script[0][0] = (struct step){.version = 3, .begins = true, .partial = true, .topics = 1};
  tellers[0].script[0][1] = (struct step){.end = STATUS_DRAINING};
  tellers[0].script[1][0] = (struct step){.version = 3, .begins = true, .topics = 1};
  open_watch(false, &(struct cairn_watch_options){.from_version = 20, .retry_timeout_ms = 20});
  expect("begins@3 t1@3 begins@3 t1@3 whole@3");
}

static void what_no_retry_helps_ends_it(void **state) {
  (void)state;
  tellers[0].script[0][0] = (struct step){.end = STATUS_FOREIGN};
  open_watch(true, &(struct cairn_watch_options){.from_version = 3, .cluster_id = THERE});
  expect("FOREIGN@0");
  assert_int_equal(tellers[1].calls, 0);
}

static unsigned flooded(void) {
  pthread_mutex_lock(&tellers[0].lock);
  unsigned count = tellers[0].flooded;
  pthread_mutex_unlock(&tellers[0].lock);
  return count;
}

static unsigned flooded_until_it_stops(void) {
  unsigned before = 0, now = 0;
  do {
    before = now;
    usleep(300000);
    now = flooded();
  } while (now == 0 || now != before);
  return now;
}

static void who_does_not_read_is_told_no_more_until_he_does(void **state) {
  (void)state;
  struct cairn_change change;
  tellers[0].script[0][0] = (struct step){.version = 4, .begins = true};
  tellers[0].flood = FLOOD;
  tellers[0].version = 4;
  open_watch(false, NULL);

  assert_in_range(flooded_until_it_stops(), 1, FLOOD / 2); /* the rest would not fit into what is on its way either */

  expect("begins@4 whole@4");
  for (unsigned i = 1; i <= FLOOD; i++) {
    assert_int_equal(cairn_watch_next(watch, 10000, &change, &error), CAIRN_OK);
    assert_int_equal(change.version, 4 + i);
  }
  assert_int_equal(tellers[0].calls, 1);
}

static void options_that_make_no_sense_are_refused(void **state) {
  (void)state;
  static const char *names[CAIRN_WATCH_TOPICS_MAX + 1];
  struct cairn_watch *none = NULL;
  for (size_t i = 0; i <= CAIRN_WATCH_TOPICS_MAX; i++) names[i] = "t";
  open_watch(false, NULL);
  const struct cairn_watch_options many = {.topics = names, .topic_count = CAIRN_WATCH_TOPICS_MAX + 1};
  assert_int_equal(cairn_watch_new(client, &many, &none, &error), CAIRN_INVALID_ARGUMENT);
  names[0] = "";
  const struct cairn_watch_options nameless = {.topics = names, .topic_count = 1};
  assert_int_equal(cairn_watch_new(client, &nameless, &none, &error), CAIRN_INVALID_ARGUMENT);
  const struct cairn_watch_options twice = {.from_version = 1, .from_now = true};
  assert_int_equal(cairn_watch_new(client, &twice, &none, &error), CAIRN_INVALID_ARGUMENT);
  assert_null(none);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_whole_map_and_what_comes_then),
      TEST(it_goes_on_at_another_broker_from_where_it_was),
      TEST(from_a_version_with_its_cluster),
      TEST(from_now_on_once),
      TEST(a_gap_is_an_error),
      TEST(another_cluster_is_an_error),
      TEST(an_older_map_is_not_taken),
      TEST(who_is_told_of_no_broker_that_has_more_hears_why),
      TEST(what_the_cluster_has_lost_is_lost),
      TEST(what_the_cluster_has_lost_is_not_waited_for),
      TEST(what_no_retry_helps_ends_it),
      TEST(who_does_not_read_is_told_no_more_until_he_does),
      TEST(options_that_make_no_sense_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
