check_PROGRAMS += tests/unit/test_recon
tests_unit_test_recon_SOURCES = tests/unit/test_recon.c
tests_unit_test_recon_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
SERVER_TESTS += tests/unit/test_recon_c2c
tests_unit_test_recon_c2c_SOURCES = tests/unit/test_recon_c2c.c $(CELL_DB_SOURCES)
tests_unit_test_recon_c2c_CPPFLAGS = $(CELL_DB_CPPFLAGS)
tests_unit_test_recon_c2c_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
