bin_PROGRAMS += hb-finance-sim
hb_finance_sim_SOURCES = sim/hb_finance_sim.c sim/book.c sim/book.h sim/notify.c sim/notify.h sim/cashier.c sim/cashier.h sim/api.c sim/api.h
hb_finance_sim_LDADD = lib/libhbstore.a $(HTTP_LIBS) $(BASE_LIBS) $(SQLITE_LIBS) $(CURL_LIBS)
