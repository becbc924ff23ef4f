/* The two clocks of this machine. @any-thread */
#ifndef CAIRN_BASE_OS_CLOCK_OS_H
#define CAIRN_BASE_OS_CLOCK_OS_H

#include <stdint.h>

uint64_t clock_os_now_ns(void); /* monotonic; goes on while the machine is suspended */
int64_t clock_os_wall_ms(void); /* since 1970; may jump */

#endif
