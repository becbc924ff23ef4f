/* Every request that protobuf-c unpacks, from a stranger: the first byte chooses which, the others are the message. It may cost no more
 * than the arena allows, and what was read must pack to bytes that read and pack alike again. */
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "cairn/v1/admin.pb-c.h"
#include "cairn/v1/log.pb-c.h"
#include "proto/pack.h"

static const ProtobufCMessageDescriptor *const descriptors[] = {
    &cairn__v1__create_topic_request__descriptor,
    &cairn__v1__list_topics_request__descriptor,
    &cairn__v1__describe_topic_request__descriptor,
    &cairn__v1__alter_topic_request__descriptor,
    &cairn__v1__delete_topic_request__descriptor,
    &cairn__v1__describe_broker_request__descriptor,
    &cairn__v1__describe_partition_request__descriptor,
    &cairn__v1__find_offset_request__descriptor,
    &cairn__v1__trim_request__descriptor,
    &cairn__v1__append_request__descriptor,
    &cairn__v1__read_request__descriptor,
    &cairn__v1__tail_request__descriptor,
    &cairn__v1__describe_cluster_request__descriptor,
    &cairn__v1__transfer_leadership_request__descriptor,
    &cairn__v1__watch_cluster_request__descriptor,
    &cairn__v1__watch_cluster_response__descriptor,
    &cairn__v1__move_partition_request__descriptor,
    &cairn__v1__cancel_move_request__descriptor,
    &cairn__v1__plan_reassignment_request__descriptor,
    &cairn__v1__raise_feature_level_request__descriptor,
};

static struct blob_part repack(const ProtobufCMessageDescriptor *descriptor, struct bytes message) {
  struct arena *arena = arena_new(2 * PACK_ARENA_BYTES_MAX); /* alignment may cost the copy more */
  ProtobufCMessage *unpacked = NULL;
  enum status status = pack_unpack(arena, descriptor, message, &unpacked);
  CHECK_MSG(status == STATUS_OK, "%s: %s", descriptor->name, status_name(status));
  struct blob_part part = pack_part(unpacked);
  arena_free(arena);
  return part;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1) return 0;
  const ProtobufCMessageDescriptor *descriptor = descriptors[data[0] % (sizeof descriptors / sizeof descriptors[0])];
  struct bytes message = bytes_of(data + 1, size - 1);
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  ProtobufCMessage *unpacked = NULL;
  enum status status = pack_unpack(arena, descriptor, message, &unpacked);
  CHECK(arena_used(arena) <= PACK_ARENA_BYTES_MAX);
  CHECK(status == STATUS_OK || status == STATUS_MALFORMED || status == STATUS_BAD_NAME || status == STATUS_TOO_LARGE);
  if (status == STATUS_OK) {
    struct blob_part once = pack_part(unpacked);
    struct blob_part twice = repack(descriptor, once.bytes);
    CHECK(bytes_equal(once.bytes, twice.bytes));
    blob_part_release(once);
    blob_part_release(twice);
  }
  arena_free(arena);
  return 0;
}
