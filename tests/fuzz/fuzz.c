/* Files are made with memfd_create, so that the functions that read a path are called as they are, and
 * nothing touches a disk. */
#define _GNU_SOURCE
#include "tests/fuzz/fuzz.h"

#include "base/logger.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	/* Refusals are logged, thousands of them a second: nothing is written. */
	logger_init("fuzz", "", 0, (logger_level)(LOGGER_ERROR + 1));
	return keys_init() == ERR_OK ? 0 : 1;
}

_Noreturn void fuzz_wrong(const char *file, int line, const char *what)
{
	fprintf(stderr, "ERROR: %s:%d: does not hold: %s\n", file, line, what);
	abort();
}

uint64_t fuzz_number(fuzz_input *in, unsigned bytes)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < bytes; i++) {
		v = v << 8 | (in->left ? *in->at : 0);
		in->at += in->left > 0;
		in->left -= in->left > 0;
	}
	return v;
}

char *fuzz_rest(const fuzz_input *in)
{
	char *text = malloc(in->left + 1);
	BUG_ON(!text);
	memcpy(text, in->at, in->left);
	text[in->left] = 0;
	return text;
}

void fuzz_word(fuzz_input *in, const char *set, size_t n, char *out)
{
	const size_t of = strlen(set);
	size_t i = 0;
	for (; i < n && in->left; i++)
		out[i] = set[fuzz_number(in, 1) % of];
	out[i] = 0;
}

const char *fuzz_file(const void *data, size_t n, mode_t mode)
{
	static int fd = -1;
	static char path[32];
	if (fd >= 0)
		close(fd);
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	BUG_ON(fd < 0 || write(fd, data, n) != (ssize_t)n || fchmod(fd, mode) != 0);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return path;
}

keys_ring_t *fuzz_ring(const char *text)
{
	keys_ring_t *ring;
	BUG_ON(keys_load(fuzz_file(text, strlen(text), 0400), &ring) != ERR_OK);
	return ring;
}
