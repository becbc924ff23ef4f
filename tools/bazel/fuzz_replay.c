/* Runs a fuzz target over the files it is given, each once: with this main in place of libFuzzer's, a corpus is an
 * ordinary test of every build. A folder on the command line stands for the files in it.
 *
 * Prints how many inputs ran; fails if there was none, for a test of nothing proves nothing. */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long inputs;

static void run_file(const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    perror(path);
    exit(1);
  }

  uint8_t *data = NULL;
  size_t size = 0;
  for (;;) {
    uint8_t *more = realloc(data, size + 65536);
    if (more == NULL) exit(1);
    data = more;
    size_t got = fread(data + size, 1, 65536, file);
    size += got;
    if (got < 65536) break;
  }
  fclose(file);

  /* Exactly as large as the input, so that asan sees a read beyond it. */
  uint8_t *exact = malloc(size == 0 ? 1 : size);
  if (exact == NULL) exit(1);
  memcpy(exact, data, size);
  free(data);

  LLVMFuzzerTestOneInput(exact, size);
  free(exact);
  inputs++;
}

static void run_path(const char *path) {
  struct stat info;
  if (stat(path, &info) != 0) {
    perror(path);
    exit(1);
  }
  if (!S_ISDIR(info.st_mode)) {
    run_file(path);
    return;
  }

  DIR *folder = opendir(path);
  if (folder == NULL) {
    perror(path);
    exit(1);
  }
  for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
    char child[4096];
    if (entry->d_name[0] == '.') continue;
    snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
    run_path(child);
  }
  closedir(folder);
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) run_path(argv[i]);
  printf("%lu inputs\n", inputs);
  return inputs == 0 ? 1 : 0;
}
