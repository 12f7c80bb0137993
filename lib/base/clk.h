/* clk: time. Monotonic for durations, wall for what is stored or shown. Threads: all safe. */
#ifndef HB_BASE_CLK_H
#define HB_BASE_CLK_H

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

int64_t clk_mono_ms(void);
int64_t clk_mono_us(void);
/* Milliseconds since 1970, UTC. All times in the database are this number (BIGINT). */
int64_t clk_wall_ms(void);

enum { CLK_RFC3339_BYTES = 32 };
/* "2026-11-22T08:13:18.042Z" into `out`; returns its length. 0 ≤ wall_ms < year 10000. */
size_t clk_rfc3339(int64_t wall_ms, char out[CLK_RFC3339_BYTES]);
/* Strict: UTC "Z" or an offset, optional fraction. ERR_INVALID_FIELD otherwise. */
err_t clk_parse_rfc3339(const char *text, int64_t *wall_ms) MUST_CHECK;

/* Sleeps; wakes early when the program is told to stop (life_stopping). */
void clk_sleep_ms(int64_t ms);

#endif
