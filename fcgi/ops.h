/* ops: what hb-query, a standby too, serves to the operations listener only (http_req_t.ops): /healthz, /metrics,
 * and as JSON /ops/v1/status and /ops/v1/flags; nothing of it changes anything, and none asks a database. It speaks of the site, not of this program or its cell. */
#ifndef HB_FCGI_OPS_H
#define HB_FCGI_OPS_H

#include "fcgi/app.h"

err_t ops_handle(http_req_t *r) MUST_CHECK;

#endif
