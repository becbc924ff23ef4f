/* The inside of a watch.
 *
 *   the application's thread   takes messages, shows their changes                        watch_next.c
 *   the client's loop          keeps one WatchCluster open, at one broker or another      watch.c
 *
 * 1. Messages are queued as they follow one another; one that does not follow ends the watch. A stream that is opened again goes on at the version that
 *    the last one in the queue brought, or begins with the whole map where it was not whole by then.
 * 2. At most WATCH_QUEUE_BYTES and one message are queued; the broker is not asked for more, and tells the whole map anew to whoever is too late.
 * 3. A broker that is silent, or hears of nobody who leads the map, is left for another one: of the client's servers, and of those that the map has.
 */
#ifndef CAIRN_CLIENTS_C_WATCH_INTERNAL_H
#define CAIRN_CLIENTS_C_WATCH_INTERNAL_H

#include <pthread.h>

#include "cairn/v1/admin.pb-c.h"
#include "clients/c/cairn_admin.h"
#include "clients/c/client_internal.h"

#define WATCH_QUEUE_BYTES (2u << 20)
#define WATCH_CLUSTER_ID_SIZE 33u

/* What the loop has to know of a message; the rest is unpacked by who takes it. */
struct watch_head {
  uint64_t follows;
  uint64_t version;
  bool begins;
  bool partial;
  uint32_t controller;
  char cluster_id[WATCH_CLUSTER_ID_SIZE];
};

struct watch_message {
  struct list_node node;
  struct watch_head head;
  struct blob *blob;
};

struct cairn_watch {
  struct cairn_client *client;
  bool from_now;
  char **topics;
  size_t topic_count;
  uint32_t retry_timeout_ms;
  void (*notify)(void *context);
  void *context;

  pthread_mutex_t lock; /* guards what follows */
  struct list queue;
  size_t queue_bytes;
  bool paused; /* the loop waits for room */
  bool resume_posted;
  bool failed;
  struct failure failure;

  struct bell bell; /* rung when any of it changed */
  struct task resume_task;

  /* The application's. */
  struct arena *arena;                          /* of the message that is shown, and of what its change points to */
  const Cairn__V1__WatchClusterResponse *shown; /* NULL: none */
  struct watch_head shown_head;
  size_t shown_next; /* of its changes */
  bool begin_shown;
  bool partial_seen; /* the map that is shown is not whole yet */
  uint64_t version;
  char cluster_id[WATCH_CLUSTER_ID_SIZE];
  struct cairn_topic topic;
  struct cairn_member member;
  int broken; /* the code of `broken_error`, or CAIRN_OK */
  struct cairn_error broken_error;

  /* The loop's. */
  struct task open_task;
  struct task close_task;
  struct rpc_request *request;
  bool receiving;
  bool heard_some; /* since the stream was opened */
  bool distrusted;
  const char *left; /* why it was cancelled: what the broker does, or has; NULL: it was not */
  bool knows;       /* `heard` is a version that was told, or given */
  uint64_t heard;   /* 0: the whole map has to begin anew */
  char heard_cluster[WATCH_CLUSTER_ID_SIZE];
  uint64_t asked_from; /* by the stream that is open */
  uint64_t floor;      /* the newest whole map that was told, or given: an older one is no news */
  bool follows_set;    /* the next message has to follow `follows` */
  uint64_t follows;
  unsigned attempts;
  uint64_t failing_since_ns;          /* while attempts > 0 */
  uint64_t leaderless_since_ns;       /* 0: the broker knows who leads */
  char address[CAIRN_ADDRESS_SIZE];   /* whom to ask; "": the one that is asked when nobody is named */
  char broker[CAIRN_ADDRESS_SIZE];    /* of the stream that is open */
  char (*others)[CAIRN_ADDRESS_SIZE]; /* brokers that were told of: these may be asked too */
  size_t other_count;
  size_t turn;
  struct timer retry_timer;
  struct timer silence_timer;
  struct failure end;
  struct task end_task;
  bool closing;
  bool closed;
  void (*on_closed)(struct cairn_watch *watch); /* on the loop, once, and the last that happens there */
  struct bell closed_bell;
};

/* As cairn_watch_new() and _free(), of which these are the parts: for a watch that the loop has for itself. */
struct cairn_watch *watch_make(struct cairn_client *client, const struct cairn_watch_options *options);
void watch_open(struct cairn_watch *watch);  /* on the loop */
void watch_close(struct cairn_watch *watch); /* on the loop; `on_closed` comes, perhaps at once */
void watch_dispose(struct cairn_watch *watch);

#endif
