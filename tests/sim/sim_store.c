#include "tests/sim/sim_store.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "tests/sim/sim_pairs.h"

#define MAGIC 0x31305f65726f7473u
#define META_SPACE 4096u
#define META_SIZE 36u
#define BODIES (2 * META_SPACE)
#define LOOK_NS 1500u

struct sim_store {
  struct store store;
  struct sim_process *process;
  struct disk *disk;
  struct disk_file *file;
  struct disk_lock *lock;
  struct sim_pairs pairs;
  uint64_t size_max;
  uint64_t commit;
  uint64_t body_offset;
  uint64_t body_size;
  uint64_t old_offset; /* of the commit before */
  uint64_t old_size;
  bool broken;
  char path[DISK_PATH_MAX];
};

static struct sim_store *sim_store_of(struct store *store) { return container_of(store, struct sim_store, store); }

/* ---- The file ---- */

static enum status write_meta(struct disk_file *file, uint64_t slot, uint64_t offset, uint64_t size, uint64_t commit) {
  uint8_t meta[META_SIZE] = {0};
  put_u64(meta, MAGIC);
  put_u64(meta + 8, commit);
  put_u64(meta + 16, offset);
  put_u64(meta + 24, size);
  put_u32(meta + 32, crc32c(0, bytes_of(meta, 32)));
  return disk_write(file, slot % 2 * META_SPACE, bytes_of(meta, sizeof meta));
}

static enum status read_meta(struct sim_store *store, unsigned slot) {
  uint8_t meta[META_SIZE] = {0};
  size_t size = 0;
  enum status status = disk_read(store->file, slot * META_SPACE, meta, sizeof meta, &size);
  if (status != STATUS_OK) return status;
  if (size < sizeof meta || get_u64(meta) != MAGIC || get_u32(meta + 32) != crc32c(0, bytes_of(meta, 32))) return STATUS_CORRUPT;
  if (get_u64(meta + 8) < store->commit) {
    store->old_offset = get_u64(meta + 16);
    store->old_size = get_u64(meta + 24);
    return STATUS_OK;
  }
  store->old_offset = store->body_offset;
  store->old_size = store->body_size;
  store->commit = get_u64(meta + 8);
  store->body_offset = get_u64(meta + 16);
  store->body_size = get_u64(meta + 24);
  return STATUS_OK;
}

static enum status load(struct sim_store *store) {
  enum status status = read_meta(store, 0);
  if (status == STATUS_OK) status = read_meta(store, 1);
  if (status != STATUS_OK) return status;
  struct disk_stat stat = {0};
  status = disk_stat_file(store->file, &stat);
  if (status != STATUS_OK) return status;
  if (store->body_size == 0) return STATUS_OK;
  if (stat.size < store->body_size || stat.size - store->body_size < store->body_offset) return STATUS_CORRUPT;
  uint8_t *body = memory_new(store->body_size);
  size_t size = 0;
  status = disk_read(store->file, store->body_offset, body, store->body_size, &size);
  if (status == STATUS_OK) {
    bool whole = size == store->body_size && sim_pairs_decode(&store->pairs, bytes_of(body, size));
    if (!whole) status = STATUS_CORRUPT;
  }
  memory_free(body);
  return status;
}

/* As the real one: made beside its place, complete, then renamed into it. */
static enum status create_file(struct disk *disk, const char *path) {
  char fresh[DISK_PATH_MAX];
  struct disk_file *file = NULL;
  snprintf(fresh, sizeof fresh, "%s.new", path);
  enum status status = disk_open(disk, fresh, DISK_CREATE, &file);
  if (status != STATUS_OK) return status;
  status = write_meta(file, 0, BODIES, 0, 0);
  if (status == STATUS_OK) status = write_meta(file, 1, BODIES, 0, 0);
  if (status == STATUS_OK) status = disk_sync(file);
  disk_close(file);
  if (status == STATUS_OK) status = disk_rename(disk, fresh, path);
  if (status != STATUS_OK) return status;
  const char *slash = strrchr(path, '/');
  char directory[DISK_PATH_MAX];
  snprintf(directory, sizeof directory, "%.*s", slash == NULL ? 0 : (int)(slash - path), path);
  return disk_sync_dir(disk, directory);
}

/* The body goes in front of the one in force if it fits there, else behind it. */
static uint64_t place_for(const struct sim_store *store, uint64_t size) {
  if (store->body_offset - BODIES >= size) return BODIES;
  return (store->body_offset + store->body_size + META_SPACE - 1) / META_SPACE * META_SPACE;
}

/* As LMDB does when its meta write fails: the cache would go on showing the new meta, so an old one is written over it. */
static void restore_meta(struct sim_store *store) {
  struct disk_file *file = NULL;
  if (disk_open(store->disk, store->path, 0, &file) != STATUS_OK) return;
  uint64_t old_commit = store->commit == 0 ? 0 : store->commit - 1;
  enum status status = write_meta(file, store->commit + 1, store->old_offset, store->old_size, old_commit);
  (void)status; /* nothing more can be done */
  disk_close(file);
}

static enum status write_image(struct sim_store *store, const struct sim_pairs *pairs) {
  struct buffer body;
  buffer_init(&body, SIZE_MAX / 2);
  sim_pairs_encode(pairs, &body);
  uint64_t offset = place_for(store, body.size);
  enum status status = offset + body.size > store->size_max ? STATUS_NO_SPACE : STATUS_OK;
  if (status == STATUS_OK) status = disk_write(store->file, offset, buffer_bytes(&body));
  if (status == STATUS_OK) status = disk_sync(store->file);
  if (status == STATUS_OK) {
    status = write_meta(store->file, store->commit + 1, offset, body.size, store->commit + 1);
    if (status == STATUS_OK) status = disk_sync(store->file);
    if (status != STATUS_OK) restore_meta(store);
  }
  if (status == STATUS_OK) {
    store->old_offset = store->body_offset;
    store->old_size = store->body_size;
    store->commit++;
    store->body_offset = offset;
    store->body_size = body.size;
  }
  buffer_deinit(&body);
  return status;
}

/* ---- The door ---- */

/* Looking takes a moment, in which others may run. */
static bool alive(struct sim_store *store) { return !store->broken && sim_block(store->process, LOOK_NS); }

static enum status sim_store_commit(struct store *base, const struct store_change *changes, size_t count) {
  struct sim_store *store = sim_store_of(base);
  if (!alive(store)) return STATUS_IO;
  struct sim_pairs next = {0};
  sim_pairs_copy(&next, &store->pairs);
  for (size_t i = 0; i < count; i++) {
    PRE(changes[i].table < STORE_TABLES_MAX && changes[i].key.size > 0 && changes[i].key.size <= STORE_KEY_MAX);
    if (changes[i].remove) sim_pairs_remove(&next, changes[i].table, changes[i].key);
    else sim_pairs_put(&next, changes[i].table, changes[i].key, changes[i].value);
  }
  enum status status = write_image(store, &next);
  if (status == STATUS_OK) {
    struct sim_pairs old = store->pairs;
    store->pairs = next;
    next = old;
  } else if (status != STATUS_NO_SPACE) {
    store->broken = true;
    status = STATUS_IO;
  }
  sim_pairs_deinit(&next);
  return status;
}

static void set_buffer(struct buffer *buffer, struct bytes bytes) {
  buffer_reset(buffer);
  if (buffer->max == 0) buffer->max = SIZE_MAX / 2;
  enum status status = buffer_append(buffer, bytes.data, bytes.size);
  CHECK(status == STATUS_OK);
}

static enum status sim_store_get(struct store *base, unsigned table, struct bytes key, struct buffer *out_value) {
  struct sim_store *store = sim_store_of(base);
  if (!alive(store)) return STATUS_IO;
  const struct sim_pair *pair = sim_pairs_get(&store->pairs, table, key);
  if (pair == NULL) return STATUS_NOT_FOUND;
  struct bytes value = {0};
  enum status status = store_unseal(table, key, sim_pair_kept(pair), &value);
  if (status == STATUS_OK) set_buffer(out_value, value);
  return status;
}

static enum status sim_store_floor(struct store *base, unsigned table, struct bytes key, struct buffer *out_key,
                                   struct buffer *out_value) {
  struct sim_store *store = sim_store_of(base);
  if (!alive(store)) return STATUS_IO;
  const struct sim_pair *pair = sim_pairs_floor(&store->pairs, table, key);
  if (pair == NULL) return STATUS_NOT_FOUND;
  struct bytes value = {0};
  enum status status = store_unseal(table, sim_pair_key(pair), sim_pair_kept(pair), &value);
  if (status != STATUS_OK) return status;
  set_buffer(out_key, sim_pair_key(pair));
  set_buffer(out_value, value);
  return STATUS_OK;
}

static enum status sim_store_walk(struct store *base, unsigned table, struct bytes from,
                                  bool (*visit)(void *context, struct bytes key, struct bytes value), void *context) {
  struct sim_store *store = sim_store_of(base);
  if (!alive(store)) return STATUS_IO;
  for (size_t at = sim_pairs_place(&store->pairs, table, from); at < store->pairs.count; at++) {
    const struct sim_pair *pair = store->pairs.items[at];
    if (pair->table != table) break;
    struct bytes value = {0};
    enum status status = store_unseal(table, sim_pair_key(pair), sim_pair_kept(pair), &value);
    if (status != STATUS_OK) return status;
    if (!visit(context, sim_pair_key(pair), value)) break;
  }
  return STATUS_OK;
}

static void sim_store_close(struct store *base) {
  struct sim_store *store = sim_store_of(base);
  disk_close(store->file);
  if (store->lock != NULL) store->disk->ops->unlock(store->lock);
  sim_pairs_deinit(&store->pairs);
  memory_free(store);
}

static const struct store_ops sim_store_ops = {
    .commit = sim_store_commit,
    .get = sim_store_get,
    .floor = sim_store_floor,
    .walk = sim_store_walk,
    .close = sim_store_close,
};

bool sim_store_flip(struct store *base, unsigned table, struct bytes key, size_t position, uint8_t mask) {
  struct sim_store *store = sim_store_of(base);
  struct sim_pair *pair = sim_pairs_get(&store->pairs, table, key);
  if (pair == NULL || position >= pair->kept_size) return false;
  pair->bytes[pair->key_size + position] ^= mask;
  return true;
}

uint64_t sim_store_commits(const struct store *base) { return ((const struct sim_store *)(const void *)base)->commit; }

enum status sim_store_open(struct sim_process *process, struct disk *disk, const char *path, uint64_t size_max, unsigned flags,
                           struct store **out_store) {
  char lock_path[DISK_PATH_MAX];
  snprintf(lock_path, sizeof lock_path, "%s-lock", path);
  struct sim_store *store = NEW(struct sim_store);
  store->store.ops = &sim_store_ops;
  store->process = process;
  store->disk = disk;
  store->size_max = size_max;
  snprintf(store->path, sizeof store->path, "%s", path);
  struct disk_stat stat = {0};
  enum status status = disk_stat_path(disk, path, &stat);
  if (status == STATUS_NOT_FOUND && (flags & STORE_CREATE) != 0) status = create_file(disk, path);
  if (status == STATUS_OK) status = disk_lock(disk, lock_path, &store->lock);
  if (status == STATUS_OK) status = disk_open(disk, path, 0, &store->file);
  if (status == STATUS_OK) status = load(store);
  if (status != STATUS_OK) {
    sim_store_close(&store->store);
    return status;
  }
  *out_store = &store->store;
  return STATUS_OK;
}
