/* api: the institution's HTTP interface, as docs/finance-protocol.md says. */
#ifndef HB_SIM_API_H
#define HB_SIM_API_H

#include "http/http.h"
#include "sim/book.h"

typedef struct {
	book_t *book;
	faults_t *faults;
	keys_ring_t *keys; /* shared with the merchant */
	const char *merchant;
	const char *public_url; /* as the payer's browser sees us, without a slash at its end */
} api_t;

/* The one handler of the program; r->app is an api_t. */
err_t api_handle(http_req_t *r) MUST_CHECK;

#endif
