/* Who speaks: the first words of a stream. */
#include "replication/peer_wire.h"

#include <string.h>

#include "base/codec.h"
#include "replication/peer_wire_internal.h"

/* Field numbers of proto/cairn/internal/v1/peer.proto. */
enum { REPLICA_BROKER = 1, REPLICA_INCARNATION = 2 };
enum { HELLO_CLUSTER = 1, HELLO_FROM = 2, HELLO_TO = 3, HELLO_BOOT = 4, HELLO_LINEAGE = 5 };

#define REPLICA_SIZE_MAX 32u

static uint8_t *put_replica(uint8_t *at, uint32_t number, const struct replica_id *id) {
  uint8_t inner[REPLICA_SIZE_MAX], incarnation[INCARNATION_SIZE];
  put_u64(incarnation, id->incarnation[0]);
  put_u64(incarnation + 8, id->incarnation[1]);
  uint8_t *end = wire_put_uint(inner, REPLICA_BROKER, id->broker);
  end = wire_put_bytes(end, REPLICA_INCARNATION, bytes_of(incarnation, sizeof incarnation));
  return wire_put_bytes(at, number, bytes_of(inner, (size_t)(end - inner)));
}

uint8_t *peer_wire_put_hello(uint8_t *at, const struct peer_hello *hello) {
  uint8_t inner[PEER_HELLO_BYTES_MAX];
  uint8_t *end = wire_put_bytes(inner, HELLO_CLUSTER, bytes_of(hello->cluster, sizeof hello->cluster));
  end = put_replica(end, HELLO_FROM, &hello->from);
  end = put_replica(end, HELLO_TO, &hello->to);
  end = wire_put_fixed64(end, HELLO_BOOT, hello->boot);
  if (hello->lineage.size > 0) end = wire_put_bytes(end, HELLO_LINEAGE, hello->lineage);
  return wire_put_bytes(at, PEER_WIRE_HELLO, bytes_of(inner, (size_t)(end - inner)));
}

static enum status decode_replica(struct bytes bytes, struct replica_id *out_id) {
  struct wire_cursor cursor = wire_cursor_of(bytes);
  struct wire_field field;
  uint64_t broker = 0;
  struct bytes incarnation = {0};
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    if (field.number == REPLICA_BROKER) status = take_number(&field, &broker);
    else if (field.number == REPLICA_INCARNATION) status = take_bytes(&field, &incarnation);
    if (status != STATUS_OK) return status;
  }
  if (status != STATUS_END) return status;
  if (broker == 0 || broker > UINT32_MAX || incarnation.size != INCARNATION_SIZE) return STATUS_MALFORMED;
  *out_id = replica_id_of((broker_id)broker, incarnation.data);
  return STATUS_OK;
}

static enum status decode_hello(struct bytes bytes, struct peer_hello *out_hello) {
  struct wire_cursor cursor = wire_cursor_of(bytes);
  struct wire_field field;
  struct bytes cluster = {0}, from = {0}, to = {0}, lineage = {0};
  uint64_t boot = 0;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    switch (field.number) {
      case HELLO_CLUSTER: status = take_bytes(&field, &cluster); break;
      case HELLO_FROM: status = from.data != NULL ? STATUS_MALFORMED : take_bytes(&field, &from); break;
      case HELLO_TO: status = to.data != NULL ? STATUS_MALFORMED : take_bytes(&field, &to); break;
      case HELLO_BOOT: status = take_fixed64(&field, &boot); break;
      case HELLO_LINEAGE: status = take_bytes(&field, &lineage); break;
      default: break;
    }
    if (status != STATUS_OK) return status;
  }
  if (status != STATUS_END) return status;
  struct peer_hello hello = {.boot = boot, .lineage = lineage};
  if (cluster.size != sizeof hello.cluster || boot == 0) return STATUS_MALFORMED;
  memcpy(hello.cluster, cluster.data, sizeof hello.cluster);
  status = decode_replica(from, &hello.from);
  if (status == STATUS_OK) status = decode_replica(to, &hello.to);
  if (status == STATUS_OK) *out_hello = hello;
  return status;
}

enum status peer_wire_decode_hello(struct bytes message, bool *out_given, struct peer_hello *out_hello) {
  struct wire_cursor cursor = wire_cursor_of(message);
  struct wire_field field;
  enum status status = wire_next(&cursor, &field);
  if (status != STATUS_OK && status != STATUS_END) return status;
  *out_given = status == STATUS_OK && field.number == PEER_WIRE_HELLO;
  if (!*out_given) return STATUS_OK;
  return field.type == WIRE_BYTES ? decode_hello(field.bytes, out_hello) : STATUS_MALFORMED;
}
