/* Ordered tables in LMDB: one file, one table of LMDB's for each of ours, and one more with a digest of all contents.
 *
 * 1. LMDB is let near the file only after store_digest_check_file() has read all of it: structure, every seal, and the digest,
 *    which every commit carries on. So a store that opens holds exactly what the last commit left.
 * 2. A store is made beside its place and renamed into it: a file that is there was complete once.
 * 3. The file is locked while it is open, also against a second opening in this process, which LMDB would not survive.
 * 4. A store that LMDB called broken, or whose disk failed, answers so until it is closed.
 *
 * What remains: a disk that lost the last meta page it was given shows the state before the last commit, which is whole;
 * whoever must know keeps a number of his own in both places (the journal's CHECKPOINT frame). And damage that comes between
 * the check and a later read of the same page from disk: a damaged value is found by its seal, a damaged page by LMDB's own
 * assertions where they notice, but not all do, and a wild offset may end the process; so does, by SIGBUS, a sector that has
 * become unreadable or a file that is cut while it is open. The next start finds each by plain reads.
 */
#include "base/os/world_os.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/os/blocking.h"
#include "base/os/store_digest.h"

#define READERS_MAX 64u
#define ROOM_WANTED (1 << 20)
#define FILE_MODE 0600
#define OPEN_FLAGS (MDB_NOSUBDIR | MDB_NOTLS)

struct store_lmdb {
  struct store store;
  MDB_env *environment;
  MDB_dbi tables[STORE_TABLES_ALL];
  int descriptor; /* holds the lock */
  bool read_only;
  atomic_int broken;     /* STATUS_OK, or what every call answers from now on */
  atomic_bool abandoned; /* LMDB failed an assertion: its structures may not even be freed */
  struct store_lmdb *abandoned_before;
};

static struct store_lmdb *store_lmdb_of(struct store *store) { return container_of(store, struct store_lmdb, store); }

static MDB_val val_of(struct bytes bytes) {
  /* LMDB does not write through it. */
  return (MDB_val){.mv_size = bytes.size, .mv_data = (void *)(uintptr_t)bytes.data};
}

static struct bytes bytes_of_val(MDB_val val) { return bytes_of(val.mv_data, val.mv_size); }

static enum status status_of_lmdb(int result) {
  switch (result) {
    case MDB_SUCCESS: return STATUS_OK;
    case MDB_NOTFOUND:
    case ENOENT: return STATUS_NOT_FOUND;
    case MDB_MAP_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return STATUS_NO_SPACE;
    case MDB_TXN_FULL: return STATUS_TOO_LARGE;
    case MDB_READERS_FULL: return STATUS_BUSY;
    case EACCES:
    case EPERM:
    case EROFS: return STATUS_DENIED;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_PAGE_FULL:
    case MDB_CURSOR_FULL:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
    case MDB_BAD_TXN: return STATUS_CORRUPT;
    default: return STATUS_IO; /* MDB_PANIC too */
  }
}

/* ---- LMDB's assertions ---- */

static _Thread_local jmp_buf *assertion_exit;

/* LMDB aborts when this returns. What it was doing is left as it stands: the store is broken, and nothing of LMDB's but a read
 * transaction, which owns nothing, is touched again. */
static void on_assertion(MDB_env *environment, const char *message) {
  (void)environment;
  (void)message;
  if (assertion_exit != NULL) longjmp(*assertion_exit, 1);
}

/* A read transaction and the cursor in it; no read outlives the call that made it. */
struct reading {
  MDB_txn *transaction;
  MDB_cursor *cursor;
};

static int begin_reading(struct store_lmdb *store, unsigned table, struct reading *reading) {
  int result = mdb_txn_begin(store->environment, NULL, MDB_RDONLY, &reading->transaction);
  if (result == MDB_SUCCESS) result = mdb_cursor_open(reading->transaction, store->tables[table], &reading->cursor);
  return result;
}

static void end_reading(struct reading *reading) {
  if (reading->cursor != NULL) mdb_cursor_close(reading->cursor);
  if (reading->transaction != NULL) mdb_txn_abort(reading->transaction);
  *reading = (struct reading){0};
}

/* Runs `body`; a failed assertion inside LMDB makes the store corrupt. What `reading` holds is ended in either case; it may be
 * NULL. */
static enum status guarded(struct store_lmdb *store, struct reading *reading,
                           enum status (*body)(struct store_lmdb *store, void *argument), void *argument) {
  blocking_check();
  enum status broken = (enum status)atomic_load(&store->broken);
  if (broken != STATUS_OK) return broken;
  jmp_buf exit;
  PRE(assertion_exit == NULL); /* a visitor must not call into the store */
  if (setjmp(exit) != 0) {
    assertion_exit = NULL;
    atomic_store(&store->abandoned, true);
    atomic_store(&store->broken, (int)STATUS_CORRUPT);
    if (reading != NULL) end_reading(reading);
    return STATUS_CORRUPT;
  }
  assertion_exit = &exit;
  enum status status = body(store, argument);
  assertion_exit = NULL;
  if (reading != NULL) end_reading(reading);
  return status;
}

/* ---- Sealed pairs, and the digest among them ---- */

/* Seals the value straight into LMDB's page. */
static int put_sealed(MDB_txn *transaction, MDB_dbi handle, unsigned table, struct bytes key, struct bytes value,
                      struct bytes *out_kept) {
  MDB_val key_val = val_of(key);
  MDB_val kept = {.mv_size = STORE_SEAL_SIZE + value.size};
  int result = mdb_put(transaction, handle, &key_val, &kept, MDB_RESERVE);
  if (result != MDB_SUCCESS) return result;
  uint8_t *at = kept.mv_data;
  store_seal(table, key, value, at);
  if (value.size > 0) memcpy(at + STORE_SEAL_SIZE, value.data, value.size);
  *out_kept = bytes_of_val(kept);
  return MDB_SUCCESS;
}

static int put_digest(MDB_txn *transaction, MDB_dbi handle, const struct store_digest *digest) {
  uint8_t value[STORE_DIGEST_SIZE];
  store_digest_encode(digest, value);
  struct bytes kept;
  return put_sealed(transaction, handle, STORE_DIGEST_TABLE, bytes_of_string(STORE_DIGEST_KEY), bytes_of(value, sizeof value),
                    &kept);
}

static enum status read_digest(MDB_txn *transaction, MDB_dbi handle, struct store_digest *out_digest) {
  struct bytes key = bytes_of_string(STORE_DIGEST_KEY);
  MDB_val key_val = val_of(key);
  MDB_val kept;
  *out_digest = (struct store_digest){0};
  int result = mdb_get(transaction, handle, &key_val, &kept);
  if (result != MDB_SUCCESS) return result == MDB_NOTFOUND ? STATUS_CORRUPT : status_of_lmdb(result);
  struct bytes value;
  enum status status = store_unseal(STORE_DIGEST_TABLE, key, bytes_of_val(kept), &value);
  return status == STATUS_OK ? store_digest_decode(value, out_digest) : status;
}

/* ---- Commit ---- */

struct commit {
  const struct store_change *changes;
  size_t count;
  bool panicked; /* a meta page could not be written: LMDB takes no more transactions */
};

static enum status apply_change(struct store_lmdb *store, MDB_txn *transaction, const struct store_change *change,
                                struct store_digest *digest) {
  PRE(change->table < STORE_TABLES_MAX);
  PRE(change->key.size > 0 && change->key.size <= STORE_KEY_MAX);
  MDB_dbi handle = store->tables[change->table];
  MDB_val key = val_of(change->key);
  MDB_val earlier;
  int result = mdb_get(transaction, handle, &key, &earlier);
  if (result != MDB_SUCCESS && result != MDB_NOTFOUND) return status_of_lmdb(result);
  bool is_there = result == MDB_SUCCESS;
  if (is_there) {
    struct bytes value;
    enum status status = store_unseal(change->table, change->key, bytes_of_val(earlier), &value);
    if (status != STATUS_OK) return status;
    store_digest_subtract(digest, change->table, change->key, bytes_of_val(earlier));
  }
  if (change->remove) return is_there ? status_of_lmdb(mdb_del(transaction, handle, &key, NULL)) : STATUS_OK;
  struct bytes kept;
  result = put_sealed(transaction, handle, change->table, change->key, change->value, &kept);
  if (result != MDB_SUCCESS) return status_of_lmdb(result);
  store_digest_add(digest, change->table, change->key, kept);
  return STATUS_OK;
}

static enum status commit_guarded(struct store_lmdb *store, void *argument) {
  struct commit *commit = argument;
  MDB_txn *transaction = NULL;
  int result = mdb_txn_begin(store->environment, NULL, 0, &transaction);
  commit->panicked = result == MDB_PANIC;
  if (result != MDB_SUCCESS) return status_of_lmdb(result);
  struct store_digest digest;
  enum status status = read_digest(transaction, store->tables[STORE_DIGEST_TABLE], &digest);
  digest.commits++;
  for (size_t i = 0; i < commit->count && status == STATUS_OK; i++) {
    status = apply_change(store, transaction, &commit->changes[i], &digest);
  }
  if (status == STATUS_OK) status = status_of_lmdb(put_digest(transaction, store->tables[STORE_DIGEST_TABLE], &digest));
  if (status != STATUS_OK) {
    mdb_txn_abort(transaction);
    return status;
  }
  return status_of_lmdb(mdb_txn_commit(transaction));
}

/* LMDB calls a short write EIO, and a disk that becomes full is a short write. Whichever it was, nothing took effect, and the next
 * commit writes all its pages anew; but only for lack of space is it worth another try. */
static bool disk_is_full(int descriptor) {
  struct stat stat;
  struct statvfs space;
  if (fstat(descriptor, &stat) != 0 || fstatvfs(descriptor, &space) != 0) return false;
  if (fallocate(descriptor, 0, stat.st_size, ROOM_WANTED) == 0) return false;
  return status_of_lmdb(errno) == STATUS_NO_SPACE || (uint64_t)space.f_bavail * space.f_frsize < ROOM_WANTED;
}

/* Behind its end the file keeps blocks for the commits to come: on a full disk a small one, which says what was trimmed, must still get
 * through. Best effort. */
static void keep_room(int descriptor) {
  struct stat stat;
  if (fstat(descriptor, &stat) != 0) return;
  int result = fallocate(descriptor, FALLOC_FL_KEEP_SIZE, stat.st_size, ROOM_WANTED);
  (void)result;
}

static enum status store_lmdb_commit(struct store *store, const struct store_change *changes, size_t count) {
  struct store_lmdb *os = store_lmdb_of(store);
  PRE(!os->read_only);
  if (count == 0) return STATUS_OK;
  struct commit commit = {.changes = changes, .count = count};
  enum status status = guarded(os, NULL, commit_guarded, &commit);
  if (status == STATUS_OK) keep_room(os->descriptor);
  if (status != STATUS_IO) return status;
  if (!commit.panicked && disk_is_full(os->descriptor)) return STATUS_NO_SPACE;
  atomic_store(&os->broken, (int)STATUS_IO);
  return STATUS_IO;
}

/* ---- Reading ---- */

struct lookup {
  struct reading reading;
  unsigned table;
  struct bytes key;
  struct buffer *out_key; /* floor only */
  struct buffer *out_value;
};

static enum status replace(struct buffer *buffer, struct bytes bytes) {
  if (bytes.size > buffer->max) return STATUS_TOO_LARGE;
  buffer_reset(buffer);
  return buffer_append(buffer, bytes.data, bytes.size);
}

static enum status get_guarded(struct store_lmdb *store, void *argument) {
  struct lookup *lookup = argument;
  int result = begin_reading(store, lookup->table, &lookup->reading);
  if (result != MDB_SUCCESS) return status_of_lmdb(result);
  MDB_val key = val_of(lookup->key);
  MDB_val kept;
  result = mdb_cursor_get(lookup->reading.cursor, &key, &kept, MDB_SET);
  if (result != MDB_SUCCESS) return status_of_lmdb(result);
  struct bytes value;
  enum status status = store_unseal(lookup->table, lookup->key, bytes_of_val(kept), &value);
  return status == STATUS_OK ? replace(lookup->out_value, value) : status;
}

static enum status store_lmdb_get(struct store *store, unsigned table, struct bytes key, struct buffer *out_value) {
  PRE(table < STORE_TABLES_MAX);
  PRE(key.size > 0 && key.size <= STORE_KEY_MAX);
  struct lookup lookup = {.table = table, .key = key, .out_value = out_value};
  return guarded(store_lmdb_of(store), &lookup.reading, get_guarded, &lookup);
}

/* The greatest key that is not above `at`: what stands there, or what stands before the first that is greater. */
static int cursor_floor(MDB_cursor *cursor, struct bytes wanted, MDB_val *key, MDB_val *kept) {
  *key = val_of(wanted);
  int result = mdb_cursor_get(cursor, key, kept, MDB_SET_RANGE);
  if (result == MDB_NOTFOUND) return mdb_cursor_get(cursor, key, kept, MDB_LAST);
  if (result != MDB_SUCCESS || bytes_equal(bytes_of_val(*key), wanted)) return result;
  return mdb_cursor_get(cursor, key, kept, MDB_PREV);
}

static enum status floor_guarded(struct store_lmdb *store, void *argument) {
  struct lookup *lookup = argument;
  MDB_val key;
  MDB_val kept;
  int result = begin_reading(store, lookup->table, &lookup->reading);
  if (result == MDB_SUCCESS) result = cursor_floor(lookup->reading.cursor, lookup->key, &key, &kept);
  if (result != MDB_SUCCESS) return status_of_lmdb(result);
  struct bytes value;
  if (bytes_compare(bytes_of_val(key), lookup->key) > 0) return STATUS_CORRUPT;
  enum status status = store_unseal(lookup->table, bytes_of_val(key), bytes_of_val(kept), &value);
  if (status != STATUS_OK) return status;
  if (key.mv_size > lookup->out_key->max || value.size > lookup->out_value->max) return STATUS_TOO_LARGE;
  status = replace(lookup->out_key, bytes_of_val(key));
  if (status != STATUS_OK) return status;
  return replace(lookup->out_value, value);
}

static enum status store_lmdb_floor(struct store *store, unsigned table, struct bytes key, struct buffer *out_key,
                                    struct buffer *out_value) {
  PRE(table < STORE_TABLES_MAX);
  PRE(key.size > 0 && key.size <= STORE_KEY_MAX);
  struct lookup lookup = {.table = table, .key = key, .out_key = out_key, .out_value = out_value};
  return guarded(store_lmdb_of(store), &lookup.reading, floor_guarded, &lookup);
}

struct walk {
  struct reading reading;
  unsigned table;
  struct bytes from;
  bool (*visit)(void *context, struct bytes key, struct bytes value);
  void *context;
};

/* A walk ends at the end, or is corrupt: absent and unreadable are different answers. */
static enum status walk_in(MDB_cursor *cursor, const struct walk *walk) {
  uint8_t previous_key[STORE_KEY_MAX];
  struct bytes previous = bytes_of(previous_key, 0);
  MDB_val key = val_of(walk->from);
  MDB_val kept;
  int result = mdb_cursor_get(cursor, &key, &kept, walk->from.size == 0 ? MDB_FIRST : MDB_SET_RANGE);
  for (; result == MDB_SUCCESS; result = mdb_cursor_get(cursor, &key, &kept, MDB_NEXT)) {
    struct bytes here = bytes_of_val(key);
    struct bytes value;
    if (here.size == 0 || here.size > STORE_KEY_MAX || bytes_compare(previous, here) >= 0) return STATUS_CORRUPT;
    enum status status = store_unseal(walk->table, here, bytes_of_val(kept), &value);
    if (status != STATUS_OK) return status;
    memcpy(previous_key, here.data, here.size);
    previous.size = here.size;
    if (!walk->visit(walk->context, here, value)) return STATUS_OK;
  }
  if (result == MDB_NOTFOUND) return STATUS_OK;
  return status_of_lmdb(result) == STATUS_IO ? STATUS_IO : STATUS_CORRUPT;
}

static enum status walk_guarded(struct store_lmdb *store, void *argument) {
  struct walk *walk = argument;
  int result = begin_reading(store, walk->table, &walk->reading);
  return result == MDB_SUCCESS ? walk_in(walk->reading.cursor, walk) : status_of_lmdb(result);
}

static enum status store_lmdb_walk(struct store *store, unsigned table, struct bytes from,
                                   bool (*visit)(void *context, struct bytes key, struct bytes value), void *context) {
  PRE(table < STORE_TABLES_MAX);
  PRE(from.size <= STORE_KEY_MAX);
  struct walk walk = {.table = table, .from = from, .visit = visit, .context = context};
  return guarded(store_lmdb_of(store), &walk.reading, walk_guarded, &walk);
}

/* ---- Opening ---- */

static _Atomic(struct store_lmdb *) last_abandoned;

static void store_lmdb_close(struct store *store) {
  blocking_check();
  struct store_lmdb *os = store_lmdb_of(store);
  close(os->descriptor);
  if (atomic_load(&os->abandoned)) {
    /* Kept for ever, and where a debugger finds it. */
    os->abandoned_before = atomic_load(&last_abandoned);
    while (!atomic_compare_exchange_weak(&last_abandoned, &os->abandoned_before, os)) continue;
    return;
  }
  if (os->environment != NULL) mdb_env_close(os->environment);
  memory_free(os);
}

static const struct store_ops store_lmdb_ops = {
    .commit = store_lmdb_commit,
    .get = store_lmdb_get,
    .floor = store_lmdb_floor,
    .walk = store_lmdb_walk,
    .close = store_lmdb_close,
};

static enum status open_environment(const char *path, uint64_t size_max, unsigned flags, MDB_env **out_environment) {
  MDB_env *environment = NULL;
  int result = mdb_env_create(&environment);
  if (result != MDB_SUCCESS) return status_of_lmdb(result);
  size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
  size_t map_size = (size_t)size_max / page_size * page_size;
  result = mdb_env_set_mapsize(environment, map_size);
  if (result == MDB_SUCCESS) result = mdb_env_set_maxdbs(environment, STORE_TABLES_ALL);
  if (result == MDB_SUCCESS) result = mdb_env_set_maxreaders(environment, READERS_MAX);
  if (result == MDB_SUCCESS) result = mdb_env_set_assert(environment, on_assertion);
  if (result == MDB_SUCCESS) result = mdb_env_open(environment, path, OPEN_FLAGS | flags, FILE_MODE);
  if (result != MDB_SUCCESS) {
    mdb_env_close(environment);
    return status_of_lmdb(result);
  }
  *out_environment = environment;
  return STATUS_OK;
}

/* Opens all tables in one transaction; makes them, and an empty digest, with MDB_CREATE. */
static enum status open_tables(MDB_env *environment, unsigned flags, MDB_dbi out_tables[STORE_TABLES_ALL]) {
  MDB_txn *transaction = NULL;
  int result = mdb_txn_begin(environment, NULL, flags & MDB_CREATE ? 0 : MDB_RDONLY, &transaction);
  if (result != MDB_SUCCESS) return status_of_lmdb(result);
  for (unsigned table = 0; table < STORE_TABLES_ALL && result == MDB_SUCCESS; table++) {
    char name[STORE_TABLE_NAME_SIZE];
    store_table_name(table, name);
    result = mdb_dbi_open(transaction, name, flags, &out_tables[table]);
  }
  struct store_digest empty = {0};
  if (result == MDB_SUCCESS && (flags & MDB_CREATE)) result = put_digest(transaction, out_tables[STORE_DIGEST_TABLE], &empty);
  if (result != MDB_SUCCESS) {
    mdb_txn_abort(transaction);
    return result == MDB_NOTFOUND ? STATUS_CORRUPT : status_of_lmdb(result);
  }
  return status_of_lmdb(mdb_txn_commit(transaction));
}

/* `path` with something behind it; the caller frees it. */
static char *path_with(const char *path, const char *suffix) {
  size_t size = strlen(path) + strlen(suffix) + 1;
  char *whole = memory_grow_array(NULL, size, 1);
  snprintf(whole, size, "%s%s", path, suffix);
  return whole;
}

static enum status sync_parent(const char *path) {
  char *parent = memory_copy_string(path);
  char *slash = strrchr(parent, '/');
  if (slash == parent) slash[1] = '\0';
  else if (slash != NULL) *slash = '\0';
  int descriptor = open(slash == NULL ? "." : parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  memory_free(parent);
  if (descriptor < 0) return status_of_lmdb(errno);
  int result = fsync(descriptor);
  close(descriptor);
  return result == 0 ? STATUS_OK : STATUS_IO;
}

static enum status make_file(const char *path, uint64_t size_max) {
  char *fresh = path_with(path, ".new");
  char *fresh_lock = path_with(path, ".new-lock");
  unlink(fresh); /* left by a crash: never complete, or it would have its name */
  unlink(fresh_lock);
  MDB_env *environment = NULL;
  MDB_dbi tables[STORE_TABLES_ALL];
  enum status status = open_environment(fresh, size_max, 0, &environment);
  if (status == STATUS_OK) {
    status = open_tables(environment, MDB_CREATE, tables);
    mdb_env_close(environment);
  }
  if (status == STATUS_OK && rename(fresh, path) != 0) status = status_of_lmdb(errno);
  if (status == STATUS_OK) status = sync_parent(path);
  if (status != STATUS_OK) unlink(fresh);
  unlink(fresh_lock);
  memory_free(fresh);
  memory_free(fresh_lock);
  return status;
}

/* Whoever only reads lets others read. */
static enum status lock_file(int descriptor, bool read_only) {
  if (flock(descriptor, (read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0) return STATUS_OK;
  return errno == EWOULDBLOCK ? STATUS_LOCKED : STATUS_IO;
}

/* LMDB's lock file is about processes that are gone: ours is the lock that counts. */
static void remove_lock_file(const char *path) {
  char *lock = path_with(path, "-lock");
  unlink(lock);
  memory_free(lock);
}

enum status store_lmdb_open(const char *path, uint64_t size_max, unsigned flags, struct store **out_store) {
  blocking_check();
  bool read_only = (flags & STORE_READ_ONLY) != 0;
  bool create = (flags & STORE_CREATE) != 0;
  PRE(IMPLIES(read_only, !create));
  int descriptor = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
  if (descriptor < 0 && errno == ENOENT && create) {
    enum status made = make_file(path, size_max);
    if (made != STATUS_OK) return made;
    descriptor = open(path, O_RDWR | O_CLOEXEC);
  }
  if (descriptor < 0) return status_of_lmdb(errno);
  struct store_lmdb *os = NEW(struct store_lmdb);
  os->store.ops = &store_lmdb_ops;
  os->descriptor = descriptor;
  os->read_only = read_only;
  enum status status = lock_file(descriptor, read_only);
  if (status == STATUS_OK) status = store_digest_check_file(descriptor);
  if (status == STATUS_OK && !read_only) remove_lock_file(path);
  if (status == STATUS_OK) status = open_environment(path, size_max, read_only ? MDB_RDONLY | MDB_NOLOCK : 0, &os->environment);
  if (status == STATUS_OK) status = open_tables(os->environment, 0, os->tables);
  if (status != STATUS_OK) {
    store_lmdb_close(&os->store);
    return status;
  }
  *out_store = &os->store;
  return STATUS_OK;
}
