/* Topics and places of partitions as JSON objects with the field names of the API, for whoever lists or streams them. */
#ifndef CAIRN_CLIENTS_CLI_MAP_JSON_H
#define CAIRN_CLIENTS_CLI_MAP_JSON_H

#include <jansson.h>

#include "clients/c/cairn_admin.h"

json_t *topic_json(const struct cairn_topic *topic);
/* A move that is under way; the caller's. */
json_t *move_json(const struct cairn_move *move);
json_t *brokers_json(const uint32_t *brokers, size_t count);

#endif
