/* cairn.v1.Log: decodes, finds the partition, hands over to its lane, encodes. Decides nothing.
 *
 * Each request is one struct: the partition's request (append, read, ...) and the call that waits for it. It holds the call, the
 * partition and a count of services.in_work until it was answered. Handlers run on the transport's thread, answers are made on
 * the partition's lane.
 *
 * log_append.c     Append
 * append_stream.c  AppendStream
 * log_read.c       Read, Tail
 * log_service.c    DescribePartition, FindOffset, Trim
 */
#ifndef CAIRN_SERVER_LOG_SERVICE_H
#define CAIRN_SERVER_LOG_SERVICE_H

#include "base/rpc.h"

struct services;

void log_service_append(void *services, struct rpc_call *call, struct blob *message);

void log_service_stream_opened(void *services, struct rpc_call *call);
void log_service_stream_message(void *services, struct rpc_call *call, struct blob *message);
void log_service_stream_refused(void *service, struct rpc_call *call, enum status reason, struct blob *message);
void log_service_stream_half_closed(void *services, struct rpc_call *call);
void log_service_stream_sent(void *services, struct rpc_call *call);
void log_service_stream_closed(void *services, struct rpc_call *call, bool cancelled);
/* On lane `lane`: the broker is shutting down; streams end as soon as they have answered what they have. */
void log_service_drain_streams(struct services *services, unsigned lane);

void log_service_read(void *services, struct rpc_call *call, struct blob *message);
void log_service_read_closed(void *services, struct rpc_call *call, bool cancelled);
void log_service_tail(void *services, struct rpc_call *call, struct blob *message);
void log_service_tail_sent(void *services, struct rpc_call *call);
void log_service_tail_closed(void *services, struct rpc_call *call, bool cancelled);

void log_service_describe(void *services, struct rpc_call *call, struct blob *message);
void log_service_find_offset(void *services, struct rpc_call *call, struct blob *message);
void log_service_trim(void *services, struct rpc_call *call, struct blob *message);
void log_service_open_producer(void *services, struct rpc_call *call, struct blob *message);
void log_service_list_producers(void *services, struct rpc_call *call, struct blob *message);
void log_service_forget_producer(void *services, struct rpc_call *call, struct blob *message);

#endif
