/* protobuf-c to bytes and back, made safe for what strangers send.
 *
 * protobuf-c 1.4.1 turns 4 MiB of empty submessages into 271 MiB of objects, and takes NUL and bad UTF-8 in strings. So a message
 * is unpacked into an arena whose limit caps what it may cost, and its strings are checked on the wire first.
 *
 * To fill a generated struct start with its function ..._init(); the macro ..._INIT casts const away, which our flags refuse.
 *
 * The hot messages (Append, Read, Tail) never come here: log_wire.h reads and writes them in place.
 */
#ifndef CAIRN_PROTO_PACK_H
#define CAIRN_PROTO_PACK_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/blob.h"
#include "base/bytes.h"
#include "base/status.h"

/* A good limit for the arena of one request: the brokers of 10,000 partitions fit. */
#define PACK_ARENA_BYTES_MAX (2048u * 1024u)
/* Messages inside messages, at most. None of ours nests deeper than 5. */
#define PACK_DEPTH_MAX 16u

/* The unpacked message lives in the arena; it is never freed by itself. Strings in it are UTF-8 without NUL.
 * STATUS_MALFORMED: not a message of that type. STATUS_BAD_NAME: a string with NUL or bad UTF-8. STATUS_TOO_LARGE: it costs
 * more than the arena's limit. */
enum status pack_unpack(struct arena *arena, const ProtobufCMessageDescriptor *descriptor, struct bytes message,
                        void *out_message) MUST_CHECK; /* out_message: address of a pointer to the generated struct */

/* The check of strings by itself: STATUS_MALFORMED, STATUS_BAD_NAME. */
enum status pack_check_strings(const ProtobufCMessageDescriptor *descriptor, struct bytes message) MUST_CHECK;

/* Into a fresh blob of the right size. STATUS_NO_MEMORY when the account (may be NULL) has no room. */
enum status pack_blob(const ProtobufCMessage *message, struct account *account, struct blob **out_blob) MUST_CHECK;

/* Into a fresh blob, not charged, as a part ready for rpc_call_send(); the caller gets the hold. */
struct blob_part pack_part(const ProtobufCMessage *message);

#endif
