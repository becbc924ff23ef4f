#include "log/segment.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "base/mutant.h"

#define SEGMENT_MAGIC 0x534e5243u /* "CRNS" */
#define SEGMENT_VERSION 1u
#define SEGMENT_FLAG_CHAINED 1u

static uint64_t block_up(uint64_t size) { return (size + DISK_BLOCK_SIZE - 1) / DISK_BLOCK_SIZE * DISK_BLOCK_SIZE; }

void segment_dir_path(char out[DISK_PATH_MAX], group_id group, instance_id instance) {
  snprintf(out, DISK_PATH_MAX, "p/%" PRIu64 "-%" PRIu64, group, instance);
}

void segment_path(char out[DISK_PATH_MAX], group_id group, instance_id instance, entry_index first_index) {
  snprintf(out, DISK_PATH_MAX, "p/%" PRIu64 "-%" PRIu64 "/%020" PRIu64 ".segment", group, instance, first_index);
}

static bool parse_number(const char **at, size_t digits_max, uint64_t *out_number) {
  uint64_t number = 0;
  size_t digits = 0;
  for (; **at >= '0' && **at <= '9' && digits < digits_max; (*at)++, digits++) {
    uint64_t digit = (uint64_t)(**at - '0');
    if (number > (UINT64_MAX - digit) / 10) return false;
    number = number * 10 + digit;
  }
  *out_number = number;
  return digits > 0;
}

bool segment_dir_parse(const char *name, group_id *out_group, instance_id *out_instance) {
  const char *at = name;
  if (!parse_number(&at, 20, out_group) || *at++ != '-') return false;
  return parse_number(&at, 20, out_instance) && *at == '\0';
}

bool segment_name_parse(const char *name, entry_index *out_first_index) {
  const char *at = name;
  if (!parse_number(&at, 20, out_first_index)) return false;
  return at - name == 20 && strcmp(at, ".segment") == 0;
}

struct removal {
  struct disk *disk;
  group_id group;
  instance_id instance;
  entry_index above;
  bool any;
};

static void remove_if_above(void *context, const char *name) {
  struct removal *removal = context;
  entry_index first = 0;
  if (!segment_name_parse(name, &first) || first <= removal->above) return;
  char path[DISK_PATH_MAX];
  segment_path(path, removal->group, removal->instance, first);
  enum status status = disk_remove(removal->disk, path);
  removal->any = removal->any || status == STATUS_OK;
}

void segment_remove_above(struct disk *disk, group_id group, instance_id instance, entry_index index) {
  char path[DISK_PATH_MAX];
  segment_dir_path(path, group, instance);
  struct removal removal = {.disk = disk, .group = group, .instance = instance, .above = index};
  enum status status = disk_list(disk, path, remove_if_above, &removal);
  /* One that came back after a power cut would stand among those that are written from now on. */
  if (removal.any) status = disk_sync_dir(disk, path);
  (void)status; /* most have no directory */
}

enum status segment_remove_dir(struct disk *disk, group_id group, instance_id instance) {
  char path[DISK_PATH_MAX];
  segment_dir_path(path, group, instance);
  enum status status = disk_remove(disk, path);
  if (status == STATUS_EXISTS) { /* a checkpoint that did not come to its end left one that no row names */
    segment_remove_above(disk, group, instance, 0);
    status = disk_remove(disk, path);
  }
  return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

void segment_header_encode(const struct segment_header *header, uint8_t out[SEGMENT_HEADER_SIZE]) {
  memset(out, 0, SEGMENT_HEADER_SIZE);
  put_u32(out, SEGMENT_MAGIC);
  out[8] = SEGMENT_VERSION;
  out[9] = header->chained ? SEGMENT_FLAG_CHAINED : 0;
  put_u64(out + 16, header->group);
  put_u64(out + 24, header->instance);
  put_u64(out + 32, header->first_index);
  put_u64(out + 40, (uint64_t)header->base_offset);
  put_u64(out + 48, header->previous_chain);
  put_u64(out + 56, header->previous_term);
  memcpy(out + 64, header->owner, SEGMENT_OWNER_SIZE);
  put_u32(out + 4, crc32c(0, bytes_of(out + 8, SEGMENT_HEADER_SIZE - 8)));
}

enum status segment_header_decode(const uint8_t in[SEGMENT_HEADER_SIZE], struct segment_header *out_header) {
  if (get_u32(in) != SEGMENT_MAGIC) return STATUS_CORRUPT;
  if (get_u32(in + 4) != crc32c(0, bytes_of(in + 8, SEGMENT_HEADER_SIZE - 8))) return STATUS_CORRUPT;
  if (in[8] != SEGMENT_VERSION) return STATUS_FOREIGN;
  *out_header = (struct segment_header){
      .group = get_u64(in + 16),
      .instance = get_u64(in + 24),
      .first_index = get_u64(in + 32),
      .base_offset = (record_offset)get_u64(in + 40),
      .previous_chain = get_u64(in + 48),
      .previous_term = get_u64(in + 56),
      .chained = (in[9] & SEGMENT_FLAG_CHAINED) != 0,
  };
  memcpy(out_header->owner, in + 64, SEGMENT_OWNER_SIZE);
  return STATUS_OK;
}

enum status segment_check_owner(struct disk_file *file, group_id group, instance_id instance, entry_index first_index,
                                const uint8_t *owner) {
  uint8_t *block = memory_new_aligned(DISK_BLOCK_SIZE, SEGMENT_HEADER_SIZE);
  struct segment_header header;
  size_t got = 0;
  enum status status = disk_read(file, 0, block, SEGMENT_HEADER_SIZE, &got);
  if (status == STATUS_OK) status = got == SEGMENT_HEADER_SIZE ? segment_header_decode(block, &header) : STATUS_CORRUPT;
  memory_free(block);
  if (status == STATUS_CORRUPT) return STATUS_OK;
  if (status == STATUS_FOREIGN) return STATUS_UNSUPPORTED;
  if (status != STATUS_OK) return status;
  bool ours = header.group == group && header.instance == instance && header.first_index == first_index &&
              (owner == NULL || memcmp(header.owner, owner, SEGMENT_OWNER_SIZE) == 0);
  return ours ? STATUS_OK : STATUS_FOREIGN;
}

enum status segment_owner_trouble(enum status status) {
  if (status == STATUS_FOREIGN) return STATUS_NOT_FOUND;
  return status == STATUS_UNSUPPORTED ? STATUS_IO : status;
}

/* ---- Writing ---- */

static enum status create_file(struct disk *disk, const struct segment_header *header, struct disk_file **out_file,
                               bool *out_made_dir) {
  char dir[DISK_PATH_MAX];
  char path[DISK_PATH_MAX];
  segment_dir_path(dir, header->group, header->instance);
  segment_path(path, header->group, header->instance, header->first_index);
  *out_made_dir = false;
  enum status status = disk_open(disk, path, DISK_CREATE | DISK_EXCLUSIVE | DISK_DIRECT, out_file);
  if (status == STATUS_EXISTS) { /* an abandoned checkpoint's; no row names it */
    status = disk_remove(disk, path);
    if (status == STATUS_OK) status = disk_open(disk, path, DISK_CREATE | DISK_EXCLUSIVE | DISK_DIRECT, out_file);
  }
  if (status != STATUS_NOT_FOUND) return status;
  status = disk_make_dir(disk, dir);
  if (status != STATUS_OK && status != STATUS_EXISTS) return status;
  *out_made_dir = true;
  return disk_open(disk, path, DISK_CREATE | DISK_EXCLUSIVE | DISK_DIRECT, out_file);
}

enum status segment_create(struct disk *disk, const struct segment_header *header, struct segment_writer *out_writer,
                           bool *out_made_dir) {
  struct disk_file *file = NULL;
  enum status status = create_file(disk, header, &file, out_made_dir);
  if (status != STATUS_OK) return status;
  uint8_t *block = memory_new_aligned(DISK_BLOCK_SIZE, SEGMENT_HEADER_SIZE);
  segment_header_encode(header, block);
  status = disk_write(file, 0, bytes_of(block, SEGMENT_HEADER_SIZE));
  memory_free(block);
  if (status != STATUS_OK) {
    disk_close(file);
    return status;
  }
  *out_writer = (struct segment_writer){
      .file = file,
      .piece_bytes = SEGMENT_CHUNK_BYTES,
      .info = {.first_index = header->first_index,
               .last_index = header->first_index - 1,
               .first_offset = header->base_offset,
               .end_offset = header->base_offset,
               .length = SEGMENT_HEADER_SIZE,
               .previous_chain = header->previous_chain,
               .last_chain = header->previous_chain,
               .last_term = header->previous_term,
               .chained = header->chained},
  };
  return STATUS_OK;
}

enum status segment_open_append(struct disk *disk, group_id group, instance_id instance, const struct segment_info *info,
                                struct segment_writer *out_writer) {
  PRE(!info->sealed && !info->dropped);
  PRE(info->length % DISK_BLOCK_SIZE == 0);
  char path[DISK_PATH_MAX];
  segment_path(path, group, instance, info->first_index);
  struct disk_file *file = NULL;
  enum status status = disk_open(disk, path, DISK_DIRECT, &file);
  if (status != STATUS_OK) return status;
  struct disk_stat stat;
  status = disk_stat_file(file, &stat);
  if (status == STATUS_OK && stat.size < info->length) status = STATUS_CORRUPT;
  if (status != STATUS_OK) {
    disk_close(file);
    return status;
  }
  *out_writer = (struct segment_writer){.file = file, .piece_bytes = SEGMENT_CHUNK_BYTES, .info = *info};
  return STATUS_OK;
}

static void note_entry(struct segment_info *info, const struct entry_head *head) {
  CHECK(head->index == info->last_index + 1);
  CHECK(head->base_offset == info->end_offset);
  info->last_index = head->index;
  info->end_offset = entry_end_offset(head);
  info->last_chain = head->chain;
  info->last_term = head->term;
  info->length += entry_size(head);
  info->leader_time_ms = head->leader_time_ms;
  if (head->record_count > 0 && head->max_time_ms > info->max_time_ms) info->max_time_ms = head->max_time_ms;
}

static enum status write_buffer(struct segment_writer *writer) {
  if (writer->buffered == 0) return STATUS_OK;
  enum status status = disk_write(writer->file, writer->written, bytes_of(writer->buffer, writer->buffered));
  if (status != STATUS_OK) return status;
  writer->written += writer->buffered;
  writer->buffered = 0;
  return STATUS_OK;
}

static enum status add_bytes(struct segment_writer *writer, struct bytes bytes) {
  while (bytes.size > 0) {
    size_t room = writer->piece_bytes - writer->buffered % writer->piece_bytes;
    size_t size = bytes.size < room ? bytes.size : room;
    memcpy(writer->buffer + writer->buffered, bytes.data, size);
    writer->buffered += size;
    bytes = bytes_after(bytes, size);
    if (writer->buffered % writer->piece_bytes != 0) continue;
    enum status status = write_buffer(writer);
    if (status != STATUS_OK) return status;
  }
  return STATUS_OK;
}

enum status segment_append(struct segment_writer *writer, const struct entry *entries, size_t count) {
  PRE(writer->file != NULL);
  PRE(writer->piece_bytes % DISK_BLOCK_SIZE == 0 && SEGMENT_CHUNK_BYTES % writer->piece_bytes == 0);
  if (writer->buffer == NULL) {
    writer->buffer = memory_new_aligned(DISK_BLOCK_SIZE, SEGMENT_CHUNK_BYTES);
    writer->written = writer->info.length;
  }
  for (size_t i = 0; i < count; i++) {
    CHECK(entries[i].payload.bytes.size == entries[i].head.payload_size);
    uint8_t head[ENTRY_HEAD_SIZE];
    entry_encode_head(&entries[i].head, head);
    enum status status = add_bytes(writer, bytes_of(head, sizeof head));
    if (status == STATUS_OK) status = add_bytes(writer, entries[i].payload.bytes);
    if (status != STATUS_OK) return status;
    note_entry(&writer->info, &entries[i].head);
  }
  return STATUS_OK;
}

enum status segment_finish(struct segment_writer *writer) {
  uint64_t end = block_up(writer->info.length);
  if (writer->buffered > 0) {
    size_t padding = (size_t)(end - writer->info.length);
    memset(writer->buffer + writer->buffered, 0, padding);
    writer->buffered += padding;
  }
  enum status status = write_buffer(writer);
  if (status != STATUS_OK) return status;
  writer->info.length = end;
  return MUTANT(segment_not_synced) ? STATUS_OK : disk_sync(writer->file);
}

void segment_writer_close(struct segment_writer *writer) {
  disk_close(writer->file);
  memory_free(writer->buffer);
  *writer = (struct segment_writer){.info = writer->info};
}
