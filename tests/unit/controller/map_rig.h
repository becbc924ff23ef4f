/* A map, and the commands that tests make it of: what the tests of the map, of its commands and of what is decided against it stand on. */
#ifndef CAIRN_TESTS_UNIT_CONTROLLER_MAP_RIG_H
#define CAIRN_TESTS_UNIT_CONTROLLER_MAP_RIG_H

#include "controller/cluster_map.h"
#include "controller/command.h"

extern struct cluster_map *map; /* empty when a test begins */

int rig_set_up(void **state);
int rig_tear_down(void **state);

/* What makes a topic with the next free ids, of one replica each of which the map says nothing. The caller's to deinit. */
struct command rig_create_command(const char *name, uint32_t partitions);
enum status rig_create(const char *name, uint32_t partitions);
enum status rig_delete(uint64_t id);
const struct map_topic *rig_find(const char *name);

/* Brokers 9, 8, ..., each with a directory of its own. */
void rig_put_replicas(struct map_partition *partition, uint32_t count);
/* With a directory that has its number. */
void rig_register_broker(uint32_t id, const char *peer_address);
/* The same, in a rack; "": in none that is known. */
void rig_register_in_rack(uint32_t id, const char *rack);

/* What the log makes of a command: it goes through its bytes. */
enum status rig_apply_through_bytes(const struct command *command);

#endif
