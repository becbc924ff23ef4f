/* A store of LMDB's in a directory of its own, opened, closed and opened again: what the tests of it stand on. */
#ifndef CAIRN_TESTS_UNIT_BASE_STORE_RIG_H
#define CAIRN_TESTS_UNIT_BASE_STORE_RIG_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/store.h"

#define MAP_SIZE ((uint64_t)64 << 20)

struct rig {
  char directory[256];
  char path[280];
  struct store *store;
  struct buffer key;
  struct buffer value;
};

extern struct rig rig;

/* In an empty directory, where it is made. */
int rig_set_up(void **state);
int rig_tear_down(void **state);

enum status rig_open(bool create);
void rig_close(void);

struct store_change rig_put_of(unsigned table, const char *key, const char *value);
enum status rig_put(unsigned table, const char *key, const char *value);
/* Into rig.value. */
enum status rig_get(unsigned table, const char *key);
void rig_assert_buffer(const struct buffer *buffer, const char *text);

#endif
