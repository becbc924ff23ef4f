#include "clients/cli/quantity.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SECOND_MS 1000
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS ((int64_t)24 * HOUR_MS)

/* ---- Numbers with a unit ---- */

/* Saturated where it is too large. */
static bool parse_leading_number(const char *text, int64_t *out, const char **out_rest) {
  const char *digits = text + (*text == '-' || *text == '+');
  if (*digits < '0' || *digits > '9') return false;
  char *end = NULL;
  *out = strtoll(text, &end, 10);
  *out_rest = end;
  return true;
}

static enum status multiply(int64_t number, int64_t factor, int64_t *out) {
  int64_t product = 0;
  if (number == INT64_MAX || number == INT64_MIN) return STATUS_TOO_LARGE; /* saturated; nobody means it */
  if (__builtin_mul_overflow(number, factor, &product)) return STATUS_TOO_LARGE;
  *out = product;
  return STATUS_OK;
}

enum status quantity_parse_number(const char *text, int64_t *out) {
  const char *rest = NULL;
  int64_t number = 0;
  if (!parse_leading_number(text, &number, &rest) || *rest != '\0') return STATUS_INVALID;
  return multiply(number, 1, out);
}

struct unit {
  const char *name;
  int64_t factor;
};

static enum status parse_with_unit(const char *text, const struct unit *units, bool fold_case, int64_t *out) {
  const char *rest = NULL;
  int64_t number = 0;
  if (!parse_leading_number(text, &number, &rest)) return STATUS_INVALID;
  for (; units->name != NULL; units++) {
    if ((fold_case ? strcasecmp(rest, units->name) : strcmp(rest, units->name)) == 0) return multiply(number, units->factor, out);
  }
  return STATUS_INVALID;
}

enum status quantity_parse_bytes(const char *text, int64_t *out) {
  static const struct unit units[] = {
      {"", 1},          {"b", 1},         {"k", 1 << 10},    {"kb", 1 << 10},    {"kib", 1 << 10},
      {"m", 1 << 20},   {"mb", 1 << 20},  {"mib", 1 << 20},  {"g", 1 << 30},     {"gb", 1 << 30},
      {"gib", 1 << 30}, {"t", 1LL << 40}, {"tb", 1LL << 40}, {"tib", 1LL << 40}, {NULL, 0},
  };
  return parse_with_unit(text, units, true, out);
}

enum status quantity_parse_duration_ms(const char *text, int64_t *out) {
  static const struct unit units[] = {
      {"", 1}, {"ms", 1}, {"s", SECOND_MS}, {"m", MINUTE_MS}, {"h", HOUR_MS}, {"d", DAY_MS}, {NULL, 0},
  };
  return parse_with_unit(text, units, false, out);
}

/* ---- Times ---- */

/* Days since 1970 of a day in the Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date algorithms"). */
static int64_t days_from_civil(int64_t year, int month, int day) {
  year -= month <= 2;
  int64_t era = (year >= 0 ? year : year - 399) / 400;
  int64_t year_of_era = year - era * 400;
  int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}

static bool take_digits(const char **at, unsigned count, int *out) {
  int value = 0;
  for (unsigned i = 0; i < count; i++) {
    if ((*at)[i] < '0' || (*at)[i] > '9') return false;
    value = value * 10 + ((*at)[i] - '0');
  }
  *at += count;
  *out = value;
  return true;
}

static bool take(const char **at, char c) {
  if (**at != c) return false;
  (*at)++;
  return true;
}

static int days_of_month(int year, int month) {
  static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

static bool take_date(const char **at, int64_t *out_ms) {
  int year = 0;
  int month = 0;
  int day = 0;
  if (!take_digits(at, 4, &year) || !take(at, '-') || !take_digits(at, 2, &month) || !take(at, '-') ||
      !take_digits(at, 2, &day)) {
    return false;
  }
  if (month < 1 || month > 12 || day < 1 || day > days_of_month(year, month)) return false;
  *out_ms = days_from_civil(year, month, day) * DAY_MS;
  return true;
}

static bool take_clock(const char **at, int64_t *out_ms) {
  int hour = 0;
  int minute = 0;
  int second = 0;
  if (!take_digits(at, 2, &hour) || !take(at, ':') || !take_digits(at, 2, &minute)) return false;
  if (take(at, ':') && !take_digits(at, 2, &second)) return false;
  if (hour > 23 || minute > 59 || second > 60) return false;
  *out_ms += hour * HOUR_MS + minute * MINUTE_MS + second * SECOND_MS;
  if (!take(at, '.')) return true;
  int scale = 100;
  const char *first = *at;
  for (; **at >= '0' && **at <= '9'; (*at)++, scale /= 10) *out_ms += (**at - '0') * scale;
  return *at > first;
}

static bool take_zone(const char **at, int64_t *out_ms) {
  if (take(at, 'Z') || **at == '\0') return true;
  int sign = **at == '+' ? -1 : **at == '-' ? 1 : 0;
  int hour = 0;
  int minute = 0;
  if (sign == 0) return false;
  (*at)++;
  if (!take_digits(at, 2, &hour) || !take(at, ':') || !take_digits(at, 2, &minute)) return false;
  *out_ms += sign * (hour * HOUR_MS + minute * MINUTE_MS);
  return true;
}

enum status quantity_parse_time_ms(const char *text, int64_t now_ms, int64_t *out) {
  int64_t value = 0;
  if (text[0] == '-') {
    enum status status = quantity_parse_duration_ms(text, &value);
    if (status != STATUS_OK) return status;
    *out = now_ms + value;
    return STATUS_OK;
  }
  enum status status = quantity_parse_number(text, out);
  if (status != STATUS_INVALID) return status;
  const char *at = text;
  if (!take_date(&at, &value)) return STATUS_INVALID;
  if ((take(&at, 'T') || take(&at, ' ')) && !take_clock(&at, &value)) return STATUS_INVALID;
  if (!take_zone(&at, &value) || *at != '\0') return STATUS_INVALID;
  *out = value;
  return STATUS_OK;
}

/* ---- The way out ---- */

const char *quantity_format_bytes(char *into, size_t size, double bytes) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  unsigned unit = 0;
  for (; bytes >= 1024 && unit < 5; unit++) bytes /= 1024;
  snprintf(into, size, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
  return into;
}

const char *quantity_format_time(char *into, size_t size, int64_t time_ms) {
  int64_t days = time_ms / DAY_MS - (time_ms % DAY_MS < 0);
  int64_t ms = time_ms - days * DAY_MS;
  int64_t z = days + 719468;
  int64_t era = (z >= 0 ? z : z - 146096) / 146097;
  int64_t day_of_era = z - era * 146097;
  int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int64_t shifted = (5 * day_of_year + 2) / 153;
  int64_t day = day_of_year - (153 * shifted + 2) / 5 + 1;
  int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
  int64_t year = year_of_era + era * 400 + (month <= 2);
  snprintf(into, size, "%04" PRId64 "-%02" PRId64 "-%02" PRId64 "T%02" PRId64 ":%02" PRId64 ":%02" PRId64 ".%03" PRId64 "Z", year,
           month, day, ms / HOUR_MS, ms / MINUTE_MS % 60, ms / SECOND_MS % 60, ms % SECOND_MS);
  return into;
}

const char *quantity_format_duration(char *into, size_t size, int64_t ms) {
  static const struct unit units[] = {{"d", DAY_MS}, {"h", HOUR_MS}, {"m", MINUTE_MS}, {"s", SECOND_MS}, {"ms", 1}};
  for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
    if (ms < units[i].factor || ms % units[i].factor != 0) continue;
    snprintf(into, size, "%" PRId64 "%s", ms / units[i].factor, units[i].name);
    return into;
  }
  snprintf(into, size, "%" PRId64 "ms", ms);
  return into;
}
