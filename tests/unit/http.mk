check_PROGRAMS += tests/unit/test_fields tests/unit/test_request tests/unit/test_server tests/unit/test_server_take tests/unit/test_cursor tests/unit/test_pace \
	tests/unit/test_gate
tests_unit_test_fields_SOURCES = tests/unit/test_fields.c
tests_unit_test_fields_LDADD = $(HTTP_LIBS) $(UNIT_LIBS)
tests_unit_test_request_SOURCES = tests/unit/test_request.c
tests_unit_test_request_LDADD = $(HTTP_LIBS) $(UNIT_LIBS)
tests_unit_test_server_SOURCES = tests/unit/test_server.c tests/unit/fcgi_client.c tests/unit/fcgi_client.h
tests_unit_test_server_LDADD = $(HTTP_LIBS) $(UNIT_LIBS)
tests_unit_test_server_take_SOURCES = tests/unit/test_server_take.c tests/unit/fcgi_client.c tests/unit/fcgi_client.h
tests_unit_test_server_take_LDADD = $(HTTP_LIBS) $(UNIT_LIBS)
tests_unit_test_cursor_SOURCES = tests/unit/test_cursor.c fcgi/cursor.c
tests_unit_test_cursor_LDADD = $(HTTP_LIBS) $(UNIT_LIBS)
tests_unit_test_pace_SOURCES = tests/unit/test_pace.c fcgi/pace.c
tests_unit_test_pace_LDADD = $(BASE_LIBS) $(UNIT_LIBS)
tests_unit_test_gate_SOURCES = tests/unit/test_gate.c fcgi/gate.c
tests_unit_test_gate_LDADD = $(DOMAIN_LIBS) $(HTTP_LIBS) $(UNIT_LIBS)
