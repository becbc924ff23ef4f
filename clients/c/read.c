#include <string.h>

#include "base/memory.h"
#include "clients/c/client_internal.h"
#include "clients/c/records.h"
#include "proto/log_wire.h"

struct cairn_records {
  char *topic;
  uint32_t partition;
  struct records_reader reader;
};

int cairn_read(struct cairn_client *client, const char *topic, uint32_t partition, int64_t offset,
               const struct cairn_read_options *options, struct cairn_records **out_records, struct cairn_error *error) {
  static const struct cairn_read_options defaults;
  if (options == NULL) options = &defaults;
  const struct wire_read_request request = {
      .topic = bytes_of_string(topic),
      .partition = partition,
      .offset = offset,
      .max_bytes = options->max_bytes,
      .min_bytes = options->min_bytes,
      .max_wait_ms = options->max_wait_ms,
  };
  struct blob_part part = log_wire_encode_read_request(&request);
  struct blob *answer = NULL;
  int code = call_and_wait(client, "/cairn.v1.Log/Read", &part, 1, true, options->max_wait_ms, &answer, error);
  if (code != CAIRN_OK) return code;
  struct cairn_records *records = NEW(struct cairn_records);
  records->topic = memory_copy_string(topic);
  records->partition = partition;
  code = records_reader_open(&records->reader, answer, offset, error);
  if (code != CAIRN_OK) {
    cairn_records_free(records);
    return code;
  }
  *out_records = records;
  return CAIRN_OK;
}

int cairn_records_next(struct cairn_records *records, struct cairn_record *out_record, struct cairn_error *error) {
  int code = records_reader_next(&records->reader, out_record, error);
  if (code == CAIRN_OK) {
    out_record->topic = records->topic;
    out_record->partition = records->partition;
  }
  return code;
}

int64_t cairn_records_next_offset(const struct cairn_records *records) { return records->reader.head.next_offset; }
int64_t cairn_records_high_watermark(const struct cairn_records *records) { return records->reader.head.high_watermark; }
int64_t cairn_records_log_start_offset(const struct cairn_records *records) { return records->reader.head.log_start_offset; }

void cairn_records_free(struct cairn_records *records) {
  if (records == NULL) return;
  records_reader_deinit(&records->reader);
  memory_free(records->topic);
  memory_free(records);
}
