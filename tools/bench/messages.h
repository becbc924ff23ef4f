/* The requests that a load sends, one after the other. One load in a process: they are made from what was asked for at its beginning.
 *
 *   unary, stream, flock
 *                   AppendRequests for topic "bench", round its partitions: batches of records of 1000 bytes each (unary, and a batch of no
 *                   more than 1024 bytes: one record)
 *   put, get        etcdserverpb.PutRequests, each with a key of its own; RangeRequests, round the first keys of these
 *   create, delete  CreateTopicRequests and DeleteTopicRequests, one for each topic, in order
 *   alter, describe AlterTopicRequests, each of which changes something, and DescribeTopicRequests, round the topics
 */
#ifndef CAIRN_TOOLS_BENCH_MESSAGES_H
#define CAIRN_TOOLS_BENCH_MESSAGES_H

#include <grpc/byte_buffer.h>
#include <stdbool.h>
#include <stddef.h>

/* `many`: partitions, keys or topics. `bytes`: of a batch or value; of create: how many partitions each topic gets. False: there is no such kind, or
 * too many partitions. */
bool messages_begin(const char *kind, unsigned many, size_t bytes);
/* There is another one. */
bool messages_more(void);
/* There is an end to them: the load is over then, whatever the time. */
bool messages_are_counted(void);
/* PRE: messages_more(). The caller's to destroy. */
grpc_byte_buffer *messages_next(void);

/* So many of a flock in one message. */
#define MESSAGES_TOGETHER_MAX 256u
grpc_byte_buffer *messages_together(unsigned count);

/* A TailRequest for partition 0 of "bench" from offset 0; the caller's to destroy. */
grpc_byte_buffer *messages_tail(size_t max_bytes);

#endif
