#include "base/os/store_digest.h"

#include <stdio.h>

#include "base/codec.h"
#include "base/os/store_check.h"
#include "base/store.h"

/* The one pair of the digest's table, sealed like any other.
 * OFFSET SIZE
 *      0    8  magic
 *      8    8  pairs in all tables
 *     16    8  sum over them of XXH3(table, key, kept value), modulo 2^64: it can be carried on, in any order
 *     24    8  commits so far
 */
#define DIGEST_MAGIC 0x3130747372696163u /* "cairst01" */

void store_table_name(unsigned table, char out_name[STORE_TABLE_NAME_SIZE]) {
  if (table == STORE_DIGEST_TABLE) snprintf(out_name, STORE_TABLE_NAME_SIZE, "digest");
  else snprintf(out_name, STORE_TABLE_NAME_SIZE, "t%02u", table % 100);
}

static uint64_t digest_of_pair(unsigned table, struct bytes key, struct bytes kept) { return xxh3(xxh3(table, key), kept); }

void store_digest_add(struct store_digest *digest, unsigned table, struct bytes key, struct bytes kept) {
  digest->count++;
  digest->sum += digest_of_pair(table, key, kept);
}

void store_digest_subtract(struct store_digest *digest, unsigned table, struct bytes key, struct bytes kept) {
  digest->count--;
  digest->sum -= digest_of_pair(table, key, kept);
}

void store_digest_encode(const struct store_digest *digest, uint8_t out[STORE_DIGEST_SIZE]) {
  put_u64(out, DIGEST_MAGIC);
  put_u64(out + 8, digest->count);
  put_u64(out + 16, digest->sum);
  put_u64(out + 24, digest->commits);
}

enum status store_digest_decode(struct bytes value, struct store_digest *out_digest) {
  if (value.size != STORE_DIGEST_SIZE || get_u64(value.data) != DIGEST_MAGIC) return STATUS_CORRUPT;
  *out_digest = (struct store_digest){
      .count = get_u64(value.data + 8), .sum = get_u64(value.data + 16), .commits = get_u64(value.data + 24)};
  return STATUS_OK;
}

/* ---- The audit of a file ---- */

/* What the check of the file adds up, and what the file says it should be. */
struct audit {
  struct store_digest found;
  struct store_digest recorded;
  bool is_recorded;
};

static enum status audit_pair(void *context, struct bytes name, struct bytes key, struct bytes kept) {
  struct audit *audit = context;
  for (unsigned table = 0; table < STORE_TABLES_ALL; table++) {
    char known[STORE_TABLE_NAME_SIZE];
    store_table_name(table, known);
    if (!bytes_equal(name, bytes_of_string(known))) continue;
    struct bytes value;
    enum status status = store_unseal(table, key, kept, &value);
    if (status != STATUS_OK) return status;
    if (table != STORE_DIGEST_TABLE) {
      store_digest_add(&audit->found, table, key, kept);
      return STATUS_OK;
    }
    if (audit->is_recorded || !bytes_equal(key, bytes_of_string(STORE_DIGEST_KEY))) return STATUS_CORRUPT;
    audit->is_recorded = true;
    return store_digest_decode(value, &audit->recorded);
  }
  return STATUS_CORRUPT;
}

/* True when the tree that does not count is the newer one: a meta page's transaction number is damaged. LMDB never reuses pages of
 * the tree before the last, so a digest that is found there is the one that belongs there. */
static bool is_rolled_back(int descriptor, const struct store_digest *last) {
  struct audit before = {0};
  char name[STORE_TABLE_NAME_SIZE];
  store_table_name(STORE_DIGEST_TABLE, name);
  enum status status = store_check_table(descriptor, STORE_CHECK_BEFORE, bytes_of_string(name), audit_pair, &before);
  return status == STATUS_OK && before.is_recorded && before.recorded.commits > last->commits;
}

enum status store_digest_check_file(int descriptor) {
  struct audit audit = {0};
  enum status status = store_check_file(descriptor, audit_pair, &audit);
  if (status != STATUS_OK) return status;
  bool agrees = audit.is_recorded && audit.found.count == audit.recorded.count && audit.found.sum == audit.recorded.sum;
  return agrees && !is_rolled_back(descriptor, &audit.recorded) ? STATUS_OK : STATUS_CORRUPT;
}
