/* A map, and the commands that tests make it of: what the tests of the map, of its commands and of what is decided against it stand on. */
#ifndef CAIRN_TESTS_UNIT_CONTROLLER_MAP_RIG_H
#define CAIRN_TESTS_UNIT_CONTROLLER_MAP_RIG_H

#include "controller/cluster_map.h"
#include "controller/command.h"

extern struct cluster_map *map; /* empty when a test begins */
extern uint32_t rig_down;       /* a bit for each broker; none when a test begins */

int rig_set_up(void **state);
int rig_tear_down(void **state);

/* What makes a topic with the next free ids, of one replica each of which the map says nothing. The caller's to deinit. */
struct command rig_create_command(const char *name, uint32_t partitions);
enum status rig_create(const char *name, uint32_t partitions);
enum status rig_delete(uint64_t id);
const struct map_topic *rig_find(const char *name);

/* The digits of `brokers`, each with a directory that has its number. */
void rig_put_on(struct map_partition *partition, const char *brokers);
/* A topic whose partitions are on these, one after the other. */
void rig_create_on(const char *name, const char *const *partitions, uint32_t count);
/* Brokers 9, 8, ..., each with a directory of its own. */
void rig_put_replicas(struct map_partition *partition, uint32_t count);
/* With a directory that has its number. */
void rig_register_broker(uint32_t id, const char *peer_address);
/* The same, in a rack; "": in none that is known. */
void rig_register_in_rack(uint32_t id, const char *rack);

/* As `is_up` is asked everywhere. */
bool rig_is_up(void *context, uint32_t broker);
enum status rig_stand(uint32_t broker, enum map_standing standing);
enum status rig_begin_move(uint64_t topic_id, uint32_t partition, const uint32_t *to, uint32_t to_count);
void rig_end_move(const struct map_move *move);

/* What the log makes of a command: it goes through its bytes. */
enum status rig_apply_through_bytes(const struct command *command);

#endif
