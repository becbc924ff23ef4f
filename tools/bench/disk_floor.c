/* What the disk does by itself: `disk_floor DIRECTORY [FILE]`.
 *
 * Writes and syncs 4 KiB blocks into a zero-filled file (past the page cache, through to the disk), one after the other; 1 MiB blocks into
 * the same; a growing file of 1 GiB through the page cache with one sync at the end; and reads FILE, or what it wrote, in
 * 1 MiB steps after asking the kernel to drop it. Prints one JSON object.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MIB (1u << 20)
#define FILE_BYTES (256u * MIB)
#define SMALL_WRITES 4000

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int by_value(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static void put(int file, const void *buffer, size_t size, off_t at) {
  if (pwrite(file, buffer, size, at) != (ssize_t)size) fail("write");
}

static double read_rate(const char *path, uint8_t *buffer) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) fail(path);
  posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  posix_fadvise(file, 0, 0, POSIX_FADV_SEQUENTIAL);
  uint64_t began = now_ns(), total = 0;
  for (ssize_t got; (got = pread(file, buffer, MIB, (off_t)total)) > 0;) total += (uint64_t)got;
  close(file);
  return (double)total * 1e9 / (double)(now_ns() - began + 1);
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: disk_floor DIRECTORY [FILE]\n");
    return 2;
  }
  static uint64_t samples[SMALL_WRITES];
  char path[4096];
  uint8_t *buffer;
  snprintf(path, sizeof path, "%s/disk-floor", argv[1]);
  if (posix_memalign((void **)&buffer, 4096, MIB) != 0) fail("memory");
  memset(buffer, 0, MIB);
  int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_DSYNC | O_CLOEXEC, 0600);
  if (file < 0) fail(path);
  for (off_t at = 0; at < (off_t)FILE_BYTES; at += MIB) put(file, buffer, MIB, at);
  memset(buffer, 'x', MIB);

  for (size_t i = 0; i < SMALL_WRITES; i++) {
    uint64_t began = now_ns();
    put(file, buffer, 4096, (off_t)(i * 4096));
    samples[i] = now_ns() - began;
  }
  qsort(samples, SMALL_WRITES, sizeof *samples, by_value);
  uint64_t began = now_ns();
  for (off_t at = 0; at < (off_t)FILE_BYTES; at += MIB) put(file, buffer, MIB, at);
  double large = (double)FILE_BYTES * 1e9 / (double)(now_ns() - began);
  close(file);

  file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) fail(path);
  began = now_ns();
  for (off_t at = 0; at < (off_t)(1024u * MIB); at += MIB) put(file, buffer, MIB, at);
  if (fdatasync(file) != 0) fail("sync");
  double growing = (double)(1024u * (double)MIB) * 1e9 / (double)(now_ns() - began);
  close(file);
  double reading = read_rate(argc > 2 ? argv[2] : path, buffer);
  unlink(path);
  printf("{\"write_4k_p50_us\": %.1f, \"write_4k_p99_us\": %.1f, \"write_1m_bytes_per_second\": %.0f, "
         "\"write_growing_bytes_per_second\": %.0f, \"read_bytes_per_second\": %.0f}\n",
         (double)samples[SMALL_WRITES / 2] / 1e3, (double)samples[SMALL_WRITES * 99 / 100] / 1e3, large, growing, reading);
  return 0;
}
