# Lanes and admission are pure; test_admission brings a memcached of its own, which the linker takes before the library's.
check_PROGRAMS += tests/unit/test_lane tests/unit/test_admission tests/unit/test_settled
tests_unit_test_settled_SOURCES = tests/unit/test_settled.c tests/unit/unit.h
tests_unit_test_settled_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
tests_unit_test_lane_SOURCES = tests/unit/test_lane.c tests/unit/lane_fake.c tests/unit/lane_fake.h tests/unit/unit.h
tests_unit_test_lane_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
tests_unit_test_admission_SOURCES = tests/unit/test_admission.c tests/unit/unit.h
tests_unit_test_admission_LDADD = lib/libhbdomain.a $(BASE_LIBS) $(UNIT_LIBS)

# On the scratch database of HB_TEST_MYSQL; run from the top of the source tree, or with srcdir set.
SERVER_TESTS += tests/unit/test_claim_batch tests/unit/test_claim_service tests/unit/test_claim_cuts tests/unit/test_claim_locks
CLAIM_TEST_SOURCES = tests/unit/claim_fixture.c tests/unit/claim_fixture.h tests/unit/files.h tests/unit/unit.h $(SERVER_TEST_SOURCES)
tests_unit_test_claim_batch_SOURCES = tests/unit/test_claim_batch.c $(CLAIM_TEST_SOURCES)
tests_unit_test_claim_batch_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
tests_unit_test_claim_service_SOURCES = tests/unit/test_claim_service.c $(CLAIM_TEST_SOURCES)
tests_unit_test_claim_service_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
CLAIM_CROWD_SOURCES = tests/unit/claim_crowd.c tests/unit/claim_crowd.h $(CLAIM_TEST_SOURCES)
tests_unit_test_claim_cuts_SOURCES = tests/unit/test_claim_cuts.c $(CLAIM_CROWD_SOURCES)
tests_unit_test_claim_cuts_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
tests_unit_test_claim_locks_SOURCES = tests/unit/test_claim_locks.c $(CLAIM_CROWD_SOURCES)
tests_unit_test_claim_locks_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
