#include "tests/unit/base/store_rig.h"

#include "tests/unit/base/cmocka_base.h"

#include "base/os/world_os.h"

struct rig rig;

enum status rig_open(bool create) { return store_lmdb_open(rig.path, MAP_SIZE, create ? STORE_CREATE : 0, &rig.store); }

void rig_close(void) {
  store_close(rig.store);
  rig.store = NULL;
}

int rig_set_up(void **state) {
  (void)state;
  scratch_new(rig.directory);
  snprintf(rig.path, sizeof rig.path, "%s/store.mdb", rig.directory);
  buffer_init(&rig.key, STORE_KEY_MAX);
  buffer_init(&rig.value, 1 << 20);
  return rig_open(true) == STATUS_OK ? 0 : -1;
}

int rig_tear_down(void **state) {
  (void)state;
  rig_close();
  buffer_deinit(&rig.key);
  buffer_deinit(&rig.value);
  scratch_free(rig.directory);
  return 0;
}

struct store_change rig_put_of(unsigned table, const char *key, const char *value) {
  return (struct store_change){.table = table, .key = bytes_of_string(key), .value = bytes_of_string(value)};
}

enum status rig_put(unsigned table, const char *key, const char *value) {
  struct store_change change = rig_put_of(table, key, value);
  return store_commit(rig.store, &change, 1);
}

enum status rig_get(unsigned table, const char *key) { return store_get(rig.store, table, bytes_of_string(key), &rig.value); }

void rig_assert_buffer(const struct buffer *buffer, const char *text) {
  assert_true(bytes_equal(buffer_bytes(buffer), bytes_of_string(text)));
}
