/* Who are you? What brokers ask each other before they know whether they belong together (proto/cairn/internal/v1/meet.proto): bytes to
 * structs and back, and the answer of a broker that runs. The rule itself is founding.h, the asking founding_run.h.
 */
#ifndef CAIRN_SERVER_MEET_H
#define CAIRN_SERVER_MEET_H

#include "base/rpc.h"
#include "server/founding.h"

#define MEET_METHOD "/cairn.internal.v1.Peer/Meet"
#define MEET_BYTES_MAX 4096u

struct blob_part meet_request_pack(const struct meet_request *request); /* a hold, for rpc_request_send() */
struct blob_part meet_answer_pack(const struct meet_answer *answer);
/* STATUS_MALFORMED: not one that the functions above can have written. */
enum status meet_request_unpack(struct bytes bytes, struct meet_request *out_request) MUST_CHECK;
enum status meet_answer_unpack(struct bytes bytes, struct meet_answer *out_answer) MUST_CHECK;

/* Of a broker that runs: it belongs to a cluster, and that never changes. A row for peers_options.more. The service is the identity, a
 * const struct log_identity, which lives as long as it is served. */
void meet_running(void *identity, struct rpc_call *call, struct blob *message);
extern const struct rpc_handler meet_running_handler;

#endif
