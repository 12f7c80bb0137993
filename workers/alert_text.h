/* alert_text: the message that many alerts make. Pure. */
#ifndef HB_WORKERS_ALERT_TEXT_H
#define HB_WORKERS_ALERT_TEXT_H

#include "domain/alert.h"

/* "hongbao, cell A: 3 alerts" and a line each for the first `lines` of them (fewer when they do not
 * fit), then how many more there are. */
void alert_text(const char *cell, const alert_row *rows, size_t count, size_t lines, char *out,
	size_t room);

#endif
