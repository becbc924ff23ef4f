#include "log/dump.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/codec.h"
#include "base/memory.h"
#include "log/tables.h"

#define DUMP_MAGIC 0x444e5243u /* "CRND" */
#define DUMP_VERSION 1u
#define DUMP_HEAD_SIZE 48u
#define DUMP_BYTES_MAX (1ull << 30)

static void dump_path(char out[DISK_PATH_MAX], uint64_t generation) {
  snprintf(out, DISK_PATH_MAX, "dump/%020" PRIu64, generation);
}

/* ---- Writing ---- */

struct gather {
  struct buffer rows;
  uint64_t count;
  unsigned table;
  enum status status;
};

static bool gather_row(void *context, struct bytes key, struct bytes value) {
  struct gather *gather = context;
  uint8_t head[8] = {(uint8_t)gather->table, (uint8_t)key.size};
  put_u32(head + 4, (uint32_t)value.size);
  gather->status = buffer_append(&gather->rows, head, sizeof head);
  if (gather->status == STATUS_OK) gather->status = buffer_append(&gather->rows, key.data, key.size);
  if (gather->status == STATUS_OK) gather->status = buffer_append(&gather->rows, value.data, value.size);
  gather->count++;
  return gather->status == STATUS_OK;
}

static enum status gather_tables(struct store *store, struct gather *gather) {
  static const unsigned tables[] = {TABLE_IDENTITY, TABLE_GROUP, TABLE_STATE, TABLE_META};
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
    gather->table = tables[i];
    enum status status = store_walk(store, tables[i], bytes_of(NULL, 0), gather_row, gather);
    if (status != STATUS_OK) return status;
    if (gather->status != STATUS_OK) return gather->status;
  }
  return STATUS_OK;
}

static enum status write_file(struct disk *disk, uint64_t generation, const struct gather *gather) {
  uint8_t head[DUMP_HEAD_SIZE] = {0};
  put_u32(head, DUMP_MAGIC);
  head[8] = DUMP_VERSION;
  put_u64(head + 16, generation);
  put_u64(head + 24, gather->count);
  put_u64(head + 32, gather->rows.size);
  put_u32(head + 40, crc32c(0, buffer_bytes(&gather->rows)));
  put_u32(head + 4, crc32c(0, bytes_of(head + 8, DUMP_HEAD_SIZE - 8)));
  char path[DISK_PATH_MAX];
  char temporary[DISK_PATH_MAX];
  dump_path(path, generation);
  snprintf(temporary, sizeof temporary, "dump/%" PRIu64 ".tmp", generation);
  struct disk_file *file = NULL;
  enum status status = disk_open(disk, temporary, DISK_CREATE, &file);
  if (status != STATUS_OK) return status;
  struct bytes parts[2] = {bytes_of(head, sizeof head), buffer_bytes(&gather->rows)};
  status = disk_truncate(file, 0);
  if (status == STATUS_OK) status = disk_write_parts(file, 0, parts, 2);
  if (status == STATUS_OK) status = disk_sync(file);
  disk_close(file);
  if (status == STATUS_OK) status = disk_rename(disk, temporary, path);
  if (status == STATUS_OK) status = disk_sync_dir(disk, "dump");
  if (status == STATUS_OK) return STATUS_OK;
  enum status removed = disk_remove(disk, temporary);
  (void)removed; /* it is the next dump's to replace */
  return status;
}

static void remove_old(struct disk *disk, uint64_t generation) {
  uint64_t found[DUMP_LIST_MAX];
  size_t count = dump_list(disk, found, DUMP_LIST_MAX);
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    if (found[i] <= generation && kept++ < DUMP_KEEP) continue;
    char path[DISK_PATH_MAX];
    dump_path(path, found[i]);
    enum status status = disk_remove(disk, path);
    (void)status; /* an old dump too many does no harm */
  }
}

enum status dump_write(struct disk *disk, struct store *store, uint64_t generation) {
  struct gather gather = {.status = STATUS_OK};
  buffer_init(&gather.rows, DUMP_BYTES_MAX);
  enum status status = gather_tables(store, &gather);
  if (status == STATUS_OK) status = write_file(disk, generation, &gather);
  buffer_deinit(&gather.rows);
  if (status == STATUS_OK) remove_old(disk, generation);
  return status;
}

/* ---- Reading ---- */

struct list_context {
  uint64_t *generations;
  size_t count;
  size_t max;
};

static void note_name(void *context, const char *name) {
  struct list_context *list = context;
  uint64_t generation = 0;
  size_t i = 0;
  for (; name[i] >= '0' && name[i] <= '9'; i++) generation = generation * 10 + (uint64_t)(name[i] - '0');
  if (i != 20 || name[i] != '\0') return;
  if (list->count == list->max) { /* names come sorted: forget the oldest */
    memmove(list->generations, list->generations + 1, (list->max - 1) * sizeof *list->generations);
    list->count--;
  }
  list->generations[list->count++] = generation;
}

size_t dump_list(struct disk *disk, uint64_t *out_generations, size_t max) {
  struct list_context list = {.generations = out_generations, .max = max};
  if (disk_list(disk, "dump", note_name, &list) != STATUS_OK) return 0;
  for (size_t i = 0; i < list.count / 2; i++) {
    uint64_t swap = out_generations[i];
    out_generations[i] = out_generations[list.count - 1 - i];
    out_generations[list.count - 1 - i] = swap;
  }
  return list.count;
}

static enum status read_file(struct disk *disk, uint64_t generation, struct buffer *out) {
  char path[DISK_PATH_MAX];
  dump_path(path, generation);
  struct disk_file *file = NULL;
  enum status status = disk_open(disk, path, DISK_READ_ONLY, &file);
  if (status != STATUS_OK) return status;
  struct disk_stat stat;
  status = disk_stat_file(file, &stat);
  if (status == STATUS_OK && (stat.size < DUMP_HEAD_SIZE || stat.size > DUMP_BYTES_MAX)) status = STATUS_CORRUPT;
  if (status == STATUS_OK) {
    size_t got = 0;
    uint8_t *into = buffer_extend(out, (size_t)stat.size);
    status = into == NULL ? STATUS_TOO_LARGE : disk_read(file, 0, into, (size_t)stat.size, &got);
    if (status == STATUS_OK && got != stat.size) status = STATUS_CORRUPT;
  }
  disk_close(file);
  return status;
}

static enum status check_head(struct bytes file, uint64_t generation) {
  const uint8_t *at = file.data;
  if (get_u32(at) != DUMP_MAGIC) return STATUS_CORRUPT;
  if (get_u32(at + 4) != crc32c(0, bytes_of(at + 8, DUMP_HEAD_SIZE - 8))) return STATUS_CORRUPT;
  if (at[8] != DUMP_VERSION) return STATUS_FOREIGN;
  struct bytes rows = bytes_after(file, DUMP_HEAD_SIZE);
  if (get_u64(at + 16) != generation || get_u64(at + 32) != rows.size) return STATUS_CORRUPT;
  return get_u32(at + 40) == crc32c(0, rows) ? STATUS_OK : STATUS_CORRUPT;
}

enum status dump_read(struct disk *disk, uint64_t generation,
                      void (*visit)(void *context, unsigned table, struct bytes key, struct bytes value), void *context) {
  struct buffer file;
  buffer_init(&file, DUMP_BYTES_MAX + DUMP_HEAD_SIZE);
  enum status status = read_file(disk, generation, &file);
  if (status == STATUS_OK) status = check_head(buffer_bytes(&file), generation);
  uint64_t count = status == STATUS_OK ? get_u64(file.data + 24) : 0;
  for (int pass = 0; pass < 2 && status == STATUS_OK; pass++) { /* all must be well before the first is visited */
    struct bytes left = bytes_after(buffer_bytes(&file), DUMP_HEAD_SIZE);
    for (uint64_t i = 0; i < count && status == STATUS_OK; i++) {
      if (left.size < 8 || left.size - 8 < (uint64_t)left.data[1] + get_u32(left.data + 4)) {
        status = STATUS_CORRUPT;
        break;
      }
      struct bytes key = bytes_of(left.data + 8, left.data[1]);
      struct bytes value = bytes_of(key.data + key.size, get_u32(left.data + 4));
      if (pass == 1) visit(context, left.data[0], key, value);
      left = bytes_after(left, 8 + key.size + value.size);
    }
    if (status == STATUS_OK && left.size != 0) status = STATUS_CORRUPT;
  }
  buffer_deinit(&file);
  return status;
}
