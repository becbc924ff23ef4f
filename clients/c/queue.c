#include <stdio.h>

#include "base/check.h"
#include "base/mutant.h"
#include "base/probe.h"
#include "cairn/v1/log.pb-c.h"
#include "clients/c/producer_internal.h"
#include "proto/pack.h"

static uint64_t queue_now_ns(const struct queue *queue) { return loop_now_ns(queue->producer->client->loop); }

static uint64_t batch_deadline_ns(const struct queue *queue, const struct batch *batch) {
  return batch->opened_ns + (uint64_t)queue->producer->options.delivery_timeout_ms * NS_PER_MS;
}

/* ---- Giving up ---- */

static void take_all(struct queue *queue, struct list *into) {
  list_init(into);
  list_for_each(&queue->again, node, following) {
    list_remove(node);
    list_push_back(into, node);
  }
  pthread_mutex_lock(&queue->producer->lock);
  list_for_each(&queue->ready, node, following) {
    list_remove(node);
    list_push_back(into, node);
  }
  if (queue->open != NULL) list_push_back(into, &queue->open->node);
  queue->open = NULL;
  pthread_mutex_unlock(&queue->producer->lock);
}

/* The batch will not be sent (again). What was in doubt stays so. */
static void give_up(struct queue *queue, struct batch *batch, const struct failure *failure) {
  struct failure last = *failure;
  if (batch->in_doubt && last.executed == EXECUTED_NO) last.executed = EXECUTED_MAYBE;
  if (batch->sequenced) queue->opened = false;
  producer_fail(queue->producer, batch, &last);
}

/* Nothing of it was sent, or what was sent had no effect, unless it is in doubt. */
static void fail_all(struct queue *queue, struct failure *failure) {
  failure->executed = EXECUTED_NO;
  struct list batches;
  take_all(queue, &batches);
  list_for_each(&batches, node, following) {
    list_remove(node);
    give_up(queue, list_entry(node, struct batch, node), failure);
  }
}

static void fail_all_stopped(struct queue *queue) {
  struct failure failure;
  if (queue->fenced)
    failure_set(&failure, STATUS_PRODUCER_FENCED, "somebody else opened this producer in partition %u", queue->partition);
  else
    failure_set(&failure, STATUS_SESSION_BROKEN, "an earlier batch of partition %u failed, and stop_on_error is set",
                queue->partition);
  fail_all(queue, &failure);
}

static void fail_all_closing(struct queue *queue) {
  struct failure failure;
  failure_set(&failure, STATUS_CANCELLED, "the producer was freed before this was sent");
  fail_all(queue, &failure);
}

static void stop_after_error(struct queue *queue) {
  if (!queue->producer->options.stop_on_error && !queue->fenced) return;
  pthread_mutex_lock(&queue->producer->lock);
  queue->stopped = true;
  pthread_mutex_unlock(&queue->producer->lock);
}

/* ---- Opening a producer that has a name ---- */

static bool must_open(const struct queue *queue) { return queue->producer->name != NULL && !queue->opened; }

/* Everything before `next_sequence` is in the log, and nothing behind it will be unless it is sent now: older epochs are fenced. So batches
 * before keep their sequences, and are told apart by the broker; those behind get new ones. If the partition remembers nothing, what
 * became of a batch in doubt cannot be known any more. */
static void settle_sequences(struct queue *queue, uint64_t next_sequence, bool remembered, struct list *out_lost) {
  list_init(out_lost);
  pthread_mutex_lock(&queue->producer->lock);
  list_for_each(&queue->ready, node, following) {
    struct batch *batch = list_entry(node, struct batch, node);
    if (!batch->sequenced || batch->first_sequence < next_sequence) continue;
    batch->sequenced = false;
    if (batch->in_doubt && !remembered) {
      list_remove(node);
      list_push_back(out_lost, node);
    } else {
      batch->in_doubt = false;
    }
  }
  pthread_mutex_unlock(&queue->producer->lock);
  queue->next_sequence = next_sequence;
  queue->opened = true;
}

static enum status take_open(struct queue *queue, const struct blob *answer) {
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  Cairn__V1__OpenProducerResponse *response = NULL;
  enum status status =
      pack_unpack(arena, &cairn__v1__open_producer_response__descriptor, bytes_of(answer->data, answer->size), (void *)&response);
  if (status == STATUS_OK) {
    struct list lost;
    queue->epoch = response->epoch;
    settle_sequences(queue, response->next_sequence, !response->created, &lost);
    struct failure failure;
    failure_set(&failure, STATUS_UNKNOWN_OUTCOME, "partition %u does not remember the producer, and no answer came before",
                queue->partition);
    list_for_each(&lost, node, following) {
      list_remove(node);
      stop_after_error(queue);
      producer_fail(queue->producer, list_entry(node, struct batch, node), &failure);
    }
  }
  arena_free(arena);
  return status;
}

/* ---- Finding the broker: a question to the leader, which also shows that it is there ---- */

static void queue_look(struct queue *queue);

static void next_lookup(struct cairn_producer *producer) {
  struct list_node *node = list_pop_front(&producer->lookups_waiting);
  if (node == NULL) return;
  struct queue *queue = list_entry(node, struct queue, waiting_node);
  queue->stage = QUEUE_LOST;
  queue_look(queue);
}

static void look_failed(struct queue *queue, struct failure *failure) {
  queue->stage = QUEUE_LOST;
  queue->address[0] = '\0';
  if (queue->producer->closing) {
    fail_all_closing(queue);
    return;
  }
  stop_after_error(queue);
  fail_all(queue, failure);
}

static void look_done(struct call *call, struct blob *answer) {
  struct queue *queue = container_of(call, struct queue, lookup);
  struct cairn_producer *producer = queue->producer;
  producer->lookups--;
  bool found = answer != NULL && !producer->closing;
  if (found && must_open(queue) && take_open(queue, answer) != STATUS_OK) {
    failure_set(&call->failure, STATUS_MALFORMED, "the broker's answer is not an OpenProducerResponse");
    found = false;
  }
  if (!found) {
    look_failed(queue, &call->failure);
  } else {
    const struct connection *connection = client_connection(producer->client, call->address);
    queue->stage = QUEUE_HOME;
    queue->session = session_of(producer, connection->address, queue->partition);
    session_attach(queue->session, queue);
    queue_pump(queue);
  }
  blob_release(answer);
  if (!producer->closing) next_lookup(producer);
  producer_stopped_one(producer);
}

static uint64_t oldest_deadline_ns(struct queue *queue) {
  pthread_mutex_lock(&queue->producer->lock);
  struct list_node *node = list_first(&queue->ready);
  const struct batch *oldest = node != NULL ? list_entry(node, struct batch, node) : queue->open;
  uint64_t deadline_ns = oldest == NULL ? queue_now_ns(queue) : batch_deadline_ns(queue, oldest);
  pthread_mutex_unlock(&queue->producer->lock);
  return deadline_ns;
}

/* For a producer with a name to open it is the question. */
static struct blob_part ask_for_leader(const struct queue *queue) {
  if (must_open(queue)) {
    Cairn__V1__OpenProducerRequest request;
    cairn__v1__open_producer_request__init(&request);
    request.topic = pack_text(queue->topic->name);
    request.partition = queue->partition;
    request.producer = pack_text(queue->producer->name);
    return pack_part(&request.base);
  }
  Cairn__V1__DescribePartitionRequest request;
  cairn__v1__describe_partition_request__init(&request);
  request.topic = pack_text(queue->topic->name);
  request.partition = queue->partition;
  return pack_part(&request.base);
}

static void queue_look(struct queue *queue) {
  struct cairn_producer *producer = queue->producer;
  PRE(queue->stage == QUEUE_LOST);
  queue->stage = QUEUE_LOOKING;
  if (producer->lookups == LOOKUPS_MAX) {
    list_push_back(&producer->lookups_waiting, &queue->waiting_node);
    return;
  }
  queue->lookup = (struct call){
      .client = producer->client,
      .method = must_open(queue) ? "/cairn.v1.Log/OpenProducer" : "/cairn.v1.Log/DescribePartition",
      .request = {ask_for_leader(queue)},
      .request_parts = 1,
      .idempotent = true,
      .patient = true,
      .deadline_ns = oldest_deadline_ns(queue),
      .done = look_done,
  };
  snprintf(queue->lookup.address, sizeof queue->lookup.address, "%s", queue->address);
  producer->lookups++;
  producer->running++;
  call_start(&queue->lookup);
}

/* ---- Sending ---- */

/* Under the lock. When may the open batch go as it is? 0: now. */
static uint64_t open_due_ns(const struct queue *queue) {
  const struct cairn_producer *producer = queue->producer;
  if (producer->hurry || producer->hurry_once) return 0;
  if (producer->options.linger_ms == 0) return queue->in_flight == 0 ? 0 : UINT64_MAX;
  return queue->open->opened_ns + (uint64_t)producer->options.linger_ms * NS_PER_MS;
}

/* What goes next, or NULL and when to look again. `take` removes it. */
static struct batch *queue_next(struct queue *queue, bool take, uint64_t *out_due_ns) {
  pthread_mutex_lock(&queue->producer->lock);
  *out_due_ns = UINT64_MAX;
  if (list_empty(&queue->ready) && queue->open != NULL) {
    *out_due_ns = open_due_ns(queue);
    if (*out_due_ns <= queue_now_ns(queue)) {
      queue->size_hint = queue->open->blob->size;
      list_push_back(&queue->ready, &queue->open->node);
      queue->open = NULL;
    }
  }
  struct list_node *node = list_first(&queue->ready);
  if (node != NULL && take) list_remove(node);
  pthread_mutex_unlock(&queue->producer->lock);
  return node == NULL ? NULL : list_entry(node, struct batch, node);
}

static void queue_timer_fired(struct timer *timer) {
  struct queue *queue = container_of(timer, struct queue, timer);
  if (queue->stage == QUEUE_RESTING) queue->stage = QUEUE_LOST;
  queue_pump(queue);
}

static void queue_wake_at(struct queue *queue, uint64_t deadline_ns) {
  if (deadline_ns == UINT64_MAX) return;
  queue->timer.fire = queue_timer_fired;
  loop_timer_set(queue->producer->client->loop, &queue->timer, deadline_ns);
}

static void queue_send(struct queue *queue, struct batch *batch) {
  if (queue_now_ns(queue) >= batch_deadline_ns(queue, batch)) {
    struct failure failure;
    failure_set(&failure, STATUS_DEADLINE, "not sent within %u ms (delivery_timeout_ms)",
                queue->producer->options.delivery_timeout_ms);
    failure.executed = EXECUTED_NO;
    stop_after_error(queue);
    give_up(queue, batch, &failure);
    return;
  }
  queue->in_flight++;
  session_send(queue->session, batch);
}

/* A sequence may be missing: nothing more goes this way before the producer was opened again. */
static void leave_home(struct queue *queue) {
  list_remove(&queue->session_node);
  if (list_node_linked(&queue->waiting_node)) list_remove(&queue->waiting_node);
  queue->session = NULL;
  queue->stage = QUEUE_LOST;
}

void queue_pump(struct queue *queue) {
  uint64_t due_ns = UINT64_MAX;
  for (;;) {
    if (queue->stopped && queue->in_flight == 0) fail_all_stopped(queue);
    if (queue->stage == QUEUE_LOOKING || queue->stage == QUEUE_RESTING || queue->stopped) return;
    if (queue->stage == QUEUE_LOST) {
      if (queue_next(queue, false, &due_ns) != NULL) queue_look(queue);
      else queue_wake_at(queue, due_ns);
      return;
    }
    if (must_open(queue)) {
      /* A session that ends has batches of ours to send again: it says so by queue_lost(). */
      if (queue->in_flight > 0 || session_is_ending(queue->session)) return;
      leave_home(queue);
      continue;
    }
    if (queue->in_flight >= queue->producer->options.in_flight_max) return;
    if (!session_has_room(queue->session)) {
      session_wait(queue->session, queue);
      return;
    }
    struct batch *batch = queue_next(queue, true, &due_ns);
    if (batch == NULL) {
      queue_wake_at(queue, due_ns);
      return;
    }
    queue_send(queue, batch);
  }
}

/* ---- What became of a batch ---- */

void queue_acknowledged(struct queue *queue, struct batch *batch) {
  queue->in_flight--;
  queue->attempts = 0;
  producer_finish(queue->producer, batch);
  if (!queue->producer->closing) queue_pump(queue);
}

static bool try_again(struct queue *queue, const struct batch *batch, const struct failure *failure) {
  struct cairn_client *client = queue->producer->client;
  if (queue->stopped || queue->producer->closing) return false;
  if (MUTANT(unknown_sent_again) && failure->executed == EXECUTED_MAYBE) return true;
  if (failure->executed != EXECUTED_NO && !batch->sequenced) return false;
  if (failure->reason == STATUS_SESSION_BROKEN) return true; /* another's fault */
  const struct retry_case question = {
      .failure = failure,
      .recognised = batch->sequenced,
      .attempts = ++queue->attempts,
      .backoff_ms = client->retry_backoff_ms,
      .now_ns = queue_now_ns(queue),
      .deadline_ns = batch_deadline_ns(queue, batch),
      .reach_deadline_ns = UINT64_MAX,
      .chance = entropy_next(client->world->entropy),
  };
  struct retry_decision decision = retry_decide(&question);
  if (!decision.again) return false;
  if (decision.after_ns > queue->rest_ns) queue->rest_ns = decision.after_ns;
  if (decision.elsewhere) client_redirect(client, failure, queue->address);
  return true;
}

void queue_refused(struct queue *queue, struct batch *batch, const struct failure *failure) {
  queue->in_flight--;
  if (failure->executed == EXECUTED_MAYBE) batch->in_doubt = true;
  if (try_again(queue, batch, failure)) {
    REACHED(batch_sent_again);
    list_push_back(&queue->again, &batch->node);
    return;
  }
  if (failure->reason == STATUS_PRODUCER_FENCED) queue->fenced = true;
  stop_after_error(queue);
  give_up(queue, batch, failure);
}

void queue_lost(struct queue *queue) {
  struct cairn_producer *producer = queue->producer;
  queue->session = NULL;
  queue->stage = QUEUE_LOST;
  if (producer->closing) {
    fail_all_closing(queue);
    return;
  }
  pthread_mutex_lock(&producer->lock);
  for (struct list_node *node = list_last(&queue->again); node != NULL; node = list_last(&queue->again)) {
    list_remove(node);
    list_push_front(&queue->ready, node);
  }
  pthread_mutex_unlock(&producer->lock);
  if (queue->rest_ns > 0) {
    queue->stage = QUEUE_RESTING;
    queue_wake_at(queue, queue_now_ns(queue) + queue->rest_ns);
    queue->rest_ns = 0;
  }
  queue_pump(queue);
}

void queue_close(struct queue *queue) {
  loop_timer_cancel(queue->producer->client->loop, &queue->timer);
  switch (queue->stage) {
    case QUEUE_HOME: /* its session ends it, if it has a stream */
      if (queue->in_flight == 0) fail_all_closing(queue);
      break;
    case QUEUE_LOOKING:
      if (!list_node_linked(&queue->waiting_node)) {
        call_cancel(&queue->lookup);
        break;
      }
      list_remove(&queue->waiting_node);
      fail_all_closing(queue);
      break;
    case QUEUE_LOST:
    case QUEUE_RESTING: fail_all_closing(queue); break;
  }
}
