/* What ListMoves tells of brokers that leave. It follows from the map and from who is up, by the very rules that empty them
 * (controller/evacuation.h), so it is kept nowhere. On lane 0 of the broker that leads group 0.
 */
#ifndef CAIRN_SERVER_ADMIN_EVACUATIONS_H
#define CAIRN_SERVER_ADMIN_EVACUATIONS_H

#include "cairn/v1/admin.pb-c.h"
#include "server/services.h"

/* Fills `response->evacuations`, which borrows from the map; admin_evacuations_free() gives back what it made. */
void admin_evacuations_fill(struct services *services, Cairn__V1__ListMovesResponse *response);
void admin_evacuations_free(Cairn__V1__ListMovesResponse *response);

#endif
