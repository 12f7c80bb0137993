check_PROGRAMS += tests/unit/test_age
tests_unit_test_age_SOURCES = tests/unit/test_age.c
tests_unit_test_age_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
SERVER_TESTS += tests/unit/test_age_export
tests_unit_test_age_export_SOURCES = tests/unit/test_age_export.c $(CELL_DB_SOURCES)
tests_unit_test_age_export_CPPFLAGS = $(CELL_DB_CPPFLAGS)
tests_unit_test_age_export_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
