/* Reads a whole LMDB file, with plain reads, before LMDB itself maps it.
 *
 * LMDB 0.9 believes what it maps: a damaged page number or node offset is followed out of the page, a page past the end of
 * the file is SIGBUS, a damaged key makes its value absent, a damaged free list hands out pages that are in use. So every page
 * that the newest meta page leads to is checked here first: its own number, its kind, that all nodes lie inside it, that keys
 * ascend and lie between their parent's, that no page is used twice or is free as well, and that the file holds all of it.
 *
 * What it cannot see is a page of an earlier commit that is well-formed and fits; the caller sums up the contents for that.
 * Nor can it see that the wrong one of the two meta pages counts; the caller compares both.
 */
#ifndef CAIRN_BASE_OS_STORE_CHECK_H
#define CAIRN_BASE_OS_STORE_CHECK_H

#include "base/bytes.h"
#include "base/status.h"

/* LMDB keeps the tree of the last transaction, and that of the one before, which it would fall back to. */
enum store_check_tree { STORE_CHECK_LAST, STORE_CHECK_BEFORE };

/* Called for every pair of every named table, in order. What it returns, unless OK, ends the check and is its result. */
typedef enum status (*store_check_visit)(void *context, struct bytes table, struct bytes key, struct bytes value);

/* Checks the whole file. STATUS_CORRUPT; STATUS_IO when it cannot be read. Nobody else may write to it meanwhile. */
enum status store_check_file(int descriptor, store_check_visit visit, void *context) MUST_CHECK;

/* Checks and visits one table of either tree. */
enum status store_check_table(int descriptor, enum store_check_tree tree, struct bytes table, store_check_visit visit,
                              void *context) MUST_CHECK;

#endif
