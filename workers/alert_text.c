#include "workers/alert_text.h"

#include <stdio.h>
#include <string.h>

enum { LAST_LINE_BYTES = 40 };

void alert_text(
	const char *cell, const alert_row *rows, size_t count, size_t lines, char *out, size_t room)
{
	size_t len = (size_t)snprintf(
		out, room, "hongbao, cell %s: %zu alert%s", cell, count, count == 1 ? "" : "s");
	size_t shown = 0;
	BUG_ON(len + LAST_LINE_BYTES >= room);
	for (; shown < count && shown < lines; shown++) {
		if (len + strlen(rows[shown].text) + 3 + LAST_LINE_BYTES >= room)
			break;
		len += (size_t)snprintf(out + len, room - len, "\n- %s", rows[shown].text);
	}
	if (shown < count)
		snprintf(out + len, room - len, "\nand %zu more", count - shown);
}
