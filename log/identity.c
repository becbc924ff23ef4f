#include "log/identity.h"

#include <stdio.h>
#include <string.h>

#include "base/codec.h"

#define IDENTITY_MAGIC 0x494e5243u /* "CRNI" */
#define IDENTITY_VERSION 1u

static const char *const paths[] = {"identity", "identity.copy"};

void identity_encode(const struct log_identity *identity, uint8_t out[IDENTITY_SIZE]) {
  memset(out, 0, IDENTITY_SIZE);
  put_u32(out, IDENTITY_MAGIC);
  out[8] = IDENTITY_VERSION;
  put_u32(out + 12, identity->broker_id);
  memcpy(out + 16, identity->cluster, LOG_ID_SIZE);
  memcpy(out + 32, identity->incarnation, LOG_ID_SIZE);
  put_u32(out + 4, crc32c(0, bytes_of(out + 8, IDENTITY_SIZE - 8)));
}

enum status identity_decode(struct bytes bytes, struct log_identity *out_identity) {
  if (bytes.size != IDENTITY_SIZE || get_u32(bytes.data) != IDENTITY_MAGIC) return STATUS_CORRUPT;
  if (get_u32(bytes.data + 4) != crc32c(0, bytes_after(bytes, 8))) return STATUS_CORRUPT;
  if (bytes.data[8] != IDENTITY_VERSION) return STATUS_FOREIGN;
  *out_identity = (struct log_identity){.broker_id = get_u32(bytes.data + 12)};
  memcpy(out_identity->cluster, bytes.data + 16, LOG_ID_SIZE);
  memcpy(out_identity->incarnation, bytes.data + 32, LOG_ID_SIZE);
  return STATUS_OK;
}

static enum status write_one(struct disk *disk, const char *path, const struct log_identity *identity) {
  char temporary[DISK_PATH_MAX];
  snprintf(temporary, sizeof temporary, "%s.tmp", path);
  uint8_t bytes[IDENTITY_SIZE];
  identity_encode(identity, bytes);
  struct disk_file *file = NULL;
  enum status status = disk_open(disk, temporary, DISK_CREATE, &file);
  if (status != STATUS_OK) return status;
  status = disk_truncate(file, 0);
  if (status == STATUS_OK) status = disk_write(file, 0, bytes_of(bytes, sizeof bytes));
  if (status == STATUS_OK) status = disk_sync(file);
  disk_close(file);
  if (status == STATUS_OK) status = disk_rename(disk, temporary, path);
  if (status == STATUS_OK) status = disk_sync_dir(disk, "");
  return status;
}

enum status identity_write(struct disk *disk, const struct log_identity *identity) {
  for (size_t i = 0; i < 2; i++) {
    enum status status = write_one(disk, paths[i], identity);
    if (status != STATUS_OK) return status;
  }
  return STATUS_OK;
}

static enum status read_one(struct disk *disk, const char *path, struct log_identity *out_identity) {
  struct disk_file *file = NULL;
  enum status status = disk_open(disk, path, DISK_READ_ONLY, &file);
  if (status != STATUS_OK) return status;
  uint8_t bytes[IDENTITY_SIZE + 1];
  size_t got = 0;
  status = disk_read(file, 0, bytes, sizeof bytes, &got);
  disk_close(file);
  if (status != STATUS_OK) return status;
  return identity_decode(bytes_of(bytes, got), out_identity);
}

enum status identity_read(struct disk *disk, struct log_identity *out_identity) {
  struct log_identity found[2];
  enum status status[2];
  for (size_t i = 0; i < 2; i++) status[i] = read_one(disk, paths[i], &found[i]);
  for (size_t i = 0; i < 2; i++) {
    if (status[i] == STATUS_FOREIGN) return STATUS_FOREIGN;
    if (status[i] != STATUS_OK && status[i] != STATUS_CORRUPT && status[i] != STATUS_NOT_FOUND) return status[i];
  }
  size_t good = status[0] == STATUS_OK ? 0 : 1;
  if (status[good] != STATUS_OK) {
    return status[0] == STATUS_NOT_FOUND && status[1] == STATUS_NOT_FOUND ? STATUS_NOT_FOUND : STATUS_CORRUPT;
  }
  size_t other = 1 - good;
  if (status[other] == STATUS_OK) {
    if (memcmp(&found[0], &found[1], sizeof found[0]) != 0) return STATUS_CORRUPT;
  } else {
    enum status written = write_one(disk, paths[other], &found[good]);
    if (written != STATUS_OK && written != STATUS_NO_SPACE) return written;
  }
  *out_identity = found[good];
  return STATUS_OK;
}
