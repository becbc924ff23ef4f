#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/memory.h"
#include "base/trace.h"
#include "log/inspect.h"
#include "tests/unit/log/log_fixture.h"

static void drop_line(void *context, const char *line) { (void)context, (void)line; }

static int set_up(void **state) {
  trace_set_sink(drop_line, NULL);
  struct fixture *fixture = fixture_new();
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  *state = fixture;
  return 0;
}
static int tear_down(void **state) {
  fixture_free(*state);
  trace_set_sink(NULL, NULL);
  return 0;
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void a_full_disk_refuses_and_resumes_by_itself(void **state) {
  struct fixture *fixture = *state;
  fixture_create(fixture, 1, 1u << 20);
  fixture_append(fixture, 1, 1000, 1000, true);
  atomic_store(&fixture->fault.full, true);
  fixture_checkpoint(fixture);
  assert_int_equal(fixture_view(fixture, 1).flushed_index, 0);
  double begin = seconds();
  while (log_set_admit(fixture->set, 1000) == STATUS_OK) {
    log_set_admit_undo(fixture->set, 1000);
    assert_true(seconds() - begin < 5);
    usleep(10000);
  }
  assert_int_equal(log_set_admit(fixture->set, 1000), STATUS_DISK_FULL);
  assert_false(log_set_has_space(fixture->set, 1000));
  assert_int_equal(fixture_read_all(fixture, 1, 0, 65536, 1000), 1000);

  atomic_store(&fixture->fault.full, false);

  begin = seconds();
  while (log_set_admit(fixture->set, 1000) != STATUS_OK) {
    assert_true(seconds() - begin < 5);
    usleep(10000);
  }
  assert_true(log_set_has_space(fixture->set, 1000));
  log_set_admit_undo(fixture->set, 1000);
  fixture_append(fixture, 1, 100, 1000, true);
  fixture_checkpoint(fixture);
  assert_int_equal(fixture_view(fixture, 1).flushed_index, 1100);
  fixture_reopen(fixture, true);
  assert_int_equal(fixture_read_all(fixture, 1, 0, 65536, 1000), 1100);
}

static void after_a_failed_sync_a_new_file_is_begun(void **state) {
  struct fixture *fixture = *state;
  fixture_create(fixture, 1, 1u << 20);
  fixture_append(fixture, 1, 200, 1000, true);
  fixture_checkpoint(fixture);
  fixture_append(fixture, 1, 200, 1000, true);
  atomic_store(&fixture->fault.failing_syncs, 1);
  fixture_checkpoint(fixture);
  assert_int_equal(fixture_view(fixture, 1).flushed_index, 200);

  fixture_checkpoint(fixture);

  assert_int_equal(fixture_view(fixture, 1).flushed_index, 400);
  assert_true(fixture_has(fixture, "p/1-1/00000000000000000201.segment"));
  fixture_reopen(fixture, true);
  assert_int_equal(fixture_read_all(fixture, 1, 0, 65536, 1000), 400);
}

static void one_failing_group_does_not_stop_the_others(void **state) {
  struct fixture *fixture = *state;
  fixture_create(fixture, 1, 1u << 20);
  fixture_create(fixture, 3, 1u << 20);
  fixture_append(fixture, 1, 200, 1000, true);
  fixture_append(fixture, 3, 200, 1000, true);
  atomic_store(&fixture->fault.failing_syncs, 1);

  fixture_checkpoint(fixture);

  entry_index flushed = fixture_view(fixture, 1).flushed_index + fixture_view(fixture, 3).flushed_index;
  assert_int_equal(flushed, 200);
  fixture_checkpoint(fixture);
  assert_int_equal(fixture_view(fixture, 1).flushed_index, 200);
  assert_int_equal(fixture_view(fixture, 3).flushed_index, 200);
}

static void small_old_tails_move_to_the_head_of_the_journal(void **state) {
  struct fixture *fixture = *state;
  for (group_id group = 3; group < 40; group += 2) fixture_create(fixture, group, 1u << 20);
  fixture_create(fixture, 2, 16u << 20);
  for (int round = 0; round < 60; round++) {
    for (group_id group = 3; group < 40; group += 8) fixture_append(fixture, group, 2, 200, round % 2 == 0);
    fixture_append(fixture, 2, 64, 30000, true);
  }

  assert_true(journal_usage(log_set_journal(fixture->set)).oldest_file > 8);
  char names[8][64];
  assert_int_equal(fixture_list(fixture, "p/3-1", names, 8), 0); /* never flushed */
  fixture_reopen(fixture, false);
  for (group_id group = 3; group < 40; group += 8) {
    assert_false(fixture_view(fixture, group).damaged);
    assert_int_equal(fixture_view(fixture, group).last_index, 120);
    fixture_commit_all(fixture, group);
    assert_int_equal(fixture_read_all(fixture, group, 0, 65536, 200), 120);
  }
}

static void a_big_uncommitted_tail_does_not_stop_the_others(void **state) {
  struct fixture *fixture = *state;
  fixture_create(fixture, 1, 16u << 20);
  fixture_create(fixture, 3, 16u << 20);
  fixture_append(fixture, 3, 100, 30000, false);

  for (int round = 0; round < 60; round++) fixture_append(fixture, 1, 64, 30000, true);

  assert_true(journal_usage(log_set_journal(fixture->set)).oldest_file > 8);
  fixture_reopen(fixture, false);
  assert_false(fixture_view(fixture, 3).damaged);
  assert_int_equal(fixture_view(fixture, 3).last_index, 100);
  fixture_commit_all(fixture, 3);
  assert_int_equal(fixture_read_all(fixture, 3, 0, 65536, 30000), 100);
}

static void a_flipped_byte_in_the_journal_fences_whom_it_hit(void **state) {
  struct fixture *fixture = *state;
  fixture_create(fixture, 1, 1u << 20);
  fixture_create(fixture, 3, 1u << 20);
  fixture_append(fixture, 1, 10, 9000, true);
  fixture_append(fixture, 3, 10, 9000, true);
  fixture_append(fixture, 1, 10, 9000, true);
  usleep(100000);
  char files[16][64];
  assert_true(fixture_list(fixture, "journal", files, 16) > 0);
  fixture_close(fixture, false);
  char path[512];
  snprintf(path, sizeof path, "journal/%s", files[0]);
  char real[256];
  fixture_path(fixture, path, real, sizeof real);
  FILE *file = fopen(real, "rb"); /* the payload of group 3's entry 5: a run of one byte */
  assert_non_null(file);
  static uint8_t bytes[1u << 20];
  size_t got = fread(bytes, 1, sizeof bytes, file);
  fclose(file);
  uint8_t wanted[64];
  memset(wanted, (uint8_t)(4 * 31 + 3), sizeof wanted);
  uint8_t *at = memmem(bytes, got, wanted, sizeof wanted);
  assert_non_null(at);
  fixture_flip(fixture, path, at - bytes + 100);

  assert_int_equal(fixture_open(fixture), STATUS_OK);

  assert_int_equal(fixture->report.damaged_logs, 1);
  assert_false(fixture_view(fixture, 1).damaged);
  assert_true(fixture_view(fixture, 3).damaged);
  assert_int_equal(fixture_view(fixture, 3).damage_through, 10); /* the directory names what is lost */
  assert_int_equal(fixture_view(fixture, 1).damage_through, 0);
  assert_int_equal(fixture_view(fixture, 1).last_index, 20);
  assert_int_equal(fixture_view(fixture, 3).last_index, 10);
  fixture_commit_all(fixture, 1);
  fixture_commit_all(fixture, 3);
  assert_int_equal(fixture_read_all(fixture, 1, 0, 65536, 9000), 20);
  struct log_read read = {0};
  fixture_read(fixture, 3, 4, 100, &read);
  assert_int_equal(read.status, STATUS_DAMAGED);
  assert_int_equal(read.next_offset, 5);
  read.limit = 0;
  fixture_read(fixture, 3, 5, 1u << 20, &read);
  assert_int_equal(read.status, STATUS_OK);
  assert_int_equal(read.count, 5);
  log_read_reset(&read);

  fixture_checkpoint(fixture); /* flushed around the hole */
  fixture_reopen(fixture, true);
  assert_true(fixture_view(fixture, 3).damaged);
  assert_true(fixture_view(fixture, 3).damage_through == UINT64_MAX); /* this start has not met it */
  read.limit = 0;
  fixture_read(fixture, 3, 4, 100, &read);
  assert_int_equal(read.status, STATUS_DAMAGED);
  assert_int_equal(read.next_offset, 5);
  read.limit = 0;
  fixture_read(fixture, 3, 5, 1u << 20, &read);
  assert_int_equal(read.status, STATUS_OK);
  assert_int_equal(read.count, 5);
  log_read_reset(&read);
}

static void ten_thousand_logs_open_at_once(void **state) {
  struct fixture *fixture = *state;
  fixture_create_many(fixture, 2, 10000);
  fixture_append(fixture, 77, 3, 100, true);

  fixture_close(fixture, true);
  double begin = seconds();
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  double took = seconds() - begin;

  assert_int_equal(fixture->log_count, 10000);
  assert_true(took < 15); /* sanitizers; 0.4 s without */
  char names[4][64];
  assert_int_equal(fixture_list(fixture, "p", names, 4), 0);
  fixture_commit_all(fixture, 77);
  assert_int_equal(fixture_read_all(fixture, 77, 0, 65536, 100), 3);
}

struct stray {
  struct journal_write write;
  atomic_bool done;
};
static void stray_done(struct task *task) {
  atomic_store(&container_of(container_of(task, struct journal_write, done), struct stray, write)->done, true);
}

static void submit_stray(struct fixture *fixture, struct stray *stray) {
  journal_submit(log_set_journal(fixture->set), &stray->write);
  while (!atomic_load(&stray->done)) usleep(1000);
  assert_int_equal(stray->write.status, STATUS_OK);
  journal_write_deinit(&stray->write);
}

/* Writes an entry that has all that it needs but for one thing: its link is not that of the entry before it. */
static void write_stray_entry(struct fixture *fixture, group_id group) {
  struct log_view view = fixture_view(fixture, group);
  static const uint8_t payload[] = {0x0a, 0x02, 0x12, 0x00};
  struct entry_head head = {.kind = ENTRY_RECORDS,
                            .payload_size = sizeof payload,
                            .record_count = 1,
                            .uncompressed_size = sizeof payload,
                            .index = view.last_index + 1,
                            .term = view.last_term,
                            .base_offset = view.next_offset};
  entry_seal(&head, bytes_of(payload, sizeof payload), view.last_chain + 1);
  struct stray stray = {.done = false};
  journal_write_init(&stray.write, fixture->lanes[group % 2], stray_done);
  struct journal_frame *frame = journal_write_add(&stray.write, group, 1, FRAME_ENTRY);
  frame->first_index = head.index;
  frame->head_size = ENTRY_HEAD_SIZE;
  entry_encode_head(&head, frame->head);
  frame->payload.bytes = bytes_of(payload, sizeof payload);
  submit_stray(fixture, &stray);
}

/* All checksums fit; only the chain tells that it belongs to another history. */
static void an_entry_that_does_not_follow_is_not_taken(void **state) {
  struct fixture *fixture = *state;
  fixture_create(fixture, 1, 1u << 20);
  fixture_create(fixture, 3, 1u << 20);
  fixture_append(fixture, 1, 10, 1000, true);
  fixture_append(fixture, 3, 10, 1000, true);
  write_stray_entry(fixture, 3);

  fixture_reopen(fixture, false);

  assert_int_equal(fixture->report.damaged_logs, 1);
  assert_true(fixture_view(fixture, 3).damaged);
  assert_int_equal(fixture_view(fixture, 3).last_index, 10);
  assert_int_equal(fixture_view(fixture, 3).damage_through, 11);
  assert_false(fixture_view(fixture, 1).damaged);
  fixture_commit_all(fixture, 3);
  assert_int_equal(fixture_read_all(fixture, 3, 0, 65536, 1000), 10);
}

static enum status count_visit(void *context, const struct entry *entry) {
  (void)entry;
  ++*(size_t *)context;
  return STATUS_OK;
}

/* Whatever the order in which they are told: a table, the store and frames may all have one. */
static void terms_never_go_back(void **state) {
  struct fixture *fixture = *state;
  static const struct hard_state states[] = {
      {.term = 7, .vote = 3}, {.term = 9}, {.term = 9, .vote = 2}, {.term = 9}, {.term = 5, .vote = 1}};
  fixture_create(fixture, 1, 1u << 20);
  struct stray stray = {.done = false};
  journal_write_init(&stray.write, fixture->lanes[1], stray_done);
  for (size_t i = 0; i < sizeof states / sizeof *states; i++) journal_write_add_hard_state(&stray.write, 1, 1, &states[i]);
  submit_stray(fixture, &stray);

  for (int i = 0; i < 3; i++) {
    fixture_reopen(fixture, i == 1);

    assert_int_equal(fixture_view(fixture, 1).hard_state.term, 9);
    assert_int_equal(fixture_view(fixture, 1).hard_state.vote, 2);
  }
}

/* They look like the padding behind the last entry, and the last entry is what they took. */
static void zeros_at_the_end_of_a_segment_are_damage(void **state) {
  struct fixture *fixture = *state;
  fixture_create(fixture, 1, 1u << 20);
  fixture_append(fixture, 1, 500, 1000, true);
  fixture_checkpoint(fixture);
  fixture_append(fixture, 1, 5, 1000, true);
  fixture_close(fixture, false);
  char path[512];
  fixture_path(fixture, "p/1-1/00000000000000000001.segment", path, sizeof path);
  off_t last = 4096 + 499 * (104 + 1000 + 6);
  assert_int_equal(truncate(path, last), 0);
  assert_int_equal(truncate(path, (last + 4095) / 4096 * 4096), 0);

  assert_int_equal(fixture_open(fixture), STATUS_OK);

  size_t visited = 0;
  assert_int_equal(log_replay(fixture->logs[1], 0, 505, count_visit, &visited), STATUS_OK);
  assert_int_equal(visited, 504);
  assert_true(fixture_view(fixture, 1).damaged);
  fixture_commit_all(fixture, 1);
  struct log_read read = {0};
  fixture_read(fixture, 1, 490, 1u << 20, &read);
  assert_int_equal(read.status, STATUS_OK);
  assert_int_equal(read.count, 9);
  log_read_reset(&read);
  read.limit = 0;
  fixture_read(fixture, 1, 499, 1u << 20, &read);
  assert_int_equal(read.status, STATUS_DAMAGED);
  assert_int_equal(read.next_offset, 500);
  assert_int_equal(fixture_read_all(fixture, 1, 500, 65536, 1000), 5);
}

/* Somebody kept copies in the journal's own directory, under names like those of its files. */
static void copies_among_the_journals_files_are_passed_over(void **state) {
  struct fixture *fixture = *state;
  static const char *const names[] = {"00000000000000000000", "00000000000000000999", "18446744073709551615",
                                      "99999999999999999999"};
  fixture_create(fixture, 1, 1u << 20);
  fixture_append(fixture, 1, 50, 1000, true);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char command[1600];
    char directory[512];
    fixture_path(fixture, "journal", directory, sizeof directory);
    /* The oldest file may get another name at any moment: then there is another oldest one. */
    snprintf(command, sizeof command,
             "cd '%s' && for i in 1 2 3 4 5 6 7 8 9; do cp $(ls | grep -v -e '^0*$' -e '^0*999$' | head -n 1) %s && exit; done",
             directory, names[i]);
    assert_int_equal(system(command), 0);
    fixture_append(fixture, 1, 50, 1000, true);
    fixture_reopen(fixture, false);
    assert_false(fixture_view(fixture, 1).damaged);
    assert_int_equal(fixture_view(fixture, 1).last_index, 50 * (i + 2));
    fixture_commit_all(fixture, 1);
  }
  fixture_append(fixture, 1, 640, 60000, true);
  assert_int_equal(fixture_read_all(fixture, 1, 250, 1u << 20, 60000), 640);
}

/* A journal without its newest file is a whole one that ends earlier: only the store can tell that it should not. */
static void a_missing_newest_journal_file_is_noticed(void **state) {
  struct fixture *fixture = *state;
  fixture_create(fixture, 1, 1u << 20);
  fixture_append(fixture, 1, 20, 1000, true);
  fixture_reopen(fixture, false);
  fixture_append(fixture, 1, 20, 1000, true);
  char name[80];
  char path[512];
  snprintf(name, sizeof name, "journal/%020" PRIu64, journal_usage(log_set_journal(fixture->set)).current_file);
  fixture_close(fixture, false);
  fixture_path(fixture, name, path, sizeof path);
  assert_int_equal(unlink(path), 0);

  assert_int_equal(fixture_open(fixture), STATUS_OK);

  assert_true(fixture_view(fixture, 1).damaged);
  assert_int_equal(fixture_view(fixture, 1).last_index, 20);
}

/* What only the store knows is in the journal until a dump has it too, however many rounds and kicks come before that. */
static void the_journal_waits_for_a_dump_that_failed(void **state) {
  struct fixture *fixture = *state;
  atomic_store(&fixture->fault.dumps_fail, true);
  fixture_create(fixture, 1, 16u << 20);
  for (int i = 0; i < 6; i++) {
    fixture_append(fixture, 1, 32, 60000, true);
    fixture_checkpoint(fixture);
    usleep(50000);
  }
  assert_true(journal_usage(log_set_journal(fixture->set)).current_file > 2);
  assert_int_equal(journal_usage(log_set_journal(fixture->set)).oldest_file, 1);

  atomic_store(&fixture->fault.dumps_fail, false);
  fixture_append(fixture, 1, 1, 100, true);
  fixture_checkpoint(fixture);

  double begin = seconds();
  while (journal_usage(log_set_journal(fixture->set)).oldest_file == 1) {
    assert_true(seconds() - begin < 5);
    usleep(1000);
  }
}

struct findings {
  size_t count;
  record_offset first, end;
  char file[128];
};
static void note(void *context, const struct inspect_finding *finding) {
  struct findings *findings = context;
  findings->count++;
  findings->first = finding->first;
  findings->end = finding->end;
  snprintf(findings->file, sizeof findings->file, "%s", finding->file);
}

static void verify_names_the_damage_and_changes_nothing(void **state) {
  struct fixture *fixture = *state;
  fixture_create(fixture, 1, 256u << 10);
  fixture_append(fixture, 1, 2000, 1000, true);
  fixture_checkpoint(fixture);
  fixture_close(fixture, true);
  struct findings findings = {0};
  struct inspect_report report;
  assert_int_equal(inspect_directory(fixture->world, note, &findings, &report), STATUS_OK);
  assert_int_equal(findings.count, 0);
  assert_int_equal(report.records, 2000);
  assert_int_equal(report.logs, 1);

  size_t size = 104 + 1000 + 6;
  fixture_flip(fixture, "p/1-1/00000000000000000001.segment", (long)(4096 + 30 * size + 500));
  assert_int_equal(inspect_directory(fixture->world, note, &findings, &report), STATUS_OK);

  assert_int_equal(findings.count, 1);
  assert_int_equal(findings.first, 30);
  assert_int_equal(findings.end, 31);
  assert_string_equal(findings.file, "p/1-1/00000000000000000001.segment");
  assert_int_equal(fixture_open(fixture), STATUS_OK);
}

static void a_store_with_a_flipped_bit_is_rebuilt_and_loses_nothing(void **state) {
  struct fixture *fixture = *state;
  fixture_create(fixture, 1, 256u << 10);
  fixture_append(fixture, 1, 1000, 1000, true);
  fixture_checkpoint(fixture);
  fixture_set_start(fixture, 1, 500);
  fixture_checkpoint(fixture);
  fixture_close(fixture, true);
  char path[512];
  fixture_path(fixture, "store.mdb", path, sizeof path);
  FILE *file = fopen(path, "r+b");
  assert_non_null(file);
  uint8_t page[4096];
  for (long at = 8192; fseek(file, at, SEEK_SET) == 0 && fread(page, 1, sizeof page, file) == sizeof page; at += 4096) {
    for (size_t i = 16; i < sizeof page; i += 97) page[i] ^= 1;
    fseek(file, at, SEEK_SET);
    fwrite(page, 1, sizeof page, file);
    fseek(file, at + 4096, SEEK_SET);
  }
  fclose(file);

  assert_int_equal(fixture_open(fixture), STATUS_OK);

  assert_true(fixture->report.store_rebuilt);
  assert_int_equal(fixture_view(fixture, 1).start_offset, 500);
  assert_int_equal(fixture_view(fixture, 1).last_index, 1000);
  assert_int_equal(fixture_read_all(fixture, 1, 500, 65536, 1000), 500);
}

/* A store whose commits say that they failed, and are durable for all that: the last sync may fail when everything has been written. */
struct liar {
  struct store store;
  struct store *inner;
};

static bool lying;

static struct store *inner_of(struct store *store) { return container_of(store, struct liar, store)->inner; }
static enum status liar_commit(struct store *store, const struct store_change *changes, size_t count) {
  enum status status = store_commit(inner_of(store), changes, count);
  return lying ? STATUS_IO : status;
}
static enum status liar_get(struct store *store, unsigned table, struct bytes key, struct buffer *out_value) {
  return store_get(inner_of(store), table, key, out_value);
}
static enum status liar_floor(struct store *store, unsigned table, struct bytes key, struct buffer *out_key,
                              struct buffer *out_value) {
  return store_floor(inner_of(store), table, key, out_key, out_value);
}
static enum status liar_walk(struct store *store, unsigned table, struct bytes from,
                             bool (*visit)(void *context, struct bytes key, struct bytes value), void *context) {
  return store_walk(inner_of(store), table, from, visit, context);
}
static void liar_close(struct store *store) {
  store_close(inner_of(store));
  memory_free(container_of(store, struct liar, store));
}
static const struct store_ops liar_ops = {
    .commit = liar_commit, .get = liar_get, .floor = liar_floor, .walk = liar_walk, .close = liar_close};

static const struct world_ops *honest_ops;

static enum status open_liar(struct world *world, const char *path, uint64_t size_max, unsigned flags, struct store **out_store) {
  struct store *inner = NULL;
  enum status status = honest_ops->store_open(world, path, size_max, flags, &inner);
  if (status != STATUS_OK) return status;
  struct liar *liar = NEW(struct liar);
  liar->store.ops = &liar_ops;
  liar->inner = inner;
  *out_store = &liar->store;
  return STATUS_OK;
}

static void what_a_failed_transaction_names_stays(void **state) {
  struct fixture *fixture = *state;
  fixture_close(fixture, false);
  honest_ops = fixture->world->ops;
  struct world_ops ops = *honest_ops;
  ops.store_open = open_liar;
  fixture->world->ops = &ops;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 1u << 20);
  fixture_append(fixture, 1, 200, 1000, true);

  lying = true;
  fixture_checkpoint(fixture);
  fixture_close(fixture, false);
  lying = false;
  fixture->world->ops = honest_ops;

  assert_int_equal(fixture_open(fixture), STATUS_OK);
  assert_int_equal(fixture_read_all(fixture, 1, 0, 1 << 20, 1000), 200);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_full_disk_refuses_and_resumes_by_itself, set_up, tear_down),
      cmocka_unit_test_setup_teardown(after_a_failed_sync_a_new_file_is_begun, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_a_failed_transaction_names_stays, set_up, tear_down),
      cmocka_unit_test_setup_teardown(one_failing_group_does_not_stop_the_others, set_up, tear_down),
      cmocka_unit_test_setup_teardown(small_old_tails_move_to_the_head_of_the_journal, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_big_uncommitted_tail_does_not_stop_the_others, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_flipped_byte_in_the_journal_fences_whom_it_hit, set_up, tear_down),
      cmocka_unit_test_setup_teardown(an_entry_that_does_not_follow_is_not_taken, set_up, tear_down),
      cmocka_unit_test_setup_teardown(zeros_at_the_end_of_a_segment_are_damage, set_up, tear_down),
      cmocka_unit_test_setup_teardown(copies_among_the_journals_files_are_passed_over, set_up, tear_down),
      cmocka_unit_test_setup_teardown(terms_never_go_back, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_missing_newest_journal_file_is_noticed, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_journal_waits_for_a_dump_that_failed, set_up, tear_down),
      cmocka_unit_test_setup_teardown(ten_thousand_logs_open_at_once, set_up, tear_down),
      cmocka_unit_test_setup_teardown(verify_names_the_damage_and_changes_nothing, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_store_with_a_flipped_bit_is_rebuilt_and_loses_nothing, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
