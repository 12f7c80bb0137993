/* Key rings for tests, loaded as the programs load theirs. */
#ifndef HB_TESTS_FINANCE_RING_H
#define HB_TESTS_FINANCE_RING_H

#include "base/keys.h"

/* A ring of these lines ("id hex\n"…); the caller frees it. */
keys_ring_t *finance_ring(const char *lines);

#define FINANCE_KEY_1 "k1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
#define FINANCE_KEY_2 "k2 202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f\n"
/* The id of the first with the bytes of the second. */
#define FINANCE_KEY_FALSE "k1 202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f\n"

#endif
