#include "base/os/store_check.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/memory.h"

/* LMDB 0.9's file on a little-endian 64-bit machine (mdb.c: MDB_page, MDB_node, MDB_meta, MDB_db). Pages 0 and 1 are meta pages,
 * of which the one with the greater transaction counts; transaction n is written to page n modulo 2.
 *
 *   page     OFFSET SIZE                          node     OFFSET SIZE
 *                 0    8  its own number                        0    4  leaf: size of the data
 *                 8    2  unused                                0    6  branch: number of the child
 *                10    2  kind                                  4    2  leaf: flags
 *                12    2  end of the pointers (lower)           6    2  size of the key
 *                14    2  start of the nodes (upper)            8       key, data
 *                12    4  overflow: number of pages
 *                16       pointers, 2 bytes each; overflow and meta: contents
 *
 *   meta     OFFSET SIZE                          table    OFFSET SIZE
 *                16    4  magic                                 0    4  free table: page size
 *                20    4  version                               4    2  flags
 *                24    8  unused                                6    2  depth
 *                32    8  size of the map                       8   24  counts of pages
 *                40   48  table of free pages                  32    8  count of pairs
 *                88   48  table of tables                      40    8  root
 *               136    8  last page
 *               144    8  transaction
 */
#define PAGE_HEAD_SIZE 16u
#define NODE_HEAD_SIZE 8u
#define TABLE_SIZE 48u
#define META_END 152u
#define META_MAGIC 0xbeefc0deu
#define META_VERSION 1u
#define NO_PAGE UINT64_MAX
#define PAGE_SIZE_MIN 512u
#define PAGE_SIZE_MAX 32768u
#define DEPTH_MAX 32u
#define KEY_MAX 511u

enum { KIND_BRANCH = 0x01, KIND_LEAF = 0x02, KIND_OVERFLOW = 0x04, KIND_META = 0x08 };
enum { NODE_BIG = 0x01, NODE_TABLE = 0x02 };
enum { TABLE_INTEGER_KEY = 0x08, TABLE_ENVIRONMENT = 0x4000 };

struct check {
  int descriptor;
  uint64_t page_size;
  uint64_t page_last;      /* by the meta page; free pages may lie behind the end of the file */
  uint64_t file_pages;     /* whole ones */
  uint8_t *seen;           /* one bit for each page of the file: in use, or free */
  struct bytes only_table; /* empty: all */
  store_check_visit visit;
  void *context;
};

enum tree_kind { TREE_FREE, TREE_TABLES, TREE_PAIRS };

struct tree {
  enum tree_kind kind;
  unsigned depth;
  struct bytes name;
};

/* Keys of a subtree are at or above `low` and below `high`; NULL data: no bound. */
struct bounds {
  struct bytes low;
  struct bytes high;
};

static enum status check_table(struct check *check, enum tree_kind kind, struct bytes name, const uint8_t *table);

static enum status read_at(int descriptor, uint64_t offset, uint8_t *into, size_t size) {
  while (size > 0) {
    ssize_t got = pread(descriptor, into, size, (off_t)offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return STATUS_IO;
    if (got == 0) return STATUS_CORRUPT;
    into += got;
    offset += (uint64_t)got;
    size -= (size_t)got;
  }
  return STATUS_OK;
}

/* A page is found once: on the way from the root, or in the free list. */
static enum status mark(struct check *check, uint64_t page) {
  uint8_t bit = (uint8_t)(1u << (page % 8));
  if (page < 2 || page > check->page_last || (check->seen[page / 8] & bit) != 0) return STATUS_CORRUPT;
  check->seen[page / 8] |= bit;
  return STATUS_OK;
}

static enum status read_page(struct check *check, uint64_t page, uint8_t *into) {
  if (page >= check->file_pages) return STATUS_CORRUPT;
  enum status status = mark(check, page);
  if (status != STATUS_OK) return status;
  status = read_at(check->descriptor, page * check->page_size, into, check->page_size);
  if (status != STATUS_OK) return status;
  return get_u64(into) == page ? STATUS_OK : STATUS_CORRUPT;
}

static int compare_keys(enum tree_kind kind, struct bytes a, struct bytes b) {
  if (kind != TREE_FREE) return bytes_compare(a, b);
  uint64_t left = get_u64(a.data);
  uint64_t right = get_u64(b.data);
  return (left > right) - (left < right);
}

/* ---- Leaves ---- */

/* A list of free pages: how many, then their numbers, descending. */
static enum status check_free(struct check *check, struct bytes list) {
  if (list.size < 8 || list.size % 8 != 0) return STATUS_CORRUPT;
  uint64_t count = get_u64(list.data);
  if (count > list.size / 8 - 1) return STATUS_CORRUPT;
  uint64_t previous = NO_PAGE;
  for (uint64_t i = 1; i <= count; i++) {
    uint64_t page = get_u64(list.data + i * 8);
    if (page >= previous || page < 2 || page > check->page_last) return STATUS_CORRUPT;
    previous = page;
    if (page >= check->file_pages) continue; /* was never written */
    enum status status = mark(check, page);
    if (status != STATUS_OK) return status;
  }
  return STATUS_OK;
}

static enum status check_pair(struct check *check, const struct tree *tree, struct bytes key, struct bytes value) {
  switch (tree->kind) {
    case TREE_FREE: return check_free(check, value);
    case TREE_TABLES:
      if (check->only_table.size > 0 && !bytes_equal(check->only_table, key)) return STATUS_OK;
      return check_table(check, TREE_PAIRS, key, value.data);
    case TREE_PAIRS: return check->visit(check->context, tree->name, key, value);
  }
  return STATUS_CORRUPT;
}

/* A value of its own pages: `size` bytes behind the head of the first. */
static enum status check_big(struct check *check, const struct tree *tree, struct bytes key, uint64_t page, size_t size) {
  uint8_t head[PAGE_HEAD_SIZE];
  if (page >= check->file_pages) return STATUS_CORRUPT;
  enum status status = read_at(check->descriptor, page * check->page_size, head, sizeof head);
  if (status != STATUS_OK) return status;
  uint64_t count = get_u32(head + 12);
  uint64_t needed = (PAGE_HEAD_SIZE + size + check->page_size - 1) / check->page_size;
  if (get_u64(head) != page || get_u16(head + 10) != KIND_OVERFLOW) return STATUS_CORRUPT;
  if (count < needed || needed > check->file_pages - page || count > check->page_last - page + 1) return STATUS_CORRUPT;
  for (uint64_t i = 0; i < count; i++) {
    if (page + i >= check->file_pages) continue;
    status = mark(check, page + i);
    if (status != STATUS_OK) return status;
  }
  uint8_t *value = memory_grow_array(NULL, size, 1);
  status = read_at(check->descriptor, page * check->page_size + PAGE_HEAD_SIZE, value, size);
  if (status == STATUS_OK) status = check_pair(check, tree, key, bytes_of(value, size));
  memory_free(value);
  return status;
}

struct node {
  const uint8_t *at;
  struct bytes key;
  size_t room; /* from the end of the key to the end of the page */
};

static enum status check_leaf_node(struct check *check, const struct tree *tree, const struct node *node, size_t *out_size) {
  size_t size = get_u32(node->at);
  unsigned flags = get_u16(node->at + 4);
  const uint8_t *data = node->key.data + node->key.size;
  if (tree->kind == TREE_TABLES && (flags != NODE_TABLE || size != TABLE_SIZE)) return STATUS_CORRUPT;
  if (tree->kind != TREE_TABLES && (flags & ~(unsigned)NODE_BIG) != 0) return STATUS_CORRUPT;
  size_t inside = flags & NODE_BIG ? 8 : size;
  if (inside > node->room) return STATUS_CORRUPT;
  *out_size = NODE_HEAD_SIZE + node->key.size + inside;
  if (flags & NODE_BIG) return check_big(check, tree, node->key, get_u64(data), size);
  return check_pair(check, tree, node->key, bytes_of(data, size));
}

/* ---- Pages ---- */

static enum status node_of(const struct check *check, const uint8_t *page, unsigned i, struct node *out_node) {
  size_t offset = get_u16(page + PAGE_HEAD_SIZE + i * 2);
  if (offset % 2 != 0 || offset < get_u16(page + 14) || offset + NODE_HEAD_SIZE > check->page_size) return STATUS_CORRUPT;
  const uint8_t *at = page + offset;
  size_t key_size = get_u16(at + 6);
  if (key_size > KEY_MAX || offset + NODE_HEAD_SIZE + key_size > check->page_size) return STATUS_CORRUPT;
  *out_node = (struct node){
      .at = at, .key = bytes_of(at + NODE_HEAD_SIZE, key_size), .room = check->page_size - offset - NODE_HEAD_SIZE - key_size};
  return STATUS_OK;
}

static bool key_fits(const struct tree *tree, struct bytes key, struct bounds bounds, bool is_first) {
  if (key.size == 0 || (tree->kind == TREE_FREE && key.size != 8)) return false;
  if (bounds.low.data != NULL) {
    int order = compare_keys(tree->kind, key, bounds.low);
    if (order < 0 || (order == 0 && !is_first)) return false;
  }
  return bounds.high.data == NULL || compare_keys(tree->kind, key, bounds.high) < 0;
}

static enum status check_page(struct check *check, const struct tree *tree, uint64_t number, unsigned level,
                              struct bounds bounds);

static enum status check_branch(struct check *check, const struct tree *tree, const uint8_t *page, unsigned count, unsigned level,
                                struct bounds bounds) {
  size_t used = 0;
  struct node node;
  enum status status = node_of(check, page, 0, &node);
  for (unsigned i = 0; i < count && status == STATUS_OK; i++) {
    /* The first key of a branch is not used: it is the parent's. */
    struct bounds child = {.low = i == 0 ? bounds.low : node.key, .high = bounds.high};
    uint64_t number = (uint64_t)get_u32(node.at) | (uint64_t)get_u16(node.at + 4) << 32;
    used += (NODE_HEAD_SIZE + node.key.size + 1) & ~(size_t)1;
    if (i + 1 < count) {
      status = node_of(check, page, i + 1, &node);
      if (status != STATUS_OK) break;
      if (!key_fits(tree, node.key, (struct bounds){child.low, bounds.high}, false)) return STATUS_CORRUPT;
      child.high = node.key;
    }
    status = check_page(check, tree, number, level + 1, child);
  }
  if (status != STATUS_OK) return status;
  return used == check->page_size - get_u16(page + 14) ? STATUS_OK : STATUS_CORRUPT;
}

static enum status check_leaf(struct check *check, const struct tree *tree, const uint8_t *page, unsigned count,
                              struct bounds bounds) {
  size_t used = 0;
  for (unsigned i = 0; i < count; i++) {
    struct node node;
    enum status status = node_of(check, page, i, &node);
    if (status != STATUS_OK) return status;
    if (!key_fits(tree, node.key, bounds, i == 0)) return STATUS_CORRUPT;
    bounds.low = node.key;
    size_t size = 0;
    status = check_leaf_node(check, tree, &node, &size);
    if (status != STATUS_OK) return status;
    used += (size + 1) & ~(size_t)1;
  }
  return used == check->page_size - get_u16(page + 14) ? STATUS_OK : STATUS_CORRUPT;
}

static enum status check_page(struct check *check, const struct tree *tree, uint64_t number, unsigned level,
                              struct bounds bounds) {
  uint8_t *page = memory_grow_array(NULL, check->page_size, 1);
  enum status status = read_page(check, number, page);
  if (status == STATUS_OK) {
    bool is_leaf = level + 1 == tree->depth;
    unsigned lower = get_u16(page + 12);
    unsigned upper = get_u16(page + 14);
    bool well_formed = get_u16(page + 10) == (is_leaf ? KIND_LEAF : KIND_BRANCH) && lower > PAGE_HEAD_SIZE && lower % 2 == 0 &&
                       lower <= upper && upper <= check->page_size;
    unsigned count = (lower - PAGE_HEAD_SIZE) / 2;
    if (!well_formed) status = STATUS_CORRUPT;
    else if (is_leaf) status = check_leaf(check, tree, page, count, bounds);
    else status = check_branch(check, tree, page, count, level, bounds);
  }
  memory_free(page);
  return status;
}

static enum status check_table(struct check *check, enum tree_kind kind, struct bytes name, const uint8_t *table) {
  unsigned flags = get_u16(table + 4);
  unsigned flags_expected = kind == TREE_FREE ? TABLE_INTEGER_KEY : 0;
  if (kind == TREE_FREE) flags &= ~(unsigned)TABLE_ENVIRONMENT;
  uint64_t root = get_u64(table + 40);
  struct tree tree = {.kind = kind, .depth = get_u16(table + 6), .name = name};
  if (flags != flags_expected || tree.depth > DEPTH_MAX) return STATUS_CORRUPT;
  if (root == NO_PAGE || tree.depth == 0) return root == NO_PAGE && tree.depth == 0 ? STATUS_OK : STATUS_CORRUPT;
  return check_page(check, &tree, root, 0, (struct bounds){{0}, {0}});
}

/* ---- Meta pages ---- */

static enum status read_meta(int descriptor, uint64_t number, uint64_t page_size, uint8_t into[META_END]) {
  enum status status = read_at(descriptor, number * page_size, into, META_END);
  if (status != STATUS_OK) return status;
  bool well_formed = get_u64(into) == number && get_u16(into + 10) == KIND_META && get_u32(into + 16) == META_MAGIC &&
                     get_u32(into + 20) == META_VERSION;
  return well_formed ? STATUS_OK : STATUS_CORRUPT;
}

static enum status find_meta(int descriptor, enum store_check_tree tree, uint8_t out_meta[META_END]) {
  uint8_t metas[2][META_END];
  enum status status = read_meta(descriptor, 0, 0, metas[0]);
  if (status != STATUS_OK) return status;
  uint64_t page_size = get_u32(metas[0] + 40);
  if (page_size < PAGE_SIZE_MIN || page_size > PAGE_SIZE_MAX || (page_size & (page_size - 1)) != 0) return STATUS_CORRUPT;
  status = read_meta(descriptor, 1, page_size, metas[1]);
  if (status != STATUS_OK) return status;
  if (get_u32(metas[1] + 40) != page_size) return STATUS_CORRUPT;

  /* They are one transaction apart, so a damaged number does not pass for an older or newer one. */
  uint64_t even = get_u64(metas[0] + 144);
  uint64_t odd = get_u64(metas[1] + 144);
  bool fits = (even == 0 && odd == 0) || (even % 2 == 0 && (odd == even + 1 || odd + 1 == even));
  if (!fits) return STATUS_CORRUPT;
  unsigned last = odd > even ? 1 : 0;
  memcpy(out_meta, metas[tree == STORE_CHECK_LAST ? last : 1 - last], META_END);
  return STATUS_OK;
}

static enum status check_init(struct check *check, int descriptor, enum store_check_tree tree, uint8_t out_meta[META_END]) {
  enum status status = find_meta(descriptor, tree, out_meta);
  if (status != STATUS_OK) return status;
  struct stat stat;
  if (fstat(descriptor, &stat) != 0) return STATUS_IO;
  check->descriptor = descriptor;
  check->page_size = get_u32(out_meta + 40);
  check->page_last = get_u64(out_meta + 136);
  check->file_pages = (uint64_t)stat.st_size / check->page_size;
  if (check->page_last >= get_u64(out_meta + 32) / check->page_size) return STATUS_CORRUPT; /* behind the end of the map */
  check->seen = memory_new(check->file_pages / 8 + 1);
  return STATUS_OK;
}

enum status store_check_file(int descriptor, store_check_visit visit, void *context) {
  uint8_t meta[META_END];
  struct check check = {.visit = visit, .context = context};
  enum status status = check_init(&check, descriptor, STORE_CHECK_LAST, meta);
  if (status == STATUS_OK) status = check_table(&check, TREE_TABLES, bytes_of(NULL, 0), meta + 88);
  if (status == STATUS_OK) status = check_table(&check, TREE_FREE, bytes_of(NULL, 0), meta + 40);
  memory_free(check.seen);
  return status;
}

enum status store_check_table(int descriptor, enum store_check_tree tree, struct bytes table, store_check_visit visit,
                              void *context) {
  uint8_t meta[META_END];
  struct check check = {.only_table = table, .visit = visit, .context = context};
  enum status status = check_init(&check, descriptor, tree, meta);
  if (status == STATUS_OK) status = check_table(&check, TREE_TABLES, bytes_of(NULL, 0), meta + 88);
  memory_free(check.seen);
  return status;
}
