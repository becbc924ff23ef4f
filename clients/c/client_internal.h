/* What the files of libcairn share.
 *
 * client.c       the client: its world, its loop, which broker to ask
 * call.c         one unary call: retries on the loop, and a way to wait for it
 * error.c        failures as the application sees them
 * admin.c partition.c append.c read.c   the synchronous calls
 * batcher.c      records into the bytes of a batch
 * compress.c     zstd and lz4, bounded
 * producer.c     queues between the application and the loop; deliveries
 * session.c      one AppendStream: sends batches, takes answers
 * watch.c        one WatchCluster: keeps it open, at one broker or another; watch_next.c shows what it brings
 * interests.c    what the library itself wants to know of the map
 * map_words.c    messages about the map into what the application sees
 * consumer.c     one Tail: positions, prefetch, reconnect
 * records.c      bytes of answers into records
 * partitioner.c retry.c bell.c          small and by themselves
 *
 * Threads: what is not under a lock belongs to the client's loop. The transport's callbacks only note what came and post to it.
 * Everything runs on `struct world`, so a simulator drives the same code; it never calls a function that waits.
 */
#ifndef CAIRN_CLIENTS_C_CLIENT_INTERNAL_H
#define CAIRN_CLIENTS_C_CLIENT_INTERNAL_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/blob.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/world.h"
#include "clients/c/bell.h"
#include "clients/c/cairn.h"
#include "clients/c/retry.h"
#include "proto/failure.h"

#define SERVERS_MAX 64u
#define NS_PER_MS 1000000u

/* One broker that we speak to or spoke to. Never closed before the client is: an idle connection costs nothing. */
struct connection {
  struct list_node node;
  char address[CAIRN_ADDRESS_SIZE];
  struct rpc_channel *channel;
};

struct interests;

struct cairn_client {
  struct world *world;
  struct loop *loop;
  struct list connections;
  char (*servers)[CAIRN_ADDRESS_SIZE];
  size_t server_count;
  size_t server; /* the one to ask when nobody is named */
  uint32_t call_timeout_ms;
  uint32_t reach_timeout_ms;
  uint32_t retry_backoff_ms;
  bool (*given_up)(void *context); /* NULL: nobody gives up */
  void *given_up_context;
  struct interests *interests; /* the loop's */
  bool owns_world;
};

/* The client on a world that is the caller's and outlives it: for the simulator and for tests. */
int client_new_in(struct world *world, const struct cairn_client_options *options, struct cairn_client **out_client,
                  struct cairn_error *error);

/* On the loop. The connection to an address; "" is the server that is asked when nobody is named. */
struct connection *client_connection(struct cairn_client *client, const char *address);
/* On the loop. This broker could not be reached: the next one is asked when nobody is named. */
void client_avoid(struct cairn_client *client, const char *address);
/* On the loop. Whom to ask next: fills `address` with the leader that the failure names, or "" after a step to the next server. */
void client_redirect(struct cairn_client *client, const struct failure *failure, char address[CAIRN_ADDRESS_SIZE]);

/* `*_ms` to a deadline; CAIRN_FOREVER to UINT64_MAX. @any-thread */
uint64_t client_deadline_ns(const struct cairn_client *client, uint32_t timeout_ms);
uint64_t client_left_ns(const struct cairn_client *client, uint64_t deadline_ns);

/* ---- Errors ---- */

/* All fill `error` (NULL is fine) and return the code. */
int error_from_failure(struct cairn_error *error, const struct failure *failure);
int error_set(struct cairn_error *error, enum status reason, const char *format, ...) __attribute__((format(printf, 3, 4)));
void error_clear(struct cairn_error *error);

/* ---- One unary call ---- */

#define CALL_PARTS_MAX 2u

struct call {
  struct cairn_client *client;
  const char *method;
  struct blob_part request[CALL_PARTS_MAX]; /* holds, kept for retries */
  size_t request_parts;
  bool idempotent;
  bool patient; /* go on until the deadline even while no broker can be reached */
  uint64_t deadline_ns;
  char address[CAIRN_ADDRESS_SIZE]; /* "" : any */
  /* On the loop, once. `answer` is NULL when it failed; then `call->failure` says why. */
  void (*done)(struct call *call, struct blob *answer);
  void *context;

  /* The call's own. */
  uint64_t reach_deadline_ns;
  unsigned attempts;
  bool in_doubt; /* an attempt may have taken effect: that later ones did not says nothing of it */
  bool cancelled;
  struct rpc_request *attempt;
  struct blob *answer;
  struct failure failure;
  struct failure told; /* what a broker last answered that names nobody else to ask; reason OK: none did */
  unsigned told_at;    /* of `attempts` */
  struct task task;
  struct timer timer;
};

/* PRE on the loop, and the fields above are set. Takes over the holds on the request. */
void call_start(struct call *call);
/* On the loop: `done` comes soon, with CANCELLED. */
void call_cancel(struct call *call);

/* Calls and waits. Takes over the holds on the parts. On CAIRN_OK `*out_answer` is the caller's hold. Not on the loop. */
int call_and_wait(struct cairn_client *client, const char *method, const struct blob_part *parts, size_t count, bool idempotent,
                  uint32_t more_timeout_ms, struct blob **out_answer, struct cairn_error *error);

/* protobuf-c's strings are not const; it only reads what it packs. */
static inline char *pack_text(const char *text) { return (char *)(uintptr_t)(text == NULL ? "" : text); }

/* What protobuf-c packs and unpacks. The answer lives in a fresh arena, which the caller frees. */
struct exchange {
  const char *method;
  const ProtobufCMessage *request;
  bool idempotent;
  const ProtobufCMessageDescriptor *answer;
};
int call_for(struct cairn_client *client, const struct exchange *exchange, void *out_message, struct arena **out_arena,
             struct cairn_error *error);

#endif
