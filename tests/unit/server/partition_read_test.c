/* Reading, waiting, following, trimming. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "server/partition_internal.h"
#include "tests/unit/server/lab.h"

#define MS 1000000u

static struct lab lab;
static struct lab_append append;

static int setup(void **state) {
  (void)state;
  lab_open(&lab);
  return 0;
}
static int teardown(void **state) {
  (void)state;
  lab_close(&lab, false);
  lab_remove(&lab);
  return 0;
}

static void append_records(const char *prefix, unsigned count) {
  lab_append_now(&lab, &append, prefix, count);
  assert_null(append.append.failure);
}

/* ---- Read ---- */

struct reading {
  struct partition_read read;
  atomic_bool finished;
};
static struct reading readings[4];

static void read_done(struct partition_read *read) { atomic_store(&((struct reading *)(void *)read)->finished, true); }
static struct partition_read *reading_init(size_t i, record_offset offset) {
  memset(&readings[i], 0, sizeof readings[i]);
  readings[i].read.partition = lab.partition;
  readings[i].read.offset = offset;
  readings[i].read.bytes_max = 1u << 20;
  readings[i].read.done = read_done;
  return &readings[i].read;
}
static void start_first(struct lab *of) {
  (void)of;
  partition_read(&readings[0].read);
}
static void start_all(struct lab *of) {
  (void)of;
  for (size_t i = 0; i < 4; i++) partition_read(&readings[i].read);
}
static void hurry_all(struct lab *of) {
  (void)of;
  for (size_t i = 0; i < 4; i++)
    if (!atomic_load(&readings[i].finished)) partition_read_hurry(&readings[i].read);
}
static struct partition_read *finish(size_t i) {
  lab_wait(&lab, &readings[i].finished);
  return &readings[i].read;
}
static void reading_deinit(size_t i) {
  log_read_reset(&readings[i].read.log);
  memory_free(readings[i].read.failure);
}

static void what_was_appended_is_read(void **state) {
  (void)state;
  append_records("a", 3);
  append_records("b", 2);
  reading_init(0, 1);

  lab_on_lane(&lab, start_first);
  struct partition_read *read = finish(0);

  assert_null(read->failure);
  assert_int_equal(read->log.count, 2); /* whole batches, the first of which holds offset 1 */
  assert_int_equal(read->log.entries[0].head.base_offset, 0);
  assert_int_equal(read->next_offset, 5);
  assert_int_equal(read->high_watermark, 5);
  reading_deinit(0);
}

static void the_end_is_empty_and_beyond_it_is_an_error(void **state) {
  (void)state;
  append_records("a", 1);
  reading_init(0, 1);
  lab_on_lane(&lab, start_first);
  assert_null(finish(0)->failure);
  assert_int_equal(readings[0].read.log.count, 0);
  reading_deinit(0);

  reading_init(0, 2);
  lab_on_lane(&lab, start_first);
  assert_int_equal(finish(0)->failure->reason, STATUS_BEYOND_END);
  assert_int_equal(readings[0].read.failure->next_offset, 1);
  reading_deinit(0);
}

static void a_read_waits_until_there_is_enough(void **state) {
  (void)state;
  append_records("a", 1);
  reading_init(0, 0);
  readings[0].read.bytes_min = 20; /* the first batch has 6 */
  readings[0].read.wait_until_ns = world_now_ns(lab.world) + 10000u * MS;
  lab_on_lane(&lab, start_first);
  assert_false(atomic_load(&readings[0].finished));

  append_records("b", 1);
  append_records("c", 2);
  struct partition_read *read = finish(0);

  assert_int_equal(read->log.count, 3);
  reading_deinit(0);
}

static void a_read_waits_no_longer_than_asked(void **state) {
  (void)state;
  append_records("a", 1);
  reading_init(0, 0);
  readings[0].read.bytes_min = 1000;
  readings[0].read.wait_until_ns = world_now_ns(lab.world) + 30u * MS;

  lab_on_lane(&lab, start_first);
  struct partition_read *read = finish(0);

  assert_null(read->failure);
  assert_int_equal(read->log.count, 1);
  reading_deinit(0);
}

static void those_who_wait_are_counted(void **state) {
  (void)state;
  for (size_t i = 0; i < 4; i++) {
    reading_init(i, 0);
    readings[i].read.bytes_min = 1;
    readings[i].read.wait_until_ns = world_now_ns(lab.world) + 10000u * MS;
  }

  lab_on_lane(&lab, start_all); /* the lab allows three */
  assert_int_equal(finish(3)->failure->reason, STATUS_BUSY);
  assert_false(atomic_load(&readings[2].finished));

  lab_on_lane(&lab, hurry_all);
  for (size_t i = 0; i < 3; i++) assert_null(finish(i)->failure);
  for (size_t i = 0; i < 4; i++) reading_deinit(i);
}

/* ---- A log that has lost its end ---- */

static atomic_bool looked;
static struct timer look;
static uint64_t patience_ns;
static bool awaited;

static void look_at_it(struct timer *timer) {
  (void)timer;
  atomic_store(&looked, true);
}
static void await_its_end(struct lab *of) {
  look.fire = look_at_it;
  awaited = partition_await_mending(of->partition, STATUS_BEYOND_END, &patience_ns, &look);
}

static void what_the_log_has_lost_at_its_end_is_waited_for(void **state) {
  (void)state;
  patience_ns = 0;
  atomic_store(&looked, false);
  lab_on_lane(&lab, await_its_end);
  assert_true(awaited);
  lab_wait(&lab, &looked);

  patience_ns = 1; /* long ago */
  lab_on_lane(&lab, await_its_end);
  assert_false(awaited);
  struct log_read read = {.status = STATUS_BEYOND_END, .offset = 7, .next_offset = 5};
  struct failure *failure = partition_read_failure(lab.partition, &read);
  assert_int_equal(failure->reason, STATUS_LOADING);
  memory_free(failure);
}

static void close_partition(struct lab *of) { partition_close(of->partition, false); }

static void a_partition_that_goes_answers_its_readers(void **state) {
  (void)state;
  reading_init(0, 0);
  readings[0].read.bytes_min = 1;
  readings[0].read.wait_until_ns = world_now_ns(lab.world) + 10000u * MS;
  lab_on_lane(&lab, start_first);

  lab_on_lane(&lab, close_partition);

  assert_int_equal(finish(0)->failure->reason, STATUS_UNKNOWN_PARTITION);
  reading_deinit(0);
}

/* ---- Tail ---- */

static struct partition_tail tail;
static unsigned chunks, batches, caught_up_at;
static record_offset tail_offset;
static atomic_bool tail_over, saw_chunk;

static void tail_chunk(struct partition_tail *of) {
  chunks++;
  batches += (unsigned)of->log.count;
  tail_offset = of->offset;
  if (of->caught_up) caught_up_at = chunks;
  atomic_store(&saw_chunk, true);
}
static void tail_ended(struct partition_tail *of) {
  (void)of;
  atomic_store(&tail_over, true);
}
static void start_tail(struct lab *of) {
  (void)of;
  partition_tail_start(&tail);
}
static void stop_tail(struct lab *of) {
  (void)of;
  partition_tail_stop(&tail);
}
static void take_all(struct lab *of) {
  (void)of;
  while (tail.chunks > 0) partition_tail_taken(&tail, 1);
}
static void nothing(struct lab *of) { (void)of; }

static void tail_init(record_offset offset) {
  memset(&tail, 0, sizeof tail);
  tail.partition = lab.partition;
  tail.offset = offset;
  tail.bytes_max = 1; /* a batch at a time */
  tail.chunk = tail_chunk;
  tail.ended = tail_ended;
  chunks = batches = caught_up_at = 0;
  atomic_store(&tail_over, false);
  atomic_store(&saw_chunk, false);
}

static void a_follower_gets_what_is_there_then_what_comes(void **state) {
  (void)state;
  append_records("a", 1);
  append_records("b", 1);
  tail_init(0);

  lab_on_lane(&lab, start_tail);
  lab_wait(&lab, &saw_chunk);
  lab_on_lane(&lab, nothing);
  assert_int_equal(batches, 2);
  assert_int_equal(caught_up_at, 2);
  atomic_store(&saw_chunk, false);
  append_records("c", 3);
  lab_wait(&lab, &saw_chunk);
  assert_int_equal(tail_offset, 5);
  assert_int_equal(caught_up_at, 2); /* once */

  lab_on_lane(&lab, stop_tail);
  lab_wait(&lab, &tail_over);
  assert_null(tail.failure);
}

static void a_follower_at_the_end_is_told_at_once(void **state) {
  (void)state;
  tail_init(0);
  lab_on_lane(&lab, start_tail);
  lab_wait(&lab, &saw_chunk);
  assert_int_equal(caught_up_at, 1);
  assert_int_equal(batches, 0);
  lab_on_lane(&lab, stop_tail);
  lab_wait(&lab, &tail_over);
}

static void a_follower_that_stalls_is_not_read_for(void **state) {
  (void)state;
  for (unsigned i = 0; i < 3 * TAIL_CHUNKS_MAX; i++) append_records("x", 1);
  tail_init(0);

  lab_on_lane(&lab, start_tail);
  lab_on_lane(&lab, nothing);
  assert_int_equal(chunks, TAIL_CHUNKS_MAX);

  for (unsigned i = 0; i < 4; i++) lab_on_lane(&lab, take_all);
  assert_int_equal(batches, 3 * TAIL_CHUNKS_MAX);
  assert_int_equal(tail_offset, 3 * TAIL_CHUNKS_MAX);
  lab_on_lane(&lab, stop_tail);
  lab_wait(&lab, &tail_over);
}

static void a_partition_that_goes_ends_its_followers(void **state) {
  (void)state;
  tail_init(0);
  lab_on_lane(&lab, start_tail);

  lab_on_lane(&lab, close_partition);

  lab_wait(&lab, &tail_over);
  assert_int_equal(tail.failure->reason, STATUS_UNKNOWN_PARTITION);
  memory_free(tail.failure);
}

/* ---- Trim ---- */

static struct partition_trim trim;
static atomic_bool trimmed;

static void trim_done(struct partition_trim *of) {
  (void)of;
  atomic_store(&trimmed, true);
}
static void start_trim(struct lab *of) {
  (void)of;
  partition_trim(&trim);
}
static struct partition_trim *trim_to(record_offset before) {
  trim = (struct partition_trim){.partition = lab.partition, .before = before, .done = trim_done};
  atomic_store(&trimmed, false);
  lab_on_lane(&lab, start_trim);
  lab_wait(&lab, &trimmed);
  return &trim;
}

static void a_trim_moves_the_start_for_good(void **state) {
  (void)state;
  append_records("a", 4);
  append_records("b", 4);
  assert_null(trim_to(6)->failure);
  assert_int_equal(trim.start_offset, 6);

  lab_close(&lab, true);
  lab_open(&lab);
  reading_init(0, 5);
  lab_on_lane(&lab, start_first);

  assert_int_equal(finish(0)->failure->reason, STATUS_BELOW_START);
  assert_int_equal(readings[0].read.failure->next_offset, 6);
  reading_deinit(0);
  append_records("c", 1);
  assert_int_equal(append.append.proposal.entry.head.base_offset, 8); /* offsets are not used again */
}

static void a_trim_stays_within_the_log(void **state) {
  (void)state;
  append_records("a", 4);
  assert_int_equal(trim_to(5)->failure->reason, STATUS_BEYOND_END);
  assert_int_equal(trim.failure->next_offset, 4);
  memory_free(trim.failure);

  assert_null(trim_to(2)->failure);
  assert_null(trim_to(1)->failure); /* below the start: nothing happens */
  assert_int_equal(trim.start_offset, 2);
  assert_null(trim_to(4)->failure);
  assert_int_equal(trim.start_offset, 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_was_appended_is_read),
      TEST(the_end_is_empty_and_beyond_it_is_an_error),
      TEST(a_read_waits_until_there_is_enough),
      TEST(a_read_waits_no_longer_than_asked),
      TEST(those_who_wait_are_counted),
      TEST(what_the_log_has_lost_at_its_end_is_waited_for),
      TEST(a_partition_that_goes_answers_its_readers),
      TEST(a_follower_gets_what_is_there_then_what_comes),
      TEST(a_follower_at_the_end_is_told_at_once),
      TEST(a_follower_that_stalls_is_not_read_for),
      TEST(a_partition_that_goes_ends_its_followers),
      TEST(a_trim_moves_the_start_for_good),
      TEST(a_trim_stays_within_the_log),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
