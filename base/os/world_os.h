/* The real world: threads, files, LMDB, the kernel's entropy. Its rpc door is filled in by proto/rpc_grpc.h, which is a floor
 * above; a world without one serves offline tools.
 */
#ifndef CAIRN_BASE_OS_WORLD_OS_H
#define CAIRN_BASE_OS_WORLD_OS_H

#include "base/world.h"

/* `directory` is the data directory; made (one level) when `create`. STATUS_DENIED, STATUS_NOT_FOUND, STATUS_IO. */
enum status world_os_open(const char *directory, bool create, struct world **out_world) MUST_CHECK;
void world_os_close(struct world *world); /* after all loops were stopped; NULL is fine */

/* From now on loops that are to be near the rpc door (LOOP_NEAR_RPC) are asked of it, and only when it answers NULL do they get threads of
 * their own. Called once, before there are any; they are stopped before the door is closed. */
void world_os_lend_thread(struct world *world, struct loop *(*guest_new)(struct rpc *rpc, const char *name));

/* Raises RLIMIT_NOFILE to its hard limit and returns the soft limit now in force. */
unsigned long world_os_raise_file_limit(void);

/* The twins by themselves, for tests and tools. */
struct loop *loop_os_new(const char *name, unsigned flags);
enum status disk_os_open(const char *directory, bool create, struct disk **out_disk) MUST_CHECK;
void disk_os_close(struct disk *disk);
/* For whoever only looks: keeps disk_lock() from everybody else until disk_unlock(), and writes nothing. Others who look may share it.
 * STATUS_LOCKED: it is taken. STATUS_NOT_FOUND: there is no such file, so nobody has ever taken it. */
enum status disk_os_lock_shared(struct disk *disk, const char *path, struct disk_lock **out_lock) MUST_CHECK;
enum status store_lmdb_open(const char *path, uint64_t size_max, unsigned flags, struct store **out_store) MUST_CHECK;
struct entropy *entropy_os_new(void);
void entropy_os_free(struct entropy *entropy);

#endif
