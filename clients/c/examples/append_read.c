/* A complete program with libcairn: creates a topic, appends ten records, reads them back.
 *
 *   append_read HOST:PORT TOPIC
 */
#include <stdio.h>
#include <string.h>

#include "clients/c/cairn.h"
#include "clients/c/cairn_admin.h"
#include "clients/c/examples/append_read.h"

#define RECORDS 10

/* Runs in our own thread, inside cairn_producer_flush(). */
static void delivered(void *context, const struct cairn_delivery *delivery) {
  (void)context;
  if (delivery->error == NULL) {
    printf("appended %zu records from offset %lld on\n", delivery->record_count, (long long)delivery->base_offset);
  } else if (delivery->error->executed == CAIRN_EXECUTED_MAYBE) {
    printf("nobody can tell yet whether %zu records were appended: %s\n", delivery->record_count, delivery->error->message);
  } else {
    printf("%zu records were not appended: %s\n", delivery->record_count, delivery->error->message);
  }
}

static int append(struct cairn_client *client, const char *topic, struct cairn_error *error) {
  const struct cairn_producer_options options = {.delivered = delivered};
  struct cairn_producer *producer = NULL;
  int code = cairn_producer_new(client, &options, &producer, error);
  for (int i = 0; code == CAIRN_OK && i < RECORDS; i++) {
    char value[32];
    int size = snprintf(value, sizeof value, "record %d", i);
    const struct cairn_message message = {.topic = topic, .partition = 0, .value = {value, (size_t)size}};
    code = cairn_producer_add(producer, &message, error); /* copies the value */
  }
  if (code == CAIRN_OK) code = cairn_producer_flush(producer, 10000, error);
  cairn_producer_free(producer);
  return code;
}

static int read_back(struct cairn_client *client, const char *topic, struct cairn_error *error) {
  const struct cairn_consumer_options options = {.from = {.kind = CAIRN_AT_START}, .to = {.kind = CAIRN_AT_END}};
  struct cairn_consumer *consumer = NULL;
  int code = cairn_consumer_new(client, topic, 0, &options, &consumer, error);
  while (code == CAIRN_OK) {
    struct cairn_record record;
    code = cairn_consumer_next(consumer, CAIRN_FOREVER, &record, error);
    if (code != CAIRN_OK) break;
    printf("offset %lld: %.*s\n", (long long)record.offset, (int)record.value.size, (const char *)record.value.data);
  }
  cairn_consumer_free(consumer);
  return code == CAIRN_END ? CAIRN_OK : code;
}

int append_read(const char *server, const char *topic) {
  const struct cairn_client_options options = {.servers = server};
  struct cairn_client *client = NULL;
  struct cairn_error error;
  int code = cairn_client_new(&options, &client, &error);
  if (code == CAIRN_OK) code = cairn_topic_create(client, topic, NULL, NULL, &error);
  if (code == CAIRN_ALREADY_EXISTS) code = CAIRN_OK;
  if (code == CAIRN_OK) code = append(client, topic, &error);
  if (code == CAIRN_OK) code = read_back(client, topic, &error);
  if (code != CAIRN_OK) fprintf(stderr, "%s: %s\n", error.reason, error.message);
  cairn_client_free(client);
  return code;
}
