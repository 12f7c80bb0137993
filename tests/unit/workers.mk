check_PROGRAMS += tests/unit/test_workers
tests_unit_test_workers_SOURCES = tests/unit/test_workers.c $(HB_WORKER_PARTS)
tests_unit_test_workers_LDADD = $(DOMAIN_LIBS) $(UNIT_LIBS)
