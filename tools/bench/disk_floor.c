/* What the disk does by itself, one thing at a time: `disk_floor small|large|growing DIRECTORY` or `disk_floor read FILE`.
 *
 *   small     4 KiB blocks, one after the other, each written and synced, into a zero-filled file past the page cache
 *   large     the same with 1 MiB blocks
 *   growing   a new file of 1 GiB through the page cache, with one sync at the end
 *   read      FILE in 1 MiB steps, after asking the kernel to drop it
 *
 * Prints one JSON object.
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
#define GROWING_BYTES (1024u * MIB)
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

static int make_file(const char *path, int flags) {
  int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | flags, 0600);
  if (file < 0) fail(path);
  return file;
}

static int make_zeros(const char *path, uint8_t *buffer) {
  int file = make_file(path, O_DIRECT | O_DSYNC);
  memset(buffer, 0, MIB);
  for (off_t at = 0; at < (off_t)FILE_BYTES; at += MIB) put(file, buffer, MIB, at);
  memset(buffer, 'x', MIB);
  return file;
}

static double per_second(uint64_t bytes, uint64_t began_ns) { return (double)bytes * 1e9 / (double)(now_ns() - began_ns + 1); }

static void run_small(const char *path, uint8_t *buffer) {
  static uint64_t samples[SMALL_WRITES];
  int file = make_zeros(path, buffer);
  for (size_t i = 0; i < SMALL_WRITES; i++) {
    uint64_t began = now_ns();
    put(file, buffer, 4096, (off_t)(i * 4096));
    samples[i] = now_ns() - began;
  }
  close(file);
  qsort(samples, SMALL_WRITES, sizeof *samples, by_value);
  printf("{\"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f}\n", (double)samples[SMALL_WRITES / 2] / 1e3,
         (double)samples[SMALL_WRITES * 99 / 100] / 1e3, (double)samples[SMALL_WRITES * 999 / 1000] / 1e3);
}

static void run_large(const char *path, uint8_t *buffer) {
  int file = make_zeros(path, buffer);
  uint64_t began = now_ns();
  for (off_t at = 0; at < (off_t)FILE_BYTES; at += MIB) put(file, buffer, MIB, at);
  printf("{\"bytes_per_second\": %.0f}\n", per_second(FILE_BYTES, began));
  close(file);
}

static void run_growing(const char *path, uint8_t *buffer) {
  int file = make_file(path, 0);
  memset(buffer, 'x', MIB);
  uint64_t began = now_ns();
  for (off_t at = 0; at < (off_t)GROWING_BYTES; at += MIB) put(file, buffer, MIB, at);
  if (fdatasync(file) != 0) fail("sync");
  printf("{\"bytes_per_second\": %.0f}\n", per_second(GROWING_BYTES, began));
  close(file);
}

static void run_read(const char *path, uint8_t *buffer) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) fail(path);
  posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  posix_fadvise(file, 0, 0, POSIX_FADV_SEQUENTIAL);
  uint64_t began = now_ns(), total = 0;
  for (ssize_t got; (got = pread(file, buffer, MIB, (off_t)total)) > 0;) total += (uint64_t)got;
  close(file);
  printf("{\"bytes_per_second\": %.0f}\n", per_second(total, began));
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: disk_floor small|large|growing DIRECTORY, disk_floor read FILE\n");
    return 2;
  }
  char path[4096];
  uint8_t *buffer = NULL;
  snprintf(path, sizeof path, "%s/disk-floor", argv[2]);
  if (posix_memalign((void **)&buffer, 4096, MIB) != 0) fail("memory");
  if (strcmp(argv[1], "read") == 0) {
    run_read(argv[2], buffer);
    return 0;
  }
  if (strcmp(argv[1], "small") == 0) run_small(path, buffer);
  else if (strcmp(argv[1], "large") == 0) run_large(path, buffer);
  else run_growing(path, buffer);
  unlink(path);
  return 0;
}
