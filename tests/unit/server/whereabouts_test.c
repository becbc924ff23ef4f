/* Whom a broker takes for its peers: of its own map, of one that it was told, and of the founding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "controller/command.h"
#include "server/whereabouts.h"

static struct log_identity identity;
static struct whereabouts whereabouts;

static void put_incarnation(uint8_t out_incarnation[CLUSTER_ID_SIZE], uint8_t number) {
  memset(out_incarnation, number, CLUSTER_ID_SIZE);
}

/* Brokers 1 and 2 founded the cluster, each with its first directory. */
static int set_up(void **state) {
  (void)state;
  identity = (struct log_identity){.broker_id = 3, .founder_count = 2};
  for (uint32_t i = 0; i < 2; i++) {
    struct log_founder *founder = &identity.founders[i];
    founder->broker_id = i + 1;
    put_incarnation(founder->incarnation, 1);
    snprintf(founder->address, sizeof founder->address, "founder:%u", i + 1);
  }
  whereabouts = (struct whereabouts){.identity = &identity};
  return 0;
}

static void put(struct cluster_map *map, uint32_t id, uint8_t incarnation, const char *address) {
  struct command command = {.kind = COMMAND_REGISTER_BROKER, .broker = {.id = id, .advertised = "c:1"}};
  put_incarnation(command.broker.incarnation, incarnation);
  snprintf(command.broker.peer_address, sizeof command.broker.peer_address, "%s", address);
  assert_int_equal(cluster_map_apply(map, &command), STATUS_OK);
}

static void set_standing(struct cluster_map *map, uint32_t id, enum map_standing standing) {
  const struct command command = {.kind = COMMAND_SET_STANDING, .broker = {.id = id, .standing = standing}};
  assert_int_equal(cluster_map_apply(map, &command), STATUS_OK);
}

/* "1.2@a:1 3.1@b:1": broker 1 with its directory 2 at a:1, and so on. */
static const char *print(void (*gather)(const struct whereabouts *of, const struct cluster_map *map,
                                        struct address_list *out_list),
                         const struct cluster_map *map) {
  static char text[1024];
  struct address_list found;
  gather(&whereabouts, map, &found);
  size_t at = 0;
  text[0] = '\0';
  for (size_t i = 0; i < found.count; i++) {
    uint8_t incarnation[CLUSTER_ID_SIZE];
    memcpy(incarnation, found.rows[i].id.incarnation, sizeof incarnation);
    at += (size_t)snprintf(text + at, sizeof text - at, "%s%u.%u@%s", i > 0 ? " " : "", found.rows[i].id.broker, incarnation[0],
                           found.rows[i].address);
  }
  return text;
}

static const char *list(const struct cluster_map *map) { return print(whereabouts_peers, map); }

static enum status take_answer_of(const struct cluster_map *map) {
  struct blob_part part = whereabouts_answer(map, false, 0);
  enum status status = whereabouts_take(&whereabouts, part.bytes);
  blob_part_release(part);
  return status;
}

static void who_knows_nothing_yet_asks_the_founders(void **state) {
  (void)state;
  struct cluster_map *map = cluster_map_new(1);
  assert_string_equal(list(map), "1.1@founder:1 2.1@founder:2");
  put(map, 2, 2, "b:2");
  assert_string_equal(list(map), "2.2@b:2 1.1@founder:1");
  cluster_map_free(map);
}

static void who_takes_no_peers_or_is_gone_is_not_asked(void **state) {
  (void)state;
  struct cluster_map *map = cluster_map_new(1);
  put(map, 1, 1, "a:1");
  put(map, 2, 1, "");
  put(map, 3, 1, "c:1");
  assert_string_equal(list(map), "1.1@a:1 3.1@c:1");
  set_standing(map, 1, STANDING_LEAVING);
  assert_string_equal(list(map), "1.1@a:1 3.1@c:1");
  set_standing(map, 1, STANDING_GONE);
  assert_string_equal(list(map), "3.1@c:1");
  assert_string_equal(print(whereabouts_anybody, map), "1.1@a:1 3.1@c:1"); /* another one may be there by now */
  cluster_map_free(map);
}

static void what_is_told_counts_until_the_own_map_is_as_new(void **state) {
  (void)state;
  struct cluster_map *old = cluster_map_new(1), *new = cluster_map_new(1);
  put(old, 1, 1, "a:1");
  for (uint8_t incarnation = 1; incarnation <= 2; incarnation++)
    for (uint32_t id = 1; id <= 3; id++) put(new, id, incarnation, "n:1");
  set_standing(new, 2, STANDING_LEAVING);
  set_standing(new, 2, STANDING_GONE);

  assert_int_equal(take_answer_of(new), STATUS_OK);

  assert_string_equal(list(old), "1.2@n:1 3.2@n:1"); /* and no founder, for it knows them all */
  assert_string_equal(print(whereabouts_anybody, old), "1.2@n:1 2.2@n:1 3.2@n:1");
  while (cluster_map_version(old) < cluster_map_version(new)) put(old, 1, 3, "a:3");
  assert_string_equal(list(old), "1.3@a:3 2.1@founder:2");
  cluster_map_free(old);
  cluster_map_free(new);
}

/* Of a cluster that is just being founded not all have registered. */
static void founders_that_what_is_told_does_not_know_are_kept(void **state) {
  (void)state;
  struct cluster_map *none = cluster_map_new(1), *map = cluster_map_new(1);
  put(map, 2, 1, "b:1");

  assert_int_equal(take_answer_of(map), STATUS_OK);

  assert_string_equal(list(none), "2.1@b:1 1.1@founder:1");
  cluster_map_free(none);
  cluster_map_free(map);
}

static void who_is_to_be_asked_is_the_last_word(void **state) {
  (void)state;
  struct cluster_map *map = cluster_map_new(1);
  put(map, 1, 1, "a:1");
  static const struct {
    bool elsewhere;
    broker_id leader;
  } words[] = {{true, 2}, {true, 0}, {false, 0}, {true, 1}};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    struct blob_part part = whereabouts_answer(map, words[i].elsewhere, words[i].leader);
    assert_int_equal(whereabouts_take(&whereabouts, part.bytes), STATUS_OK);
    blob_part_release(part);
    assert_int_equal(whereabouts.elsewhere, words[i].elsewhere);
    assert_int_equal(whereabouts.leader, words[i].leader);
  }
  cluster_map_free(map);
}

static void an_older_word_than_the_last_changes_nothing(void **state) {
  (void)state;
  struct cluster_map *none = cluster_map_new(1), *map = cluster_map_new(1);
  put(map, 1, 1, "a:1");
  struct blob_part before = whereabouts_answer(map, false, 0);
  put(map, 1, 1, "a:2");
  assert_int_equal(take_answer_of(map), STATUS_OK);

  assert_int_equal(whereabouts_take(&whereabouts, before.bytes), STATUS_OK);

  assert_string_equal(list(none), "1.1@a:2 2.1@founder:2");
  blob_part_release(before);
  cluster_map_free(none);
  cluster_map_free(map);
}

/* From an older broker comes an empty answer; from one that is broken, anything. */
static void an_answer_without_a_list_or_a_bad_one_changes_nothing(void **state) {
  (void)state;
  struct cluster_map *none = cluster_map_new(1), *map = cluster_map_new(1);
  put(map, 1, 2, "a:1");
  struct blob_part good = whereabouts_answer(map, false, 0);

  assert_int_equal(whereabouts_take(&whereabouts, bytes_of("", 0)), STATUS_OK);
  for (size_t size = 1; size < good.bytes.size; size++)
    if (whereabouts_take(&whereabouts, bytes_of(good.bytes.data, size)) == STATUS_OK)
      assert_int_equal(size, 2); /* the version alone */
  uint8_t twice[512];
  assert_true(2 * good.bytes.size <= sizeof twice);
  memcpy(twice, good.bytes.data, good.bytes.size);
  memcpy(twice + good.bytes.size, good.bytes.data, good.bytes.size);
  whereabouts.told_version = 0;
  assert_int_equal(whereabouts_take(&whereabouts, bytes_of(twice, 2 * good.bytes.size)), STATUS_CORRUPT); /* a broker twice */

  assert_string_equal(list(none), "1.1@founder:1 2.1@founder:2");
  blob_part_release(good);
  cluster_map_free(none);
  cluster_map_free(map);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(who_knows_nothing_yet_asks_the_founders),
      TEST(who_takes_no_peers_or_is_gone_is_not_asked),
      TEST(what_is_told_counts_until_the_own_map_is_as_new),
      TEST(founders_that_what_is_told_does_not_know_are_kept),
      TEST(who_is_to_be_asked_is_the_last_word),
      TEST(an_older_word_than_the_last_changes_nothing),
      TEST(an_answer_without_a_list_or_a_bad_one_changes_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
