/* What must hold, stated and always on. A failed CHECK is a bug in Cairn, never bad input and never bad bytes: it prints
 * where and what, and stops the process, because going on could acknowledge what is not so.
 */
#ifndef CAIRN_BASE_CHECK_H
#define CAIRN_BASE_CHECK_H

/* Prints "cairn: CHECK failed ..." with the line and the context set by check_context(), then aborts. */
_Noreturn void check_failed(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A few words about this thread (broker, lane, seed) that a failed check prints. Keeps the pointer. */
void check_context(const char *context);

#define CHECK(condition) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition, " "))
#define CHECK_MSG(condition, ...) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition, __VA_ARGS__))
#define PRE(condition) CHECK(condition)  /* what the caller owes */
#define POST(condition) CHECK(condition) /* what we owe the caller */
#define IMPLIES(a, b) (!(a) || (b))

#endif
