#include "server/meet.h"

#include <string.h>

#include "base/arena.h"
#include "cairn/internal/v1/meet.pb-c.h"
#include "proto/failure.h"
#include "proto/pack.h"

#define ARENA_BYTES_MAX 16384u

/* ---- Out ---- */

static ProtobufCBinaryData id_bytes(const uint8_t id[LOG_ID_SIZE]) {
  union {
    const uint8_t *in;
    uint8_t *out;
  } data = {.in = id}; /* protobuf-c only reads it */
  return (ProtobufCBinaryData){.data = data.out, .len = LOG_ID_SIZE};
}

struct blob_part meet_request_pack(const struct meet_request *request) {
  struct meet_request copy = *request;
  Cairn__Internal__V1__MeetRequest message;
  cairn__internal__v1__meet_request__init(&message);
  message.broker = copy.broker;
  message.incarnation = id_bytes(copy.incarnation);
  message.n_named = copy.named.count;
  message.named = copy.named.ids;
  return pack_part(&message.base);
}

struct blob_part meet_answer_pack(const struct meet_answer *answer) {
  struct meet_answer copy = *answer;
  Cairn__Internal__V1__MeetResponse message;
  Cairn__Internal__V1__Founder founders[LOG_FOUNDERS_MAX];
  Cairn__Internal__V1__Founder *rows[LOG_FOUNDERS_MAX];
  cairn__internal__v1__meet_response__init(&message);
  message.stage = (Cairn__Internal__V1__MeetStage)copy.stage;
  message.broker = copy.who.broker_id;
  message.incarnation = id_bytes(copy.who.incarnation);
  message.n_named = copy.named.count;
  message.named = copy.named.ids;
  if (copy.stage == MEET_FOUNDED) {
    message.cluster = id_bytes(copy.who.cluster);
    message.n_founders = copy.who.founder_count;
    message.founders = rows;
    for (uint32_t i = 0; i < copy.who.founder_count; i++) {
      cairn__internal__v1__founder__init(&founders[i]);
      founders[i].broker = copy.who.founders[i].broker_id;
      founders[i].incarnation = id_bytes(copy.who.founders[i].incarnation);
      founders[i].address = copy.who.founders[i].address;
      rows[i] = &founders[i];
    }
  }
  return pack_part(&message.base);
}

/* ---- In ---- */

static bool take_id(const ProtobufCBinaryData *data, uint8_t out_id[LOG_ID_SIZE]) {
  static const uint8_t none[LOG_ID_SIZE];
  if (data->len != LOG_ID_SIZE || memcmp(data->data, none, LOG_ID_SIZE) == 0) return false;
  memcpy(out_id, data->data, LOG_ID_SIZE);
  return true;
}

static bool take_named(size_t count, const uint32_t *ids, struct join_ids *out) {
  if (count > JOIN_MAX) return false;
  for (size_t i = 0; i < count; i++)
    if (ids[i] <= (i == 0 ? 0 : ids[i - 1])) return false;
  *out = (struct join_ids){.count = (uint32_t)count};
  if (count > 0) memcpy(out->ids, ids, count * sizeof *ids);
  return true;
}

static bool take_founders(const Cairn__Internal__V1__MeetResponse *message, struct log_identity *out) {
  if (message->n_founders == 0 || message->n_founders > LOG_FOUNDERS_MAX) return false;
  out->founder_count = (uint32_t)message->n_founders;
  for (uint32_t i = 0; i < out->founder_count; i++) {
    const Cairn__Internal__V1__Founder *row = message->founders[i];
    struct log_founder *founder = &out->founders[i];
    size_t size = strlen(row->address);
    if (row->broker <= (i == 0 ? 0 : out->founders[i - 1].broker_id) || size >= LOG_ADDRESS_SIZE) return false;
    if (!take_id(&row->incarnation, founder->incarnation)) return false;
    founder->broker_id = row->broker;
    memcpy(founder->address, row->address, size);
  }
  return true;
}

static bool take_answer(const Cairn__Internal__V1__MeetResponse *message, struct meet_answer *out) {
  if (message->stage < CAIRN__INTERNAL__V1__MEET_STAGE__MEET_STAGE_WAITING ||
      message->stage > CAIRN__INTERNAL__V1__MEET_STAGE__MEET_STAGE_FOUNDED)
    return false;
  out->stage = (enum meet_stage)message->stage;
  out->who.broker_id = message->broker;
  if (message->broker == 0 || !take_id(&message->incarnation, out->who.incarnation)) return false;
  if (!take_named(message->n_named, message->named, &out->named)) return false;
  if (out->stage != MEET_FOUNDED) return true;
  return take_id(&message->cluster, out->who.cluster) && take_founders(message, &out->who);
}

enum status meet_request_unpack(struct bytes bytes, struct meet_request *out_request) {
  struct arena *arena = arena_new(ARENA_BYTES_MAX);
  const Cairn__Internal__V1__MeetRequest *message = NULL;
  struct meet_request request = {0};
  enum status status = pack_unpack(arena, &cairn__internal__v1__meet_request__descriptor, bytes, &message);
  if (status == STATUS_OK) {
    bool good = message->broker > 0 && take_id(&message->incarnation, request.incarnation) &&
                take_named(message->n_named, message->named, &request.named);
    request.broker = message->broker;
    if (good) *out_request = request;
    status = good ? STATUS_OK : STATUS_MALFORMED;
  }
  arena_free(arena);
  return status == STATUS_OK ? STATUS_OK : STATUS_MALFORMED;
}

enum status meet_answer_unpack(struct bytes bytes, struct meet_answer *out_answer) {
  struct arena *arena = arena_new(ARENA_BYTES_MAX);
  const Cairn__Internal__V1__MeetResponse *message = NULL;
  struct meet_answer answer = {0};
  enum status status = pack_unpack(arena, &cairn__internal__v1__meet_response__descriptor, bytes, &message);
  bool good = status == STATUS_OK && take_answer(message, &answer);
  if (good) *out_answer = answer;
  arena_free(arena);
  return good ? STATUS_OK : STATUS_MALFORMED;
}

/* ---- A broker that runs ---- */

void meet_running(void *identity, struct rpc_call *call, struct blob *message) {
  const struct log_identity *self = identity;
  struct meet_request request;
  enum status status = meet_request_unpack(bytes_of(message->data, message->size), &request);
  blob_release(message);
  if (status != STATUS_OK) {
    failure_refuse_call(call, status, "this is no MeetRequest: do these brokers run the same version?");
    return;
  }
  struct meet_answer answer = {.stage = MEET_FOUNDED, .who = *self};
  struct blob_part part = meet_answer_pack(&answer);
  rpc_call_send(call, &part, 1);
  rpc_call_finish(call, GRPC_CODE_OK, NULL, NULL, 0);
}

const struct rpc_handler meet_running_handler = {MEET_METHOD, RPC_UNARY, .message = meet_running};
