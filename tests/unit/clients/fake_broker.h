/* A broker in a few hundred lines, in this process and behind real gRPC: topics in memory, appends answered at once, and a
 * script of what goes wrong. What the client library does can be tested with it before and without a real broker. */
#ifndef CAIRN_TESTS_UNIT_CLIENTS_FAKE_BROKER_H
#define CAIRN_TESTS_UNIT_CLIENTS_FAKE_BROKER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/failure.h"

struct fake_broker;

struct fake_broker *fake_broker_start(void);
void fake_broker_stop(struct fake_broker *broker);
const char *fake_broker_address(const struct fake_broker *broker);

void fake_broker_add_topic(struct fake_broker *broker, const char *name, uint32_t partitions);
/* Behind the last record. */
int64_t fake_broker_end(struct fake_broker *broker, const char *name, uint32_t partition);
/* Appends that reached it, refused ones included. */
unsigned fake_broker_appends(struct fake_broker *broker);

/* The `nth` append from now on (1: the next) is answered with a failure; what is behind it on its stream with SESSION_BROKEN, or,
 * when the outcome is unknown, with the same. `keep` keeps the records all the same. */
void fake_broker_refuse(struct fake_broker *broker, unsigned nth, const struct failure *failure, bool keep);
/* The `nth` append from now on ends its stream as a lost connection does: no answer, no word about what was done. */
void fake_broker_lose(struct fake_broker *broker, unsigned nth, bool keep);
/* The next `count` appends of a stream are answered when the last of them is there. At most 8. */
void fake_broker_gather(struct fake_broker *broker, unsigned count);
/* From now on it says that several requests may come in one message. */
void fake_broker_flock(struct fake_broker *broker);
/* The next message of several is refused as one: it has one answer. */
void fake_broker_refuse_flock(struct fake_broker *broker, const struct failure *failure);
/* How many came so, behind the first of their message. */
unsigned fake_broker_further(struct fake_broker *broker);
/* The next AlterTopic ends as a lost connection does: no answer, no word about what was done. Those behind it are refused: LOADING. */
void fake_broker_lose_alteration(struct fake_broker *broker);
/* Streams of appends that the client has closed do not end, and OpenProducer is not answered, until they are let go. */
void fake_broker_hold(struct fake_broker *broker);
void fake_broker_let_end(struct fake_broker *broker);
void fake_broker_let_open(struct fake_broker *broker);
/* Flips a bit in every batch that is read. */
void fake_broker_rot(struct fake_broker *broker);
/* The `nth` Tail answer from now on ends its stream as a lost connection does. */
void fake_broker_lose_tail(struct fake_broker *broker, unsigned nth);

#endif
