/* What the fake broker's parts share: its topics, its streams of Tail, and its appends. All of it under its lock. */
#ifndef CAIRN_TESTS_UNIT_CLIENTS_FAKE_BROKER_INTERNAL_H
#define CAIRN_TESTS_UNIT_CLIENTS_FAKE_BROKER_INTERNAL_H

#include <pthread.h>

#include "base/list.h"
#include "base/rpc.h"
#include "proto/log_wire.h"
#include "tests/unit/clients/fake_broker.h"

#define FAKE_TOPICS_MAX 8u
#define FAKE_GATHER_MAX 8u
#define FAKE_HELD_MAX 8u

struct fake_kept {
  struct list_node node;
  struct wire_stored_batch stored;
};

struct fake_partition {
  struct list batches;
  int64_t end;
  uint32_t epoch; /* of its one producer */
  uint64_t next_sequence;
};

struct fake_topic {
  char name[64];
  uint32_t partition_count;
  struct fake_partition *partitions;
};

/* Calls that are finished later. */
struct fake_held {
  bool on;
  struct rpc_call *calls[FAKE_HELD_MAX];
  struct blob *messages[FAKE_HELD_MAX]; /* of OpenProducer */
  unsigned count;
};

struct fake_broker {
  struct rpc *rpc;
  char address[32];
  pthread_mutex_t lock;
  struct fake_topic topics[FAKE_TOPICS_MAX];
  unsigned topic_count;
  struct list tails;
  unsigned appends;
  unsigned refuse_at, lose_at, lose_tail_at;
  unsigned tail_answers;
  unsigned alterations;
  struct failure refusal;
  bool keep, rot;
  unsigned gather;
  bool flocks;
  bool refuses_flock;
  unsigned further; /* requests that came behind others in a message */
  struct fake_held ends, opens;
};

/* NULL: there is none, as the status says. */
struct fake_partition *fake_find(struct fake_broker *broker, struct bytes name, uint32_t number, enum status *out_status);
/* False: calls of this kind are not held. */
bool fake_hold(struct fake_held *held, struct rpc_call *call, struct blob *message);
/* Tells those who follow the partition what it has. */
void fake_tails_go_on(struct fake_broker *broker, const struct fake_partition *partition);

/* Without the lock. Takes over the hold on `message`. */
void fake_answer_open(struct fake_broker *broker, struct rpc_call *call, struct blob *message);

/* The handlers. */
void fake_create_topic(void *service, struct rpc_call *call, struct blob *message);
void fake_alter_topic(void *service, struct rpc_call *call, struct blob *message);
void fake_describe_topic(void *service, struct rpc_call *call, struct blob *message);
void fake_describe_partition(void *service, struct rpc_call *call, struct blob *message);
void fake_open_producer(void *service, struct rpc_call *call, struct blob *message);
void fake_tail_message(void *service, struct rpc_call *call, struct blob *message);
void fake_tail_sent(void *service, struct rpc_call *call);
void fake_tail_closed(void *service, struct rpc_call *call, bool cancelled);
void fake_append_unary(void *service, struct rpc_call *call, struct blob *message);
void fake_append_opened(void *service, struct rpc_call *call);
void fake_append_message(void *service, struct rpc_call *call, struct blob *message);
void fake_append_half_closed(void *service, struct rpc_call *call);
void fake_append_closed(void *service, struct rpc_call *call, bool cancelled);

#endif
