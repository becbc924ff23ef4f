/* What stands before the map's state from feature level 2 on. No Cairn from before takes it for a map: its first byte would open a group, which proto3
 * has not, so such a one refuses to start, or to go on, and loses nothing.
 *
 *   OFFSET SIZE
 *     0      8   magic "CRNTHMAP"
 *     8      1   version of this head, 1
 *     9      3   0
 *    12      4   feature level of the map: one that a reader has to be able to
 *
 * What is behind it is not looked at where the head is of a version that this one does not know, or of a level that whoever reads it cannot.
 */
#ifndef CAIRN_CONTROLLER_MAP_HEAD_H
#define CAIRN_CONTROLLER_MAP_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

#define MAP_HEAD_SIZE 16u

/* Of level 1 nothing: the map looks as it did before there were levels. False: `out` has no room. */
bool map_head_put(uint32_t level, struct buffer *out);
/* `*bytes` is what is behind it; the level may be any above 1. No head: level 1. STATUS_FOREIGN: of a version that this one does not know;
 * STATUS_CORRUPT. */
enum status map_head_take(struct bytes *bytes, uint32_t *out_level) MUST_CHECK;

#endif
