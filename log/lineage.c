#include "log/lineage.h"

#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "log/small_file.h"

#define LINEAGE_MAGIC 0x4c4e5243u /* "CRNL" */
#define LINEAGE_VERSION 1u

_Static_assert(LINEAGE_SIZE_MAX <= SMALL_FILE_BYTES_MAX, "a small file");

const char *const lineage_paths[LINEAGE_FILES] = {"lineage", "lineage.copy"};

void lineage_continue(struct lineage *lineage, uint64_t boot, uint64_t from_group) {
  PRE(boot != 0);
  size_t kept = lineage->count < LINEAGE_LINKS_MAX ? lineage->count : LINEAGE_LINKS_MAX - 1;
  memmove(lineage->links + 1, lineage->links, kept * sizeof *lineage->links);
  lineage->links[0] = (struct lineage_link){.boot = boot, .from_group = from_group};
  lineage->count = kept + 1;
  lineage->generation++;
}

const struct lineage_link *lineage_at(const struct lineage *lineage, uint64_t generation) {
  if (generation > lineage->generation || lineage->generation - generation >= lineage->count) return NULL;
  return &lineage->links[lineage->generation - generation];
}

/* ---- Bytes ---- */

size_t lineage_encode(const struct lineage *lineage, uint8_t out[LINEAGE_SIZE_MAX]) {
  PRE(lineage->count > 0 && lineage->count <= LINEAGE_LINKS_MAX && lineage->generation >= lineage->count);
  size_t size = LINEAGE_HEAD_SIZE + lineage->count * LINEAGE_LINK_SIZE;
  memset(out, 0, LINEAGE_HEAD_SIZE);
  put_u32(out, LINEAGE_MAGIC);
  out[8] = LINEAGE_VERSION;
  put_u16(out + 10, (uint16_t)lineage->count);
  memcpy(out + 16, lineage->incarnation, LOG_ID_SIZE);
  put_u64(out + 32, lineage->generation);
  for (size_t i = 0; i < lineage->count; i++) {
    uint8_t *at = out + LINEAGE_HEAD_SIZE + i * LINEAGE_LINK_SIZE;
    put_u64(at, lineage->links[i].boot);
    put_u64(at + 8, lineage->links[i].from_group);
  }
  put_u32(out + 4, crc32c(0, bytes_of(out + 8, size - 8)));
  return size;
}

enum status lineage_decode(struct bytes bytes, struct lineage *out_lineage) {
  if (bytes.size < LINEAGE_HEAD_SIZE || get_u32(bytes.data) != LINEAGE_MAGIC) return STATUS_CORRUPT;
  if (small_file_is_later(bytes, LINEAGE_VERSION)) return STATUS_FOREIGN;
  size_t count = get_u16(bytes.data + 10);
  size_t size = LINEAGE_HEAD_SIZE + count * LINEAGE_LINK_SIZE;
  if (count == 0 || count > LINEAGE_LINKS_MAX || bytes.size < size) return STATUS_CORRUPT;
  if (get_u32(bytes.data + 4) != crc32c(0, bytes_of(bytes.data + 8, size - 8))) return STATUS_CORRUPT;
  if (bytes.data[8] != LINEAGE_VERSION) return STATUS_FOREIGN;
  uint64_t generation = get_u64(bytes.data + 32);
  if (generation < count) return STATUS_CORRUPT;
  for (size_t i = 0; i < count; i++)
    if (get_u64(bytes.data + LINEAGE_HEAD_SIZE + i * LINEAGE_LINK_SIZE) == 0) return STATUS_CORRUPT;
  *out_lineage = (struct lineage){.generation = generation, .count = count};
  memcpy(out_lineage->incarnation, bytes.data + 16, LOG_ID_SIZE);
  for (size_t i = 0; i < count; i++) {
    const uint8_t *at = bytes.data + LINEAGE_HEAD_SIZE + i * LINEAGE_LINK_SIZE;
    out_lineage->links[i] = (struct lineage_link){.boot = get_u64(at), .from_group = get_u64(at + 8)};
  }
  return STATUS_OK;
}

/* ---- Files ---- */

enum status lineage_read_file(struct disk *disk, const char *path, const uint8_t incarnation[LOG_ID_SIZE],
                              struct lineage *out_lineage) {
  uint8_t into[SMALL_FILE_BYTES_MAX];
  struct bytes bytes;
  enum status status = small_file_read(disk, path, into, &bytes);
  if (status == STATUS_OK) status = lineage_decode(bytes, out_lineage);
  if (status == STATUS_OK && memcmp(out_lineage->incarnation, incarnation, LOG_ID_SIZE) != 0) return STATUS_CORRUPT;
  return status;
}

enum status lineage_read(struct disk *disk, const uint8_t incarnation[LOG_ID_SIZE], struct lineage *out_lineage) {
  struct lineage newest = {0};
  unsigned missing = 0, unread = 0;
  for (size_t i = 0; i < LINEAGE_FILES; i++) {
    struct lineage found;
    enum status status = lineage_read_file(disk, lineage_paths[i], incarnation, &found);
    if (status == STATUS_OK && found.generation > newest.generation) newest = found;
    if (status == STATUS_NOT_FOUND) missing++;
    else if (status == STATUS_CORRUPT) unread++;
    else if (status != STATUS_OK) return status;
  }
  memcpy(newest.incarnation, incarnation, LOG_ID_SIZE);
  *out_lineage = newest;
  return newest.count == 0 && unread > 0 && missing + unread == LINEAGE_FILES ? STATUS_CORRUPT : STATUS_OK;
}

enum status lineage_write(struct disk *disk, const struct lineage *lineage) {
  uint8_t bytes[LINEAGE_SIZE_MAX];
  size_t size = lineage_encode(lineage, bytes);
  for (size_t i = 0; i < LINEAGE_FILES; i++) {
    enum status status = small_file_keep(disk, lineage_paths[i], bytes_of(bytes, size));
    if (status != STATUS_OK) return status;
  }
  return STATUS_OK;
}
