/* The calendar is computed here: gmtime_r takes glibc's time zone lock, and timegm accepts 31
 * February. */
#include "base/clk.h"
#include "base/life.h"
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

enum { CLK_DAY_MS = 86400000 };
static const int64_t clk_year_10000_ms = INT64_C(253402300800000);

static int64_t clk_read_us(clockid_t id)
{
	struct timespec t;
	int rc = clock_gettime(id, &t);

	BUG_ON(rc);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clk_mono_us(void)
{
	return clk_read_us(CLOCK_MONOTONIC);
}

int64_t clk_mono_ms(void)
{
	return clk_mono_us() / 1000;
}

int64_t clk_wall_ms(void)
{
	return clk_read_us(CLOCK_REALTIME) / 1000;
}

/* Days since 1970 of a date of the Gregorian calendar; years begin in March, so that the leap day
 * is the last. */
static int64_t clk_days(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = y / 400, yoe = y % 400;
	int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void clk_date(int64_t days, int *year, int *month, int *day)
{
	int64_t z = days + 719468;
	int64_t era = z / 146097, doe = z % 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	*day = (int)(doy - (153 * mp + 2) / 5 + 1);
	*month = (int)(mp < 10 ? mp + 3 : mp - 9);
	*year = (int)(era * 400 + yoe + (*month <= 2));
}

/* snprintf is too slow for every line of a log. */
static char *clk_put(char *p, int v, int digits, char after)
{
	for (int i = digits - 1; i >= 0; i--) {
		p[i] = (char)('0' + v % 10);
		v /= 10;
	}
	p[digits] = after;
	return p + digits + 1;
}

size_t clk_rfc3339(int64_t wall_ms, char out[CLK_RFC3339_BYTES])
{
	int year, month, day, ms;
	char *p = out;

	BUG_ON(wall_ms < 0 || wall_ms >= clk_year_10000_ms);
	clk_date(wall_ms / CLK_DAY_MS, &year, &month, &day);
	ms = (int)(wall_ms % CLK_DAY_MS);
	p = clk_put(p, year, 4, '-');
	p = clk_put(p, month, 2, '-');
	p = clk_put(p, day, 2, 'T');
	p = clk_put(p, ms / 3600000, 2, ':');
	p = clk_put(p, ms / 60000 % 60, 2, ':');
	p = clk_put(p, ms / 1000 % 60, 2, '.');
	p = clk_put(p, ms % 1000, 3, 'Z');
	*p = '\0';
	return (size_t)(p - out);
}

/* Exactly `digits` digits in least..most, then `after` (zero: anything); moves *s on. */
static bool clk_take(const char **s, int digits, int least, int most, char after, int *out)
{
	int v = 0;

	for (int i = 0; i < digits; i++, (*s)++) {
		if (**s < '0' || **s > '9')
			return false;
		v = v * 10 + (**s - '0');
	}
	if (v < least || v > most || (after && *(*s)++ != after))
		return false;
	*out = v;
	return true;
}

static bool clk_take_fraction(const char **s, int *ms)
{
	int scale = 100, digits = 0;

	*ms = 0;
	if (**s != '.')
		return true;
	for ((*s)++; **s >= '0' && **s <= '9'; (*s)++, digits++) {
		*ms += (**s - '0') * scale;
		scale /= 10;
	}
	return digits >= 1 && digits <= 9;
}

static bool clk_take_offset(const char **s, int *minutes)
{
	int h, m, sign = **s == '-' ? -1 : 1;

	*minutes = 0;
	if (**s == 'Z') {
		(*s)++;
		return true;
	}
	if (**s != '+' && **s != '-')
		return false;
	(*s)++;
	if (!clk_take(s, 2, 0, 23, ':', &h) || !clk_take(s, 2, 0, 59, '\0', &m))
		return false;
	*minutes = sign * (h * 60 + m);
	return true;
}

static int clk_month_days(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap);
}

err_t clk_parse_rfc3339(const char *text, int64_t *wall_ms)
{
	int year, month, day, hour, minute, second, ms, offset;
	int64_t at;

	if (!text || !clk_take(&text, 4, 1, 9999, '-', &year) ||
		!clk_take(&text, 2, 1, 12, '-', &month) || !clk_take(&text, 2, 1, 31, 'T', &day) ||
		!clk_take(&text, 2, 0, 23, ':', &hour) ||
		!clk_take(&text, 2, 0, 59, ':', &minute) ||
		!clk_take(&text, 2, 0, 59, '\0', &second) || !clk_take_fraction(&text, &ms) ||
		!clk_take_offset(&text, &offset) || *text || day > clk_month_days(year, month))
		return ERR_INVALID_FIELD;
	at = clk_days(year, month, day) * CLK_DAY_MS + hour * INT64_C(3600000) +
	     (minute - offset) * INT64_C(60000) + second * INT64_C(1000) + ms;
	if (at < 0 || at >= clk_year_10000_ms)
		return ERR_INVALID_FIELD;
	*wall_ms = at;
	return ERR_OK;
}

void clk_sleep_ms(int64_t ms)
{
	if (ms > 0)
		(void)life_wait_ms(ms);
}
