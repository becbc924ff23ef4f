/* The bytes of a ReadResponse or TailResponse into records, one after the other, in place: keys and values point into the answer.
 *
 * 1. Records below `from` are skipped: the first batch of an answer may begin before the offset that was asked for.
 * 2. Offsets are dense: a batch that does not follow the one before, or has another number of records than its place says, is
 *    CAIRN_DATA_LOSS.
 * 3. A batch with a checksum was checked before its first record is shown.
 */
#ifndef CAIRN_CLIENTS_C_RECORDS_H
#define CAIRN_CLIENTS_C_RECORDS_H

#include "base/blob.h"
#include "clients/c/cairn.h"
#include "proto/log_wire.h"

struct records_reader {
  struct blob *message; /* NULL: empty */
  struct wire_read_response head;
  int64_t from;
  struct wire_cursor batches;
  bool in_batch;
  struct wire_stored_batch batch;
  struct blob *inflated;
  struct wire_cursor records;
  int64_t offset; /* of the next record in the batch */
  struct cairn_header *headers;
  size_t header_capacity;
};

/* Takes over the hold on `message`, also when it fails; what the reader had before is released. */
int records_reader_open(struct records_reader *reader, struct blob *message, int64_t from, struct cairn_error *error);
/* CAIRN_OK, CAIRN_END, CAIRN_DATA_LOSS. Fills all of `*out_record` but topic and partition. */
int records_reader_next(struct records_reader *reader, struct cairn_record *out_record, struct cairn_error *error);
void records_reader_deinit(struct records_reader *reader);

#endif
