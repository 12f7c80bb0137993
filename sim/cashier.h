/* cashier: the page on which the payer pays. Its address holds a mac over the order number: who was
 * given the address may pay, nobody else. */
#ifndef HB_SIM_CASHIER_H
#define HB_SIM_CASHIER_H

#include "sim/api.h"

enum { CASHIER_ADDRESS_BYTES = 300 };

void cashier_address(const api_t *a, uint64_t order_no, char out[CASHIER_ADDRESS_BYTES]);
/* http(s), a host of plain characters, printable ASCII; "" is none and fine. */
bool cashier_url_ok(const char *url);

err_t cashier_show(http_req_t *r, uint64_t order_no) MUST_CHECK; /* GET /cashier/{no}?t= */
err_t cashier_pay(http_req_t *r, uint64_t order_no) MUST_CHECK;  /* POST /cashier/{no}/pay */
err_t cashier_account(http_req_t *r, uint64_t uid) MUST_CHECK;   /* GET /account/{uid} */
err_t cashier_style(http_req_t *r) MUST_CHECK;                   /* GET /cashier.css */

#endif
