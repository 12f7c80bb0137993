bin_PROGRAMS += hb-finance-sim
SIM_BOOK_SOURCES = sim/book.c sim/book.h sim/book_events.c sim/book_inside.h sim/book_sql.def sim/faults.c sim/faults.h \
	sim/knobs.def sim/vault.c sim/vault.h
hb_finance_sim_SOURCES = sim/hb_finance_sim.c sim/notify.c sim/notify.h sim/cashier.c sim/cashier.h sim/api.c sim/api.h \
	$(SIM_BOOK_SOURCES)
hb_finance_sim_LDADD = lib/libhbstore.a $(HTTP_LIBS) $(BASE_LIBS) $(SQLITE_LIBS) $(CURL_LIBS)
EXTRA_DIST += sim/README.md
