FCGI_COMMON = fcgi/app.h fcgi/app.c fcgi/gate.c fcgi/gate.h fcgi/handlers.h fcgi/cursor.c fcgi/cursor.h fcgi/limited.h fcgi/pace.c fcgi/pace.h fcgi/turns.c fcgi/turns.h fcgi/user_rate.c fcgi/user_rate.h fcgi/views.c fcgi/views.h
bin_PROGRAMS += hb-core hb-query hb-rain
hb_core_SOURCES = $(FCGI_COMMON) fcgi/hb_core.c fcgi/demo.c fcgi/seed.c fcgi/packet_send.c fcgi/packet_video.c fcgi/packet_claim.c fcgi/withdrawals.c fcgi/callback.c fcgi/partner.c fcgi/internal.c
hb_core_LDADD = $(DOMAIN_LIBS) $(HTTP_LIBS)
hb_query_SOURCES = $(FCGI_COMMON) fcgi/hb_query.c fcgi/packet_cover.c fcgi/packet_claims.c fcgi/fairness.c fcgi/payment_view.c fcgi/lists.c fcgi/wallet.c fcgi/withdrawal_view.c fcgi/subsidies.c \
	fcgi/ops.c fcgi/ops.h fcgi/site_state.c fcgi/site_state.h fcgi/fresh.c fcgi/fresh.h
hb_query_LDADD = $(DOMAIN_LIBS) $(HTTP_LIBS)
hb_rain_SOURCES = $(FCGI_COMMON) fcgi/hb_rain.c fcgi/rain.h fcgi/rain_draw.c fcgi/rain_budget.c fcgi/rain_budget.h fcgi/rain_wins.c fcgi/rain_wins.h \
	fcgi/places.c fcgi/places.h fcgi/win_log.c fcgi/win_log.h fcgi/win_table.c fcgi/win_table.h
hb_rain_LDADD = $(DOMAIN_LIBS) $(HTTP_LIBS)
