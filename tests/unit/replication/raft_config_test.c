/* Configurations: who counts, and their bytes. */
#include "replication/raft_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/replication/chance.h"

static struct replica_id replica(broker_id broker) {
  return (struct replica_id){.broker = broker, .incarnation = {broker * 0x101u, ~(uint64_t)broker}};
}

static struct raft_config joint(void) {
  struct raft_config config = {.phase = RAFT_JOINT};
  struct replica_id one = replica(1), two = replica(2), three = replica(3), four = replica(4);
  raft_config_add(&config, &one, RAFT_VOTER, RAFT_VOTER);
  raft_config_add(&config, &two, RAFT_VOTER, RAFT_NOBODY);
  raft_config_add(&config, &three, RAFT_LEARNER, RAFT_VOTER);
  raft_config_add(&config, &four, RAFT_LEARNER, RAFT_LEARNER);
  return config;
}

static void config_counts_voters_now_and_then(void **state) {
  (void)state;
  struct raft_config config = joint();

  struct quorum quorum = raft_config_quorum(&config);

  assert_int_equal(quorum.now, 0x3);
  assert_int_equal(quorum.then, 0x5);
  struct replica_id four = replica(4);
  assert_false(raft_config_votes(&config, &four));
}

static void config_knows_members_by_incarnation(void **state) {
  (void)state;
  struct raft_config config = joint();
  struct replica_id wiped = {.broker = 2, .incarnation = {9, 9}};

  assert_int_equal(raft_config_find(&config, &wiped), RAFT_NO_POSITION);
}

/* In the same directory, after the one before it was given up: it has promised nothing of what that one did. */
static void one_that_was_placed_anew_is_another(void **state) {
  (void)state;
  struct raft_config config = joint();
  struct replica_id again = config.members[1].id;
  again.placement = 77;
  uint8_t bytes[RAFT_CONFIG_BYTES_MAX];
  struct raft_config back;
  assert_int_equal(raft_config_find(&config, &again), RAFT_NO_POSITION);
  assert_true(replica_same_directory(&again, &config.members[1].id));

  config.members[1].id = again;
  size_t size = raft_config_encode(&config, bytes);

  assert_int_equal(size, 4 + 4 * 32);
  assert_int_equal(bytes[0], 2);
  assert_int_equal(raft_config_decode(bytes_of(bytes, size), &back), STATUS_OK);
  assert_true(raft_config_equal(&config, &back));
  assert_int_equal(raft_config_find(&back, &again), 1);
  assert_int_equal(raft_config_decode(bytes_of(bytes, size - 8), &back), STATUS_CORRUPT);
}

static void config_survives_its_bytes(void **state) {
  (void)state;
  struct raft_config config = joint();
  uint8_t bytes[RAFT_CONFIG_BYTES_MAX];
  struct raft_config back;

  size_t size = raft_config_encode(&config, bytes);

  assert_int_equal(size, 4 + 4 * 24);
  assert_int_equal(raft_config_decode(bytes_of(bytes, size), &back), STATUS_OK);
  assert_true(raft_config_equal(&config, &back));
}

/* The example of docs/FORMATS.md. */
static void config_bytes_are_those_of_the_document(void **state) {
  (void)state;
  static const uint8_t documented[] = {
      0x01, 0x02, 0x04, 0x00, 0x01, 0x00, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
      0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00,
      0x00, 0x00, 0x00, 0x00, 0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x03, 0x00, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00,
      0x03, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x04, 0x00, 0x00, 0x00,
      0x01, 0x01, 0x00, 0x00, 0x04, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xfb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
  };
  struct raft_config config = joint();
  uint8_t bytes[RAFT_CONFIG_BYTES_MAX];

  size_t size = raft_config_encode(&config, bytes);

  assert_int_equal(size, sizeof documented);
  assert_memory_equal(bytes, documented, size);
}

static void config_refuses_what_contradicts_itself(void **state) {
  (void)state;
  struct raft_config config = joint();
  struct raft_config twice = joint();
  twice.members[3].id.broker = 1;
  struct raft_config nobody = {.phase = RAFT_STABLE, .count = 1, .members = {{.id = {.broker = 1}, .now = 1, .then = 1}}};
  struct raft_config unsettled = joint();
  unsettled.phase = RAFT_STABLE;

  assert_true(raft_config_valid(&config));
  assert_false(raft_config_valid(&twice));
  assert_false(raft_config_valid(&nobody));
  assert_false(raft_config_valid(&unsettled));
}

static void config_decode_survives_any_bytes(void **state) {
  (void)state;
  struct chance chance = {chance_seed()};
  struct raft_config config = joint();
  uint8_t bytes[RAFT_CONFIG_BYTES_MAX];
  size_t size = raft_config_encode(&config, bytes);
  for (int round = 0; round < 20000; round++) {
    uint8_t bad[RAFT_CONFIG_BYTES_MAX];
    memcpy(bad, bytes, size);
    for (uint64_t n = 1 + chance_below(&chance, 3); n > 0; n--) bad[chance_below(&chance, size)] = (uint8_t)chance_next(&chance);
    struct raft_config out;
    enum status status =
        raft_config_decode(bytes_of(bad, chance_below(&chance, 4) == 0 ? chance_below(&chance, size) : size), &out);
    if (status == STATUS_OK) assert_true(raft_config_valid(&out));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(config_counts_voters_now_and_then),   cmocka_unit_test(config_knows_members_by_incarnation),
      cmocka_unit_test(config_survives_its_bytes),           cmocka_unit_test(config_refuses_what_contradicts_itself),
      cmocka_unit_test(config_decode_survives_any_bytes),    cmocka_unit_test(config_bytes_are_those_of_the_document),
      cmocka_unit_test(one_that_was_placed_anew_is_another),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
