#include "tests/unit/base/child.h"

#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/base/cmocka_base.h"

int child_run(void (*body)(void), char out_words[CHILD_WORDS_SIZE]) {
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    signal(SIGABRT, SIG_DFL);
    dup2(ends[1], STDERR_FILENO);
    body();
    _exit(0);
  }
  close(ends[1]);
  size_t size = 0;
  for (ssize_t got = 1; got > 0 && size < CHILD_WORDS_SIZE - 1; size += (size_t)got) {
    got = read(ends[0], out_words + size, CHILD_WORDS_SIZE - 1 - size);
    if (got < 0) break;
  }
  out_words[size] = '\0';
  close(ends[0]);
  int how = 0;
  assert_int_equal(waitpid(child, &how, 0), child);
  return how;
}
