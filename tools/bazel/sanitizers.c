/* What the sanitizers need to know of this program, compiled in so that it holds wherever the program is started.
 *
 * gRPC's library is not instrumented for threads, so tsan sees its memory but not its locks: what is reported wholly
 * inside it is suppressed here, each with its reason. Nothing of ours may be suppressed. */

const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
const char *__tsan_default_options(void);
const char *__tsan_default_suppressions(void);
const char *__lsan_default_suppressions(void);

const char *__asan_default_options(void) { return "abort_on_error=1:detect_stack_use_after_return=1:strict_string_checks=1"; }

const char *__ubsan_default_options(void) { return "print_stacktrace=1:halt_on_error=1"; }

const char *__tsan_default_options(void) { return "halt_on_error=1:second_deadlock_stack=1:history_size=7"; }

const char *__tsan_default_suppressions(void) {
  /* A report with a frame of gRPC, or of the Abseil below it, anywhere in its stacks is dropped: tsan sees its memcpy and free, but not the
   * atomics that order them. So a function that gRPC calls must hand over to a queue of ours and do nothing else. What the library itself
   * calls is not looked at in the first place: one sendmsg() of a large answer would be a race in every word of it, and finding and then
   * dropping those takes minutes. */
  return "called_from_lib:libgrpc.so\n"
         "race:libgrpc.so\n"
         "race:libgpr.so\n"
         "race:libabsl_\n";
}

const char *__lsan_default_suppressions(void) {
  /* gRPC keeps its globals for the life of the process, and frees some of them on a thread of its own after shutdown. c-ares, which
   * resolves names for it, loses a copy of the name of each host it looked up in /etc/hosts. */
  return "leak:libgrpc.so\n"
         "leak:libgpr.so\n"
         "leak:libcares.so\n";
}
