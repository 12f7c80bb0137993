/* desk: where the handlers' work would leave this process: what they ask for is checked, and refused with
 * ERR_CELL_UNAVAILABLE. Each function stands in for the one of its name (local.mk: -Wl,--wrap). */
#ifndef HB_TESTS_FUZZ_DESK_H
#define HB_TESTS_FUZZ_DESK_H

/* Before each request. */
void desk_begin(void);

#endif
