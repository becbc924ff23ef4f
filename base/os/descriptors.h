/* Descriptors kept in reserve: connections that strangers hold open must not keep the broker from its own files.
 *
 * The process takes DESCRIPTORS_RESERVED of them at the first open. When the limit is reached, an open gives one back and takes its
 * place; a close fills the reserve up again. The transport could snatch it in between, so the open tries again with the next; it
 * stops accepting once it has been refused.
 */
#ifndef CAIRN_BASE_OS_DESCRIPTORS_H
#define CAIRN_BASE_OS_DESCRIPTORS_H

#define DESCRIPTORS_RESERVED 32

/* Where standard input, output or error is closed, /dev/null stands in, so that nothing of the program's own gets its number and is read or
 * written as such. It refuses both, as what is closed does. */
void descriptors_hold_standard(void);
/* Beside main(): that is done before anything else. In main() it would be too late: gRPC opens a descriptor when it is loaded. */
#define DESCRIPTORS_HOLD_STANDARD_FIRST \
  __attribute__((section(".preinit_array"), used)) static void (*hold_standard_first)(void) = descriptors_hold_standard

/* openat() with O_CLOEXEC and mode 0600, tried again after EINTR. -1 and errno, as there. @any-thread */
int descriptors_open(int directory, const char *path, int flags);
void descriptors_close(int descriptor); /* @any-thread */

#endif
