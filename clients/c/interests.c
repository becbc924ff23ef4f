#include "clients/c/interests.h"

#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "clients/c/watch_internal.h"

#define GATHER_NS (50u * (uint64_t)NS_PER_MS) /* topics that come into use together are watched together */
/* After it was given up, on average: */
#define REFUSED_NS (60000u * (uint64_t)NS_PER_MS)
#define UNREACHED_NS (1000u * (uint64_t)NS_PER_MS)
#define RETRY_TIMEOUT_MS 2000u /* few attempts: thousands of clients may be one too many */

struct interests {
  struct cairn_client *client;
  struct list list;
  size_t count;
  struct cairn_watch *watch; /* NULL: there is none */
  bool stale;                /* it is not of all topics that it has to be of */
  uint64_t rest_ns;          /* before it is tried again */
  bool closing;
  bool told_posted;
  struct task told_task;
  struct timer timer;
  bool stopping;
  struct task stop_task;
  struct bell stopped; /* rung once */
};

/* ---- What is told ---- */

static void forget_told(struct interest *interest) {
  interest->told_id = 0;
  interest->told = 0;
}

static void note_told(struct interest *interest, const struct cairn_topic *topic, bool deleted) {
  if (topic->id < interest->told_id) return;
  interest->told_id = topic->id;
  interest->told = deleted ? 0 : topic->partitions;
}

static void topic_told(struct interests *interests, const struct cairn_topic *topic, bool deleted) {
  list_for_each(&interests->list, node, following) {
    struct interest *interest = list_entry(node, struct interest, node);
    if (strcmp(interest->topic, topic->name) != 0) continue;
    note_told(interest, topic, deleted);
    bool same = interest->id == topic->id;
    /* Of an earlier one of that name there may be news that are old. */
    if (deleted ? same : topic->id > interest->id) interest->changed(interest, 0);
    else if (!deleted && same) interest->changed(interest, topic->partitions);
  }
}

static void map_begins(struct interests *interests) {
  list_for_each(&interests->list, node, following) forget_told(list_entry(node, struct interest, node));
}

/* Who was not in it is deleted, or made so lately that this broker has not heard of it. */
static void map_is_whole(struct interests *interests) {
  list_for_each(&interests->list, node, following) {
    struct interest *interest = list_entry(node, struct interest, node);
    if (interest->told_id == 0) interest->changed(interest, 0);
  }
}

/* Where brokers have no room, or do not know of watches, it is not soon otherwise; where nobody could be reached it may be any moment. */
static void give_up_for_now(struct interests *interests, int code) {
  REACHED(interests_have_no_watch);
  bool refused = code == CAIRN_RESOURCE_EXHAUSTED || code == CAIRN_UNIMPLEMENTED;
  uint64_t wait_ns = refused ? REFUSED_NS : UNREACHED_NS;
  interests->rest_ns = wait_ns / 2 + entropy_next(interests->client->world->entropy) % wait_ns;
  interests->closing = true;
  watch_close(interests->watch);
}

static void told(struct task *task) {
  struct interests *interests = container_of(task, struct interests, told_task);
  struct cairn_change change;
  interests->told_posted = false;
  if (interests->watch == NULL || interests->closing) return;
  for (;;) {
    int code = cairn_watch_next(interests->watch, 0, &change, NULL);
    if (code == CAIRN_WAIT) return;
    if (code != CAIRN_OK) {
      give_up_for_now(interests, code);
      return;
    }
    if (change.kind == CAIRN_CHANGE_MAP_BEGINS) map_begins(interests);
    else if (change.kind == CAIRN_CHANGE_MAP_WHOLE) map_is_whole(interests);
    else if (change.topic != NULL) topic_told(interests, change.topic, change.kind == CAIRN_CHANGE_TOPIC_DELETED);
  }
}

/* On the loop too: of its own watch all is. */
static void notified(void *context) {
  struct interests *interests = context;
  if (interests->told_posted) return;
  interests->told_posted = true;
  loop_post(interests->client->loop, &interests->told_task);
}

/* ---- The watch ---- */

static void later(struct interests *interests, uint64_t after_ns) {
  struct loop *loop = interests->client->loop;
  loop_timer_set(loop, &interests->timer, loop_now_ns(loop) + after_ns);
}

static void watch_closed(struct cairn_watch *watch) {
  struct interests *interests = watch->context;
  bool stale = interests->stale;
  interests->watch = NULL;
  interests->closing = false;
  watch_dispose(watch);
  if (interests->stopping) bell_ring(interests->client->world, &interests->stopped);
  else if (interests->count > 0) later(interests, stale ? GATHER_NS : interests->rest_ns);
}

static void open_watch(struct interests *interests) {
  const char *topics[CAIRN_WATCH_TOPICS_MAX];
  struct cairn_watch_options options = {
      .topics = topics, .retry_timeout_ms = RETRY_TIMEOUT_MS, .notify = notified, .context = interests};
  list_for_each(&interests->list, node, following) {
    if (interests->count > CAIRN_WATCH_TOPICS_MAX) break; /* then of all */
    topics[options.topic_count++] = list_entry(node, struct interest, node)->topic;
  }
  interests->stale = false;
  interests->watch = watch_make(interests->client, &options);
  interests->watch->on_closed = watch_closed;
  watch_open(interests->watch);
}

static void open_or_close(struct timer *timer) {
  struct interests *interests = container_of(timer, struct interests, timer);
  if (interests->closing || interests->count == 0) return; /* or watch_closed() comes back to it */
  if (interests->watch == NULL) {
    open_watch(interests);
  } else if (interests->stale) {
    interests->closing = true;
    watch_close(interests->watch);
  }
}

/* ---- Interests ---- */

/* Who answers may hear of changes later than whoever tells of them; what is told is not told again. */
static uint32_t newer_of(struct interest *interest, uint64_t id, uint32_t partitions) {
  bool newer = interest->told > 0 && (interest->told_id > id || (interest->told_id == id && interest->told > partitions));
  interest->id = newer ? interest->told_id : id;
  return newer ? interest->told : partitions;
}

uint32_t interests_follow(struct interests *interests, struct interest *interest, uint64_t id, uint32_t partitions) {
  if (list_node_linked(&interest->node)) return newer_of(interest, id, partitions);
  interest->id = id;
  forget_told(interest);
  list_push_back(&interests->list, &interest->node);
  interests->count++;
  /* One that is of all topics is of this one too, and is begun anew all the same: what it told of it nobody listened to. */
  interests->stale = true;
  later(interests, GATHER_NS);
  return partitions;
}

void interests_unfollow(struct interests *interests, struct interest *interest) {
  if (!list_node_linked(&interest->node)) return;
  list_remove(&interest->node);
  interests->count--;
  if (interests->count > 0) return;
  loop_timer_cancel(interests->client->loop, &interests->timer);
  if (interests->watch == NULL || interests->closing) return;
  interests->closing = true;
  watch_close(interests->watch);
}

static void stop(struct task *task) {
  struct interests *interests = container_of(task, struct interests, stop_task);
  interests->stopping = true;
  loop_timer_cancel(interests->client->loop, &interests->timer);
  if (interests->watch == NULL) bell_ring(interests->client->world, &interests->stopped);
  else if (!interests->closing) watch_close(interests->watch);
}

struct interests *interests_new(struct cairn_client *client) {
  struct interests *interests = NEW(struct interests);
  interests->client = client;
  list_init(&interests->list);
  interests->told_task.run = told;
  interests->timer.fire = open_or_close;
  interests->stop_task.run = stop;
  return interests;
}

void interests_free(struct interests *interests) {
  if (interests == NULL) return;
  loop_post(interests->client->loop, &interests->stop_task);
  while (bell_listen(&interests->stopped) == 0) bell_wait(interests->client->world, &interests->stopped, 0, UINT64_MAX);
  CHECK(interests->count == 0 && interests->watch == NULL);
  memory_free(interests);
}
