/* keys_load takes a file and refuses wide modes, so a ring is written to one first. */
#include "tests/unit/finance_ring.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

keys_ring_t *finance_ring(const char *lines)
{
	char path[] = "/tmp/hb-ring-XXXXXX";
	keys_ring_t *ring = NULL;
	int fd = mkstemp(path);
	size_t n = strlen(lines);
	BUG_ON(fd < 0 || write(fd, lines, n) != (ssize_t)n || fchmod(fd, 0400) != 0);
	close(fd);
	BUG_ON(keys_init() != ERR_OK || keys_load(path, &ring) != ERR_OK);
	unlink(path);
	return ring;
}
