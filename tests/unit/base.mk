# The tests of lib/base, of the small parts of lib/domain, and of the layers.
check_PROGRAMS += \
	tests/unit/test_arena tests/unit/test_breaker tests/unit/test_clk tests/unit/test_conf tests/unit/test_err tests/unit/test_jw \
	tests/unit/test_keys tests/unit/test_logger tests/unit/test_metrics tests/unit/test_parse \
	tests/unit/test_numbers tests/unit/test_session tests/unit/test_states tests/unit/test_topology
noinst_HEADERS += tests/unit/files.h tests/unit/unit.h
dist_check_SCRIPTS += tests/unit/test_security.sh tests/unit/layers.sh tests/unit/mutants_fit.sh
tests_unit_test_arena_SOURCES = tests/unit/test_arena.c
tests_unit_test_arena_LDADD = $(BASE_LIBS) $(UNIT_LIBS)
tests_unit_test_breaker_SOURCES = tests/unit/test_breaker.c
tests_unit_test_breaker_LDADD = $(BASE_LIBS) $(UNIT_LIBS)
tests_unit_test_clk_SOURCES = tests/unit/test_clk.c
tests_unit_test_clk_LDADD = $(BASE_LIBS) $(UNIT_LIBS)
tests_unit_test_conf_SOURCES = tests/unit/test_conf.c
tests_unit_test_conf_LDADD = $(BASE_LIBS) $(UNIT_LIBS)
tests_unit_test_err_SOURCES = tests/unit/test_err.c
tests_unit_test_err_LDADD = $(BASE_LIBS) $(UNIT_LIBS)
tests_unit_test_jw_SOURCES = tests/unit/test_jw.c
tests_unit_test_jw_LDADD = $(BASE_LIBS) $(UNIT_LIBS)
tests_unit_test_keys_SOURCES = tests/unit/test_keys.c
tests_unit_test_keys_LDADD = $(BASE_LIBS) $(UNIT_LIBS)
tests_unit_test_logger_SOURCES = tests/unit/test_logger.c
tests_unit_test_logger_LDADD = $(BASE_LIBS) $(UNIT_LIBS)
tests_unit_test_metrics_SOURCES = tests/unit/test_metrics.c
tests_unit_test_metrics_LDADD = $(BASE_LIBS) $(UNIT_LIBS)
tests_unit_test_parse_SOURCES = tests/unit/test_parse.c
tests_unit_test_parse_LDADD = $(BASE_LIBS) $(UNIT_LIBS)
tests_unit_test_numbers_SOURCES = tests/unit/test_numbers.c
tests_unit_test_numbers_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
tests_unit_test_session_SOURCES = tests/unit/test_session.c
tests_unit_test_session_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
tests_unit_test_states_SOURCES = tests/unit/test_states.c
tests_unit_test_states_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
tests_unit_test_topology_SOURCES = tests/unit/test_topology.c
tests_unit_test_topology_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
