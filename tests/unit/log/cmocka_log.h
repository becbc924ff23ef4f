/* cmocka, the headers it wants before itself, and how a status is compared. */
#ifndef CAIRN_TESTS_UNIT_LOG_CMOCKA_LOG_H
#define CAIRN_TESTS_UNIT_LOG_CMOCKA_LOG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/status.h"

#define assert_status(expression, expected) assert_string_equal(status_name(expression), status_name(expected))
#define assert_ok(expression) assert_status(expression, STATUS_OK)

#endif
