/* Immutable bytes shared by count: a payload on its way through the house, and the account that bounds them all.
 *
 * A blob is filled by whoever made it, before anyone else holds it, and never changes afterwards. The count is atomic: any
 * thread may hold and release. The last release frees, on whatever thread (gRPC's slice destructors included).
 *
 * 1. The account's total is the sum of the allocated sizes of all its live blobs.
 * 2. A blob lives until its last holder has released it, not until a send completed or was cancelled.
 */
#ifndef CAIRN_BASE_BLOB_H
#define CAIRN_BASE_BLOB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

/* A budget in bytes, shared by all threads of a broker. Outlives every blob charged to it: one that was init is its owner's to keep so
 * long; one that is new frees itself when its owner has freed it and the last blob is gone, whichever comes later. One that is a part of
 * another is charged there too: it keeps one use of memory from taking all of it. */
struct account {
  atomic_size_t used; /* of a new one: and the owner's own byte */
  size_t limit;
  size_t own;            /* of new ones: what `used` has of their owners, itself included */
  struct account *whole; /* may be NULL */
};

void account_init(struct account *account, size_t limit);
void account_init_part(struct account *account, struct account *whole, size_t limit);
struct account *account_new(struct account *whole, size_t limit); /* whole: NULL, or new too and not in use yet */
void account_free(struct account *account);                       /* NULL is fine */
size_t account_used(const struct account *account);

struct blob {
  atomic_uint holders;
  struct account *account; /* may be NULL: not charged */
  size_t size;
  uint8_t data[];
};

/* One holder: the caller. STATUS_NO_MEMORY when the account has no room. Contents are not set. */
enum status blob_new(struct account *account, size_t size, struct blob **out_blob) MUST_CHECK;
struct blob *blob_hold(struct blob *blob); /* @any-thread; returns its argument */
void blob_release(struct blob *blob);      /* @any-thread; NULL is fine */

/* A counted share in part of a blob. `blob` may be NULL when `bytes` is empty or lives for ever. */
struct blob_part {
  struct blob *blob;
  struct bytes bytes;
};

struct blob_part blob_part_of(struct blob *blob, size_t offset, size_t size); /* holds */
struct blob_part blob_part_hold(struct blob_part part);
void blob_part_release(struct blob_part part);

#endif
