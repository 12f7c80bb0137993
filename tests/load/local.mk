# What ./dev bench runs; never installed.
noinst_PROGRAMS += hb-load hb-echo hb-bench-sql
LOAD_SOURCES = tests/load/load.c tests/load/load.h tests/load/hist.c tests/load/hist.h tests/load/reply.c tests/load/reply.h
hb_load_SOURCES = tests/load/hb_load.c $(LOAD_SOURCES)
hb_load_LDADD = $(DOMAIN_LIBS)
hb_echo_SOURCES = tests/load/hb_echo.c
hb_echo_LDADD = $(FCGI_LIBS) -lpthread
hb_bench_sql_SOURCES = tests/load/hb_bench_sql.c tests/load/bench_sql.h tests/load/bench_fill.c tests/load/bench_direct.c
hb_bench_sql_LDADD = $(DOMAIN_LIBS)

check_PROGRAMS += tests/load/test_load
tests_load_test_load_SOURCES = tests/load/test_load.c $(LOAD_SOURCES)
tests_load_test_load_LDADD = $(BASE_LIBS) $(UNIT_LIBS) -lpthread
EXTRA_DIST += tests/load/README.md tests/load/bench.py tests/load/bench_stack.py tests/load/bench_grow.py tests/load/bench_wins.py tests/load/bench_finance.py tests/load/smoke.py tests/load/recon_load.py tests/load/stack
