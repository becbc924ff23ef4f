/* A journal group as the scan meets it: any bytes; and the same bytes with checksums that fit, told to their end. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "log/journal_format.h"
#include "log/journal_tell.h"

static const struct journal_file_head file = {.sequence = 5, .salt = 42, .size = 1 << 20};

static void found(void *context, const struct journal_found *frame) {
  uint64_t *sum = context;
  *sum += xxh3(0, frame->body); /* touches every byte */
}

static void damaged(void *context, const struct journal_loss *loss) {
  (void)context;
  (void)loss;
}

static bool decode(const uint8_t *data, size_t size, struct journal_group_head *out_head) {
  return journal_group_head_decode(bytes_of(data, size), &file, 2, out_head) == STATUS_OK && out_head->size <= size;
}

static void tell(const uint8_t *data, const struct journal_group_head *head) {
  uint64_t sum = 0;
  struct journal_replay replay = {.found = found, .damaged = damaged, .dropped = damaged, .context = &sum};
  struct journal_report report = {0};
  struct journal_states *states = journal_states_new(1);
  struct journal_teller teller;
  journal_teller_init(&teller, &replay, states, &report);
  journal_tell_group(&teller, &file, head, data);
  journal_tell_group(&teller, &file, head, data);
  journal_tell_dropped(&teller, head, data);
  journal_tell_lost(&teller, true, (struct journal_place){0});
  journal_tell_end(&teller);
  struct buffer table;
  buffer_init(&table, JOURNAL_BODY_MAX);
  journal_states_table(states, &table);
  buffer_deinit(&table);
  journal_teller_deinit(&teller);
  journal_states_free(states);
}

/* Makes head and directory say what is true of the bytes that are there; parts keep their claims of totals and starts. */
static void mend(uint8_t *data, size_t size) {
  uint32_t rows = get_u32(data + 64) % 8;
  size_t directory_end = JOURNAL_GROUP_HEAD_SIZE + rows * JOURNAL_ROW_SIZE;
  if (directory_end > size) rows = 0;
  size_t at = JOURNAL_GROUP_HEAD_SIZE + rows * JOURNAL_ROW_SIZE;
  for (uint32_t slot = 0; slot < rows; slot++) {
    uint8_t *encoded = data + JOURNAL_GROUP_HEAD_SIZE + slot * JOURNAL_ROW_SIZE;
    struct journal_row row = journal_row_decode(encoded);
    row.size %= (uint32_t)(size - at + 1);
    row.kind = (enum frame_kind)((unsigned)row.kind % 9);
    if (row.start % 2 == 0) row.start = 0;
    if (row.total % 2 == 0) row.total = row.start % 65536 + row.size;
    if (row.crc % 8 != 0) row.crc = crc32c(journal_crc_seed(&file), bytes_of(data + at, row.size));
    journal_row_encode(&row, encoded);
    at += row.size;
  }
  struct journal_group_head head = {.sequence = 9,
                                    .file = file.sequence,
                                    .file_first = 1,
                                    .block = 2,
                                    .size = (uint32_t)at,
                                    .rows = rows,
                                    .flags = get_u32(data + 68)};
  journal_group_head_seal(&head, file.salt, data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < JOURNAL_GROUP_HEAD_SIZE || size > 65536) return 0;
  struct journal_group_head head;
  if (decode(data, size, &head)) tell(data, &head);
  uint8_t *copy = memory_new(size);
  memcpy(copy, data, size);
  mend(copy, size);
  if (decode(copy, size, &head)) tell(copy, &head);
  memory_free(copy);

  uint8_t block[JOURNAL_BLOCK] = {0};
  struct journal_file_head file_head;
  memcpy(block, data, size < sizeof block ? size : sizeof block);
  enum status status = journal_file_head_decode(block, &file_head);
  (void)status;
  return 0;
}
