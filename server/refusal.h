/* Failures on their way from where they are decided to where they are answered. Most requests succeed, so a failure is memory of
 * its own, made when it happens. Whoever gets one frees it with memory_free().
 */
#ifndef CAIRN_SERVER_REFUSAL_H
#define CAIRN_SERVER_REFUSAL_H

#include "base/status.h"
#include "proto/failure.h"

/* The text says what happened, why, and what to do. */
struct failure *refusal_new(enum status reason, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* For what floors below report: the words of status.def and what to do about it. */
struct failure *refusal_of_status(enum status status);

#endif
