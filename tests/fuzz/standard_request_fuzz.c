/* Requests of gRPC's own services, from a stranger: the first byte chooses health's Check or Watch, or reflection. Each is answered once,
 * whatever it is, and a stock client that could write the question can read the answer. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/list.h"
#include "base/wire.h"
#include "grpc/health/v1/health.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "proto/health.h"
#include "proto/pack.h"
#include "proto/reflection.h"

#define ANSWER_ARENA_BYTES_MAX (8u << 20)

/* ---- A call that only counts ---- */

struct fake_call {
  struct rpc_call call;
  unsigned holds, sends, finishes;
  int told; /* the serving status that was sent last */
  enum grpc_status code;
};

static struct fake_call *fake_of(struct rpc_call *call) { return container_of(call, struct fake_call, call); }

static struct rpc_call *fake_hold(struct rpc_call *call) {
  fake_of(call)->holds++;
  return call;
}
static void fake_release(struct rpc_call *call) { fake_of(call)->holds--; }
static size_t fake_queued(const struct rpc_call *call) {
  (void)call;
  return 0;
}
static void fake_send(struct rpc_call *call, const struct blob_part *parts, size_t count) {
  struct fake_call *fake = fake_of(call);
  CHECK(count == 1 && fake->finishes == 0);
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  Grpc__Health__V1__HealthCheckResponse *response = NULL;
  enum status status = pack_unpack(arena, &grpc__health__v1__health_check_response__descriptor, parts[0].bytes, &response);
  CHECK(status == STATUS_OK);
  fake->told = (int)response->status;
  fake->sends++;
  arena_free(arena);
  blob_part_release(parts[0]);
}
static void fake_finish(struct rpc_call *call, enum grpc_status code, const char *text, const struct rpc_metadata *metadata,
                        size_t metadata_count) {
  struct fake_call *fake = fake_of(call);
  (void)metadata;
  CHECK(fake->finishes++ == 0 && metadata_count <= RPC_METADATA_MAX);
  CHECK(text == NULL || utf8_valid_text(bytes_of_string(text)));
  fake->code = code;
}

static const struct rpc_ops fake_ops = {.call_hold = fake_hold,
                                        .call_release = fake_release,
                                        .call_queued = fake_queued,
                                        .call_send = fake_send,
                                        .call_finish = fake_finish};

/* ---- The services ---- */

static struct blob *copy_of(struct bytes message) {
  struct blob *blob = NULL;
  enum status status = blob_new(NULL, message.size, &blob);
  CHECK(status == STATUS_OK);
  if (message.size > 0) memcpy(blob->data, message.data, message.size);
  return blob;
}

static void health(struct bytes message, bool watch) {
  struct health *health = health_new();
  health_set(health, "", true);
  health_set(health, "cairn.v1.Log", false);
  struct fake_call fake = {.call.ops = &fake_ops};
  if (watch) {
    health_watch(health, &fake.call, copy_of(message));
    CHECK(fake.sends + fake.finishes == 1);
    health_set_all(health, false);
    health_set_all(health, true);
    health_watch_closed(health, &fake.call, true);
  } else {
    health_check(health, &fake.call, copy_of(message));
    CHECK(fake.finishes == 1 && fake.sends == (fake.code == GRPC_CODE_OK ? 1 : 0));
  }
  CHECK(fake.holds == 0);
  health_free(health);
}

static void reflect(struct bytes request) {
  static struct reflection *reflection;
  if (reflection == NULL) {
    enum status status = reflection_new_embedded(&reflection);
    CHECK(status == STATUS_OK);
  }
  struct blob_part answer = reflection_answer(reflection, request);
  struct arena *arena = arena_new(ANSWER_ARENA_BYTES_MAX);
  Grpc__Reflection__V1__ServerReflectionRequest *question = NULL;
  Grpc__Reflection__V1__ServerReflectionResponse *response = NULL;
  if (pack_unpack(arena, &grpc__reflection__v1__server_reflection_request__descriptor, request, &question) == STATUS_OK) {
    enum status status =
        pack_unpack(arena, &grpc__reflection__v1__server_reflection_response__descriptor, answer.bytes, &response);
    CHECK_MSG(status == STATUS_OK, "%s", status_name(status));
    CHECK(response->message_response_case != GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE__NOT_SET);
  }
  arena_free(arena);
  blob_part_release(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1) return 0;
  struct bytes message = bytes_of(data + 1, size - 1);
  switch (data[0] % 3) {
    case 0: health(message, false); break;
    case 1: health(message, true); break;
    default: reflect(message); break;
  }
  return 0;
}
