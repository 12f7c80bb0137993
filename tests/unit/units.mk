check_PROGRAMS += tests/unit/test_gtid
tests_unit_test_gtid_SOURCES = tests/unit/test_gtid.c units/gtid.c units/gtid.h
tests_unit_test_gtid_LDADD = $(BASE_LIBS) $(UNIT_LIBS)
dist_check_SCRIPTS += tests/unit/test_nginx_render.sh tests/unit/test_units.sh tests/unit/docs_current.sh tests/unit/watch.sh tests/unit/commands.sh

# What `./dev test server` runs: programs that need servers.
.PHONY: print-server-tests
print-server-tests:
	@echo $(SERVER_TESTS)
check_PROGRAMS += tests/unit/test_choose
tests_unit_test_choose_SOURCES = tests/unit/test_choose.c units/choose.c units/choose.h units/gtid.c units/gtid.h
tests_unit_test_choose_LDADD = $(BASE_LIBS) $(UNIT_LIBS)
