/* rain: what hb-rain's handlers share. */
#ifndef HB_FCGI_RAIN_H
#define HB_FCGI_RAIN_H

#include "fcgi/app.h"
#include "fcgi/places.h"
#include "fcgi/rain_wins.h"

struct rain {
	rain_budget_t *budget;
	rain_wins_t *wins;
	places_t *places;
};

#endif
