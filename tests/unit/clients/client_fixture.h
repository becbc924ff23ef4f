/* A client, a fake broker with two topics ("events" of 1 partition, "wide" of 8), and what was delivered. */
#ifndef CAIRN_TESTS_UNIT_CLIENTS_CLIENT_FIXTURE_H
#define CAIRN_TESTS_UNIT_CLIENTS_CLIENT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "clients/c/cairn_admin.h"
#include "tests/unit/clients/fake_broker.h"

struct fixture {
  struct fake_broker *broker;
  struct cairn_client *client;
  size_t records; /* delivered; of them: */
  size_t failed;
  size_t maybe;
  uintptr_t last_opaque;
  bool out_of_order;
  char reason[CAIRN_REASON_SIZE];
};

int fixture_setup(void **state);
int fixture_teardown(void **state);
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

/* Notes every delivery in the fixture. */
struct cairn_producer *fixture_producer(struct fixture *fixture, struct cairn_producer_options options);
/* The records "first", "first + 1", ... */
void add_numbers(struct cairn_producer *producer, const char *topic, int32_t partition, unsigned first, unsigned count);
/* Reads partition 0, which must hold "0", "1", ... and nothing else. */
void expect_numbers(struct fixture *fixture, const char *topic, unsigned count);

#endif
