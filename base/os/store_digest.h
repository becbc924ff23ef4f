/* What all pairs of a store add up to. A commit carries it on and keeps it in a table of its own; before a file is opened it is summed up anew
 * and compared, so a page of an earlier commit that fits, or the wrong one of two trees, is not taken for what was committed last.
 *
 * It calls nothing of LMDB's: tables are known by the names that they have in the file, and that is read through store_check.h.
 */
#ifndef CAIRN_BASE_OS_STORE_DIGEST_H
#define CAIRN_BASE_OS_STORE_DIGEST_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "base/store.h"

#define STORE_DIGEST_TABLE STORE_TABLES_MAX /* one more than the caller's */
#define STORE_TABLES_ALL (STORE_TABLES_MAX + 1)
#define STORE_TABLE_NAME_SIZE 8u
#define STORE_DIGEST_SIZE 32u
#define STORE_DIGEST_KEY "contents"

struct store_digest {
  uint64_t count;
  uint64_t sum;
  uint64_t commits;
};

void store_table_name(unsigned table, char out_name[STORE_TABLE_NAME_SIZE]);

/* `kept`: the value with its seal, as it stands in the file. */
void store_digest_add(struct store_digest *digest, unsigned table, struct bytes key, struct bytes kept);
void store_digest_subtract(struct store_digest *digest, unsigned table, struct bytes key, struct bytes kept);

void store_digest_encode(const struct store_digest *digest, uint8_t out[STORE_DIGEST_SIZE]);
enum status store_digest_decode(struct bytes value, struct store_digest *out_digest) MUST_CHECK;

/* Reads the whole file, with plain reads: STATUS_CORRUPT unless it holds exactly what its last commit left. */
enum status store_digest_check_file(int descriptor) MUST_CHECK;

#endif
