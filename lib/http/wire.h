/* wire: between libfcgi and http_req_t; inside lib/http only. */
#ifndef HB_HTTP_WIRE_H
#define HB_HTTP_WIRE_H

#include "http/http.h"
#include <fcgiapp.h>

/* Fills a zeroed request (arena, app set) from the parameters and reads the body to its end. */
void request_read(http_req_t *r, FCGX_Request *f);
/* Writes status, headers and body; the caller finishes the request. */
void answer_write(http_req_t *r, FCGX_Request *f);

#endif
