noinst_LIBRARIES += lib/libhbbase.a
lib_libhbbase_a_SOURCES = \
	lib/base/supervisor.c lib/base/supervisor.h \
	lib/base/arena.c lib/base/arena.h lib/base/breaker.c lib/base/breaker.h lib/base/cfg.c lib/base/cfg.h lib/base/clk.c lib/base/clk.h lib/base/conf.c lib/base/conf.h \
	lib/base/err.c lib/base/err.h lib/base/errors.def lib/base/jw.c lib/base/jw.h lib/base/keys.c lib/base/keys.h \
	lib/base/life.c lib/base/life.h lib/base/logger.c lib/base/logger.h lib/base/metrics.c lib/base/metrics.h lib/base/metrics_inner.h lib/base/metrics_text.c \
	lib/base/metrics.def lib/base/options.def lib/base/parse.c lib/base/parse.h lib/base/signature.c lib/base/signature.h lib/base/trace.c lib/base/trace.h
lib_libhbbase_a_SOURCES += lib/base/keys_inner.h lib/base/keys_ring.c
