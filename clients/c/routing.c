#include "clients/c/routing.h"

#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "clients/c/watch_internal.h"

#define GATHER_NS (50u * (uint64_t)NS_PER_MS)     /* topics that come into use together are watched together */
#define TRY_AGAIN_NS (10000u * (uint64_t)NS_PER_MS) /* after no broker would have the watch */

struct routing {
  struct cairn_client *client;
  struct list interests;
  size_t count;
  struct cairn_watch *watch; /* NULL: there is none */
  bool stale;                /* it is not of all topics that it has to be of */
  bool closing;
  bool told_posted;
  struct task told_task;
  struct timer timer;
  bool stopping;
  struct task stop_task;
  struct bell stopped; /* rung once */
};

/* ---- What is told ---- */

static void topic_told(struct routing *routing, const struct cairn_topic *topic, bool deleted) {
  list_for_each(&routing->interests, node, following) {
    struct interest *interest = list_entry(node, struct interest, node);
    if (strcmp(interest->topic, topic->name) != 0) continue;
    interest->seen = true;
    bool same = interest->id == topic->id;
    /* Of an earlier one of that name there may be news that are old. */
    if (deleted ? same : topic->id > interest->id) interest->changed(interest, 0);
    else if (!deleted && same) interest->changed(interest, topic->partitions);
  }
}

static void map_begins(struct routing *routing) {
  list_for_each(&routing->interests, node, following) list_entry(node, struct interest, node)->seen = false;
}

/* Who was not in it is deleted, or made so lately that this broker has not heard of it. */
static void map_is_whole(struct routing *routing) {
  list_for_each(&routing->interests, node, following) {
    struct interest *interest = list_entry(node, struct interest, node);
    if (!interest->seen) interest->changed(interest, 0);
  }
}

static void give_up_for_now(struct routing *routing) {
  REACHED(routing_is_without_a_watch);
  routing->closing = true;
  watch_close(routing->watch);
}

static void told(struct task *task) {
  struct routing *routing = container_of(task, struct routing, told_task);
  struct cairn_change change;
  routing->told_posted = false;
  if (routing->watch == NULL || routing->closing) return;
  for (;;) {
    int code = cairn_watch_next(routing->watch, 0, &change, NULL);
    if (code == CAIRN_WAIT) return;
    if (code != CAIRN_OK) {
      give_up_for_now(routing);
      return;
    }
    if (change.kind == CAIRN_CHANGE_MAP_BEGINS) map_begins(routing);
    else if (change.kind == CAIRN_CHANGE_MAP_WHOLE) map_is_whole(routing);
    else if (change.topic != NULL) topic_told(routing, change.topic, change.kind == CAIRN_CHANGE_TOPIC_DELETED);
  }
}

/* On the loop too: of its own watch all is. */
static void notified(void *context) {
  struct routing *routing = context;
  if (routing->told_posted) return;
  routing->told_posted = true;
  loop_post(routing->client->loop, &routing->told_task);
}

/* ---- The watch ---- */

static void later(struct routing *routing, uint64_t after_ns) {
  struct loop *loop = routing->client->loop;
  loop_timer_set(loop, &routing->timer, loop_now_ns(loop) + after_ns);
}

static void watch_closed(struct cairn_watch *watch) {
  struct routing *routing = watch->context;
  bool stale = routing->stale;
  routing->watch = NULL;
  routing->closing = false;
  watch_dispose(watch);
  if (routing->stopping) bell_ring(routing->client->world, &routing->stopped);
  else if (routing->count > 0) later(routing, stale ? GATHER_NS : TRY_AGAIN_NS);
}

static void open_watch(struct routing *routing) {
  const char *topics[CAIRN_WATCH_TOPICS_MAX];
  struct cairn_watch_options options = {
      .topics = topics, .retry_timeout_ms = 30000, .notify = notified, .context = routing};
  list_for_each(&routing->interests, node, following) {
    if (routing->count > CAIRN_WATCH_TOPICS_MAX) break; /* then of all */
    topics[options.topic_count++] = list_entry(node, struct interest, node)->topic;
  }
  routing->stale = false;
  routing->watch = watch_make(routing->client, &options);
  routing->watch->on_closed = watch_closed;
  watch_open(routing->watch);
}

static void open_or_close(struct timer *timer) {
  struct routing *routing = container_of(timer, struct routing, timer);
  if (routing->closing || routing->count == 0) return; /* or watch_closed() comes back to it */
  if (routing->watch == NULL) {
    open_watch(routing);
  } else if (routing->stale) {
    routing->closing = true;
    watch_close(routing->watch);
  }
}

/* ---- Interests ---- */

void routing_follow(struct routing *routing, struct interest *interest, uint64_t id) {
  interest->id = id;
  if (list_node_linked(&interest->node)) return;
  list_push_back(&routing->interests, &interest->node);
  routing->count++;
  /* One that is of all topics is of this one too, and is begun anew all the same: what it told of it nobody listened to. */
  routing->stale = true;
  later(routing, GATHER_NS);
}

void routing_unfollow(struct routing *routing, struct interest *interest) {
  if (!list_node_linked(&interest->node)) return;
  list_remove(&interest->node);
  routing->count--;
  if (routing->count > 0) return;
  loop_timer_cancel(routing->client->loop, &routing->timer);
  if (routing->watch == NULL || routing->closing) return;
  routing->closing = true;
  watch_close(routing->watch);
}

static void stop(struct task *task) {
  struct routing *routing = container_of(task, struct routing, stop_task);
  routing->stopping = true;
  loop_timer_cancel(routing->client->loop, &routing->timer);
  if (routing->watch == NULL) bell_ring(routing->client->world, &routing->stopped);
  else if (!routing->closing) watch_close(routing->watch);
}

struct routing *routing_new(struct cairn_client *client) {
  struct routing *routing = NEW(struct routing);
  routing->client = client;
  list_init(&routing->interests);
  routing->told_task.run = told;
  routing->timer.fire = open_or_close;
  routing->stop_task.run = stop;
  return routing;
}

void routing_free(struct routing *routing) {
  if (routing == NULL) return;
  loop_post(routing->client->loop, &routing->stop_task);
  while (bell_listen(&routing->stopped) == 0) bell_wait(routing->client->world, &routing->stopped, 0, UINT64_MAX);
  CHECK(routing->count == 0 && routing->watch == NULL);
  memory_free(routing);
}
