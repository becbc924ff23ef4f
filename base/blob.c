#include "base/blob.h"

#include "base/check.h"
#include "base/memory.h"

#define OWN_SIZE 1u /* what the owner of a new account has in it, so that it is never empty before he has freed it */

void account_init(struct account *account, size_t limit) {
  atomic_init(&account->used, 0);
  account->limit = limit;
  account->own = 0;
  account->whole = NULL;
}

void account_init_part(struct account *account, struct account *whole, size_t limit) {
  account_init(account, limit);
  account->whole = whole;
}

struct account *account_new(struct account *whole, size_t limit) {
  struct account *account = NEW(struct account);
  PRE(limit < SIZE_MAX && (whole == NULL || whole->own > 0));
  account_init_part(account, whole, limit + OWN_SIZE);
  for (struct account *at = account; at != NULL; at = at->whole) {
    at->own += OWN_SIZE;
    if (at != account) at->limit += OWN_SIZE;
    atomic_fetch_add_explicit(&at->used, OWN_SIZE, memory_order_relaxed);
  }
  return account;
}

size_t account_used(const struct account *account) {
  size_t used = atomic_load_explicit(&account->used, memory_order_relaxed);
  return used > account->own ? used - account->own : 0;
}

/* False when there is no room: the total never passes the limit, not even for a moment. */
static bool account_take(struct account *account, size_t size) {
  size_t used = atomic_load_explicit(&account->used, memory_order_relaxed);
  do {
    if (used > account->limit || size > account->limit - used) return false;
  } while (
      !atomic_compare_exchange_weak_explicit(&account->used, &used, used + size, memory_order_relaxed, memory_order_relaxed));
  return true;
}

/* From `account` up to, and without, `end`. A part may be gone when it has been credited; the whole is not: these bytes are in it too. */
static void account_credit(struct account *account, const struct account *end, size_t size) {
  while (account != end) {
    struct account *whole = account->whole;
    bool is_new = account->own > 0;
    /* Acquire and release: whoever empties it frees it after all others have left it. Another may do so from then on. */
    size_t before = atomic_fetch_sub_explicit(&account->used, size, memory_order_acq_rel);
    CHECK(before >= size);
    if (is_new && before == size) memory_free(account);
    account = whole;
  }
}

static bool account_charge(struct account *account, size_t size) {
  for (struct account *at = account; at != NULL; at = at->whole) {
    if (account_take(at, size)) continue;
    account_credit(account, at, size);
    return false;
  }
  return true;
}

void account_free(struct account *account) {
  if (account == NULL) return;
  PRE(account->own > 0);
  account_credit(account, NULL, OWN_SIZE);
}

/* What the heap spends on it: the size, the head, the heap's own word, rounded as the heap rounds. Computed rather than asked
 * for, so that it is the same in every run. */
static size_t allocated_size(size_t size) { return (sizeof(struct blob) + size + sizeof(size_t) + 15) & ~(size_t)15; }

enum status blob_new(struct account *account, size_t size, struct blob **out_blob) {
  if (size > SIZE_MAX / 2) return STATUS_NO_MEMORY;
  if (!account_charge(account, allocated_size(size))) return STATUS_NO_MEMORY;
  struct blob *blob = memory_grow_array(NULL, sizeof *blob + size, 1);
  atomic_init(&blob->holders, 1);
  blob->account = account;
  blob->size = size;
  *out_blob = blob;
  return STATUS_OK;
}

struct blob *blob_hold(struct blob *blob) {
  unsigned before = atomic_fetch_add_explicit(&blob->holders, 1, memory_order_relaxed);
  CHECK(before > 0 && before < UINT32_MAX / 2);
  return blob;
}

void blob_release(struct blob *blob) {
  if (blob == NULL) return;
  /* Acquire and release: what every holder read happened before the last one frees. */
  unsigned before = atomic_fetch_sub_explicit(&blob->holders, 1, memory_order_acq_rel);
  CHECK(before > 0);
  if (before > 1) return;
  struct account *account = blob->account;
  size_t size = allocated_size(blob->size);
  memory_free(blob);
  account_credit(account, NULL, size);
}

struct blob_part blob_part_of(struct blob *blob, size_t offset, size_t size) {
  PRE(offset <= blob->size && size <= blob->size - offset);
  return (struct blob_part){.blob = blob_hold(blob), .bytes = bytes_of(blob->data + offset, size)};
}

struct blob_part blob_part_hold(struct blob_part part) {
  if (part.blob != NULL) blob_hold(part.blob);
  return part;
}

void blob_part_release(struct blob_part part) { blob_release(part.blob); }
