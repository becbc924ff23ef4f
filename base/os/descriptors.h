/* Descriptors kept in reserve: connections that strangers hold open must not keep the broker from its own files.
 *
 * The process takes DESCRIPTORS_RESERVED of them at the first open. When the limit is reached, an open gives one back and takes its
 * place; a close fills the reserve up again. The transport could snatch it in between, so the open tries again with the next; it
 * stops accepting once it has been refused.
 */
#ifndef CAIRN_BASE_OS_DESCRIPTORS_H
#define CAIRN_BASE_OS_DESCRIPTORS_H

#define DESCRIPTORS_RESERVED 32

/* openat() with O_CLOEXEC and mode 0600, tried again after EINTR. -1 and errno, as there. @any-thread */
int descriptors_open(int directory, const char *path, int flags);
void descriptors_close(int descriptor); /* @any-thread */

#endif
