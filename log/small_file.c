#include "log/small_file.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/codec.h"

enum status small_file_write(struct disk *disk, const char *path, struct bytes bytes) {
  char temporary[DISK_PATH_MAX];
  snprintf(temporary, sizeof temporary, "%s.tmp", path);
  struct disk_file *file = NULL;
  enum status status = disk_open(disk, temporary, DISK_CREATE, &file);
  if (status != STATUS_OK) return status;
  status = disk_truncate(file, 0);
  if (status == STATUS_OK) status = disk_write(file, 0, bytes);
  if (status == STATUS_OK) status = disk_sync(file);
  disk_close(file);
  if (status == STATUS_OK) status = disk_rename(disk, temporary, path);
  if (status == STATUS_OK) status = disk_sync_dir(disk, "");
  return status;
}

static enum status overwrite(struct disk *disk, const char *path, struct bytes bytes) {
  struct disk_file *file = NULL;
  enum status status = disk_open(disk, path, 0, &file);
  if (status != STATUS_OK) return status == STATUS_NOT_FOUND ? STATUS_NO_SPACE : status;
  status = disk_write(file, 0, bytes);
  if (status == STATUS_OK) status = disk_sync(file);
  disk_close(file);
  return status;
}

enum status small_file_keep(struct disk *disk, const char *path, struct bytes bytes) {
  uint8_t padded[SMALL_FILE_BYTES_MAX] = {0};
  PRE(bytes.size <= sizeof padded);
  memcpy(padded, bytes.data, bytes.size);
  enum status status = small_file_write(disk, path, bytes_of(padded, sizeof padded));
  return status == STATUS_NO_SPACE ? overwrite(disk, path, bytes_of(padded, sizeof padded)) : status;
}

enum status small_file_read(struct disk *disk, const char *path, uint8_t into[SMALL_FILE_BYTES_MAX], struct bytes *out_bytes) {
  struct disk_file *file = NULL;
  enum status status = disk_open(disk, path, DISK_READ_ONLY, &file);
  if (status != STATUS_OK) return status;
  size_t size = 0;
  status = disk_read(file, 0, into, SMALL_FILE_BYTES_MAX, &size);
  disk_close(file);
  if (status == STATUS_OK) *out_bytes = bytes_of(into, size);
  return status;
}

bool small_file_is_later(struct bytes bytes, uint8_t version) {
  return bytes.size > 8 && bytes.data[8] > version && get_u32(bytes.data + 4) == crc32c(0, bytes_after(bytes, 8));
}
