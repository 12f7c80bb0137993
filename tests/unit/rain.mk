# The rain: tokens, and their list on the memcached of HB_TEST_MEMCACHED.
check_PROGRAMS += tests/unit/test_token
tests_unit_test_token_SOURCES = tests/unit/test_token.c tests/unit/unit.h tests/unit/files.h
tests_unit_test_token_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)

SERVER_TESTS += tests/unit/test_token_list
tests_unit_test_token_list_SOURCES = tests/unit/test_token_list.c tests/unit/files.h $(SERVER_TEST_SOURCES)
tests_unit_test_token_list_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_campaign tests/unit/test_win_table
tests_unit_test_campaign_SOURCES = tests/unit/test_campaign.c tests/unit/unit.h tests/unit/files.h
tests_unit_test_campaign_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
tests_unit_test_win_table_SOURCES = tests/unit/test_win_table.c fcgi/places.c fcgi/places.h fcgi/win_table.c fcgi/win_table.h fcgi/win_log.c fcgi/win_log.h tests/unit/unit.h tests/unit/files.h
tests_unit_test_win_table_LDADD = $(BASE_LIBS) $(UNIT_LIBS)
dist_check_SCRIPTS += tests/unit/test_audit.sh

SERVER_TESTS += tests/unit/test_rain_budget
tests_unit_test_rain_budget_SOURCES = tests/unit/test_rain_budget.c fcgi/rain_budget.c fcgi/rain_budget.h $(CELL_DB_SOURCES)
tests_unit_test_rain_budget_CPPFLAGS = $(CELL_DB_CPPFLAGS)
tests_unit_test_rain_budget_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
