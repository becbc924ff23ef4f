#include "base/memory.h"
#include "clients/c/batcher.h"
#include "clients/c/client_internal.h"
#include "proto/log_wire.h"

static int batch_of(const struct cairn_message *messages, size_t count, struct batch **out_batch, struct cairn_error *error) {
  size_t size = 0;
  for (size_t i = 0; i < count; i++) {
    if (messages[i].header_count > RECORD_HEADERS_MAX) {
      return error_set(error, STATUS_TOO_LARGE, "record %zu has more than %u headers", i, RECORD_HEADERS_MAX);
    }
    size += batcher_record_size(&messages[i]);
  }
  if (count == 0) return error_set(error, STATUS_BAD_BATCH, "a batch needs at least one record");
  if (size > BATCH_BYTES_MAX) {
    return error_set(error, STATUS_TOO_LARGE, "%zu records make %zu bytes; one append carries at most %u", count, size,
                     BATCH_BYTES_MAX);
  }
  struct batch *batch = NULL;
  enum status status = batch_new(NULL, size, &batch);
  if (status != STATUS_OK) return error_set(error, status, "%s", status_text(status));
  for (size_t i = 0; i < count && status == STATUS_OK; i++) {
    status = batch_add(batch, NULL, &messages[i], batcher_record_size(&messages[i]), BATCH_BYTES_MAX);
  }
  if (status != STATUS_OK) {
    batch_free(batch);
    return error_set(error, status, "%s", status_text(status));
  }
  *out_batch = batch;
  return CAIRN_OK;
}

static int appended_unpack(const struct blob *answer, struct cairn_appended *out_appended, struct cairn_error *error) {
  struct wire_append_response response;
  bool failed = false;
  struct failure failure;
  enum status status = log_wire_decode_append_response(bytes_of(answer->data, answer->size), &response, &failed, &failure);
  if (status != STATUS_OK) {
    int code = error_set(error, status, "the broker's answer cannot be decoded; whether the batch was appended is unknown");
    if (error != NULL) error->executed = CAIRN_EXECUTED_MAYBE;
    return code;
  }
  if (failed) return error_from_failure(error, &failure);
  if (out_appended != NULL) {
    *out_appended = (struct cairn_appended){
        .base_offset = response.base_offset,
        .last_offset = response.last_offset,
        .term = response.term,
        .leader_time_ms = response.leader_time_ms,
        .chain = response.chain,
        .duplicate = response.duplicate,
    };
  }
  return CAIRN_OK;
}

int cairn_append(struct cairn_client *client, const char *topic, uint32_t partition, const struct cairn_message *messages,
                 size_t count, const struct cairn_append_options *options, struct cairn_appended *out_appended,
                 struct cairn_error *error) {
  struct batch *batch = NULL;
  int code = batch_of(messages, count, &batch, error);
  if (code != CAIRN_OK) return code;
  struct wire_append_request request = {.topic = bytes_of_string(topic), .partition = partition};
  if (options != NULL && options->has_expected_offset) {
    request.has_expected_offset = true;
    request.expected_offset = options->expected_offset;
  }
  struct blob_part payload;
  batch_seal(batch, WIRE_CODEC_NONE, &request.batch, &payload);
  batch_free(batch);
  bool named = options != NULL && options->producer != NULL;
  if (named) {
    request.producer = bytes_of_string(options->producer);
    request.batch.producer_epoch = options->producer_epoch;
    request.batch.first_sequence = options->first_sequence;
  }
  struct blob_part parts[LOG_WIRE_APPEND_PARTS];
  log_wire_encode_append_request(&request, payload, parts);
  struct blob *answer = NULL;
  code = call_and_wait(client, "/cairn.v1.Log/Append", parts, LOG_WIRE_APPEND_PARTS, named, 0, &answer, error);
  if (code != CAIRN_OK) return code;
  code = appended_unpack(answer, out_appended, error);
  blob_release(answer);
  return code;
}
