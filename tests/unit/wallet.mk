SERVER_TESTS += tests/unit/test_ledger tests/unit/test_credit
tests_unit_test_ledger_SOURCES = tests/unit/test_ledger.c $(CELL_DB_SOURCES)
tests_unit_test_ledger_CPPFLAGS = $(CELL_DB_CPPFLAGS)
tests_unit_test_ledger_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
tests_unit_test_credit_SOURCES = tests/unit/test_credit.c $(CELL_DB_SOURCES)
tests_unit_test_credit_CPPFLAGS = $(CELL_DB_CPPFLAGS)
tests_unit_test_credit_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
