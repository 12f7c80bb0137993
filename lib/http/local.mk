noinst_LIBRARIES += lib/libhbhttp.a
lib_libhbhttp_a_SOURCES = lib/http/http.h lib/http/wire.h lib/http/server.c lib/http/request.c lib/http/answer.c lib/http/fields.c lib/http/problem.c
