#include "log/journal_format.h"

#include <string.h>

#include "base/check.h"
#include "base/codec.h"

#define FILE_MAGIC "CRNJRNL" /* and the version, a digit */
#define FILE_VERSION '1'
#define GROUP_MAGIC "CRNG"
#define GROUP_VERSION 1u
#define HASH_FROM 16u /* in both heads: the hash covers what comes after it */

/* ---- File head ---- */

/* Magic and version are hashed too, as the seed: a flipped bit must not make our own file a stranger's. */
static uint64_t file_hash(const uint8_t *block) {
  return xxh3(get_u64(block), bytes_of(block + HASH_FROM, JOURNAL_BLOCK - HASH_FROM));
}

void journal_file_head_encode(const struct journal_file_head *head, uint8_t out[JOURNAL_BLOCK]) {
  memset(out, 0, JOURNAL_BLOCK);
  memcpy(out, FILE_MAGIC, 7);
  out[7] = FILE_VERSION;
  put_u64(out + 16, head->sequence);
  put_u64(out + 24, head->salt);
  put_u64(out + 32, head->size);
  memcpy(out + 40, head->owner, sizeof head->owner);
  put_u64(out + 8, file_hash(out));
}

static bool all_zeros(const uint8_t *bytes, size_t size) { return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0; }

enum status journal_file_head_decode(const uint8_t in[JOURNAL_BLOCK], struct journal_file_head *out_head) {
  if (all_zeros(in, JOURNAL_BLOCK)) return STATUS_END;
  if (memcmp(in, FILE_MAGIC, 7) != 0 || get_u64(in + 8) != file_hash(in)) return STATUS_CORRUPT;
  if (in[7] != FILE_VERSION) return STATUS_FOREIGN;
  struct journal_file_head head = {.sequence = get_u64(in + 16), .salt = get_u64(in + 24), .size = get_u64(in + 32)};
  memcpy(head.owner, in + 40, sizeof head.owner);
  if (head.sequence == 0) return STATUS_CORRUPT;
  *out_head = head;
  return STATUS_OK;
}

uint32_t journal_crc_seed(const struct journal_file_head *file) {
  uint8_t sequence[8];
  put_u64(sequence, file->sequence);
  return (uint32_t)xxh3(file->salt, bytes_of(sequence, sizeof sequence));
}

/* ---- Group head ---- */

static uint64_t head_hash(const uint8_t *group, uint32_t rows, uint64_t salt) {
  size_t end = JOURNAL_GROUP_HEAD_SIZE + (size_t)rows * JOURNAL_ROW_SIZE;
  return xxh3(salt, bytes_of(group + HASH_FROM, end - HASH_FROM));
}

void journal_group_head_seal(struct journal_group_head *head, uint64_t salt, uint8_t *group) {
  PRE(head->rows <= JOURNAL_GROUP_ROWS_MAX && head->size <= JOURNAL_GROUP_BYTES_MAX);
  memcpy(group, GROUP_MAGIC, 4);
  put_u32(group + 4, GROUP_VERSION);
  put_u64(group + 16, head->sequence);
  put_u64(group + 24, head->predecessor);
  put_u64(group + 32, head->synced_through);
  put_u64(group + 40, head->file);
  put_u64(group + 48, head->file_first);
  put_u32(group + 56, head->block);
  put_u32(group + 60, head->size);
  put_u32(group + 64, head->rows);
  put_u32(group + 68, head->flags);
  put_u64(group + 72, head->frames_before);
  put_u64(group + 80, head->released_below);
  head->hash = head_hash(group, head->rows, salt);
  put_u64(group + 8, head->hash);
}

size_t journal_group_directory_end(const uint8_t head[JOURNAL_GROUP_HEAD_SIZE]) {
  uint32_t rows = get_u32(head + 64);
  if (memcmp(head, GROUP_MAGIC, 4) != 0 || rows > JOURNAL_GROUP_ROWS_MAX) return 0;
  return JOURNAL_GROUP_HEAD_SIZE + (size_t)rows * JOURNAL_ROW_SIZE;
}

/* Do the directory's parts fill the group's size exactly? A hashed directory does; this keeps every reader within bounds. */
static bool directory_fits(const uint8_t *group, const struct journal_group_head *head) {
  uint64_t size = JOURNAL_GROUP_HEAD_SIZE + (uint64_t)head->rows * JOURNAL_ROW_SIZE;
  for (uint32_t slot = 0; slot < head->rows; slot++) {
    struct journal_row row = journal_row_decode(group + JOURNAL_GROUP_HEAD_SIZE + (size_t)slot * JOURNAL_ROW_SIZE);
    if (row.total > JOURNAL_BODY_MAX || row.start > row.total || row.size > row.total - row.start) return false;
    size += row.size;
  }
  return size == head->size;
}

enum status journal_group_head_decode(struct bytes group, const struct journal_file_head *file, uint32_t block,
                                      struct journal_group_head *out_head) {
  const uint8_t *in = group.data;
  if (group.size < JOURNAL_GROUP_HEAD_SIZE || memcmp(in, GROUP_MAGIC, 4) != 0) return STATUS_CORRUPT;
  struct journal_group_head head = {
      .hash = get_u64(in + 8),
      .sequence = get_u64(in + 16),
      .predecessor = get_u64(in + 24),
      .synced_through = get_u64(in + 32),
      .file = get_u64(in + 40),
      .file_first = get_u64(in + 48),
      .block = get_u32(in + 56),
      .size = get_u32(in + 60),
      .rows = get_u32(in + 64),
      .flags = get_u32(in + 68),
      .frames_before = get_u64(in + 72),
      .released_below = get_u64(in + 80),
  };
  /* Cheap refusals first: most of what lies behind the end of a file is an earlier lap. */
  if (head.file != file->sequence || head.block != block || head.rows > JOURNAL_GROUP_ROWS_MAX) return STATUS_CORRUPT;
  if ((uint64_t)block * JOURNAL_BLOCK >= journal_groups_end(file->size)) return STATUS_CORRUPT;
  size_t directory_end = journal_group_directory_end(in);
  if (directory_end > group.size || head.size < directory_end) return STATUS_CORRUPT;
  if (journal_round_up(head.size) > journal_groups_end(file->size) - (uint64_t)block * JOURNAL_BLOCK) return STATUS_CORRUPT;
  if (head_hash(in, head.rows, file->salt) != head.hash || get_u32(in + 4) != GROUP_VERSION) return STATUS_CORRUPT;
  if (!directory_fits(in, &head)) return STATUS_CORRUPT;
  if (head.synced_through >= head.sequence || head.file_first > head.sequence || head.released_below > head.file) {
    return STATUS_CORRUPT;
  }
  *out_head = head;
  return STATUS_OK;
}

bool journal_group_head_resembles(const uint8_t head[JOURNAL_GROUP_HEAD_SIZE], const struct journal_file_head *file,
                                  uint32_t block) {
  return memcmp(head, GROUP_MAGIC, 4) == 0 && get_u64(head + 40) == file->sequence && get_u32(head + 56) == block;
}

/* ---- Directory row ---- */

void journal_row_encode(const struct journal_row *row, uint8_t out[JOURNAL_ROW_SIZE]) {
  put_u64(out, row->group);
  put_u64(out + 8, row->instance);
  put_u64(out + 16, row->first_index);
  put_u32(out + 24, row->size);
  put_u32(out + 28, row->total);
  put_u32(out + 32, row->start);
  put_u32(out + 36, row->crc);
  put_u32(out + 40, (uint32_t)row->kind);
  put_u32(out + 44, 0);
}

struct journal_row journal_row_decode(const uint8_t in[JOURNAL_ROW_SIZE]) {
  return (struct journal_row){
      .group = get_u64(in),
      .instance = get_u64(in + 8),
      .first_index = get_u64(in + 16),
      .size = get_u32(in + 24),
      .total = get_u32(in + 28),
      .start = get_u32(in + 32),
      .crc = get_u32(in + 36),
      .kind = (enum frame_kind)get_u32(in + 40),
  };
}

/* ---- Hard states ---- */

void journal_hard_state_encode(const struct hard_state *state, uint8_t out[JOURNAL_HARD_STATE_SIZE]) {
  put_u64(out, state->term);
  put_u64(out + 8, state->commit);
  put_u32(out + 16, state->vote);
  put_u32(out + 20, 0);
}

enum status journal_hard_state_decode(struct bytes body, struct hard_state *out_state) {
  if (body.size != JOURNAL_HARD_STATE_SIZE) return STATUS_CORRUPT;
  *out_state = (struct hard_state){.term = get_u64(body.data), .commit = get_u64(body.data + 8), .vote = get_u32(body.data + 16)};
  return STATUS_OK;
}

void journal_table_row_encode(const struct journal_table_row *row, uint8_t out[JOURNAL_TABLE_ROW_SIZE]) {
  put_u64(out, row->group);
  put_u64(out + 8, row->instance);
  journal_hard_state_encode(&row->state, out + 16);
}

struct journal_table_row journal_table_row_decode(const uint8_t in[JOURNAL_TABLE_ROW_SIZE]) {
  struct journal_table_row row = {.group = get_u64(in), .instance = get_u64(in + 8)};
  enum status status = journal_hard_state_decode(bytes_of(in + 16, JOURNAL_HARD_STATE_SIZE), &row.state);
  CHECK(status == STATUS_OK);
  return row;
}
