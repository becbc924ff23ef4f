/* The option that names the brokers of each new partition of a topic: 1:2:3,2:3:1. */
#ifndef CAIRN_CLIENTS_CLI_TOPIC_PLACES_H
#define CAIRN_CLIENTS_CLI_TOPIC_PLACES_H

#include "clients/c/cairn_admin.h"
#include "clients/cli/cli.h"

/* CLI_OK, also where it is not given: then there are none. Else it was said what is wrong. `*out_places` is the caller's, memory_free(). */
int topic_places_read(const struct cli *cli, struct cairn_place **out_places, size_t *out_count);

#endif
