/* Pauses are jittered, so that the workers of a cell do not come back to a healed server all at
 * once. */
#include "workers/outage.h"

#include "base/clk.h"
#include "base/keys.h"
#include "base/logger.h"

int64_t outage_pause_ms(const outage_t *o, unsigned failures, uint32_t dice)
{
	int64_t pause = o->first_ms;
	for (unsigned i = 1; i < failures && pause < o->most_ms; i++)
		pause *= 2;
	if (pause > o->most_ms)
		pause = o->most_ms;
	return pause - (int64_t)(dice % (uint64_t)(pause / 2 + 1));
}

int64_t outage_failed(outage_t *o, err_t e)
{
	uint32_t dice;
	if (o->failures++ == 0) {
		o->since_ms = clk_mono_ms();
		LOG(WARN, "worker.outage", {"what", LOG_S(o->what)}, {"error", LOG_E(e)});
	}
	keys_random(&dice, sizeof dice);
	return outage_pause_ms(o, o->failures, dice);
}

void outage_over(outage_t *o)
{
	if (o->failures == 0)
		return;
	LOG(INFO, "worker.outage_over", {"what", LOG_S(o->what)},
		{"ms", LOG_I(clk_mono_ms() - o->since_ms)}, {"failures", LOG_U(o->failures)});
	o->failures = 0;
}
