#include "log/identity.h"

#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "log/small_file.h"
#include "log/tables.h"

#define IDENTITY_MAGIC 0x494e5243u /* "CRNI" */
#define IDENTITY_VERSION 2u

static const char *const paths[] = {"identity", "identity.copy"};
static const char draft_path[] = "founding";

_Static_assert(sizeof(struct log_founder) == IDENTITY_FOUNDER_SIZE, "compared as memory: no gaps");
_Static_assert(sizeof(struct log_identity) == 2 * LOG_ID_SIZE + 8 + LOG_FOUNDERS_MAX * sizeof(struct log_founder), "no gaps");

/* ---- Bytes ---- */

static void encode_founder(const struct log_founder *founder, uint8_t *out) {
  put_u32(out, founder->broker_id);
  memcpy(out + 4, founder->incarnation, LOG_ID_SIZE);
  memcpy(out + 4 + LOG_ID_SIZE, founder->address, LOG_ADDRESS_SIZE);
}

size_t identity_encode(const struct log_identity *identity, uint8_t out[IDENTITY_SIZE_MAX]) {
  PRE(identity->founder_count <= LOG_FOUNDERS_MAX);
  size_t size = IDENTITY_HEAD_SIZE + identity->founder_count * IDENTITY_FOUNDER_SIZE;
  memset(out, 0, size);
  put_u32(out, IDENTITY_MAGIC);
  out[8] = IDENTITY_VERSION;
  out[9] = (uint8_t)identity->founder_count;
  put_u32(out + 12, identity->broker_id);
  memcpy(out + 16, identity->cluster, LOG_ID_SIZE);
  memcpy(out + 32, identity->incarnation, LOG_ID_SIZE);
  for (uint32_t i = 0; i < identity->founder_count; i++)
    encode_founder(&identity->founders[i], out + IDENTITY_HEAD_SIZE + i * IDENTITY_FOUNDER_SIZE);
  put_u32(out + 4, crc32c(0, bytes_of(out + 8, size - 8)));
  return size;
}

/* Text, then zeros to the end. */
static bool address_valid(const char address[LOG_ADDRESS_SIZE]) {
  size_t size = strnlen(address, LOG_ADDRESS_SIZE);
  if (size == LOG_ADDRESS_SIZE) return false;
  for (; size < LOG_ADDRESS_SIZE; size++)
    if (address[size] != '\0') return false;
  return true;
}

static bool decode_founders(struct bytes bytes, struct log_identity *identity) {
  identity->founder_count = bytes.data[9];
  if (identity->founder_count > LOG_FOUNDERS_MAX) return false;
  if (bytes.size != IDENTITY_HEAD_SIZE + identity->founder_count * IDENTITY_FOUNDER_SIZE) return false;
  uint32_t before = 0;
  for (uint32_t i = 0; i < identity->founder_count; i++) {
    const uint8_t *at = bytes.data + IDENTITY_HEAD_SIZE + i * IDENTITY_FOUNDER_SIZE;
    struct log_founder *founder = &identity->founders[i];
    founder->broker_id = get_u32(at);
    memcpy(founder->incarnation, at + 4, LOG_ID_SIZE);
    memcpy(founder->address, at + 4 + LOG_ID_SIZE, LOG_ADDRESS_SIZE);
    if (founder->broker_id <= before || !address_valid(founder->address)) return false;
    before = founder->broker_id;
  }
  return true;
}

enum status identity_decode(struct bytes bytes, struct log_identity *out_identity) {
  if (bytes.size < IDENTITY_HEAD_SIZE || get_u32(bytes.data) != IDENTITY_MAGIC) return STATUS_CORRUPT;
  if (get_u32(bytes.data + 4) != crc32c(0, bytes_after(bytes, 8))) return STATUS_CORRUPT;
  uint8_t version = bytes.data[8];
  if (version == 0 || version > IDENTITY_VERSION) return STATUS_FOREIGN;
  struct log_identity identity = {.broker_id = get_u32(bytes.data + 12)};
  memcpy(identity.cluster, bytes.data + 16, LOG_ID_SIZE);
  memcpy(identity.incarnation, bytes.data + 32, LOG_ID_SIZE);
  if (version == 1 && bytes.size != IDENTITY_HEAD_SIZE) return STATUS_CORRUPT;
  if (version == 1) identity_found_alone(&identity);
  else if (!decode_founders(bytes, &identity)) return STATUS_CORRUPT;
  *out_identity = identity;
  return STATUS_OK;
}

/* ---- Founders ---- */

void identity_found_alone(struct log_identity *identity) {
  memset(identity->founders, 0, sizeof identity->founders);
  identity->founder_count = 1;
  identity->founders[0].broker_id = identity->broker_id;
  memcpy(identity->founders[0].incarnation, identity->incarnation, LOG_ID_SIZE);
}

const struct log_founder *identity_founder(const struct log_identity *identity, uint32_t broker_id) {
  for (uint32_t i = 0; i < identity->founder_count; i++)
    if (identity->founders[i].broker_id == broker_id) return &identity->founders[i];
  return NULL;
}

bool identity_founded(const struct log_identity *identity) {
  const struct log_founder *founder = identity_founder(identity, identity->broker_id);
  return founder != NULL && memcmp(founder->incarnation, identity->incarnation, LOG_ID_SIZE) == 0;
}

/* ---- Files ---- */

static enum status write_one(struct disk *disk, const char *path, const struct log_identity *identity) {
  uint8_t bytes[IDENTITY_SIZE_MAX];
  size_t size = identity_encode(identity, bytes);
  return small_file_write(disk, path, bytes_of(bytes, size));
}

enum status identity_write(struct disk *disk, const struct log_identity *identity) {
  for (size_t i = 0; i < 2; i++) {
    enum status status = write_one(disk, paths[i], identity);
    if (status != STATUS_OK) return status;
  }
  return STATUS_OK;
}

enum status identity_read_file(struct disk *disk, const char *path, struct log_identity *out_identity) {
  uint8_t into[SMALL_FILE_BYTES_MAX];
  struct bytes bytes;
  enum status status = small_file_read(disk, path, into, &bytes);
  return status == STATUS_OK ? identity_decode(bytes, out_identity) : status;
}

enum status identity_read_store(struct store *store, struct log_identity *out_identity) {
  struct buffer value;
  buffer_init(&value, SMALL_FILE_BYTES_MAX);
  enum status status = store_get(store, TABLE_IDENTITY, bytes_of_string("identity"), &value);
  if (status == STATUS_OK) status = identity_decode(buffer_bytes(&value), out_identity);
  buffer_deinit(&value);
  return status;
}

enum status identity_read(struct disk *disk, struct log_identity *out_identity) {
  struct log_identity found[2];
  enum status status[2];
  for (size_t i = 0; i < 2; i++) status[i] = identity_read_file(disk, paths[i], &found[i]);
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

/* ---- The draft ---- */

enum status identity_write_draft(struct disk *disk, const struct log_identity *identity) {
  PRE(identity->founder_count == 0);
  return write_one(disk, draft_path, identity);
}

enum status identity_read_draft(struct disk *disk, struct log_identity *out_identity) {
  struct log_identity draft;
  enum status status = identity_read_file(disk, draft_path, &draft);
  if (status == STATUS_OK && draft.founder_count != 0) status = STATUS_CORRUPT;
  if (status == STATUS_OK) *out_identity = draft;
  return status;
}

void identity_remove_draft(struct disk *disk) {
  enum status status = disk_remove(disk, draft_path);
  (void)status; /* it says nothing any more */
}
