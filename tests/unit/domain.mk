check_PROGRAMS += tests/unit/test_split tests/unit/test_shares
tests_unit_test_split_SOURCES = tests/unit/test_split.c
tests_unit_test_split_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS) -lm
tests_unit_test_shares_SOURCES = tests/unit/test_shares.c
tests_unit_test_shares_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
EXTRA_DIST += tests/vectors
