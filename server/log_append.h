/* What Append and AppendStream share. */
#ifndef CAIRN_SERVER_LOG_APPEND_H
#define CAIRN_SERVER_LOG_APPEND_H

#include "server/services.h"

/* Fills the request from its bytes, and finds its partition, which is held. NULL: all is well, but for `message`. */
struct failure *log_append_prepare(struct services *services, struct bytes request, struct partition_append *append);

/* PRE: it has no failure. */
struct blob_part log_append_answer(const struct partition_append *append, uint64_t request_id, bool takes_more);

#endif
