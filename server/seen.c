#include "server/seen.h"

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/trace.h"
#include "log/small_file.h"

_Static_assert(PEER_MEMORIES_BYTES_MAX <= SMALL_FILE_BYTES_MAX, "a small file");

struct seen {
  struct world *world;
  struct loop *loop;
  bool failing; /* the last write did; told once */
};

struct keeping {
  struct task task;
  struct seen *seen;
  struct loop *loop;
  struct task *done;
  size_t size;
  uint8_t bytes[PEER_MEMORIES_BYTES_MAX];
};

enum status seen_open(struct world *world, struct peer_memory out_rows[PEER_MEMORIES_MAX], size_t *out_count,
                      struct seen **out_seen) {
  uint8_t into[SMALL_FILE_BYTES_MAX];
  struct bytes bytes;
  enum status status = small_file_read(world->disk, PEER_MEMORIES_PATH, into, &bytes);
  *out_count = 0;
  if (status == STATUS_OK) status = peer_memories_decode(bytes, out_rows, out_count);
  if (status == STATUS_CORRUPT)
    trace_warn("seen_unread", "file=%s do=\"what it said of other brokers' directories is learned again as they are heard of\"",
               PEER_MEMORIES_PATH);
  if (status != STATUS_OK && status != STATUS_CORRUPT && status != STATUS_NOT_FOUND) return status;
  struct seen *seen = NEW(struct seen);
  seen->world = world;
  seen->loop = world_loop_new(world, "seen", LOOP_MAY_BLOCK);
  *out_seen = seen;
  return STATUS_OK;
}

enum status seen_check(struct disk *disk) {
  uint8_t into[SMALL_FILE_BYTES_MAX];
  struct peer_memory rows[PEER_MEMORIES_MAX];
  struct bytes bytes;
  size_t count = 0;
  enum status status = small_file_read(disk, PEER_MEMORIES_PATH, into, &bytes);
  if (status == STATUS_OK) status = peer_memories_decode(bytes, rows, &count);
  return status == STATUS_FOREIGN ? status : STATUS_OK;
}

void seen_close(struct seen *seen) {
  if (seen == NULL) return;
  loop_stop(seen->loop);
  memory_free(seen);
}

/* Where it cannot be written it holds until this process ends: better than to listen to nobody. */
static void keep(struct task *task) {
  struct keeping *keeping = container_of(task, struct keeping, task);
  struct seen *seen = keeping->seen;
  enum status status = small_file_keep(seen->world->disk, PEER_MEMORIES_PATH, bytes_of(keeping->bytes, keeping->size));
  if (status != STATUS_OK && !seen->failing)
    trace_warn("seen_not_kept",
               "file=%s status=%s do=\"see to the disk: a restart of this broker would forget what it saw of others\"",
               PEER_MEMORIES_PATH, status_name(status));
  seen->failing = status != STATUS_OK;
  loop_post(keeping->loop, keeping->done);
  memory_free(keeping);
}

void seen_keep(void *context, const struct peer_memory *rows, size_t count, struct loop *loop, struct task *done) {
  struct seen *seen = context;
  struct keeping *keeping = NEW(struct keeping);
  keeping->task.run = keep;
  keeping->seen = seen;
  keeping->loop = loop;
  keeping->done = done;
  keeping->size = peer_memories_encode(rows, count, keeping->bytes);
  loop_post(seen->loop, &keeping->task);
}
