/* Which threads may block. A lane that waits for a disk stops every replica it owns, so the doors that block check that
 * they were not called from a loop made without LOOP_MAY_BLOCK. Threads that are no loop (main, opening code) may block.
 */
#ifndef CAIRN_BASE_OS_BLOCKING_H
#define CAIRN_BASE_OS_BLOCKING_H

void blocking_forbid(void); /* for the calling thread, for ever */
void blocking_check(void);  /* PRE: the calling thread may block */

#endif
