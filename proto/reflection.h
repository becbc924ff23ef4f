/* grpc.reflection, v1 and v1alpha: a client without .proto files asks what there is. Answers from a FileDescriptorSet that is
 * embedded at build time, indexed once at start.
 *
 * Both versions have the same messages, so one implementation serves both. Rows for a server:
 *   {REFLECTION_V1_METHOD, RPC_BIDI_STREAM, .opened = ...reflection_opened, .message = ...reflection_message,
 *    .half_closed = ...reflection_half_closed, .sent = ...reflection_sent}
 * and the same with REFLECTION_V1ALPHA_METHOD. Each stream has at most one question in work, so nothing grows.
 */
#ifndef CAIRN_PROTO_REFLECTION_H
#define CAIRN_PROTO_REFLECTION_H

#include "base/bytes.h"
#include "base/rpc.h"

#define REFLECTION_V1_METHOD "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
#define REFLECTION_V1ALPHA_METHOD "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

struct reflection;

/* Borrows `descriptor_set` (protoc --include_imports --descriptor_set_out) for its life. STATUS_MALFORMED: it is none. */
enum status reflection_new(struct bytes descriptor_set, struct reflection **out_reflection) MUST_CHECK;
/* Over the set that this build embeds: all public services, health and reflection. */
enum status reflection_new_embedded(struct reflection **out_reflection) MUST_CHECK;
/* Before it serves: answers of streams are charged there. Without room a stream ends with NO_MEMORY. */
void reflection_charge(struct reflection *reflection, struct account *account);
void reflection_free(struct reflection *reflection); /* after rpc_serve_stop(); NULL is fine */

void reflection_opened(struct reflection *reflection, struct rpc_call *call);
void reflection_message(struct reflection *reflection, struct rpc_call *call, struct blob *message); /* takes over the hold */
void reflection_half_closed(struct reflection *reflection, struct rpc_call *call);
void reflection_sent(struct reflection *reflection, struct rpc_call *call);

/* The answer to one ServerReflectionRequest, without a stream around it: for tests. A request that cannot be read gets an answer
 * that says so. */
struct blob_part reflection_answer(struct reflection *reflection, struct bytes request);

#endif
