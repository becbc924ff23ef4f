/* One partition on three brokers: what the tests of several partitions of one group stand on, with a small network in the place of the wires
 * between brokers (tests/unit/replication/wires.h) and in pretended time.
 */
#ifndef CAIRN_TESTS_UNIT_SERVER_CREW_H
#define CAIRN_TESTS_UNIT_SERVER_CREW_H

#include "server/partition.h"
#include "tests/unit/replication/stage.h"
#include "tests/unit/replication/wires.h"

#define BROKERS 3u
#define GROUP 1u
#define MS_NS 1000000u
#define SECOND_NS ((uint64_t)1000000000u)

struct crew;
struct member {
  struct crew *crew;
  struct stage stage;
  struct offload *inflater;
  struct partition_host host;
  struct partition *partition;
};

struct crew {
  struct sim *sim;
  struct wires wires;
  struct raft_timing timing;
  struct raft_config founding;
  struct member members[BROKERS + 1];
};

/* For cmocka: the state is the crew, all of it up. */
int crew_set_up(void **state);
int crew_tear_down(void **state);

/* Where clients reach it. */
void crew_address_of(broker_id broker, char out_address[FAILURE_LEADER_SIZE]);
void crew_run_ms(struct crew *crew, unsigned ms);
/* Who says of itself that it leads, and was confirmed; none but `not`. Waits for it. */
broker_id crew_find_leader(struct crew *crew, broker_id not );

#endif
