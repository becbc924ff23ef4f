/* Every method this broker answers, and who answers it: the table that rpc_serve() is given. The `service` of all is struct services. */
#ifndef CAIRN_SERVER_HANDLERS_H
#define CAIRN_SERVER_HANDLERS_H

#include <stddef.h>

#include "base/rpc.h"

extern const struct rpc_handler service_handlers[];
extern const size_t service_handler_count;

#endif
