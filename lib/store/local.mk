noinst_LIBRARIES += lib/libhbstore.a
lib_libhbstore_a_SOURCES = \
	lib/store/cache.c lib/store/cache.h lib/store/control.c lib/store/control.h lib/store/db.c lib/store/db.h \
	lib/store/db_pool.c lib/store/db_rows.c lib/store/db_rows.h lib/store/endpoints.c lib/store/endpoints.h lib/store/finance.c lib/store/finance.h lib/store/finance_sign.c lib/store/finance_limits.c lib/store/finance_limits.h lib/store/webhook.c lib/store/webhook.h lib/store/mq.c lib/store/mq.h lib/store/mq_headers.c lib/store/mq_headers.h lib/store/peer.c lib/store/peer.h
nodist_lib_libhbstore_a_SOURCES = lib/sql_table.c lib/sql_table.h

SQL_STATEMENTS = $(srcdir)/sql/statements/*.sql
lib/sql_table.h: $(SQL_STATEMENTS) $(srcdir)/sql/gen.awk
	$(AM_V_GEN)mkdir -p lib && $(AWK) -v header=1 -f $(srcdir)/sql/gen.awk $(SQL_STATEMENTS) > $@.tmp && mv $@.tmp $@
lib/sql_table.c: $(SQL_STATEMENTS) $(srcdir)/sql/gen.awk lib/sql_table.h
	$(AM_V_GEN)mkdir -p lib && $(AWK) -v header=0 -f $(srcdir)/sql/gen.awk $(SQL_STATEMENTS) > $@.tmp && mv $@.tmp $@
BUILT_SOURCES += lib/sql_table.h
CLEANFILES += lib/sql_table.h lib/sql_table.c
