/* A thread that has nothing to do but to be host to one loop (base/os/loop_guest.h) at a time. */
#ifndef CAIRN_TESTS_UNIT_BASE_LOOP_HOST_H
#define CAIRN_TESTS_UNIT_BASE_LOOP_HOST_H

#include "base/loop.h"

struct loop_host;

struct loop_host *loop_host_new(void);
void loop_host_free(struct loop_host *host); /* after its guest was stopped; NULL is fine */

/* A new loop; the one before was stopped. */
struct loop *loop_host_guest(struct loop_host *host, const char *name);

#endif
