/* Messages of cairn.v1.Log as parts and as bytes, and what they are held to: what the tests of log_wire stand on. Every encoder is read back by
 * protobuf-c, which follows the .proto files, and every decoder reads what protobuf-c wrote. */
#ifndef CAIRN_TESTS_UNIT_PROTO_WIRE_RIG_H
#define CAIRN_TESTS_UNIT_PROTO_WIRE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cairn/v1/log.pb-c.h"
#include "proto/log_wire.h"
#include "tests/unit/base/parts.h"

extern const struct wire_batch rig_full_batch; /* no field is what is left out */

struct bytes rig_text(const char *string);
struct bytes rig_contents(const struct blob *blob);
/* A copy. */
struct blob_part rig_payload(const void *data, size_t size);

void rig_assert_batch(const struct wire_batch *a, const struct wire_batch *b);
/* What protobuf-c read is this batch, its payload compressed. */
void rig_assert_message(const Cairn__V1__RecordBatch *message, const struct wire_batch *batch, const char *payload);

#endif
