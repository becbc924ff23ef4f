/* What a change comes to, against a map that is drawn up for it: what is refused, in which words, and what the command says of what is not. */
#include "controller/decide.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/controller/map_rig.h"

#define MIB (INT64_C(1) << 20)

/* ---- Whose number a broker may have ---- */

static void register_with(uint8_t directory) {
  struct command command = {.kind = COMMAND_REGISTER_BROKER,
                            .broker = {.id = 2, .advertised = "a:1", .peer_address = "a:2", .incarnation = {directory}}};
  assert_int_equal(cluster_map_apply(map, &command), STATUS_OK);
}

/* Broker 2 has directory 8, and had 7. */
static int set_up_replaced(void **state) {
  assert_int_equal(rig_set_up(state), 0);
  register_with(7);
  register_with(8);
  return 0;
}

static enum status ask(uint32_t broker, uint8_t directory, bool is_up, struct change *out_change) {
  *out_change = (struct change){.kind = COMMAND_REGISTER_BROKER, .broker = {.id = broker, .incarnation = {directory}}};
  return decide_whose_number(map, out_change, is_up);
}

static void a_number_that_nobody_has_is_free(void **state) {
  (void)state;
  struct change change;
  assert_int_equal(ask(3, 9, false, &change), STATUS_OK);
}

static void a_broker_keeps_its_number(void **state) {
  (void)state;
  struct change change;
  assert_int_equal(ask(2, 8, true, &change), STATUS_OK);
  assert_int_equal(ask(2, 8, false, &change), STATUS_OK);
}

static void a_new_directory_takes_the_place_of_one_that_is_gone(void **state) {
  (void)state;
  struct change change;
  assert_int_equal(ask(2, 9, false, &change), STATUS_OK);
}

static void it_does_not_take_that_of_one_that_is_up(void **state) {
  (void)state;
  struct change change;
  assert_int_equal(ask(2, 9, true, &change), STATUS_BROKER_ID_TAKEN);
  assert_non_null(strstr(change.problem, "broker 2 is up at a:2"));
}

static void a_directory_that_was_replaced_stays_so(void **state) {
  (void)state;
  struct change change;
  assert_int_equal(ask(2, 7, false, &change), STATUS_DIRECTORY_REPLACED);
  assert_int_equal(ask(2, 7, true, &change), STATUS_DIRECTORY_REPLACED);
}

/* ---- Changes ---- */

/* In a cluster of the brokers that the map has, or of one that is about to be written. */
static struct decision_facts usual_facts(void) {
  uint32_t brokers = (uint32_t)cluster_map_broker_count(map);
  return (struct decision_facts){
      .map = map, .brokers = brokers == 0 ? 1 : brokers, .brokers_are_late = true, .logs_max = UINT64_MAX, .time_ms = 1000};
}

/* What is not refused becomes true. */
static enum status carry_out_with(const struct decision_facts *facts, struct change *change) {
  struct command command = {0};
  enum status status = decide(facts, change, &command);
  if (status == STATUS_OK) assert_int_equal(rig_apply_through_bytes(&command), STATUS_OK);
  command_deinit(&command);
  return status;
}

static enum status carry_out(struct change *change) {
  struct decision_facts facts = usual_facts();
  return carry_out_with(&facts, change);
}

static struct change change_of(enum command_kind kind, const char *name) {
  struct change change = {.kind = kind, .settings = topic_settings_default};
  snprintf(change.name, sizeof change.name, "%s", name);
  return change;
}

static struct change create_of(const char *name, uint32_t partitions, uint32_t replicas) {
  struct change change = change_of(COMMAND_CREATE_TOPIC, name);
  change.partition_count = partitions;
  change.replicas = replicas;
  return change;
}

static struct change grow_of(const char *name, uint32_t partitions) {
  struct change change = change_of(COMMAND_GROW_TOPIC, name);
  change.partition_count = partitions;
  return change;
}

static struct change alter_of(const char *name, int64_t retention_ms) {
  struct change change = change_of(COMMAND_ALTER_TOPIC, name);
  change.settings.retention_ms = retention_ms;
  change.set_retention_ms = true;
  return change;
}

static struct change register_of(uint32_t id, uint8_t directory, const char *peer_address) {
  struct change change = {
      .kind = COMMAND_REGISTER_BROKER, .broker = {.id = id, .incarnation = {(uint8_t)id, directory}}, .cluster_id = {1}};
  snprintf(change.broker.peer_address, sizeof change.broker.peer_address, "%s", peer_address);
  return change;
}

/* `to`: each digit is a broker. */
static struct change move_of(const char *name, uint32_t partition, const char *to) {
  struct change change = change_of(COMMAND_MOVE_PARTITION, name);
  change.partition = partition;
  for (; *to != '\0'; to++) change.to[change.to_count++] = (uint32_t)(*to - '0');
  return change;
}

static void assert_done(struct change change) { assert_int_equal(carry_out(&change), STATUS_OK); }

static void assert_refused(struct change change, enum status status, const char *problem) {
  assert_int_equal(carry_out(&change), status);
  assert_string_equal(change.problem, problem);
}

static void assert_refused_with_words(struct change change, enum status status) {
  assert_int_equal(carry_out(&change), status);
  assert_true(change.problem[0] != '\0');
}

/* ---- Brokers ---- */

static struct change stand_of(uint32_t broker, enum map_standing standing) {
  return (struct change){.kind = COMMAND_SET_STANDING, .broker = {.id = broker, .standing = standing}};
}

/* Each of them follows group 0, which has room for as many: one more would get replicas and never hear of them. */
static void a_cluster_has_so_many_brokers_and_no_more(void **state) {
  (void)state;
  static const char full[] =
      "the cluster has 16 brokers, and can have 16: let one leave first (cairn broker decommission), until it is gone";
  for (uint32_t id = 1; id < MAP_BROKERS_PRESENT_MAX; id++) assert_done(register_of(id, 1, "a:1"));
  struct decision_facts facts = usual_facts();
  facts.untold_count = 1; /* a founder that has not told where it is */
  struct change last = register_of(16, 1, "a:1");
  assert_int_equal(carry_out_with(&facts, &last), STATUS_TOO_LARGE);
  assert_done(last);

  assert_refused(register_of(17, 1, "a:1"), STATUS_TOO_LARGE, full);
  assert_done(register_of(16, 1, "b:1"));
  assert_done(register_of(16, 2, "b:1"));
  assert_done(stand_of(3, STANDING_LEAVING));
  assert_refused(register_of(17, 1, "a:1"), STATUS_TOO_LARGE, full);
  assert_done(stand_of(3, STANDING_GONE));
  assert_done(register_of(17, 1, "a:1"));
  assert_refused(register_of(3, 2, "a:1"), STATUS_TOO_LARGE, full);
}

/* Those that are gone are remembered: what came to nothing when it is applied would be asked for, and written, again and again. */
static void a_cluster_remembers_so_many_numbers_and_no_more(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= MAP_BROKERS_MAX; id++) {
    assert_done(register_of(id, 1, "a:1"));
    if (id > 1) assert_done(stand_of(id, STANDING_LEAVING));
    if (id > 1) assert_done(stand_of(id, STANDING_GONE));
  }
  assert_refused(register_of(MAP_BROKERS_MAX + 1, 1, "a:1"), STATUS_TOO_LARGE,
                 "the cluster has had brokers of 1000 numbers, and remembers no more: give this one the number of a broker that "
                 "is gone");
  assert_done(register_of(MAP_BROKERS_MAX, 2, "a:1"));
}

/* ---- Topics ---- */

static void an_alteration_changes_what_it_names_and_nothing_else(void **state) {
  (void)state;
  struct change create = create_of("a", 1, 1);
  create.settings.segment_bytes = 2 * MIB;
  assert_done(create);
  assert_done(alter_of("a", 5000));
  struct change change = change_of(COMMAND_ALTER_TOPIC, "a");
  change.settings.record_bytes_max = 100;
  change.settings.retention_ms = 77; /* not set: not meant */
  change.set_record_bytes_max = true;

  assert_done(change);

  const struct topic_settings *settings = &rig_find("a")->settings;
  assert_int_equal(settings->segment_bytes, 2 * MIB);
  assert_int_equal(settings->retention_ms, 5000);
  assert_int_equal(settings->record_bytes_max, 100);
  assert_int_equal(settings->retention_bytes, -1);
}

static void what_makes_no_sense_is_refused_with_words(void **state) {
  (void)state;
  struct change tiny = create_of("tiny", 1, 1);
  tiny.settings.segment_bytes = 1;

  assert_refused_with_words(create_of("a/b", 1, 1), STATUS_BAD_NAME);
  assert_refused_with_words(create_of("many", TOPIC_PARTITIONS_MAX + 1, 1), STATUS_INVALID);
  assert_refused_with_words(create_of("copies", 1, 2), STATUS_INVALID);
  assert_refused_with_words(tiny, STATUS_INVALID);
  assert_done(create_of("a", 1, 1));
  assert_refused_with_words(alter_of("a", -7), STATUS_INVALID);

  assert_int_equal(cluster_map_topic_count(map), 1);
}

/* ---- Names that are kept ---- */

static void names_that_are_kept_are_given_to_no_topic(void **state) {
  (void)state;
  static const char own[] = "names that begin with \"__cairn\" are kept for topics of Cairn's own: choose another";
  static const char foreign[] = "applications of Kafka take it for the system's own, so it is kept: choose another";
  struct change tried = create_of("__cairn_groups", 1, 1);
  tried.validate_only = true;

  assert_refused(create_of("__cairn", 1, 1), STATUS_BAD_NAME, own);
  assert_refused(create_of("__cairn_groups", 1, 1), STATUS_BAD_NAME, own);
  assert_refused(tried, STATUS_BAD_NAME, own);
  assert_refused(create_of("__consumer_offsets", 1, 1), STATUS_BAD_NAME, foreign);
  assert_refused(create_of("__transaction_state", 1, 1), STATUS_BAD_NAME, foreign);

  assert_int_equal(cluster_map_topic_count(map), 0);
}

static void names_that_are_like_them_are_free(void **state) {
  (void)state;
  static const char *const names[] = {
      "_cairn", "__cair", "__Cairn", "cairn__cairn", "__", "__consumer", "__consumer_offset", "__consumer_offsets2", "__other"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) assert_done(create_of(names[i], 1, 1));
}

/* Of a map from before they were kept. */
static void what_has_such_a_name_already_stays_and_may_go(void **state) {
  (void)state;
  static const char *const names[] = {"__cairn_old", "__consumer_offsets"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    assert_int_equal(rig_create(names[i], 1), STATUS_OK);

    assert_done(alter_of(names[i], 5000));
    assert_done(grow_of(names[i], 2));
    assert_done(change_of(COMMAND_DELETE_TOPIC, names[i]));
    assert_refused_with_words(create_of(names[i], 1, 1), STATUS_BAD_NAME);
  }
}

static void more_replicas_than_brokers_are_refused_with_numbers(void **state) {
  (void)state;
  assert_done(register_of(1, 1, ""));
  assert_refused(create_of("two", 1, 2), STATUS_INVALID,
                 "2 replicas are wanted, each on a broker of its own, and the cluster has 1 broker: ask for 1, "
                 "or start more brokers");

  assert_done(register_of(2, 1, ""));
  assert_refused(create_of("three", 1, 3), STATUS_INVALID,
                 "3 replicas are wanted, each on a broker of its own, and the cluster has 2 brokers: ask for "
                 "at most 2, or start more brokers");
  assert_done(create_of("fits", 1, 2));
  assert_refused(create_of("eight", 1, 8), STATUS_INVALID, "8 replicas are wanted, and a partition has at most 7");
}

static void replicas_go_to_brokers_and_to_their_directories(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 4; id++) assert_done(register_of(id, 1, ""));
  assert_done(create_of("default", 4, 0));
  assert_done(create_of("all", 1, 4));
  assert_done(register_of(4, 2, "")); /* a new directory of it */
  assert_done(create_of("later", 1, 4));

  const struct map_topic *topic = rig_find("default");
  uint32_t replicas[5] = {0}, firsts[5] = {0};
  assert_int_equal(topic->replicas, 3);
  for (uint32_t i = 0; i < 4; i++) {
    assert_int_equal(topic->partitions[i].replica_count, 3);
    for (uint32_t at = 0; at < 3; at++) replicas[topic->partitions[i].replicas[at].broker]++;
    firsts[topic->partitions[i].replicas[0].broker]++;
  }
  for (uint32_t id = 1; id <= 4; id++) {
    assert_int_equal(replicas[id], 3);
    assert_int_equal(firsts[id], 1);
  }
  static const char *const names[] = {"all", "later"};
  for (size_t i = 0; i < 2; i++) {
    const struct map_partition *partition = &rig_find(names[i])->partitions[0];
    for (uint32_t at = 0; at < 4; at++) {
      const struct map_replica *replica = &partition->replicas[at];
      assert_int_equal(replica->incarnation[0], replica->broker);
      assert_int_equal(replica->incarnation[1], replica->broker == 4 ? i + 1 : 1);
    }
  }
}

static void a_topic_is_as_old_as_its_command(void **state) {
  (void)state;
  assert_done(create_of("a", 1, 1));
  assert_int_equal(rig_find("a")->created_ms, 1000);
}

static void a_topic_waits_for_brokers_that_have_not_told_where_they_are(void **state) {
  (void)state;
  assert_done(register_of(1, 1, ""));
  struct decision_facts facts = usual_facts();
  facts.brokers = 3;
  facts.brokers_are_late = false;
  struct change one = create_of("one", 1, 1), two = create_of("two", 1, 2);

  assert_int_equal(carry_out_with(&facts, &one), STATUS_LOADING);
  assert_string_equal(one.problem, "1 replica is wanted, and of the cluster's 3 brokers 1 have told where they are so far");
  facts.brokers_are_late = true;
  assert_int_equal(carry_out_with(&facts, &one), STATUS_OK);
  assert_int_equal(carry_out_with(&facts, &two), STATUS_LOADING);
  assert_done(register_of(2, 1, ""));
  assert_int_equal(carry_out_with(&facts, &two), STATUS_OK);
}

static void more_partitions_than_the_journal_has_files_for_are_refused(void **state) {
  (void)state;
  struct decision_facts facts = usual_facts();
  facts.logs_max = 4; /* the controller's own is one */
  struct change two = create_of("two", 2, 1), one = create_of("one", 1, 1), more = create_of("more", 1, 1);

  assert_int_equal(carry_out_with(&facts, &two), STATUS_OK);
  assert_int_equal(carry_out_with(&facts, &one), STATUS_OK);
  assert_int_equal(carry_out_with(&facts, &more), STATUS_TOO_LARGE);

  assert_string_equal(more.problem,
                      "this broker's journal has files for fewer partitions: delete some, or raise journal-file-bytes");
}

static void a_cluster_has_so_many_partitions_and_no_more(void **state) {
  (void)state;
  for (uint32_t have = 0; have < MAP_PARTITIONS_MAX; have += TOPIC_PARTITIONS_MAX) {
    char name[16];
    snprintf(name, sizeof name, "t%u", have);
    assert_done(create_of(name, TOPIC_PARTITIONS_MAX, 1));
  }
  assert_refused(create_of("more", 1, 1), STATUS_TOO_LARGE, "a cluster has at most 200000 partitions: delete some topics first");
}

/* ---- Brokers and moves ---- */

static void a_directory_that_was_replaced_is_told_what_to_do(void **state) {
  (void)state;
  assert_done(register_of(9, 1, "old:1"));
  assert_done(register_of(9, 1, "old:1"));
  assert_done(register_of(9, 2, "new:1"));

  assert_refused(register_of(9, 1, "old:1"), STATUS_DIRECTORY_REPLACED,
                 "broker 9 came back with another directory, at new:1; this one is never part of the cluster again: stop this "
                 "process, or give it an empty directory and another broker-id");

  assert_int_equal(cluster_map_broker(map, 9)->incarnation[1], 2);
}

static void moves_that_make_no_sense_are_refused_with_words(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 4; id++) assert_done(register_of(id, 1, "b:1"));
  assert_done(register_of(5, 1, "")); /* takes no peers */
  assert_done(create_of("a", 2, 3));

  assert_refused(move_of("b", 0, "2"), STATUS_UNKNOWN_TOPIC, "");
  assert_refused(move_of("a", 2, "2"), STATUS_UNKNOWN_PARTITION, "there is no partition 2: its partitions are 0 to 1");
  assert_refused(move_of("a", 1, ""), STATUS_INVALID, "partition 1 is to have 0 replicas: name 1 to 7 brokers");
  assert_refused(move_of("a", 1, "242"), STATUS_INVALID, "broker 2 is named twice for partition 1: name each broker once");
  assert_refused(move_of("a", 1, "29"), STATUS_NOT_FOUND,
                 "partition 1 is to go to broker 9, and the cluster has no such broker: start it, or name another");
  assert_refused(move_of("a", 1, "25"), STATUS_NOT_FOUND,
                 "partition 1 is to go to broker 5, which takes no other brokers: start it with --peer-listen, or name another");

  assert_int_equal(cluster_map_move_count(map), 0);
}

static void a_partition_of_which_the_map_knows_no_replicas_cannot_be_moved(void **state) {
  (void)state;
  assert_int_equal(rig_create("old", 1), STATUS_OK);
  assert_done(register_of(2, 1, "b:1"));
  assert_refused(move_of("old", 0, "2"), STATUS_UNSUPPORTED,
                 "partition 0 was made by a Cairn that knew one broker only, and cannot be moved: copy it into a new topic");
}

static void so_many_partitions_move_at_once_and_no_more(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 3; id++) assert_done(register_of(id, 1, "b:1"));
  assert_done(create_of("a", MAP_MOVES_MAX + 1, 1));
  for (uint32_t i = 0; i < MAP_MOVES_MAX; i++) assert_done(move_of("a", i, "12"));

  assert_refused(move_of("a", MAP_MOVES_MAX, "12"), STATUS_BUSY,
                 "1000 partitions are being moved already: wait until some have arrived");
  assert_done(move_of("a", 7, "23")); /* another way, not one more */
}

/* To seven brokers that get new directories again and again, before it has come to rest. */
static void a_partition_is_sent_to_so_many_replicas_before_it_rests(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 3; id++) assert_done(register_of(id, 1, "b:1"));
  assert_done(create_of("a", 1, 3));
  for (uint8_t directory = 1; directory <= 4; directory++) {
    for (uint32_t id = 3; id <= 9; id++) assert_done(register_of(id, directory, "b:1"));
    assert_done(move_of("a", 0, "3456789"));
  }
  for (uint32_t id = 3; id <= 9; id++) assert_done(register_of(id, 5, "b:1"));
  const struct map_move *move = cluster_map_move(map, 1);
  uint64_t number = move->number;
  assert_int_equal(move->known_count, 2 + 4 * 7);

  assert_refused(
      move_of("a", 0, "345"), STATUS_BUSY,
      "partition 0 has been sent to 30 replicas since it last rested, and may be sent to 32: let its move come to rest "
      "first, if need be back where it was");
  assert_int_equal(cluster_map_move(map, 1)->number, number);
  assert_done(move_of("a", 0, "134")); /* two more */
  assert_refused_with_words(move_of("a", 0, "15"), STATUS_BUSY);
  assert_done(move_of("a", 0, "12")); /* back */
  assert_done(move_of("a", 0, "43"));
}

static void of_a_move_that_is_over_its_number_is_told_and_nothing_else(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 3; id++) assert_done(register_of(id, 1, "b:1"));
  assert_done(create_of("a", 2, 1));
  assert_done(move_of("a", 1, "23"));
  struct decision_facts facts = usual_facts();
  uint64_t number = cluster_map_move(map, rig_find("a")->partitions[1].group)->number;
  struct change over = {.kind = COMMAND_PARTITION_MOVED, .topic_id = rig_find("a")->id, .partition = 1, .move = number};
  struct change late = over;
  struct command command = {0};

  assert_int_equal(decide(&facts, &over, &command), STATUS_OK);

  assert_int_equal(command.move.topic_id, over.topic_id);
  assert_int_equal(command.move.partition, 1);
  assert_int_equal(command.move.number, number);
  assert_int_equal(command.move.target_count, 0);
  assert_int_equal(command.move.known_count, 0);
  assert_int_equal(rig_apply_through_bytes(&command), STATUS_OK);
  assert_int_equal(rig_find("a")->partitions[1].replica_count, 2);
  command_deinit(&command);
  assert_int_equal(carry_out(&late), STATUS_NOT_FOUND);
}

static void a_topic_grows_and_never_shrinks(void **state) {
  (void)state;
  for (uint32_t id = 1; id <= 3; id++) assert_done(register_of(id, 1, "p:1"));
  assert_done(create_of("t", 2, 2));
  assert_done(grow_of("t", 5));
  const struct map_topic *topic = rig_find("t");
  assert_int_equal(topic->partition_count, 5);
  unsigned firsts[4] = {0};
  for (uint32_t i = 0; i < 5; i++) {
    assert_int_equal(topic->partitions[i].replica_count, 2);
    firsts[topic->partitions[i].replicas[0].broker]++;
  }
  for (uint32_t id = 1; id <= 3; id++) assert_in_range(firsts[id], 1, 2); /* spread as those of a new topic are */

  struct change same = grow_of("t", 5);
  struct command command = {0};
  struct decision_facts facts = usual_facts();
  assert_int_equal(decide(&facts, &same, &command), STATUS_OK);
  assert_true(same.unchanged);
  command_deinit(&command);
  struct change fewer = grow_of("t", 4);
  assert_int_equal(carry_out(&fewer), STATUS_INVALID);
  assert_non_null(strstr(fewer.problem, "has 5 partitions, and none is ever taken away"));
  struct change unknown = grow_of("u", 4);
  assert_int_equal(carry_out(&unknown), STATUS_UNKNOWN_TOPIC);
  struct change many = grow_of("t", TOPIC_PARTITIONS_MAX + 1);
  assert_int_equal(carry_out(&many), STATUS_INVALID);
  facts = usual_facts();
  facts.logs_max = 6; /* the controller's own is one */
  struct change more = grow_of("t", 6);
  assert_int_equal(carry_out_with(&facts, &more), STATUS_TOO_LARGE);
}

#define REPLACED(name) cmocka_unit_test_setup_teardown(name, set_up_replaced, rig_tear_down)
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      REPLACED(a_number_that_nobody_has_is_free),
      REPLACED(a_broker_keeps_its_number),
      REPLACED(a_new_directory_takes_the_place_of_one_that_is_gone),
      REPLACED(it_does_not_take_that_of_one_that_is_up),
      REPLACED(a_directory_that_was_replaced_stays_so),
      TEST(a_cluster_has_so_many_brokers_and_no_more),
      TEST(a_cluster_remembers_so_many_numbers_and_no_more),
      TEST(an_alteration_changes_what_it_names_and_nothing_else),
      TEST(what_makes_no_sense_is_refused_with_words),
      TEST(names_that_are_kept_are_given_to_no_topic),
      TEST(names_that_are_like_them_are_free),
      TEST(what_has_such_a_name_already_stays_and_may_go),
      TEST(more_replicas_than_brokers_are_refused_with_numbers),
      TEST(replicas_go_to_brokers_and_to_their_directories),
      TEST(a_topic_is_as_old_as_its_command),
      TEST(a_topic_waits_for_brokers_that_have_not_told_where_they_are),
      TEST(more_partitions_than_the_journal_has_files_for_are_refused),
      TEST(a_cluster_has_so_many_partitions_and_no_more),
      TEST(a_directory_that_was_replaced_is_told_what_to_do),
      TEST(moves_that_make_no_sense_are_refused_with_words),
      TEST(a_partition_of_which_the_map_knows_no_replicas_cannot_be_moved),
      TEST(so_many_partitions_move_at_once_and_no_more),
      TEST(a_partition_is_sent_to_so_many_replicas_before_it_rests),
      TEST(a_topic_grows_and_never_shrinks),
      TEST(of_a_move_that_is_over_its_number_is_told_and_nothing_else),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
