#include "tests/sim/sim_inode.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"

/* ---- Pages ---- */

static void page_release(struct sim_page *page) {
  if (page != NULL && --page->holders == 0) memory_free(page);
}

static struct sim_page *pages_get(const struct sim_pages *pages, size_t at) {
  return at < pages->count ? pages->slots[at] : NULL;
}

/* Takes over the hold. */
static void pages_put(struct sim_pages *pages, size_t at, struct sim_page *page) {
  if (at >= pages->count) {
    if (page == NULL) return;
    size_t count = at + 1 + pages->count / 2;
    pages->slots = memory_grow_array(pages->slots, count, sizeof(struct sim_page *));
    memset(pages->slots + pages->count, 0, (count - pages->count) * sizeof(struct sim_page *));
    pages->count = count;
  }
  page_release(pages->slots[at]);
  pages->slots[at] = page;
}

/* A page that nobody else holds. */
static uint8_t *pages_own(struct sim_pages *pages, size_t at) {
  struct sim_page *page = pages_get(pages, at);
  if (page != NULL && page->holders == 1) return page->data;
  struct sim_page *copy = NEW(struct sim_page);
  copy->holders = 1;
  if (page != NULL) memcpy(copy->data, page->data, SIM_PAGE_SIZE);
  pages_put(pages, at, copy);
  return copy->data;
}

static void pages_share(struct sim_pages *into, const struct sim_pages *from, size_t at) {
  struct sim_page *page = pages_get(from, at);
  if (page == pages_get(into, at)) return;
  if (page != NULL) page->holders++;
  pages_put(into, at, page);
}

static void pages_share_all(struct sim_pages *into, const struct sim_pages *from) {
  size_t count = into->count > from->count ? into->count : from->count;
  for (size_t at = 0; at < count; at++) pages_share(into, from, at);
}

static void pages_read(const struct sim_pages *pages, uint64_t offset, uint8_t *into, size_t size) {
  while (size > 0) {
    size_t within = offset % SIM_PAGE_SIZE;
    size_t part = SIM_PAGE_SIZE - within < size ? SIM_PAGE_SIZE - within : size;
    const struct sim_page *page = pages_get(pages, offset / SIM_PAGE_SIZE);
    if (page == NULL) memset(into, 0, part);
    else memcpy(into, page->data + within, part);
    offset += part;
    into += part;
    size -= part;
  }
}

/* `data` NULL: zeros. */
static void pages_write(struct sim_pages *pages, uint64_t offset, const uint8_t *data, size_t size) {
  while (size > 0) {
    size_t at = offset / SIM_PAGE_SIZE;
    size_t within = offset % SIM_PAGE_SIZE;
    size_t part = SIM_PAGE_SIZE - within < size ? SIM_PAGE_SIZE - within : size;
    if (data != NULL) {
      memcpy(pages_own(pages, at) + within, data, part);
      data += part;
    } else if (part == SIM_PAGE_SIZE) {
      pages_put(pages, at, NULL);
    } else if (pages_get(pages, at) != NULL) {
      memset(pages_own(pages, at) + within, 0, part);
    }
    offset += part;
    size -= part;
  }
}

static void pages_cut(struct sim_pages *pages, uint64_t size) {
  uint64_t end = (uint64_t)pages->count * SIM_PAGE_SIZE;
  if (end > size) pages_write(pages, size, NULL, end - size);
}

static void pages_deinit(struct sim_pages *pages) {
  for (size_t at = 0; at < pages->count; at++) page_release(pages->slots[at]);
  memory_free(pages->slots);
}

/* ---- Names ---- */

static size_t names_place(const struct sim_names *names, const char *text, bool *out_found) {
  size_t low = 0;
  for (size_t high = names->count; low < high;) {
    size_t middle = (low + high) / 2;
    if (strcmp(names->items[middle].text, text) < 0) low = middle + 1;
    else high = middle;
  }
  *out_found = low < names->count && strcmp(names->items[low].text, text) == 0;
  return low;
}

struct sim_inode *sim_names_get(const struct sim_names *names, const char *text) {
  bool found = false;
  size_t at = names_place(names, text, &found);
  return found ? names->items[at].inode : NULL;
}

static void names_remove_at(struct sim_names *names, size_t at) {
  memory_free(names->items[at].text);
  sim_inode_release(names->items[at].inode);
  names->count--;
  memmove(&names->items[at], &names->items[at + 1], (names->count - at) * sizeof *names->items);
}

void sim_names_set(struct sim_names *names, const char *text, struct sim_inode *inode) {
  bool found = false;
  if (inode != NULL) sim_inode_hold(inode);
  size_t at = names_place(names, text, &found);
  if (found) names_remove_at(names, at);
  if (inode == NULL) return;
  if (names->count == names->capacity) {
    names->capacity = names->capacity == 0 ? 8 : names->capacity * 2;
    names->items = memory_grow_array(names->items, names->capacity, sizeof *names->items);
  }
  memmove(&names->items[at + 1], &names->items[at], (names->count - at) * sizeof *names->items);
  names->items[at] = (struct sim_name){.text = memory_copy_string(text), .inode = inode};
  names->count++;
}

void sim_names_deinit(struct sim_names *names) {
  while (names->count > 0) names_remove_at(names, names->count - 1);
  memory_free(names->items);
  *names = (struct sim_names){0};
}

void sim_names_copy(struct sim_names *into, const struct sim_names *from) {
  struct sim_names copy = {0};
  for (size_t i = 0; i < from->count; i++) sim_names_set(&copy, from->items[i].text, from->items[i].inode);
  sim_names_deinit(into);
  *into = copy;
}

/* ---- Life ---- */

struct sim_inode *sim_inode_new(uint64_t id, bool directory, const char *path, uint64_t *used) {
  struct sim_inode *inode = NEW(struct sim_inode);
  inode->id = id;
  inode->directory = directory;
  inode->used = used;
  inode->holders = 1;
  snprintf(inode->path, sizeof inode->path, "%s", path);
  list_init(&inode->writes);
  return inode;
}

struct sim_inode *sim_inode_hold(struct sim_inode *inode) {
  inode->holders++;
  return inode;
}

static void charge(struct sim_inode *inode) {
  uint64_t charged = (inode->size + SIM_PAGE_SIZE - 1) / SIM_PAGE_SIZE * SIM_PAGE_SIZE;
  *inode->used = *inode->used - inode->charged + charged;
  inode->charged = charged;
}

static void write_free(struct sim_write *write) {
  list_remove(&write->node);
  memory_free(write->data);
  memory_free(write);
}

void sim_inode_release(struct sim_inode *inode) {
  if (inode == NULL || --inode->holders > 0) return;
  list_for_each(&inode->writes, node, following) write_free(list_entry(node, struct sim_write, node));
  if (list_node_linked(&inode->node)) list_remove(&inode->node);
  *inode->used -= inode->charged;
  sim_names_deinit(&inode->names);
  sim_names_deinit(&inode->durable_names);
  pages_deinit(&inode->seen);
  pages_deinit(&inode->durable);
  pages_deinit(&inode->cached);
  memory_free(inode);
}

/* ---- Reads and writes ---- */

void sim_inode_read(const struct sim_inode *inode, uint64_t offset, uint8_t *into, size_t size, bool cached) {
  pages_read(&inode->seen, offset, into, size);
  if (!cached) return;
  for (uint64_t at = offset; at < offset + size;) {
    uint64_t page_end = (at / SIM_PAGE_SIZE + 1) * SIM_PAGE_SIZE;
    size_t part = (size_t)((page_end < offset + size ? page_end : offset + size) - at);
    if (pages_get(&inode->cached, at / SIM_PAGE_SIZE) != NULL) pages_read(&inode->cached, at, into + (at - offset), part);
    at += part;
  }
}

static bool all_zero(struct bytes bytes) {
  return bytes.size == 0 || (bytes.data[0] == 0 && memcmp(bytes.data, bytes.data + 1, bytes.size - 1) == 0);
}

static void add_write(struct sim_inode *inode, uint64_t sequence, uint64_t offset, struct bytes bytes, bool buffered,
                      uint64_t size_after) {
  struct sim_write *write = NEW(struct sim_write);
  write->sequence = sequence;
  write->offset = offset;
  write->size = bytes.size;
  write->buffered = buffered;
  write->size_before = inode->size;
  write->size_after = size_after;
  if (!all_zero(bytes)) {
    write->data = memory_grow_array(NULL, bytes.size, 1);
    memcpy(write->data, bytes.data, bytes.size);
  }
  list_push_back(&inode->writes, &write->node);
  pages_write(&inode->seen, offset, write->data, bytes.size);
  inode->size = size_after;
  charge(inode);
}

/* A page that only the cache has becomes dirty again as a whole when a part of it is written; a direct write throws it out. */
static void settle_cached(struct sim_inode *inode, uint64_t sequence, uint64_t offset, size_t size, bool buffered) {
  if (inode->cached.count == 0 || size == 0) return;
  for (uint64_t at = offset / SIM_PAGE_SIZE; at <= (offset + size - 1) / SIM_PAGE_SIZE; at++) {
    const struct sim_page *page = pages_get(&inode->cached, at);
    if (page == NULL) continue;
    if (buffered) add_write(inode, sequence, at * SIM_PAGE_SIZE, bytes_of(page->data, SIM_PAGE_SIZE), true, inode->size);
    pages_put(&inode->cached, at, NULL);
  }
}

void sim_inode_write(struct sim_inode *inode, uint64_t sequence, uint64_t offset, struct bytes bytes, bool buffered) {
  settle_cached(inode, sequence, offset, bytes.size, buffered);
  uint64_t end = offset + bytes.size;
  add_write(inode, sequence, offset, bytes, buffered, end > inode->size ? end : inode->size);
}

void sim_inode_truncate(struct sim_inode *inode, uint64_t sequence, uint64_t size) {
  pages_cut(&inode->cached, size);
  pages_cut(&inode->seen, size);
  add_write(inode, sequence, size, bytes_of(NULL, 0), true, size);
}

/* ---- Durability ---- */

static void set_durable_size(struct sim_inode *inode, uint64_t size) {
  if (size < inode->durable_size) pages_cut(&inode->durable, size);
  inode->durable_size = size;
}

static void apply(struct sim_inode *inode, struct sim_write *write) {
  pages_write(&inode->durable, write->offset, write->data, write->size);
  bool grows = write->size_after > write->size_before && write->size_after > inode->durable_size;
  if (grows || write->size_after < write->size_before) set_durable_size(inode, write->size_after);
  write_free(write);
}

void sim_inode_sync(struct sim_inode *inode, uint64_t sequence) {
  list_for_each(&inode->writes, node, following) {
    struct sim_write *write = list_entry(node, struct sim_write, node);
    if (write->sequence > sequence) break;
    apply(inode, write);
  }
  if (!list_empty(&inode->writes)) return;
  set_durable_size(inode, inode->size);
  pages_share_all(&inode->durable, &inode->seen);
}

void sim_inode_sync_write(struct sim_inode *inode, uint64_t sequence) {
  uint64_t from = UINT64_MAX;
  uint64_t end = 0;
  list_for_each(&inode->writes, node, following) {
    const struct sim_write *write = list_entry(node, struct sim_write, node);
    if (write->sequence == sequence && write->offset < from) from = write->offset;
    if (write->sequence == sequence && write->offset + write->size > end) end = write->offset + write->size;
  }
  list_for_each(&inode->writes, node, following) {
    const struct sim_write *write = list_entry(node, struct sim_write, node);
    if (write->sequence >= sequence) break;
    bool overlaps = write->offset < end && from < write->offset + write->size;
    if (!overlaps && write->size_after >= write->size_before) continue;
    sim_inode_sync(inode, sequence);
    return;
  }
  list_for_each(&inode->writes, node, following) {
    struct sim_write *write = list_entry(node, struct sim_write, node);
    if (write->sequence == sequence) apply(inode, write);
  }
}

void sim_inode_lose(struct sim_inode *inode, uint64_t sequence) {
  list_for_each(&inode->writes, node, following) {
    struct sim_write *write = list_entry(node, struct sim_write, node);
    if (write->sequence > sequence) break;
    uint64_t end = write->offset + write->size;
    for (uint64_t at = write->offset / SIM_PAGE_SIZE; write->size > 0 && at <= (end - 1) / SIM_PAGE_SIZE; at++) {
      if (write->buffered) {
        pages_share(&inode->cached, &inode->seen, at);
        if (pages_get(&inode->cached, at) == NULL) pages_own(&inode->cached, at);
      }
      pages_share(&inode->seen, &inode->durable, at);
    }
    write_free(write);
  }
  list_for_each(&inode->writes, node, following) {
    const struct sim_write *write = list_entry(node, struct sim_write, node);
    pages_write(&inode->seen, write->offset, write->data, write->size);
  }
}

/* What is left of one sector of an unsynced write. */
static void cut_sector(struct sim_inode *inode, const struct sim_write *write, uint64_t from, size_t size,
                       enum sim_power_cut mode, struct sim_random *random) {
  const uint8_t *data = write->data == NULL ? NULL : write->data + (from - write->offset);
  uint64_t fate = sim_random_below(random, mode == SIM_POWER_SCRAMBLE ? 8 : 2);
  if (fate >= 4 && fate < 6) size = sim_random_below(random, size + 1); /* half written */
  if (fate == 7) {
    uint8_t noise[SIM_SECTOR_SIZE];
    for (size_t i = 0; i < size; i++) noise[i] = (uint8_t)sim_random_next(random);
    pages_write(&inode->durable, from, noise, size);
  } else if (fate % 2 == 0) {
    pages_write(&inode->durable, from, data, size);
  }
}

static void cut_write(struct sim_inode *inode, const struct sim_write *write, enum sim_power_cut mode,
                      struct sim_random *random) {
  uint64_t end = write->offset + write->size;
  for (uint64_t from = write->offset; from < end;) {
    uint64_t sector_end = (from / SIM_SECTOR_SIZE + 1) * SIM_SECTOR_SIZE;
    if (sector_end > end) sector_end = end;
    cut_sector(inode, write, from, (size_t)(sector_end - from), mode, random);
    from = sector_end;
  }
}

/* Which of the writes are left whole, by mode; false for TEAR and SCRAMBLE, which decide by sectors. */
static bool keeps_whole(enum sim_power_cut mode, size_t at, size_t count, size_t prefix, struct sim_random *random) {
  if (mode == SIM_POWER_KEEP) return true;
  if (mode == SIM_POWER_PREFIX) return at < prefix;
  if (mode == SIM_POWER_REORDER) return sim_random_below(random, count + 1) <= at;
  return false;
}

void sim_inode_power_cut(struct sim_inode *inode, enum sim_power_cut mode, struct sim_random *random) {
  size_t count = 0;
  size_t at = 0;
  list_for_each(&inode->writes, node, following) count++;
  size_t prefix = sim_random_below(random, count + 1);
  bool by_sector = mode == SIM_POWER_TEAR || mode == SIM_POWER_SCRAMBLE;
  list_for_each(&inode->writes, node, following) {
    struct sim_write *write = list_entry(node, struct sim_write, node);
    bool whole = keeps_whole(mode, at++, count, prefix, random);
    if (whole) pages_write(&inode->durable, write->offset, write->data, write->size);
    if (by_sector) cut_write(inode, write, mode, random);
    bool sized = by_sector ? sim_random_chance(random, 50) : whole;
    bool grows = write->size_after > inode->durable_size;
    if (sized && (grows ? write->size_after > write->size_before : write->size_after < write->size_before)) {
      set_durable_size(inode, write->size_after);
    }
    write_free(write);
  }
  pages_cut(&inode->durable, inode->durable_size);
  pages_share_all(&inode->seen, &inode->durable);
  pages_cut(&inode->cached, 0);
  inode->size = inode->durable_size;
  inode->locked_by = NULL;
  charge(inode);
}

void sim_inode_copy(struct sim_inode *into, const struct sim_inode *from) {
  PRE(into->size == 0 && list_empty(&into->writes));
  pages_share_all(&into->seen, &from->seen);
  pages_share_all(&into->durable, &from->seen);
  into->size = from->size;
  into->durable_size = from->size;
  charge(into);
}

void sim_inode_flip(struct sim_inode *inode, uint64_t position, uint8_t mask) {
  pages_own(&inode->seen, position / SIM_PAGE_SIZE)[position % SIM_PAGE_SIZE] ^= mask;
  pages_own(&inode->durable, position / SIM_PAGE_SIZE)[position % SIM_PAGE_SIZE] ^= mask;
  if (pages_get(&inode->cached, position / SIM_PAGE_SIZE) != NULL) {
    pages_own(&inode->cached, position / SIM_PAGE_SIZE)[position % SIM_PAGE_SIZE] ^= mask;
  }
}
