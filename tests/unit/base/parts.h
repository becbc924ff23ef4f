/* Parts of blobs, as they go onto a wire, put together as they come from it. */
#ifndef CAIRN_TESTS_UNIT_BASE_PARTS_H
#define CAIRN_TESTS_UNIT_BASE_PARTS_H

#include <stddef.h>

#include "base/blob.h"

/* Takes over the holds on the parts. The caller's. */
struct blob *parts_join(struct blob_part *parts, size_t count);

#endif
