#include "tests/unit/base/cmocka_base.h"

#include <pthread.h>
#include <string.h>

#include "base/blob.h"

static void account_holds_the_allocated_sizes_of_live_blobs(void **state) {
  (void)state;
  struct account account;
  struct blob *a = NULL;
  struct blob *b = NULL;
  account_init(&account, 10000);

  assert_ok(blob_new(&account, 1000, &a));
  size_t one = account_used(&account);
  assert_true(one >= 1000 + sizeof(struct blob));
  assert_ok(blob_new(&account, 1000, &b));
  assert_int_equal(account_used(&account), 2 * one);
  blob_release(a);
  assert_int_equal(account_used(&account), one);
  blob_release(b);
  blob_release(NULL);

  assert_int_equal(account_used(&account), 0);
}

static void account_without_room_refuses(void **state) {
  (void)state;
  struct account account;
  struct blob *blob = NULL;
  account_init(&account, 1000);

  assert_status(blob_new(&account, 1000, &blob), STATUS_NO_MEMORY); /* the head counts too */
  assert_status(blob_new(&account, SIZE_MAX, &blob), STATUS_NO_MEMORY);
  assert_status(blob_new(NULL, SIZE_MAX, &blob), STATUS_NO_MEMORY);

  assert_null(blob);
  assert_int_equal(account_used(&account), 0);
}

static void part_of_an_account_is_charged_to_the_whole_too(void **state) {
  (void)state;
  struct account whole;
  struct account part;
  struct blob *a = NULL;
  struct blob *b = NULL;
  struct blob *c = NULL;
  account_init(&whole, 3000);
  account_init_part(&part, &whole, 1500);

  assert_ok(blob_new(&part, 1000, &a));
  assert_int_equal(account_used(&whole), account_used(&part));
  assert_status(blob_new(&part, 1000, &b), STATUS_NO_MEMORY); /* its own limit */
  assert_ok(blob_new(&whole, 1700, &b));
  size_t used = account_used(&whole);
  assert_status(blob_new(&part, 300, &c), STATUS_NO_MEMORY); /* the whole's */
  assert_int_equal(account_used(&whole), used);
  blob_release(b);
  assert_ok(blob_new(&part, 300, &c));
  blob_release(a);
  blob_release(c);

  assert_int_equal(account_used(&part), 0);
  assert_int_equal(account_used(&whole), 0);
}

static void blob_lives_until_the_last_holder(void **state) {
  (void)state;
  struct account account;
  struct blob *blob = NULL;
  account_init(&account, 1 << 20);
  assert_ok(blob_new(&account, 100, &blob));
  memset(blob->data, 'z', 100);

  struct blob_part part = blob_part_of(blob, 10, 20);
  struct blob_part again = blob_part_hold(part);
  blob_release(blob);
  blob_part_release(part);

  assert_int_equal(again.bytes.size, 20);
  assert_int_equal(again.bytes.data[19], 'z');
  assert_true(account_used(&account) > 0);
  blob_part_release(again);
  assert_int_equal(account_used(&account), 0);
}

/* A transport gives its last blobs back when the broker that had them made is gone. */
static void new_account_outlives_its_owner_while_blobs_are_charged(void **state) {
  (void)state;
  struct account *account = account_new(NULL, 10000);
  struct blob *a = NULL;
  struct blob *b = NULL;
  assert_int_equal(account_used(account), 0);
  assert_ok(blob_new(account, 1000, &a));
  assert_ok(blob_new(account, 1000, &b));

  account_free(account);
  blob_release(a);
  assert_true(account_used(account) >= 1000);
  blob_release(b); /* frees it: asan looks */

  account_free(account_new(NULL, 1));
  account_free(NULL);
}

static void new_part_keeps_the_whole_while_blobs_are_charged(void **state) {
  (void)state;
  struct account *whole = account_new(NULL, 10000);
  struct account *part = account_new(whole, 5000);
  struct blob *a = NULL;
  struct blob *b = NULL;
  assert_ok(blob_new(part, 4000, &a));
  assert_int_equal(blob_new(part, 4000, &b), STATUS_NO_MEMORY);
  assert_int_equal(account_used(whole), account_used(part));

  account_free(whole);
  account_free(part);
  assert_true(account_used(whole) >= 4000);
  blob_release(a); /* frees both: asan looks */
}

static void part_without_a_blob_is_nobodys(void **state) {
  (void)state;
  struct blob_part part = {.blob = NULL, .bytes = bytes_of_string("for ever")};

  blob_part_release(blob_part_hold(part));
}

enum { THREADS = 4, ROUNDS = 5000 };

struct shared {
  struct account account;
  struct blob *blob;
  atomic_uint refusals;
};

/* Holds, reads and releases a shared blob, and makes its own, against a limit that is often reached. */
static void *share(void *argument) {
  struct shared *shared = argument;
  for (unsigned i = 0; i < ROUNDS; i++) {
    struct blob_part part = blob_part_of(shared->blob, i % 64, 1);
    struct blob *own = NULL;
    if (blob_new(&shared->account, 200 + i % 100, &own) == STATUS_OK) own->data[0] = part.bytes.data[0];
    else atomic_fetch_add(&shared->refusals, 1);
    if (account_used(&shared->account) > shared->account.limit) abort();
    blob_release(own);
    blob_part_release(part);
  }
  blob_release(shared->blob);
  return NULL;
}

static void threads_share_blobs_and_the_account_stays_right(void **state) {
  (void)state;
  struct shared shared = {0};
  pthread_t threads[THREADS];
  account_init(&shared.account, 900);
  assert_ok(blob_new(&shared.account, 64, &shared.blob));
  memset(shared.blob->data, 7, 64);

  for (unsigned i = 1; i < THREADS; i++) blob_hold(shared.blob);
  for (unsigned i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, share, &shared);
  for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);

  assert_int_equal(account_used(&shared.account), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(account_holds_the_allocated_sizes_of_live_blobs),
      cmocka_unit_test(account_without_room_refuses),
      cmocka_unit_test(part_of_an_account_is_charged_to_the_whole_too),
      cmocka_unit_test(blob_lives_until_the_last_holder),
      cmocka_unit_test(new_account_outlives_its_owner_while_blobs_are_charged),
      cmocka_unit_test(new_part_keeps_the_whole_while_blobs_are_charged),
      cmocka_unit_test(part_without_a_blob_is_nobodys),
      cmocka_unit_test(threads_share_blobs_and_the_account_stays_right),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
