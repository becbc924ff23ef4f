/* Up to three brokers that are nothing but wires, on a pretended network, by name. */
#ifndef CAIRN_TESTS_UNIT_REPLICATION_PEERS_RIG_H
#define CAIRN_TESTS_UNIT_REPLICATION_PEERS_RIG_H

#include "tests/unit/replication/peer_stage.h"

extern struct peer_stage *stage;
extern struct stage_broker *one, *two, *three;

/* Brokers run and have met. */
void rig_begin(size_t brokers, unsigned lanes);
int rig_tear_down(void **state);

/* Within 5 s. */
void rig_assert_told(struct stage_lane *lane, const char *word);
void rig_assert_all_up(void);
void rig_forget_all(void);

#endif
