/* In millionths of a message, so that microseconds times the rate need no rounding. */
#include "workers/rate.h"

enum { TENTHS = 10, MILLION = 1000000 };

rate_t rate_of(int64_t batch, int64_t rate)
{
	const int64_t tenth = rate / TENTHS > 1 ? rate / TENTHS : 1;
	return (rate_t){
		.batch = (unsigned)(rate > 0 && tenth < batch ? tenth : batch), .rate = rate};
}

unsigned rate_take(rate_t *p, unsigned held, int64_t now_us, int64_t *wait_ms)
{
	const unsigned want = held < p->batch ? held : p->batch;
	const int64_t full = 2 * (int64_t)p->batch * MILLION, need = (int64_t)want * MILLION;
	if (p->rate == 0)
		return want;
	const int64_t since_us = p->at_us ? now_us - p->at_us : 0;
	/* Longer than two seconds fills it at any rate. */
	p->tokens_u += (since_us < 2 * MILLION ? since_us : 2 * MILLION) * p->rate;
	if (p->tokens_u > full)
		p->tokens_u = full;
	p->at_us = now_us;
	if (p->tokens_u >= need) {
		p->tokens_u -= need;
		return want;
	}
	*wait_ms = (need - p->tokens_u) / p->rate / 1000 + 1;
	return 0;
}
