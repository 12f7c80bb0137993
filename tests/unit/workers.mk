check_PROGRAMS += tests/unit/test_workers
tests_unit_test_workers_SOURCES = tests/unit/test_workers.c $(HB_WORKER_PARTS)
tests_unit_test_workers_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)

SERVER_TESTS += tests/unit/test_subsidy tests/unit/test_subsidy_issue tests/unit/test_orders tests/unit/test_settling tests/unit/test_alerts tests/unit/test_relay tests/unit/test_relay_full tests/unit/test_packet
CELL_DB_SOURCES = tests/unit/cell_db.c tests/unit/cell_db.h $(SERVER_TEST_SOURCES)
CELL_DB_CPPFLAGS = $(AM_CPPFLAGS) -DHB_SRCDIR='"$(abs_top_srcdir)"'
ORDERS_FIXTURE = tests/unit/orders_fixture.c tests/unit/orders_fixture.h $(CELL_DB_SOURCES)
tests_unit_test_orders_SOURCES = tests/unit/test_orders.c $(ORDERS_FIXTURE)
tests_unit_test_orders_CPPFLAGS = $(CELL_DB_CPPFLAGS)
tests_unit_test_orders_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
tests_unit_test_alerts_SOURCES = tests/unit/test_alerts.c $(ORDERS_FIXTURE)
tests_unit_test_alerts_CPPFLAGS = $(CELL_DB_CPPFLAGS)
tests_unit_test_alerts_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
tests_unit_test_settling_SOURCES = tests/unit/test_settling.c $(ORDERS_FIXTURE)
tests_unit_test_settling_CPPFLAGS = $(CELL_DB_CPPFLAGS)
tests_unit_test_settling_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
tests_unit_test_relay_SOURCES = tests/unit/test_relay.c $(CELL_DB_SOURCES) $(HB_WORKER_PARTS) workers/relay.c workers/transfer.c workers/inbox.c
tests_unit_test_relay_CPPFLAGS = $(CELL_DB_CPPFLAGS)
tests_unit_test_relay_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
tests_unit_test_relay_full_SOURCES = tests/unit/test_relay_full.c $(CELL_DB_SOURCES) $(HB_WORKER_PARTS) workers/relay.c
tests_unit_test_relay_full_CPPFLAGS = $(CELL_DB_CPPFLAGS)
tests_unit_test_relay_full_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
tests_unit_test_packet_SOURCES = tests/unit/test_packet.c tests/unit/finance_ring.c tests/unit/finance_ring.h $(CELL_DB_SOURCES)
tests_unit_test_packet_CPPFLAGS = $(CELL_DB_CPPFLAGS)
tests_unit_test_packet_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
SUBSIDY_FIXTURE = tests/unit/subsidy_fixture.c tests/unit/subsidy_fixture.h $(CELL_DB_SOURCES)
tests_unit_test_subsidy_issue_SOURCES = tests/unit/test_subsidy_issue.c $(SUBSIDY_FIXTURE)
tests_unit_test_subsidy_issue_CPPFLAGS = $(CELL_DB_CPPFLAGS)
tests_unit_test_subsidy_issue_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
tests_unit_test_subsidy_SOURCES = tests/unit/test_subsidy.c $(SUBSIDY_FIXTURE) $(HB_WORKER_PARTS) workers/sweep.h workers/sweep_subsidy.c
tests_unit_test_subsidy_CPPFLAGS = $(CELL_DB_CPPFLAGS)
tests_unit_test_subsidy_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
check_PROGRAMS += tests/unit/test_rate
tests_unit_test_rate_SOURCES = tests/unit/test_rate.c workers/rate.c workers/rate.h
tests_unit_test_rate_LDADD = $(BASE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_finance_limits
tests_unit_test_finance_limits_SOURCES = tests/unit/test_finance_limits.c
tests_unit_test_finance_limits_LDADD = $(STORE_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/unit/test_rounds
tests_unit_test_rounds_SOURCES = tests/unit/test_rounds.c workers/rounds.c workers/rounds.h
tests_unit_test_rounds_LDADD = $(BASE_LIBS) $(UNIT_LIBS)
