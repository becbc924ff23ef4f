#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "base/wire.h"
#include "clients/c/watch_internal.h"
#include "proto/pack.h"

#define RETRY_TIMEOUT_MS 30000u
#define SILENCE_NS (6000u * (uint64_t)NS_PER_MS) /* a broker says something every two seconds */
#define LEADERLESS_NS (5000u * (uint64_t)NS_PER_MS)

struct arrival {
  struct task task;
  struct cairn_watch *watch;
  struct blob *message;
};

static void watch_tell(struct cairn_watch *watch) {
  bell_ring(watch->client->world, &watch->bell);
  if (watch->notify != NULL) watch->notify(watch->context);
}

static void watch_fail(struct cairn_watch *watch, const struct failure *failure) {
  pthread_mutex_lock(&watch->lock);
  watch->failed = true;
  watch->failure = *failure;
  pthread_mutex_unlock(&watch->lock);
  watch_tell(watch);
}

/* ---- The transport's thread: note it, post it ---- */

static void watch_arrived(struct task *task);

static void on_message(void *context, struct rpc_request *request, struct blob *message) {
  (void)request;
  struct cairn_watch *watch = context;
  struct arrival *arrival = NEW(struct arrival);
  arrival->task.run = watch_arrived;
  arrival->watch = watch;
  arrival->message = message;
  loop_post(watch->client->loop, &arrival->task);
}

static void on_done(void *context, struct rpc_request *request, const struct rpc_result *result) {
  (void)request;
  struct cairn_watch *watch = context;
  failure_from_result(&watch->end, result);
  loop_post(watch->client->loop, &watch->end_task);
}

static const struct rpc_client_handler watch_handler = {.message = on_message, .done = on_done};

/* ---- Asking ---- */

static bool stream_current(const struct cairn_watch *watch) {
  return watch->request != NULL && !watch->distrusted && watch->left == NULL && !watch->closing;
}

/* One more message, if there is room for it. Who has no room hears nothing, and blames nobody for it. */
static void watch_receive(struct cairn_watch *watch) {
  struct loop *loop = watch->client->loop;
  if (watch->receiving || !stream_current(watch)) return;
  pthread_mutex_lock(&watch->lock);
  bool room = watch->queue_bytes < WATCH_QUEUE_BYTES;
  watch->paused = !room;
  pthread_mutex_unlock(&watch->lock);
  if (!room) {
    loop_timer_cancel(loop, &watch->silence_timer);
    return;
  }
  watch->receiving = true;
  loop_timer_set(loop, &watch->silence_timer, loop_now_ns(loop) + SILENCE_NS);
  rpc_request_receive(watch->request);
}

static void end_closing(struct cairn_watch *watch);

static void watch_resume(struct task *task) {
  struct cairn_watch *watch = container_of(task, struct cairn_watch, resume_task);
  pthread_mutex_lock(&watch->lock);
  watch->resume_posted = false;
  pthread_mutex_unlock(&watch->lock);
  if (watch->closing) end_closing(watch);
  else watch_receive(watch);
}

static struct blob_part request_of(const struct cairn_watch *watch) {
  Cairn__V1__WatchClusterRequest request;
  cairn__v1__watch_cluster_request__init(&request);
  char cluster[WATCH_CLUSTER_ID_SIZE];
  snprintf(cluster, sizeof cluster, "%s", watch->heard_cluster);
  request.from_version = watch->heard;
  request.from_now = watch->from_now && !watch->knows;
  request.cluster_id = cluster;
  request.n_topics = watch->topic_count;
  request.topics = watch->topics;
  return pack_part(&request.base);
}

void watch_open(struct cairn_watch *watch) {
  PRE(watch->request == NULL);
  struct connection *connection = client_connection(watch->client, watch->address);
  snprintf(watch->broker, sizeof watch->broker, "%s", connection->address);
  watch->distrusted = watch->heard_some = false;
  watch->left = NULL;
  watch->leaderless_since_ns = 0;
  watch->follows = watch->asked_from = watch->heard;
  watch->follows_set = watch->heard > 0;
  struct blob_part part = request_of(watch);
  watch->request = rpc_request_start(connection->channel, "/cairn.v1.Admin/WatchCluster", RPC_SERVER_STREAM, UINT64_MAX, false,
                                     &watch_handler, watch);
  rpc_request_send(watch->request, &part, 1);
  watch_receive(watch);
}

/* ---- What came ---- */

static void take_text(char *into, size_t size, struct bytes text) {
  size_t count = text.size < size ? text.size : size - 1;
  if (count > 0) memcpy(into, text.data, count);
  into[count] = '\0';
}

/* In place: the changes are unpacked by who takes them. */
static enum status read_head(struct bytes message, struct watch_head *out_head) {
  struct wire_cursor cursor = wire_cursor_of(message);
  struct wire_field field;
  enum status status = STATUS_OK;
  *out_head = (struct watch_head){0};
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    if (field.number == 1 && field.type == WIRE_BYTES) take_text(out_head->cluster_id, sizeof out_head->cluster_id, field.bytes);
    if (field.number == 3) out_head->follows = field.value;
    if (field.number == 4) out_head->version = field.value;
    if (field.number == 5) out_head->begins = field.value != 0;
    if (field.number == 6) out_head->partial = field.value != 0;
    if (field.number == 7) out_head->controller = (uint32_t)field.value;
  }
  return status == STATUS_END ? STATUS_OK : status;
}

/* Nothing that this broker says is believed any more, and nothing that it said is lost. */
static void distrust(struct cairn_watch *watch, const char *what) {
  struct failure failure;
  failure_set(&failure, STATUS_MALFORMED, "%s: %s", watch->broker, what);
  watch->distrusted = true;
  rpc_request_cancel(watch->request);
  watch_fail(watch, &failure);
}

/* For another broker; `why` is told where there is none. */
static void leave(struct cairn_watch *watch, const char *why) {
  watch->left = why;
  rpc_request_cancel(watch->request);
}

static void silent(struct timer *timer) {
  struct cairn_watch *watch = container_of(timer, struct cairn_watch, silence_timer);
  REACHED(watch_leaves_a_silent_broker);
  if (stream_current(watch)) leave(watch, "is not heard any more");
}

/* A broker that is cut off from the others tells what it knows, for ever. */
static void see_who_leads(struct cairn_watch *watch, uint32_t controller) {
  uint64_t now_ns = loop_now_ns(watch->client->loop);
  if (controller != 0 || watch->client->server_count + watch->other_count == 1) {
    watch->leaderless_since_ns = 0;
    return;
  }
  if (watch->leaderless_since_ns == 0) watch->leaderless_since_ns = now_ns;
  if (now_ns - watch->leaderless_since_ns < LEADERLESS_NS) return;
  REACHED(watch_leaves_a_broker_without_a_leader);
  leave(watch, "hears of nobody who leads the map");
}

/* Only the first message of a stream has them. */
static void take_addresses(struct cairn_watch *watch, struct bytes message) {
  struct wire_cursor cursor = wire_cursor_of(message);
  struct wire_field field;
  size_t count = 0;
  while (wire_next(&cursor, &field) == STATUS_OK && count < SERVERS_MAX) {
    if (field.number != 9 || field.type != WIRE_BYTES) continue;
    if (watch->others == NULL) watch->others = memory_new_array(SERVERS_MAX, sizeof *watch->others);
    take_text(watch->others[count++], sizeof watch->others[0], field.bytes);
  }
  if (count > 0) watch->other_count = count;
}

static void keep(struct cairn_watch *watch, struct blob *blob, const struct watch_head *head) {
  struct watch_message *message = NEW(struct watch_message);
  message->head = *head;
  message->blob = blob;
  pthread_mutex_lock(&watch->lock);
  list_push_back(&watch->queue, &message->node);
  watch->queue_bytes += blob->size;
  pthread_mutex_unlock(&watch->lock);
}

static void take(struct cairn_watch *watch, struct blob *message, const struct watch_head *head) {
  watch->attempts = 0;
  watch->follows = head->version;
  watch->follows_set = true;
  watch->heard = head->partial ? 0 : head->version;
  if (!head->partial || head->version < watch->floor)
    watch->floor = head->version; /* earlier: the cluster has lost what was told */
  watch->knows = true;
  snprintf(watch->heard_cluster, sizeof watch->heard_cluster, "%s", head->cluster_id);
  if (!watch->heard_some) take_addresses(watch, bytes_of(message->data, message->size));
  watch->heard_some = true;
  keep(watch, message, head);
  watch_tell(watch);
  see_who_leads(watch, head->controller);
  watch_receive(watch);
}

/* Who asks from a version is answered by a broker that has it, or knows that there is none. Who asks for the whole map, because what was told of
 * one before was not all, may be answered by one that is behind. */
static bool is_older(const struct cairn_watch *watch, const struct watch_head *head) {
  return head->begins && watch->asked_from == 0 && head->version < watch->floor;
}

static void leave_for_an_older_map(struct cairn_watch *watch, struct blob *message) {
  REACHED(watch_leaves_a_broker_that_is_behind);
  blob_release(message);
  leave(watch, "has an older map of the cluster than was told before");
}

static void watch_arrived(struct task *task) {
  struct arrival *arrival = container_of(task, struct arrival, task);
  struct cairn_watch *watch = arrival->watch;
  struct blob *message = arrival->message;
  struct watch_head head;
  memory_free(arrival);
  watch->receiving = false;
  if (!stream_current(watch)) {
    blob_release(message);
    return;
  }
  enum status status = read_head(bytes_of(message->data, message->size), &head);
  bool other = watch->heard_cluster[0] != '\0' && strcmp(watch->heard_cluster, head.cluster_id) != 0;
  bool gap = !head.begins && watch->follows_set && head.follows != watch->follows;
  if (status == STATUS_OK && !other && !gap && head.version >= head.follows) {
    if (is_older(watch, &head)) leave_for_an_older_map(watch, message);
    else take(watch, message, &head);
    return;
  }
  blob_release(message);
  distrust(watch, status != STATUS_OK ? "its answer is not a WatchClusterResponse"
                  : other             ? "it tells of another cluster than before"
                                      : "its message does not follow the one before");
}

/* ---- The end of a stream ---- */

static void watch_again(struct timer *timer) { watch_open(container_of(timer, struct cairn_watch, retry_timer)); }

static void end_closing(struct cairn_watch *watch) {
  pthread_mutex_lock(&watch->lock);
  bool resumes = watch->resume_posted;
  pthread_mutex_unlock(&watch->lock);
  if (!watch->closing || watch->request != NULL || resumes || watch->closed) return;
  watch->closed = true;
  watch->on_closed(watch);
}

/* Whoever leads the map, if that was said; else one after the other. */
static void choose_broker(struct cairn_watch *watch) {
  const struct cairn_client *client = watch->client;
  size_t count = client->server_count + watch->other_count;
  const char *chosen = watch->end.leader;
  for (size_t i = 0; i < count && (chosen[0] == '\0' || strcmp(chosen, watch->broker) == 0); i++) {
    size_t at = watch->turn++ % count;
    chosen = at < client->server_count ? client->servers[at] : watch->others[at - client->server_count];
  }
  snprintf(watch->address, sizeof watch->address, "%s", chosen);
}

static void reconnect_or_fail(struct cairn_watch *watch) {
  struct cairn_client *client = watch->client;
  if (watch->left != NULL) failure_set(&watch->end, STATUS_TRANSPORT, "%s %s", watch->broker, watch->left);
  else if (watch->end.reason == STATUS_OK) failure_set(&watch->end, STATUS_TRANSPORT, "the broker ended the watch");
  uint64_t now_ns = loop_now_ns(client->loop);
  if (watch->attempts == 0) watch->failing_since_ns = now_ns;
  const struct retry_case question = {
      .failure = &watch->end,
      .idempotent = true,
      .attempts = ++watch->attempts,
      .backoff_ms = client->retry_backoff_ms,
      .now_ns = now_ns,
      .deadline_ns = watch->retry_timeout_ms == CAIRN_FOREVER
                         ? UINT64_MAX
                         : watch->failing_since_ns + (uint64_t)watch->retry_timeout_ms * NS_PER_MS,
      .reach_deadline_ns = UINT64_MAX,
      .chance = entropy_next(client->world->entropy),
  };
  struct retry_decision decision = retry_decide(&question);
  if (!decision.again) {
    watch_fail(watch, &watch->end);
    return;
  }
  REACHED(watch_goes_to_another_broker);
  choose_broker(watch); /* whatever it was: any other can go on with it */
  loop_timer_set(client->loop, &watch->retry_timer, now_ns + decision.after_ns);
}

static void watch_ended(struct task *task) {
  struct cairn_watch *watch = container_of(task, struct cairn_watch, end_task);
  loop_timer_cancel(watch->client->loop, &watch->silence_timer);
  rpc_request_release(watch->request);
  watch->request = NULL;
  watch->receiving = false;
  if (watch->closing) end_closing(watch);
  else if (!watch->distrusted) reconnect_or_fail(watch);
}

/* ---- Life ---- */

static void watch_open_on_loop(struct task *task) { watch_open(container_of(task, struct cairn_watch, open_task)); }
static void watch_close_on_loop(struct task *task) { watch_close(container_of(task, struct cairn_watch, close_task)); }

static void ring_closed(struct cairn_watch *watch) { bell_ring(watch->client->world, &watch->closed_bell); }

void watch_close(struct cairn_watch *watch) {
  watch->closing = true;
  loop_timer_cancel(watch->client->loop, &watch->retry_timer);
  loop_timer_cancel(watch->client->loop, &watch->silence_timer);
  if (watch->request != NULL) rpc_request_cancel(watch->request);
  end_closing(watch);
}

struct cairn_watch *watch_make(struct cairn_client *client, const struct cairn_watch_options *options) {
  struct cairn_watch *watch = NEW(struct cairn_watch);
  watch->client = client;
  watch->from_now = options->from_now;
  watch->topics = memory_new_array(options->topic_count, sizeof *watch->topics);
  watch->topic_count = options->topic_count;
  for (size_t i = 0; i < options->topic_count; i++) watch->topics[i] = memory_copy_string(options->topics[i]);
  watch->retry_timeout_ms = options->retry_timeout_ms == 0 ? RETRY_TIMEOUT_MS : options->retry_timeout_ms;
  watch->notify = options->notify;
  watch->context = options->context;
  watch->heard = watch->floor = watch->version = options->from_version;
  watch->knows = options->from_version > 0;
  if (options->cluster_id != NULL) snprintf(watch->heard_cluster, sizeof watch->heard_cluster, "%s", options->cluster_id);
  snprintf(watch->cluster_id, sizeof watch->cluster_id, "%s", watch->heard_cluster);
  pthread_mutex_init(&watch->lock, NULL);
  list_init(&watch->queue);
  watch->resume_task.run = watch_resume;
  watch->open_task.run = watch_open_on_loop;
  watch->close_task.run = watch_close_on_loop;
  watch->end_task.run = watch_ended;
  watch->retry_timer.fire = watch_again;
  watch->silence_timer.fire = silent;
  watch->on_closed = ring_closed;
  return watch;
}

void watch_dispose(struct cairn_watch *watch) {
  for (struct list_node *node = list_pop_front(&watch->queue); node != NULL; node = list_pop_front(&watch->queue)) {
    struct watch_message *message = list_entry(node, struct watch_message, node);
    blob_release(message->blob);
    memory_free(message);
  }
  for (size_t i = 0; i < watch->topic_count; i++) memory_free(watch->topics[i]);
  memory_free(watch->topics);
  memory_free(watch->others);
  arena_free(watch->arena);
  pthread_mutex_destroy(&watch->lock);
  memory_free(watch);
}

int cairn_watch_new(struct cairn_client *client, const struct cairn_watch_options *options, struct cairn_watch **out_watch,
                    struct cairn_error *error) {
  static const struct cairn_watch_options defaults;
  if (options == NULL) options = &defaults;
  if (options->topic_count > CAIRN_WATCH_TOPICS_MAX)
    return error_set(error, STATUS_INVALID, "%zu topics are named, and may be %d: name none to watch them all",
                     options->topic_count, CAIRN_WATCH_TOPICS_MAX);
  for (size_t i = 0; i < options->topic_count; i++)
    if (options->topics[i] == NULL || options->topics[i][0] == '\0' || strlen(options->topics[i]) > CAIRN_NAME_MAX)
      return error_set(error, STATUS_BAD_NAME, "a topic's name has 1 to %d characters", CAIRN_NAME_MAX);
  if (options->from_now && options->from_version > 0)
    return error_set(error, STATUS_INVALID, "from_now and from_version exclude each other");
  if (options->cluster_id != NULL && strlen(options->cluster_id) >= WATCH_CLUSTER_ID_SIZE)
    return error_set(error, STATUS_INVALID, "cluster_id has %zu characters; a cluster's id has 32 hex digits",
                     strlen(options->cluster_id));
  struct cairn_watch *watch = watch_make(client, options);
  loop_post(client->loop, &watch->open_task);
  *out_watch = watch;
  error_clear(error);
  return CAIRN_OK;
}

void cairn_watch_free(struct cairn_watch *watch) {
  if (watch == NULL) return;
  loop_post(watch->client->loop, &watch->close_task);
  while (bell_listen(&watch->closed_bell) == 0) bell_wait(watch->client->world, &watch->closed_bell, 0, UINT64_MAX);
  watch_dispose(watch);
}
