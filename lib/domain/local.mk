noinst_LIBRARIES += lib/libhbdomain.a
lib_libhbdomain_a_SOURCES = \
	lib/domain/claim.c lib/domain/claim.h lib/domain/id_array.h lib/domain/claim_batch.c lib/domain/claim_batch.h lib/domain/claim_decide.c lib/domain/claim_inner.h lib/domain/admission.c lib/domain/admission.h \
	lib/domain/lane.c lib/domain/lane.h lib/domain/lane_inner.h lib/domain/lane_run.c lib/domain/numbers.c lib/domain/numbers.h lib/domain/outbox.c lib/domain/outbox.h \
	lib/domain/alert.c lib/domain/alert.h lib/domain/check.c lib/domain/check.h lib/domain/packet.c lib/domain/packet.h lib/domain/payment.c lib/domain/payment.h lib/domain/orders.c lib/domain/orders_events.c lib/domain/orders.h \
	lib/domain/flags.c lib/domain/flags.def lib/domain/flags.h lib/domain/live.c lib/domain/live.h lib/domain/program.c lib/domain/program.h lib/domain/received.c lib/domain/received.h lib/domain/refund.c lib/domain/refund.h \
	lib/domain/capacity.c lib/domain/capacity.def lib/domain/capacity.h lib/domain/routes.c lib/domain/routes.h lib/domain/routes.def lib/domain/session.c lib/domain/session.h lib/domain/settled.c lib/domain/settled.h \
	lib/domain/shares.c lib/domain/shares.h lib/domain/split.c lib/domain/split.h lib/domain/split_draw.h lib/domain/states.c lib/domain/states.h lib/domain/states.def \
	lib/domain/ledger.c lib/domain/ledger.h lib/domain/ledger.def lib/domain/topology.c lib/domain/topology.h lib/domain/transfer.c lib/domain/transfer.h lib/domain/campaign.c lib/domain/campaign.h lib/domain/token.c lib/domain/token.h lib/domain/token_list.c lib/domain/token_list.h lib/domain/subsidy.h
lib_libhbdomain_a_SOURCES += \
	lib/domain/recon.c lib/domain/recon.h lib/domain/recon.def lib/domain/recon_inner.h lib/domain/recon_c2c.c lib/domain/recon_b2c.c lib/domain/recon_wins.c lib/domain/recon_claims.c lib/domain/recon_claims.h \
	lib/domain/recon_live.c lib/domain/recon_live.h lib/domain/recon_pile.c lib/domain/recon_pile.h lib/domain/statement.c lib/domain/statement.h
lib_libhbdomain_a_SOURCES += lib/domain/credit.c lib/domain/credit.h lib/domain/idempotency.c lib/domain/idempotency.h lib/domain/withdrawal.c lib/domain/withdrawal.h
lib_libhbdomain_a_SOURCES += \
	lib/domain/packet_inner.h lib/domain/packet_send.c lib/domain/subsidy.c lib/domain/subsidy_batch.c lib/domain/subsidy_end.c lib/domain/subsidy_row.h \
	lib/domain/issue.c lib/domain/issue.h lib/domain/partner.c lib/domain/partner.h
lib_libhbdomain_a_SOURCES += lib/domain/age.c lib/domain/age.h lib/domain/age_export.c lib/domain/age_export.h
lib_libhbdomain_a_SOURCES += lib/domain/primary.c lib/domain/primary.h lib/domain/queue.c lib/domain/queue.h
lib_libhbdomain_a_SOURCES += lib/domain/rings.c lib/domain/rings.h lib/domain/rings.def
lib_libhbdomain_a_SOURCES += lib/domain/db_users.c lib/domain/db_users.def lib/domain/db_users.h lib/domain/roles.def
