/* handlers: one function per row of lib/domain/routes.def, `handle_<id>`; each program binds those
 * of its own. */
#ifndef HB_FCGI_HANDLERS_H
#define HB_FCGI_HANDLERS_H

#include "fcgi/app.h"

#define ROUTE(id, method, pattern, program, slot, auth, body, flags)                               \
	err_t handle_##id(app_call_t *c) MUST_CHECK;
#include "domain/routes.def"
#undef ROUTE

#endif
