/* A set of logs on a real disk in a temporary directory, with lanes whose turns the test drives: run() does something on a lane and waits
 * for it; append() is durable when it returns. */
#ifndef CAIRN_TESTS_UNIT_LOG_LOG_FIXTURE_H
#define CAIRN_TESTS_UNIT_LOG_LOG_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/os/world_os.h"
#include "log/log_set.h"
#include "tests/unit/log/fault_disk.h"

#define FIXTURE_LOGS_MAX 20000u

struct fixture {
  char directory[256];
  struct world *world;
  struct fault_disk fault;
  struct loop *lanes[2];
  struct log_set_options options;
  struct account account;
  struct log_set *set;
  struct log_set_report report;
  struct log_identity format; /* of a new directory */
  struct log_identity identity;
  struct buffer reason;
  struct log *logs[FIXTURE_LOGS_MAX]; /* by group */
  size_t log_count;
};

struct fixture *fixture_new(void);
void fixture_free(struct fixture *fixture);
/* One in an empty directory, not opened; only errors are logged. */
int fixture_set_up(void **state);
int fixture_tear_down(void **state);

enum status fixture_open(struct fixture *fixture);
void fixture_close(struct fixture *fixture, bool checkpoint);
void fixture_reopen(struct fixture *fixture, bool checkpoint);

/* Runs `what` on the log's lane and waits. */
void fixture_run(struct fixture *fixture, group_id group, void (*what)(void *context), void *context);

struct log *fixture_create(struct fixture *fixture, group_id group, uint64_t segment_bytes);
/* Another one of the group, which is the fixture's from now on. */
struct log *fixture_create_beside(struct fixture *fixture, group_id group, instance_id instance, uint64_t segment_bytes);
void fixture_create_many(struct fixture *fixture, group_id first, size_t count);
/* `count` entries of one record each with values of `size` bytes; durable, and committed and applied if so asked. */
void fixture_append(struct fixture *fixture, group_id group, size_t count, size_t size, bool commit);
void fixture_append_at(struct fixture *fixture, group_id group, size_t count, size_t size, int64_t time_ms);
void fixture_cut(struct fixture *fixture, group_id group, entry_index from);
void fixture_delete(struct fixture *fixture, group_id group);
void fixture_set_start(struct fixture *fixture, group_id group, record_offset start);
void fixture_commit_all(struct fixture *fixture, group_id group);
void fixture_checkpoint(struct fixture *fixture);

/* Reads one answer. The caller resets it. */
void fixture_read(struct fixture *fixture, group_id group, record_offset offset, size_t bytes_max, struct log_read *read);
/* Reads from an offset to the end in steps; checks order and values; returns how many records. */
size_t fixture_read_all(struct fixture *fixture, group_id group, record_offset from, size_t bytes_max, size_t value_size);
void fixture_find(struct fixture *fixture, group_id group, int64_t time_ms, struct log_find *find);

struct log_view fixture_view(struct fixture *fixture, group_id group);

/* Files. */
void fixture_path(const struct fixture *fixture, const char *name, char *out, size_t size);
void fixture_flip(const struct fixture *fixture, const char *name, long offset);
size_t fixture_list(const struct fixture *fixture, const char *name, char out[][64], size_t max);
bool fixture_has(const struct fixture *fixture, const char *name);
/* Of all that its journal, its dumps and the files beside them are, but for the lock of the store. */
uint64_t fixture_hash(const struct fixture *fixture);

#endif
