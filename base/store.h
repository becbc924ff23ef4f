/* Door 3, ordered tables: the checkpointed image of small things. One writer (the checkpoint), many readers.
 *
 * 1. A commit is atomic and durable when it returns OK; there are no other writes.
 * 2. Every value is sealed with its own checksum, bound to its table and key: LMDB 0.9 returns a flipped bit as good data. A
 *    value that fails is STATUS_CORRUPT, and so is a walk that ends in anything but the end.
 * 3. No read outlives the call that made it: a long LMDB reader would pin pages and grow the file.
 *
 * Calls block: loops made with LOOP_MAY_BLOCK only.
 */
#ifndef CAIRN_BASE_STORE_H
#define CAIRN_BASE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

#define STORE_KEY_MAX 128u
#define STORE_TABLES_MAX 16u

enum {
  STORE_CREATE = 1 << 0, /* make it if it is absent */
  STORE_READ_ONLY =
      1 << 1 /* for whoever only looks: changes nothing on the disk, also not beside it. PRE of commit: not so opened */
};

struct store_change {
  unsigned table; /* below STORE_TABLES_MAX; the numbers are the caller's (log/tables.h) */
  struct bytes key;
  struct bytes value;
  bool remove; /* removing what is absent is fine */
};

struct store;
struct store_ops {
  enum status (*commit)(struct store *store, const struct store_change *changes, size_t count);
  enum status (*get)(struct store *store, unsigned table, struct bytes key, struct buffer *out_value);
  enum status (*floor)(struct store *store, unsigned table, struct bytes key, struct buffer *out_key, struct buffer *out_value);
  enum status (*walk)(struct store *store, unsigned table, struct bytes from,
                      bool (*visit)(void *context, struct bytes key, struct bytes value), void *context);
  void (*close)(struct store *store);
};
struct store {
  const struct store_ops *ops;
};

/* STATUS_NO_SPACE, STATUS_IO: nothing of it took effect. After STATUS_IO the store must be closed and not be used again. */
static inline MUST_CHECK enum status store_commit(struct store *store, const struct store_change *changes, size_t count) {
  return store->ops->commit(store, changes, count);
}
/* STATUS_NOT_FOUND, STATUS_CORRUPT. Replaces what the buffer held. */
static inline MUST_CHECK enum status store_get(struct store *store, unsigned table, struct bytes key, struct buffer *out_value) {
  return store->ops->get(store, table, key, out_value);
}
/* The greatest key that is not above `key`, and its value. STATUS_NOT_FOUND when there is none. */
static inline MUST_CHECK enum status store_floor(struct store *store, unsigned table, struct bytes key, struct buffer *out_key,
                                                 struct buffer *out_value) {
  return store->ops->floor(store, table, key, out_key, out_value);
}
/* Visits all pairs from `from` on, in key order, until `visit` returns false. Keys and values are borrowed. The visitor must not
 * call into the store. */
static inline MUST_CHECK enum status store_walk(struct store *store, unsigned table, struct bytes from,
                                                bool (*visit)(void *context, struct bytes key, struct bytes value),
                                                void *context) {
  return store->ops->walk(store, table, from, visit, context);
}
static inline void store_close(struct store *store) { /* NULL is fine */
  if (store != NULL) store->ops->close(store);
}

/* For the twins: a value as it is kept, and back. The seal is a CRC32C over table, key and value, in front. */
#define STORE_SEAL_SIZE 4u
void store_seal(unsigned table, struct bytes key, struct bytes value, uint8_t out_seal[STORE_SEAL_SIZE]);
enum status store_unseal(unsigned table, struct bytes key, struct bytes kept, struct bytes *out_value) MUST_CHECK;

#endif
