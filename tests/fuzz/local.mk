# Fuzz targets: built by ./dev fuzz only, with clang (units/local/fuzz.sh). One program a target.
FUZZ_TARGETS = callbacks config cursors messages requests statements tokens
EXTRA_PROGRAMS += tests/fuzz/fuzz_callbacks tests/fuzz/fuzz_config tests/fuzz/fuzz_cursors tests/fuzz/fuzz_messages \
	tests/fuzz/fuzz_requests tests/fuzz/fuzz_statements tests/fuzz/fuzz_tokens
FUZZ_COMMON = tests/fuzz/fuzz.c tests/fuzz/fuzz.h
FUZZ_LINK = $(AM_LDFLAGS) -fsanitize=fuzzer

tests_fuzz_fuzz_callbacks_SOURCES = tests/fuzz/fuzz_callbacks.c $(FUZZ_COMMON)
tests_fuzz_fuzz_callbacks_LDADD = $(STORE_LIBS)
tests_fuzz_fuzz_callbacks_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_config_SOURCES = tests/fuzz/fuzz_config.c units/campaign_file.c units/campaign_file.h units/flags_text.c units/flags_text.h $(FUZZ_COMMON)
tests_fuzz_fuzz_config_LDADD = $(DOMAIN_LIBS)
tests_fuzz_fuzz_config_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_cursors_SOURCES = tests/fuzz/fuzz_cursors.c fcgi/cursor.c $(FUZZ_COMMON)
tests_fuzz_fuzz_cursors_LDADD = $(DOMAIN_LIBS) $(HTTP_LIBS)
tests_fuzz_fuzz_cursors_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_messages_SOURCES = tests/fuzz/fuzz_messages.c $(FUZZ_COMMON)
tests_fuzz_fuzz_messages_LDADD = $(DOMAIN_LIBS)
tests_fuzz_fuzz_messages_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_statements_SOURCES = tests/fuzz/fuzz_statements.c $(FUZZ_COMMON)
tests_fuzz_fuzz_statements_LDADD = $(DOMAIN_LIBS)
tests_fuzz_fuzz_statements_LDFLAGS = $(FUZZ_LINK) -Wl,--wrap=finance_statement,--wrap=logger_write
tests_fuzz_fuzz_tokens_SOURCES = tests/fuzz/fuzz_tokens.c $(FUZZ_COMMON)
tests_fuzz_fuzz_tokens_LDADD = $(DOMAIN_LIBS)
tests_fuzz_fuzz_tokens_LDFLAGS = $(FUZZ_LINK)

# hb-core's and hb-rain's handlers; what they would ask of others is desk.c.
tests_fuzz_fuzz_requests_SOURCES = tests/fuzz/fuzz_requests.c tests/fuzz/desk.c tests/fuzz/desk.h $(FUZZ_COMMON) $(FCGI_COMMON) \
	fcgi/demo.c fcgi/seed.c fcgi/packet_send.c fcgi/packet_video.c fcgi/packet_claim.c fcgi/withdrawals.c fcgi/callback.c fcgi/partner.c \
	fcgi/internal.c fcgi/rain.h fcgi/rain_draw.c fcgi/places.c fcgi/places.h
tests_fuzz_fuzz_requests_LDADD = $(DOMAIN_LIBS) $(HTTP_LIBS)
tests_fuzz_fuzz_requests_LDFLAGS = $(FUZZ_LINK) -Wl,--wrap=db_pool_take,--wrap=db_transact,--wrap=numbers_next,--wrap=packet_send \
	-Wl,--wrap=packet_next_seed,--wrap=withdrawal_make,--wrap=claim_known,--wrap=claim_defers,--wrap=claim_open \
	-Wl,--wrap=peer_new,--wrap=peer_post,--wrap=cache_count_by

EXTRA_DIST += tests/fuzz/README.md tests/fuzz/corpus tests/fuzz/seeds.py
.PHONY: print-fuzz-targets
print-fuzz-targets:
	@echo $(FUZZ_TARGETS)
