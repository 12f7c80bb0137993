/* fuzz: what the fuzz targets share. A target defines LLVMFuzzerTestOneInput; what it finds wrong ends
 * the program, as a sanitizer's word does. */
#ifndef HB_TESTS_FUZZ_FUZZ_H
#define HB_TESTS_FUZZ_FUZZ_H

#include "base/keys.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* What must hold of whatever was accepted. */
_Noreturn void fuzz_wrong(const char *file, int line, const char *what);
#define FUZZ_CHECK(cond)                                                                           \
	do {                                                                                       \
		if (!(cond))                                                                       \
			fuzz_wrong(__FILE__, __LINE__, #cond);                                     \
	} while (0)

/* An input, taken from its front. */
typedef struct {
	const uint8_t *at;
	size_t left;
} fuzz_input;

/* Big-endian; missing bytes count as zero. */
uint64_t fuzz_number(fuzz_input *in, unsigned bytes);
/* The rest, zero-terminated, in memory of exactly that size, so that a step over its end is seen. The
 * caller frees. */
char *fuzz_rest(const fuzz_input *in);
/* Up to n bytes of the input as characters of a set (of at most 256); `out` holds n + 1. */
void fuzz_word(fuzz_input *in, const char *set, size_t n, char *out);

/* A file of these bytes, in memory; one at a time. Its path is good until the next call. */
const char *fuzz_file(const void *data, size_t n, mode_t mode);
/* A ring of the keys of this text (keys.h). */
keys_ring_t *fuzz_ring(const char *text);

#define FUZZ_KEY_1 "k1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define FUZZ_KEY_2 "k2 202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"

#endif
