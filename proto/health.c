#include "proto/health.h"

#include <pthread.h>
#include <string.h>

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/wire.h"
#include "proto/failure.h"

/* grpc.health.v1 */
enum { REQUEST_SERVICE = 1, RESPONSE_STATUS = 1 };
enum serving_status { NOTHING_TOLD = 0, SERVING = 1, NOT_SERVING = 2, SERVICE_UNKNOWN = 3 };

struct known_service {
  char name[HEALTH_SERVICE_NAME_MAX + 1];
  enum serving_status status;
};

/* One Watch; held by its call as long as that is open. */
struct watcher {
  struct list_node node;
  struct rpc_call *call;
  char name[HEALTH_SERVICE_NAME_MAX + 1];
  enum serving_status told; /* last value sent */
};

struct health {
  pthread_mutex_t lock; /* guards everything: lanes set, the transport's thread asks */
  struct known_service services[HEALTH_SERVICES_MAX];
  size_t service_count;
  struct list watchers;
  size_t watcher_count;
};

struct health *health_new(void) {
  struct health *health = NEW(struct health);
  pthread_mutex_init(&health->lock, NULL);
  list_init(&health->watchers);
  return health;
}

void health_free(struct health *health) {
  if (health == NULL) return;
  PRE(list_empty(&health->watchers));
  pthread_mutex_destroy(&health->lock);
  memory_free(health);
}

/* ---- Under the lock ---- */

static struct known_service *find(struct health *health, const char *name) {
  for (size_t i = 0; i < health->service_count; i++) {
    if (strcmp(health->services[i].name, name) == 0) return &health->services[i];
  }
  return NULL;
}

static enum serving_status status_of(struct health *health, const char *name) {
  const struct known_service *service = find(health, name);
  return service == NULL ? SERVICE_UNKNOWN : service->status;
}

static struct blob_part encode(enum serving_status serving) {
  struct blob *blob = NULL;
  enum status status = blob_new(NULL, 2, &blob);
  CHECK(status == STATUS_OK);
  wire_put_uint(blob->data, RESPONSE_STATUS, (uint64_t)serving);
  return (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, 2)};
}

/* Sends the present value unless the watcher has it already or still has one to read; then health_watch_sent() comes back to it. */
static void tell(struct health *health, struct watcher *watcher) {
  enum serving_status serving = status_of(health, watcher->name);
  if (serving == watcher->told || rpc_call_queued(watcher->call) > 0) return;
  watcher->told = serving;
  struct blob_part part = encode(serving);
  rpc_call_send(watcher->call, &part, 1);
}

static void tell_all(struct health *health) {
  list_for_each(&health->watchers, node, following) tell(health, list_entry(node, struct watcher, node));
}

/* ---- Set ---- */

void health_set(struct health *health, const char *service, bool serving) {
  PRE(strlen(service) <= HEALTH_SERVICE_NAME_MAX);
  pthread_mutex_lock(&health->lock);
  struct known_service *known = find(health, service);
  if (known == NULL) {
    PRE(health->service_count < HEALTH_SERVICES_MAX);
    known = &health->services[health->service_count++];
    memcpy(known->name, service, strlen(service));
  }
  known->status = serving ? SERVING : NOT_SERVING;
  tell_all(health);
  pthread_mutex_unlock(&health->lock);
}

void health_set_all(struct health *health, bool serving) {
  pthread_mutex_lock(&health->lock);
  for (size_t i = 0; i < health->service_count; i++) health->services[i].status = serving ? SERVING : NOT_SERVING;
  tell_all(health);
  pthread_mutex_unlock(&health->lock);
}

/* ---- Ask ---- */

/* A name that is too long to be one of ours is cut, and still is none of ours: no name in the table is that long. */
static enum status decode_request(struct bytes message, char out_name[HEALTH_SERVICE_NAME_MAX + 2]) {
  struct bytes name = {0};
  struct wire_cursor cursor = wire_cursor_of(message);
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    if (field.number == REQUEST_SERVICE && field.type == WIRE_BYTES) name = field.bytes;
  }
  if (status != STATUS_END) return status;
  if (!utf8_valid_text(name)) return STATUS_BAD_NAME;
  size_t size = name.size <= HEALTH_SERVICE_NAME_MAX ? name.size : HEALTH_SERVICE_NAME_MAX + 1;
  if (size > 0) memcpy(out_name, name.data, size);
  out_name[size] = '\0';
  return STATUS_OK;
}

void health_check(struct health *health, struct rpc_call *call, struct blob *message) {
  char name[HEALTH_SERVICE_NAME_MAX + 2];
  enum status status = decode_request(bytes_of(message->data, message->size), name);
  blob_release(message);
  if (status != STATUS_OK) {
    failure_refuse_call(call, status, "not a HealthCheckRequest");
    return;
  }
  pthread_mutex_lock(&health->lock);
  enum serving_status serving = status_of(health, name);
  pthread_mutex_unlock(&health->lock);
  if (serving == SERVICE_UNKNOWN) {
    failure_refuse_call(call, STATUS_NOT_FOUND, "no service \"%s\" here; \"\" asks for the broker as a whole", name);
    return;
  }
  struct blob_part part = encode(serving);
  rpc_call_send(call, &part, 1);
  rpc_call_finish(call, GRPC_CODE_OK, NULL, NULL, 0);
}

void health_watch(struct health *health, struct rpc_call *call, struct blob *message) {
  char name[HEALTH_SERVICE_NAME_MAX + 2];
  enum status status = decode_request(bytes_of(message->data, message->size), name);
  blob_release(message);
  if (status != STATUS_OK) {
    failure_refuse_call(call, status, "not a HealthCheckRequest");
    return;
  }
  pthread_mutex_lock(&health->lock);
  if (strlen(name) > HEALTH_SERVICE_NAME_MAX) {
    failure_refuse_call(call, STATUS_BAD_NAME, "no service has a name that long");
  } else if (health->watcher_count == HEALTH_WATCHERS_MAX) {
    failure_refuse_call(call, STATUS_BUSY, "%u watchers are open already", HEALTH_WATCHERS_MAX);
  } else {
    struct watcher *watcher = NEW(struct watcher);
    watcher->call = rpc_call_hold(call);
    memcpy(watcher->name, name, strlen(name));
    list_push_back(&health->watchers, &watcher->node);
    health->watcher_count++;
    rpc_call_set_context(call, watcher);
    tell(health, watcher);
  }
  pthread_mutex_unlock(&health->lock);
}

void health_watch_sent(struct health *health, struct rpc_call *call) {
  pthread_mutex_lock(&health->lock);
  struct watcher *watcher = rpc_call_context(call);
  if (watcher != NULL) tell(health, watcher);
  pthread_mutex_unlock(&health->lock);
}

void health_watch_closed(struct health *health, struct rpc_call *call, bool cancelled) {
  (void)cancelled;
  struct watcher *watcher = rpc_call_context(call);
  if (watcher == NULL) return;
  rpc_call_set_context(call, NULL);
  pthread_mutex_lock(&health->lock);
  list_remove(&watcher->node);
  health->watcher_count--;
  pthread_mutex_unlock(&health->lock);
  rpc_call_release(watcher->call);
  memory_free(watcher);
}
