# Pure parts run with `make check`; those that need servers are built on demand and run by
# `make check-servers` (from `./dev test`), which needs HB_TEST_MYSQL, HB_TEST_MEMCACHED, HB_TEST_MQ and HB_TEST_ETCD.
dist_check_SCRIPTS += tests/unit/test_sql_gen.sh

SERVER_TESTS = tests/unit/test_db tests/unit/test_cache tests/unit/test_mq tests/unit/test_control
EXTRA_PROGRAMS = $(SERVER_TESTS)
CLEANFILES += $(SERVER_TESTS)
SERVER_TEST_SOURCES = tests/unit/server_tests.c tests/unit/server_tests.h
# test_db brings statements of its own, so it compiles db with them.
tests_unit_test_db_SOURCES = tests/unit/test_db.c tests/unit/test_db.h tests/unit/test_db_lost.c tests/unit/test_db_pool.c \
	lib/store/db.c lib/store/db_pool.c lib/store/db_rows.c $(SERVER_TEST_SOURCES)
nodist_tests_unit_test_db_SOURCES = tests/unit/db_sql/sql_table.c
tests_unit_test_db_CPPFLAGS = -Itests/unit/db_sql $(AM_CPPFLAGS)
tests_unit_test_db_LDADD = $(BASE_LIBS) $(MYSQL_LIBS) $(UNIT_LIBS)
DB_TEST_STATEMENTS = $(srcdir)/sql/statements/db.sql $(srcdir)/tests/unit/db_statements.sql
$(tests_unit_test_db_OBJECTS): tests/unit/db_sql/sql_table.h
tests/unit/db_sql/sql_table.h: $(DB_TEST_STATEMENTS) $(srcdir)/sql/gen.awk
	$(AM_V_GEN)mkdir -p $(@D) && $(AWK) -v header=1 -f $(srcdir)/sql/gen.awk $(DB_TEST_STATEMENTS) > $@.tmp && mv $@.tmp $@
tests/unit/db_sql/sql_table.c: $(DB_TEST_STATEMENTS) $(srcdir)/sql/gen.awk
	$(AM_V_GEN)mkdir -p $(@D) && $(AWK) -v header=0 -f $(srcdir)/sql/gen.awk $(DB_TEST_STATEMENTS) > $@.tmp && mv $@.tmp $@
CLEANFILES += tests/unit/db_sql/sql_table.h tests/unit/db_sql/sql_table.c
EXTRA_DIST += tests/unit/db_statements.sql

tests_unit_test_cache_SOURCES = tests/unit/test_cache.c $(SERVER_TEST_SOURCES)
tests_unit_test_cache_LDADD = $(STORE_LIBS) $(UNIT_LIBS)
tests_unit_test_mq_SOURCES = tests/unit/test_mq.c $(SERVER_TEST_SOURCES)
tests_unit_test_mq_LDADD = $(STORE_LIBS) $(UNIT_LIBS)
tests_unit_test_control_SOURCES = tests/unit/test_control.c $(SERVER_TEST_SOURCES)
tests_unit_test_control_LDADD = $(STORE_LIBS) $(UNIT_LIBS)

.PHONY: check-servers
check-servers: $(SERVER_TESTS)
	@set -e; for t in $(SERVER_TESTS); do CMOCKA_MESSAGE_OUTPUT=TAP ./$$t; done
