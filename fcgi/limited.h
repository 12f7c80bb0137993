/* limited: who may not have more, as hb_rate_limited_total tells it. */
#ifndef HB_FCGI_LIMITED_H
#define HB_FCGI_LIMITED_H

#include "base/metrics.h"

typedef enum { LIMITED_USER, LIMITED_INTERFACE, LIMITED_POLL, LIMITED_PARTNER } limited_by;

static inline void limited_count(limited_by by)
{
	metrics_add(METRICS_RATE_LIMITED, by, 1);
}

#endif
