# Tests of pure code; one fragment per layer. A test program holds one cmocka group and speaks TAP.
UNIT_LIBS = $(CMOCKA_LIBS)
