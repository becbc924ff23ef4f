/* Requests of a session that go together in one message (AppendRequest.more). On the loop. */
#ifndef CAIRN_CLIENTS_C_OUTBOX_H
#define CAIRN_CLIENTS_C_OUTBOX_H

#include <stddef.h>

#include "base/rpc.h"
#include "proto/log_wire.h"

#define OUTBOX_REQUESTS_MAX 256u
/* Of a message of several, all that it has; a single one may be larger. No broker refuses it: its request-bytes-max is at least that. */
#define OUTBOX_BYTES_MAX ((size_t)64 * 1024)
#define OUTBOX_HEAD_BYTES_MAX 1024u /* what a request has beside its payload: names of a topic and a producer, numbers */

struct outbox {
  struct blob_part parts[OUTBOX_REQUESTS_MAX * LOG_WIRE_APPEND_PARTS];
  size_t requests;
  size_t bytes; /* of the message, so far */
};

/* A request with so large a payload is better sent without what is in it already. */
bool outbox_is_full(const struct outbox *outbox, size_t payload_bytes);
/* Takes over the hold on the payload. PRE: fewer than OUTBOX_REQUESTS_MAX are in it. */
void outbox_add(struct outbox *outbox, const struct wire_append_request *request, struct blob_part payload);
/* It is empty then. PRE: it was not. */
void outbox_send(struct outbox *outbox, struct rpc_request *stream);
void outbox_drop(struct outbox *outbox);

#endif
